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
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 32];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bits.to_be_bytes()) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    text
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
