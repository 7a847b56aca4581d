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
mod tests;
