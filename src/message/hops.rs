//! How far a request has come and may go on: Via and Max-Forwards.

use crate::head::{Fields, Known, Method, RequestHead};

/// `Max-Forwards` is no number, or stands more than once (RFC 9110 §7.6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed Max-Forwards field")]
pub struct MaxForwardsFault;

/// How often an OPTIONS request may still be forwarded; `None`: as often as one likes. Other methods
/// may carry the field without meaning (RFC 9110 §7.6.2), and TRACE is not served.
///
/// # Errors
/// [`MaxForwardsFault`]
pub fn max_forwards(head: &RequestHead) -> Result<Option<u32>, MaxForwardsFault> {
    if head.method != Method::Options {
        return Ok(None);
    }
    let mut values = head.fields.all(Known::MaxForwards);
    let Some(value) = values.next() else { return Ok(None) };
    if value.is_empty() || values.next().is_some() {
        return Err(MaxForwardsFault);
    }
    let left = value.iter().try_fold(0_u32, |left, byte| {
        let digit = byte.is_ascii_digit().then(|| u32::from(byte - b'0')).ok_or(MaxForwardsFault)?;
        // The same section: a recipient may lower what is beyond its own limit.
        Ok(left.saturating_mul(10).saturating_add(digit))
    })?;
    Ok(Some(left))
}

/// Whether a request has passed by whoever calls itself `pseudonym` (RFC 9110 §7.6.3).
#[must_use]
pub fn has_passed(fields: &Fields, pseudonym: &[u8]) -> bool {
    fields.all(Known::Via).flat_map(|value| value.split(|byte| *byte == b',')).any(|element| {
        let mut words = element.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
        words.nth(1).is_some_and(|by| by.eq_ignore_ascii_case(pseudonym))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_forwards_counts_for_options_rfc9110_7_6_2() {
        let of = |method: Method, values: &[&str]| {
            let mut head = RequestHead { method, ..RequestHead::default() };
            values.iter().for_each(|value| head.fields.push("Max-Forwards", value));
            max_forwards(&head)
        };
        assert_eq!(of(Method::Options, &[]), Ok(None));
        assert_eq!(of(Method::Options, &["0"]), Ok(Some(0)));
        assert_eq!(of(Method::Options, &["010"]), Ok(Some(10)));
        assert_eq!(of(Method::Options, &["99999999999999999999"]), Ok(Some(u32::MAX)));
        assert_eq!(of(Method::Get, &["0"]), Ok(None));
        for values in [&[""][..], &["-1"], &["1 "], &["1, 2"], &["x"], &["1", "1"]] {
            assert_eq!(of(Method::Options, values), Err(MaxForwardsFault), "{values:?}");
        }
    }

    #[test]
    fn a_pseudonym_is_found_in_any_via_rfc9110_7_6_3() {
        let mut fields = Fields::default();
        fields.push("Via", "1.0 fred, 1.1 p.example.com:80 (Gate, 2)");
        fields.push("via", "HTTP/2.0\tSeoul-1");
        assert!(has_passed(&fields, b"seoul-1") && has_passed(&fields, b"fred"));
        for name in ["1.0", "gate", "2)", "p.example.com", "seoul"] {
            assert!(!has_passed(&fields, name.as_bytes()), "{name}");
        }
    }
}
