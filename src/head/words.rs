//! Eight bytes looked at together, as one word.
//!
//! A mark is the high bit of a byte. Marks are right up to the first one; what stands behind it in
//! the word may be marked without reason.

/// A word of this byte alone.
#[inline]
#[must_use]
pub const fn every(byte: u8) -> u64 {
    byte as u64 * 0x0101_0101_0101_0101
}

const MARKS: u64 = every(0x80);

/// Marks the bytes that are `byte`.
#[inline]
#[must_use]
pub const fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ every(byte), 1)
}

/// Marks the bytes that are less than `bound`, which is at most 0x80.
#[inline]
#[must_use]
pub const fn below(word: u64, bound: u8) -> u64 {
    word.wrapping_sub(every(bound)) & !word & MARKS
}

/// How many bytes at the front are not marked by `mark`, which knows words, and `is_marked`, which
/// says the same of one byte.
#[inline(always)]
#[must_use]
pub fn unmarked(bytes: &[u8], mark: impl Fn(u64) -> u64, is_marked: impl Fn(u8) -> bool) -> usize {
    let mut rest = bytes;
    while let Some((word, behind)) = rest.split_first_chunk() {
        let marks = mark(u64::from_le_bytes(*word));
        if marks != 0 {
            return bytes.len() - rest.len() + marks.trailing_zeros() as usize / 8;
        }
        rest = behind;
    }
    let last = rest.iter().position(|byte| is_marked(*byte)).unwrap_or(rest.len());
    bytes.len() - rest.len() + last
}

/// Whether there are only letters, digits and `-`.
#[inline]
#[must_use]
pub fn is_plain(bytes: &[u8]) -> bool {
    // The words may overlap: each byte is in one at least.
    if let Some(last) = bytes.last_chunk() {
        return is_plain_word(*last) && bytes.as_chunks().0.iter().all(|word| is_plain_word(*word));
    }
    if let (Some([a, b, c, d]), Some([e, f, g, h])) = (bytes.first_chunk(), bytes.last_chunk()) {
        return is_plain_word([*a, *b, *c, *d, *e, *f, *g, *h]);
    }
    bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

#[inline]
const fn is_plain_word(bytes: [u8; 8]) -> bool {
    let word = u64::from_le_bytes(bytes);
    // Letters are small here; control bytes, which that turns into others, are looked for apart. No
    // sum of what is below 0x80 carries into the next byte.
    let small = (word | every(0x20)) & !MARKS;
    let letters = (small + every(0x80 - b'a')) & !(small + every(0x7f - b'z'));
    let digits = (small + every(0x80 - b'0')) & !(small + every(0x7f - b'9'));
    let dashes = !((small ^ every(b'-')) + every(0x7f));
    (letters | digits | dashes) & !word & !below(word, 0x20) & MARKS == MARKS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_of_a_kind_is_found_wherever_it_stands() {
        let is_control = |byte: u8| byte.is_ascii_control();
        let control = |word| below(word, 0x20) | equal(word, 0x7f);
        for length in 0..40 {
            for filler in [b' ', b'~', 0x80, 0xff] {
                let clean = vec![filler; length];
                assert_eq!(unmarked(&clean, control, is_control), length);
                for at in 0..length {
                    for byte in [0, 1, b'\t', b'\r', 0x1f, 0x7f] {
                        let mut bytes = clean.clone();
                        bytes[at..].fill(byte);
                        assert_eq!(unmarked(&bytes, control, is_control), at);
                        bytes[at + 1..].fill(filler);
                        assert_eq!(unmarked(&bytes, control, is_control), at);
                    }
                }
            }
        }
    }

    #[test]
    fn each_byte_counts_wherever_it_stands() {
        for length in 1..20 {
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    let mut bytes = vec![b'Q'; length];
                    bytes[at] = byte;
                    assert_eq!(is_plain(&bytes), byte.is_ascii_alphanumeric() || byte == b'-', "{byte} at {at}");
                }
            }
        }
        assert!(is_plain(b""));
    }
}
