//! Which bytes a Range field asks for (RFC 9110 §14). Pure.

use std::ops::Range;

/// More ranges than this in one request are not a reader's wish; the field is ignored then.
pub const MAX_RANGES: usize = 16;

/// What a Range field selects of a representation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All of it: the field is malformed, of another unit, or an abuse.
    Whole,
    /// These spans, in the order asked for; at least one, none empty, none beyond the end, no two
    /// sharing a byte.
    Parts(Vec<Range<u64>>),
    /// Nothing that exists: 416 (RFC 9110 §15.5.17).
    Unsatisfiable,
}

/// Reads the value of a Range field against a representation of `length` bytes.
#[must_use]
pub fn select(value: &[u8], length: u64) -> Selection {
    let Some((unit, set)) = split_once(value, b'=') else { return Selection::Whole };
    // RFC 9110 §14.1: range units are case-insensitive.
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return Selection::Whole;
    }
    let mut parts: Vec<Range<u64>> = Vec::new();
    let mut count = 0;
    for spec in set.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|spec| !spec.is_empty()) {
        let Some(spec) = Spec::parse(spec) else { return Selection::Whole };
        count += 1;
        if count > MAX_RANGES {
            return Selection::Whole;
        }
        // RFC 9110 §14.1.2: a suffix of an empty representation is satisfiable, yet no
        // Content-Range can say so.
        if length == 0 && matches!(spec, Spec::Suffix(1..)) {
            return Selection::Whole;
        }
        parts.extend(spec.within(length));
    }
    // RFC 9110 §14.2: ranges that overlap ask for the same bytes again; only an attack does.
    if count == 0 || overlap(&parts) {
        return Selection::Whole;
    }
    if parts.is_empty() { Selection::Unsatisfiable } else { Selection::Parts(parts) }
}

/// One range as written (RFC 9110 §14.1.1).
enum Spec {
    From(u64),
    Between(u64, u64),
    Suffix(u64),
}

impl Spec {
    fn parse(text: &[u8]) -> Option<Self> {
        let (first, last) = split_once(text, b'-')?;
        match (first.is_empty(), last.is_empty()) {
            (true, true) => None,
            (true, false) => Some(Self::Suffix(number(last)?)),
            (false, true) => Some(Self::From(number(first)?)),
            (false, false) => {
                let (first, last) = (number(first)?, number(last)?);
                // RFC 9110 §14.1.1: a last position before the first makes the range invalid.
                (first <= last).then_some(Self::Between(first, last))
            }
        }
    }

    /// The span that this selects, where it selects any byte.
    fn within(self, length: u64) -> Option<Range<u64>> {
        let span = match self {
            Self::From(first) => first..length,
            Self::Between(first, last) => first..last.saturating_add(1).min(length),
            Self::Suffix(count) => length.saturating_sub(count)..length,
        };
        (span.start < span.end).then_some(span)
    }
}

/// A decimal number; one too large for 64 bits lies beyond every file and is cut to the largest.
fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |sum, digit| {
        digit.is_ascii_digit().then(|| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
    })
}

fn overlap(parts: &[Range<u64>]) -> bool {
    parts
        .iter()
        .enumerate()
        .any(|(at, one)| parts.iter().skip(at + 1).any(|two| one.start < two.end && two.start < one.end))
}

fn split_once(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let place = text.iter().position(|byte| *byte == at)?;
    Some((text.get(..place)?, text.get(place + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn table() {
        use Selection::{Parts, Unsatisfiable, Whole};
        let one = |start, end| Parts(vec![start..end]);
        let table: Vec<(&str, u64, Selection)> = vec![
            ("bytes=0-0", 10, one(0, 1)),
            ("BYTES=0-4", 10, one(0, 5)),
            ("bytes=5-", 10, one(5, 10)),
            ("bytes=5-99", 10, one(5, 10)),
            ("bytes=-3", 10, one(7, 10)),
            ("bytes=-99", 10, one(0, 10)),
            ("bytes= 0-1 ,, 4-5,", 10, Parts(vec![0..2, 4..6])),
            ("bytes=8-9,0-1", 10, Parts(vec![8..10, 0..2])),
            ("bytes=0-1,50-60", 10, one(0, 2)),
            ("bytes=10-", 10, Unsatisfiable),
            ("bytes=-0", 10, Unsatisfiable),
            ("bytes=18446744073709551616-", 10, Unsatisfiable),
            ("bytes=0-99999999999999999999", 10, one(0, 10)),
            ("bytes=0-", 0, Unsatisfiable),
            ("bytes=-5", 0, Whole),
            ("bytes=-0", 0, Unsatisfiable),
            ("bytes=0-5,5-6", 10, Whole),
            ("bytes=0-,0-,0-", 10, Whole),
            ("bytes=5-4", 10, Whole),
            ("bytes=0-1,5-4", 10, Whole),
            ("bytes=-", 10, Whole),
            ("bytes=", 10, Whole),
            ("bytes", 10, Whole),
            ("bytes=a-b", 10, Whole),
            ("bytes=1 - 2", 10, Whole),
            ("bytes=--1", 10, Whole),
            ("bytes=+1-2", 10, Whole),
            ("lines=0-1", 10, Whole),
            ("bytes =0-1", 10, Whole),
        ];
        for (value, length, expected) in table {
            assert_eq!(select(value.as_bytes(), length), expected, "{value} of {length}");
        }
    }

    #[test]
    fn at_most_sixteen() {
        let ranges = |n: u64| (0..n).map(|i| format!("{}-{}", i * 2, i * 2)).collect::<Vec<_>>().join(",");
        assert!(
            matches!(select(format!("bytes={}", ranges(16)).as_bytes(), 100), Selection::Parts(p) if p.len() == 16)
        );
        assert_eq!(select(format!("bytes={}", ranges(17)).as_bytes(), 100), Selection::Whole);
        let beyond = (0..17).map(|_| "500-").collect::<Vec<_>>().join(",");
        assert_eq!(select(format!("bytes={beyond}").as_bytes(), 100), Selection::Whole);
    }

    /// Which bytes a set of ranges names, found byte by byte; `None`: some byte twice.
    fn model(specs: &[(Option<u64>, Option<u64>)], length: u64) -> Option<Vec<u64>> {
        let mut bytes = Vec::new();
        for (first, last) in specs {
            for byte in 0..length {
                let named = match (first, last) {
                    (Some(first), Some(last)) => *first <= byte && byte <= *last,
                    (Some(first), None) => *first <= byte,
                    (None, Some(count)) => length - byte <= *count,
                    (None, None) => false,
                };
                if named {
                    if bytes.contains(&byte) {
                        return None;
                    }
                    bytes.push(byte);
                }
            }
        }
        Some(bytes)
    }

    fn spec() -> impl Strategy<Value = (Option<u64>, Option<u64>)> {
        prop_oneof![
            (0_u64..40, 0_u64..40).prop_map(|(a, b)| (Some(a.min(b)), Some(a.max(b)))),
            (0_u64..40).prop_map(|a| (Some(a), None)),
            (0_u64..40).prop_map(|a| (None, Some(a))),
        ]
    }

    proptest! {
        #[test]
        fn agrees_with_the_model(specs in proptest::collection::vec(spec(), 1..6), length in 1_u64..32) {
            let show = |n: &Option<u64>| n.map_or(String::new(), |n| n.to_string());
            let text = specs.iter().map(|(a, b)| format!("{}-{}", show(a), show(b))).collect::<Vec<_>>().join(", ");
            let found = select(format!("bytes={text}").as_bytes(), length);
            let expected = match model(&specs, length) {
                None => Selection::Whole,
                Some(bytes) if bytes.is_empty() => Selection::Unsatisfiable,
                Some(bytes) => {
                    let Selection::Parts(parts) = &found else { panic!("{text}: {found:?}") };
                    let named: Vec<u64> = parts.iter().cloned().flatten().collect();
                    prop_assert_eq!(named, bytes);
                    return Ok(());
                }
            };
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn parts_are_sound_for_any_bytes(value: Vec<u8>, length: u64) {
            let value = [&b"bytes="[..], &value].concat();
            if let Selection::Parts(parts) = select(&value, length) {
                prop_assert!(!parts.is_empty() && parts.len() <= MAX_RANGES);
                prop_assert!(parts.iter().all(|part| part.start < part.end && part.end <= length));
                prop_assert!(!overlap(&parts));
            }
        }

        #[test]
        fn parts_are_sound_for_likely_text(value in "bytes=[0-9,\\- ]{0,40}", length in 0_u64..1000) {
            if let Selection::Parts(parts) = select(value.as_bytes(), length) {
                prop_assert!(!parts.is_empty() && parts.len() <= MAX_RANGES);
                prop_assert!(parts.iter().all(|part| part.start < part.end && part.end <= length));
            }
        }
    }
}
