//! The checksum of a VRRP message, in both readings of RFC 5798.

use std::net::IpAddr;

/// The protocol number of VRRP.
pub const PROTOCOL: u8 = 112;

/// What the checksum of a version 3 advert over IPv4 covers. Over IPv6 it is always with the
/// pseudo-header, in version 2 always without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChecksumForm {
    /// A pseudo-header and the message: what keepalived sends and believes.
    #[default]
    Keepalived,
    /// The message alone (RFC 9568 §5.2.8).
    Rfc9568,
}

impl ChecksumForm {
    /// As it is written in a config.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Keepalived => "keepalived",
            Self::Rfc9568 => "rfc9568",
        }
    }
}

/// The ones' complement sum (RFC 1071) of a message whose checksum field counts as it stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum(u32);

impl Sum {
    /// The sum of an IPv4 or IPv6 pseudo-header. The upper-layer length is that of the message, bytes.
    pub(super) fn of_pseudo_header(source: IpAddr, destination: IpAddr, length: usize) -> Self {
        let sum = Self::default().address(source).address(destination);
        // Lengths here stay below 64 KiB, so that IPv4's two bytes and IPv6's four sum up the same.
        let length = u16::try_from(length).unwrap_or(u16::MAX);
        sum.bytes(&[0, PROTOCOL]).bytes(&length.to_be_bytes())
    }

    /// Adds bytes that begin at an even place.
    pub(super) fn bytes(self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<2>();
        let sum = words.iter().fold(self.0, |sum, word| fold(sum + u32::from(u16::from_be_bytes(*word))));
        Self(rest.first().map_or(sum, |last| fold(sum + (u32::from(*last) << 8))))
    }

    /// What the checksum field has to hold.
    pub(super) fn complement(self) -> [u8; 2] {
        (!u16::try_from(self.0).unwrap_or(u16::MAX)).to_be_bytes()
    }

    /// Whether the bytes, checksum field included, sum up to what they have to.
    pub(super) fn holds(self) -> bool {
        self.0 == 0xffff
    }

    fn address(self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => self.bytes(&address.octets()),
            IpAddr::V6(address) => self.bytes(&address.octets()),
        }
    }
}

/// Takes the carry in, so that a sum is always below 2^16.
fn fold(sum: u32) -> u32 {
    (sum & 0xffff) + (sum >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carries_and_an_odd_end_are_taken_in() {
        assert_eq!(Sum::default().bytes(&[0xff, 0xff, 0, 1]).complement(), [0xff, 0xfe]);
        assert_eq!(Sum::default().bytes(&[1, 2, 3]).complement(), (!0x0402_u16).to_be_bytes());
        assert!(Sum::default().bytes(&[0x12, 0x34, 0xed, 0xcb]).holds());
        assert!(!Sum::default().bytes(&[0x12, 0x34, 0xed, 0xca]).holds());
    }
}
