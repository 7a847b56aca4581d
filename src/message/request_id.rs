//! A name for one exchange, the same in our log and the upstream's.

/// The longest id that is taken over, in bytes.
const LENGTH_LIMIT: usize = 128;

/// The id of one exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestId {
    /// 128 random bits of ours in hexadecimal.
    Minted([u8; 32]),
    /// What a trusted peer sent.
    Received(Box<[u8]>),
}

impl RequestId {
    /// The id that `sent` gives, if it comes from a `trusted` peer and is 1 to 128 visible ASCII
    /// bytes; else a new one. The new one is unique, not secret.
    #[must_use]
    pub fn new(sent: Option<&[u8]>, trusted: bool) -> Self {
        let is_sane = |id: &&[u8]| (1..=LENGTH_LIMIT).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic);
        match sent.filter(|_| trusted).filter(is_sane) {
            Some(id) => Self::Received(id.into()),
            None => Self::Minted(hex(fastrand::u128(..))),
        }
    }

    /// The id as it stands in the field and in the log.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Minted(id) => id,
            Self::Received(id) => id,
        }
    }
}

fn hex(bits: u128) -> [u8; 32] {
    let mut text = [0; 32];
    for (digits, bytes) in text.chunks_exact_mut(8).zip(bits.to_be_bytes().chunks_exact(4)) {
        let word = bytes.iter().fold(0, |word, byte| word << 8 | u32::from(*byte));
        digits.copy_from_slice(&hex_word(word).to_be_bytes());
    }
    text
}

/// Eight digits at once: each half byte is spread to a byte of its own and becomes a digit there.
fn hex_word(word: u32) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut spread = u64::from(word);
    spread = (spread | spread << 16) & 0x0000_ffff_0000_ffff;
    spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff;
    spread = (spread | spread << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    // One where the digit is a letter: adding six carries from ten on.
    let letters = (spread + 6 * ONES) >> 4 & ONES;
    spread + u64::from(b'0') * ONES + letters * u64::from(b'a' - b'0' - 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_hexadecimal_and_differ() {
        let (one, other) = (RequestId::new(None, false), RequestId::new(None, true));
        assert_ne!(one, other);
        assert!(one.as_bytes().len() == 32 && one.as_bytes().iter().all(u8::is_ascii_hexdigit));
        assert_eq!(&hex(0x0123_4567_89ab_cdef), b"00000000000000000123456789abcdef");
    }

    #[test]
    fn only_a_trusted_peers_sane_id_is_taken_over() {
        assert_eq!(RequestId::new(Some(b"abc-1"), true).as_bytes(), b"abc-1");
        assert_eq!(RequestId::new(Some(&[b'a'; 128]), true).as_bytes(), [b'a'; 128]);
        for (id, trusted) in
            [(&b"abc-1"[..], false), (b"", true), (b"a b", true), (b"a\xff", true), (&[b'a'; 129], true)]
        {
            assert!(matches!(RequestId::new(Some(id), trusted), RequestId::Minted(_)));
        }
    }
}
