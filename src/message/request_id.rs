//! A name for one exchange, the same in our log and the upstream's.

use std::cell::Cell;

/// The longest id that is taken over, in bytes.
const LENGTH_LIMIT: usize = 128;

/// The id of one exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestId {
    /// 128 bits of ours in hexadecimal.
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
            None => Self::Minted(MINT.with(Mint::next)),
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

thread_local! {
    static MINT: Mint = Mint::new();
}

/// Makes the ids of one thread: a half that changes with each, and one of the thread's own.
struct Mint {
    count: Cell<u64>,
    thread: [u8; 16],
}

impl Mint {
    fn new() -> Self {
        Self { count: Cell::new(fastrand::u64(..)), thread: hex(fastrand::u64(..)) }
    }

    fn next(&self) -> [u8; 32] {
        self.count.set(self.count.get().wrapping_add(1));
        // The product with an odd number is another for each count.
        let changing = hex(self.count.get().wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut id = [0; 32];
        id[..16].copy_from_slice(&changing);
        id[16..].copy_from_slice(&self.thread);
        id
    }
}

fn hex(bits: u64) -> [u8; 16] {
    let mut text = [0; 16];
    text[..8].copy_from_slice(&hex_word((bits >> 32) as u32).to_be_bytes());
    text[8..].copy_from_slice(&hex_word(bits as u32).to_be_bytes());
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
        assert_eq!(&hex(0x0123_4567_89ab_cdef), b"0123456789abcdef");
    }

    #[test]
    fn no_two_ids_are_the_same() {
        let here = (0..10_000).map(|_| RequestId::new(None, false).as_bytes().to_vec());
        let there = std::thread::spawn(|| RequestId::new(None, false).as_bytes().to_vec()).join().unwrap();
        let all: std::collections::HashSet<_> = here.chain([there]).collect();
        assert_eq!(all.len(), 10_001);
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
