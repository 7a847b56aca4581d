//! Letters in packets: a letter longer than a packet, or with more descriptors than one may carry, goes
//! in several. Pure.
//!
//! The first byte of a packet says whether it is the last of its letter.

/// Bytes of a letter in one packet; well below what a socket takes at once by default.
pub const PACKET_BYTES: usize = 64 << 10;
/// Descriptors with one packet; the kernel takes 253.
pub const PACKET_DESCRIPTORS: usize = 128;
/// Bytes of the longest letter.
pub const LETTER_BYTES: usize = 1 << 30;
/// Descriptors with one letter.
pub const LETTER_DESCRIPTORS: usize = 64 << 10;

const MORE: u8 = 0;
const LAST: u8 = 1;

/// A packet of a letter: its first byte, its part of the letter's bytes, how many descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'l> {
    /// Says whether it is the last.
    pub first: u8,
    /// A part of the letter.
    pub bytes: &'l [u8],
    /// How many of the descriptors that are left go along.
    pub descriptors: usize,
}

/// A letter's packets, at least one.
pub fn packets(letter: &[u8], descriptors: usize) -> impl Iterator<Item = Packet<'_>> {
    let count = letter.len().div_ceil(PACKET_BYTES).max(descriptors.div_ceil(PACKET_DESCRIPTORS)).max(1);
    (0..count).map(move |at| Packet {
        first: if at + 1 == count { LAST } else { MORE },
        bytes: letter.get(at * PACKET_BYTES..).map_or(&[], |rest| &rest[..rest.len().min(PACKET_BYTES)]),
        descriptors: descriptors.saturating_sub(at * PACKET_DESCRIPTORS).min(PACKET_DESCRIPTORS),
    })
}

/// A whole letter: its bytes and its descriptors.
pub type Letter<D> = (Vec<u8>, Vec<D>);

/// What has come of a letter.
#[derive(Debug)]
pub struct Assembly<D> {
    bytes: Vec<u8>,
    descriptors: Vec<D>,
}

impl<D> Default for Assembly<D> {
    fn default() -> Self {
        Self { bytes: Vec::new(), descriptors: Vec::new() }
    }
}

/// Why a packet cannot be part of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketFault {
    /// It has not even a first byte, or an unknown one.
    #[error("a packet is malformed")]
    Malformed,
    /// The letter has more bytes or descriptors than any.
    #[error("a letter is longer than any should be")]
    TooLong,
}

impl<D> Assembly<D> {
    /// Takes in a packet; gives the letter with its last one.
    ///
    /// # Errors
    /// [`PacketFault`]; what comes after it means nothing.
    pub fn add(&mut self, packet: &[u8], descriptors: Vec<D>) -> Result<Option<Letter<D>>, PacketFault> {
        let (&first, bytes) = packet.split_first().ok_or(PacketFault::Malformed)?;
        if self.bytes.len() + bytes.len() > LETTER_BYTES
            || self.descriptors.len() + descriptors.len() > LETTER_DESCRIPTORS
        {
            return Err(PacketFault::TooLong);
        }
        self.bytes.extend_from_slice(bytes);
        self.descriptors.extend(descriptors);
        match first {
            MORE => Ok(None),
            LAST => {
                let Self { bytes, descriptors } = std::mem::take(self);
                Ok(Some((bytes, descriptors)))
            }
            _ => Err(PacketFault::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_letter_comes_out_as_it_went_in(
            length in prop_oneof![Just(0), 1..200_usize, PACKET_BYTES - 1..=PACKET_BYTES + 1, 1..5 * PACKET_BYTES],
            descriptors in prop_oneof![0..3_usize, 0..5 * PACKET_DESCRIPTORS],
        ) {
            let letter: Vec<u8> = (0..length).map(|at| at.to_le_bytes()[0]).collect();
            let mut left = (0..descriptors).collect::<Vec<_>>().into_iter();
            let mut assembly = Assembly::default();
            let mut whole = None;
            for packet in packets(&letter, descriptors) {
                prop_assert!(whole.is_none(), "nothing comes after the last");
                prop_assert!(packet.bytes.len() <= PACKET_BYTES && packet.descriptors <= PACKET_DESCRIPTORS);
                let with = left.by_ref().take(packet.descriptors).collect();
                whole = assembly.add(&[&[packet.first], packet.bytes].concat(), with).unwrap();
            }
            prop_assert_eq!(whole, Some((letter, (0..descriptors).collect())));
        }
    }

    #[test]
    fn packets_of_nothing_we_sent_are_refused() {
        let mut assembly = Assembly::<u8>::default();
        assert_eq!(assembly.add(&[], vec![]), Err(PacketFault::Malformed));
        assert_eq!(assembly.add(&[7, 1], vec![]), Err(PacketFault::Malformed));
        let mut assembly = Assembly::default();
        assert_eq!(assembly.add(&[MORE], vec![(); LETTER_DESCRIPTORS]), Ok(None));
        assert_eq!(assembly.add(&[LAST], vec![()]), Err(PacketFault::TooLong));
    }
}
