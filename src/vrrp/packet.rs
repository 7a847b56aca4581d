//! Adverts on the wire, without their IP header.
//!
//! ```text
//!  0        1        2        3        4        5        6        7
//! ┌────────┬────────┬────────┬────────┬────────┬────────┬────────┬────────┐
//! │2 ┆ 1   │ vrid   │priority│ count  │ auth   │ seconds│ checksum        │ addresses, 8 bytes of auth
//! │3 ┆ 1   │ vrid   │priority│ count  │0 ┆ centiseconds │ checksum        │ addresses
//! └────────┴────────┴────────┴────────┴────────┴────────┴────────┴────────┘
//! ```
//!
//! A trailer of [`TRAILER`] bytes may follow (`auth_hmac`, see [`super::authentication`]).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::checksum::{ChecksumForm, Sum};
use super::interval::{AdvertInterval, Centiseconds, Seconds, Version};
use super::refusal::Refusal;

/// Bytes of the trailer that authenticates a message.
pub const TRAILER: usize = 28;

/// The most virtual addresses that one instance has. With them a message still fits in a frame.
pub const MOST_ADDRESSES: usize = 64;

/// The longest message that we send, trailer included; bytes.
pub const LONGEST: usize = HEADER + MOST_ADDRESSES * 16 + TRAILER;

/// Bytes before the first address.
const HEADER: usize = 8;

/// Where the checksum stands.
pub(super) const CHECKSUM: std::ops::Range<usize> = 6..8;

/// Type 1 is the only one (RFC 9568 §5.2.2).
const ADVERTISEMENT: u8 = 1;

/// An advert as it was received.
#[derive(Clone, Copy, Debug)]
pub struct Advert<'a> {
    /// The virtual router that it speaks of.
    pub vrid: u8,
    /// The sender's priority; 0: it hands over.
    pub priority: u8,
    /// When the sender's next one is due at the latest; tells the version too.
    pub interval: AdvertInterval,
    /// The virtual addresses.
    pub addresses: Addresses<'a>,
    /// Version 2: type and data.
    pub legacy: Option<Legacy>,
    /// The form of its checksum, where there are two.
    pub checksum: Option<ChecksumForm>,
    /// The message without its trailer.
    pub message: &'a [u8],
    /// What follows the message.
    pub trailer: Option<&'a [u8; TRAILER]>,
}

/// Virtual addresses as they stand in an advert.
#[derive(Clone, Copy, Debug)]
pub struct Addresses<'a> {
    bytes: &'a [u8],
    size: usize,
}

/// Authentication of version 2 (RFC 2338 §5.3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Legacy {
    /// 0: none, 1: a password in clear.
    pub kind: u8,
    /// The password, filled up with zeros.
    pub data: [u8; 8],
}

impl Legacy {
    /// No password: the eight bytes are there all the same.
    pub const NONE: Self = Self { kind: 0, data: [0; 8] };

    /// A password, of which eight bytes count.
    #[must_use]
    pub fn password(password: &[u8]) -> Self {
        let mut data = [0; 8];
        data.iter_mut().zip(password).for_each(|(to, from)| *to = *from);
        Self { kind: 1, data }
    }
}

/// An advert as it is to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The virtual router.
    pub vrid: u8,
    /// Our priority; 0: we hand over.
    pub priority: u8,
    /// The unit of the version, and what goes with it.
    pub kind: Kind,
    /// The virtual addresses: at most [`MOST_ADDRESSES`], of one family.
    pub addresses: &'a [IpAddr],
    /// Our address, for the checksum.
    pub source: IpAddr,
    /// Where it goes: the group or a peer, for the checksum.
    pub destination: IpAddr,
}

/// What the versions differ in.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// RFC 3768.
    V2 {
        /// The interval.
        interval: Seconds,
        /// Type and data.
        legacy: Legacy,
    },
    /// RFC 9568.
    V3 {
        /// The interval.
        interval: Centiseconds,
        /// What the checksum covers over IPv4.
        checksum: ChecksumForm,
    },
}

impl Outgoing<'_> {
    /// Writes the message into `buffer` and returns its length. The caller has set the trailer's
    /// bytes apart; over IPv6 the checksum covers them and is written by [`seal`] once they stand.
    pub fn encode(&self, buffer: &mut [u8; LONGEST]) -> usize {
        let addresses = &self.addresses[..self.addresses.len().min(MOST_ADDRESSES)];
        let (version, middle) = match self.kind {
            Kind::V2 { interval, legacy } => (Version::V2, [legacy.kind, interval.field()]),
            Kind::V3 { interval, .. } => (Version::V3, interval.field().to_be_bytes()),
        };
        let count = u8::try_from(addresses.len()).unwrap_or(u8::MAX);
        let first = version.number() << 4 | ADVERTISEMENT;
        buffer[..HEADER].copy_from_slice(&[first, self.vrid, self.priority, count, middle[0], middle[1], 0, 0]);
        let mut length = HEADER;
        let mut put = |bytes: &[u8]| {
            buffer[length..length + bytes.len()].copy_from_slice(bytes);
            length += bytes.len();
        };
        for address in addresses {
            match address {
                IpAddr::V4(address) => put(&address.octets()),
                IpAddr::V6(address) => put(&address.octets()),
            }
        }
        if let Kind::V2 { legacy, .. } = self.kind {
            put(&legacy.data);
        }
        let message = &buffer[..length];
        let sum = match self.kind {
            Kind::V2 { .. } | Kind::V3 { checksum: ChecksumForm::Rfc9568, .. } if self.source.is_ipv4() => {
                Sum::default()
            }
            _ => Sum::of_pseudo_header(self.source, self.destination, length),
        };
        let checksum = sum.bytes(message).complement();
        buffer[CHECKSUM].copy_from_slice(&checksum);
        length
    }
}

/// Writes the checksum of a whole IPv6 message, trailer included.
pub(super) fn seal(message: &mut [u8], source: IpAddr, destination: IpAddr) {
    let Some(field) = message.get_mut(CHECKSUM) else { return };
    field.fill(0);
    let checksum = Sum::of_pseudo_header(source, destination, message.len()).bytes(message).complement();
    message[CHECKSUM].copy_from_slice(&checksum);
}

/// The virtual router that a message speaks of, to find the instance that reads it.
#[must_use]
pub fn vrid_of(message: &[u8]) -> Option<u8> {
    message.get(1).copied()
}

/// Reads a message. What of it is not checked here needs settings: [`super::wire::Wire::receive`].
pub fn decode(message: &[u8], source: IpAddr, destination: IpAddr) -> Result<Advert<'_>, Refusal> {
    let Some((&[first, vrid, priority, count, fourth, fifth, ..], rest)) = message.split_first_chunk::<HEADER>() else {
        return Err(Refusal::Length);
    };
    // RFC 9568 §7.1: the version comes first. Version 2 has no IPv6, and there is one type.
    let version = match first {
        0x21 if source.is_ipv4() => Version::V2,
        0x31 => Version::V3,
        _ => return Err(Refusal::Version),
    };
    let size = if source.is_ipv4() { 4 } else { 16 };
    let (bytes, rest) = rest.split_at_checked(usize::from(count) * size).ok_or(Refusal::Length)?;
    let (legacy, rest) = match version {
        Version::V2 => {
            let (data, rest) = rest.split_first_chunk().ok_or(Refusal::Length)?;
            (Some(Legacy { kind: fourth, data: *data }), rest)
        }
        Version::V3 => (None, rest),
    };
    let trailer = match rest {
        [] => None,
        rest => Some(rest.try_into().map_err(|_| Refusal::Length)?),
    };
    let whole = message;
    let message = &whole[..whole.len() - rest.len()];
    let checksum = match version {
        Version::V2 => Sum::default().bytes(message).holds().then_some(None),
        // Over IPv6 the kernel sums all that lies behind the IP header.
        Version::V3 if source.is_ipv6() => {
            Sum::of_pseudo_header(source, destination, whole.len()).bytes(whole).holds().then_some(None)
        }
        Version::V3 if Sum::of_pseudo_header(source, destination, message.len()).bytes(message).holds() => {
            Some(Some(ChecksumForm::Keepalived))
        }
        Version::V3 => Sum::default().bytes(message).holds().then_some(Some(ChecksumForm::Rfc9568)),
    };
    let checksum = checksum.ok_or(Refusal::Checksum)?;
    let interval = match version {
        Version::V2 => Seconds::new(fifth).map(AdvertInterval::V2),
        // RFC 9568 §5.2.6: the four bits before are ignored on receipt.
        Version::V3 => {
            Centiseconds::new(u16::from_be_bytes([fourth, fifth]) & Centiseconds::MOST).map(AdvertInterval::V3)
        }
    };
    let interval = interval.ok_or(Refusal::Interval)?;
    Ok(Advert { vrid, priority, interval, addresses: Addresses { bytes, size }, legacy, checksum, message, trailer })
}

impl Addresses<'_> {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() / self.size
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Each, in the order of the advert.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> {
        self.bytes.chunks_exact(self.size).filter_map(|bytes| match bytes.len() {
            4 => <[u8; 4]>::try_from(bytes).ok().map(|octets| Ipv4Addr::from(octets).into()),
            _ => <[u8; 16]>::try_from(bytes).ok().map(|octets| Ipv6Addr::from(octets).into()),
        })
    }
}

#[cfg(test)]
mod tests;
