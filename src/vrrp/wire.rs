//! What one instance says and believes: its identity, beside the bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::authentication::{Authenticator, Bound, Keyring, Utc};
use super::checksum::ChecksumForm;
use super::interval::{AdvertInterval, Centiseconds, Seconds, Version};
use super::packet::{self, Advert, Kind, LONGEST, Legacy, MOST_ADDRESSES, Outgoing};
use super::refusal::Refusal;

/// Where adverts go without peers, over IPv4 (RFC 9568 §5.1.1.2).
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

/// Where adverts go without peers, over IPv6 (RFC 9568 §5.1.2.2).
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);

/// The most unicast peers of one instance.
pub const MOST_PEERS: usize = 32;

/// The version, and what only it has.
#[derive(Clone, Copy, Debug)]
pub enum Protocol {
    /// RFC 3768, IPv4 only.
    V2 {
        /// The interval, which every host has to share.
        interval: Seconds,
        /// Nothing, or a password.
        legacy: Legacy,
    },
    /// RFC 9568.
    V3 {
        /// The interval, which backups learn.
        interval: Centiseconds,
        /// The form that we send over IPv4; both are believed.
        checksum: ChecksumForm,
    },
}

impl Protocol {
    /// The interval.
    #[must_use]
    pub fn interval(self) -> AdvertInterval {
        match self {
            Self::V2 { interval, .. } => AdvertInterval::V2(interval),
            Self::V3 { interval, .. } => AdvertInterval::V3(interval),
        }
    }
}

/// Virtual addresses of one instance: 1 to [`MOST_ADDRESSES`], of one family, none twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressList(Vec<IpAddr>);

/// Why addresses are no list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressListError {
    /// There is nothing to share.
    #[error("there is no virtual address")]
    Empty,
    /// More than fit in a message.
    #[error("there are more than {MOST_ADDRESSES} virtual addresses")]
    TooMany,
    /// An instance has one family: make two.
    #[error("{0} is of another family than the first")]
    Mixed(IpAddr),
    /// One is enough.
    #[error("{0} is listed twice")]
    Twice(IpAddr),
    /// RFC 9568 §5.2.9: the first of IPv6 is link-local.
    #[error("the first address, {0}, is not link-local")]
    NotLinkLocal(Ipv6Addr),
}

impl AddressList {
    /// The addresses in the order in which they are sent.
    pub fn new(addresses: Vec<IpAddr>) -> Result<Self, AddressListError> {
        let first = *addresses.first().ok_or(AddressListError::Empty)?;
        if addresses.len() > MOST_ADDRESSES {
            return Err(AddressListError::TooMany);
        }
        if let IpAddr::V6(first) = first
            && !first.is_unicast_link_local()
        {
            return Err(AddressListError::NotLinkLocal(first));
        }
        for (at, address) in addresses.iter().enumerate() {
            if address.is_ipv4() != first.is_ipv4() {
                return Err(AddressListError::Mixed(*address));
            }
            if addresses[..at].contains(address) {
                return Err(AddressListError::Twice(*address));
            }
        }
        Ok(Self(addresses))
    }

    /// The addresses.
    #[must_use]
    pub fn as_slice(&self) -> &[IpAddr] {
        &self.0
    }

    /// Whether they are IPv4.
    #[must_use]
    pub fn is_ipv4(&self) -> bool {
        self.0.first().is_some_and(IpAddr::is_ipv4)
    }

    fn overlap(&self, theirs: packet::Addresses<'_>) -> Overlap {
        let held = |ours: &IpAddr| theirs.iter().any(|their| their == *ours);
        // Ours are distinct: as many of theirs, and each of ours among them, is the same set.
        if theirs.len() == self.0.len() && self.0.iter().all(held) {
            return Overlap::Same;
        }
        if self.0.iter().any(held) { Overlap::Some } else { Overlap::None }
    }
}

/// What makes an instance the one that it is on the wire.
#[derive(Debug)]
pub struct Identity {
    /// The virtual router, the same on every host. Never 0 (RFC 9568 §5.2.3).
    pub vrid: u8,
    /// The version, and what only it has.
    pub protocol: Protocol,
    /// What is shared.
    pub addresses: AddressList,
    /// Unicast peers, at most [`MOST_PEERS`]; none: multicast.
    pub peers: Vec<IpAddr>,
    /// Whether unicast adverts that came through a router are refused; multicast ones always are.
    pub check_ttl: bool,
    /// `auth_hmac`.
    pub keyring: Option<Keyring>,
}

/// Why an identity cannot be spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// 1 to 255.
    #[error("the virtual router id is 0")]
    VirtualRouterId,
    /// Version 2 has no IPv6.
    #[error("version 2 has IPv4 addresses only")]
    Ipv6NeedsV3,
    /// More than are kept.
    #[error("there are more than {MOST_PEERS} peers")]
    TooManyPeers,
    /// A peer is of another family than the addresses.
    #[error("the peer {0} is of another family than the addresses")]
    PeerFamily(IpAddr),
}

/// A message from the network, with what its IP header said.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Who sent it.
    pub source: IpAddr,
    /// Where it was sent to: the group or an address of ours.
    pub destination: IpAddr,
    /// Our own address on the interface.
    pub local: IpAddr,
    /// TTL or hop limit on arrival.
    pub ttl: u8,
    /// What follows the IP header.
    pub message: &'a [u8],
}

/// What an advert said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The virtual router.
    pub vrid: u8,
    /// The sender's priority; 0: it hands over.
    pub priority: u8,
    /// Its interval, which tells its version.
    pub interval: AdvertInterval,
    /// Its virtual addresses beside ours.
    pub addresses: Overlap,
    /// The form of its checksum, where there are two.
    pub checksum: Option<ChecksumForm>,
}

/// Their virtual addresses beside ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// The same set.
    Same,
    /// Some of ours are among them.
    Some,
    /// None of ours is.
    None,
}

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// It is believed.
    Accepted {
        /// Who sent it.
        source: IpAddr,
        /// What it said.
        told: Told,
    },
    /// It is not.
    Refused {
        /// Who seems to have sent it.
        source: IpAddr,
        /// Why not.
        refusal: Refusal,
        /// What it said, where it was well-formed and came over our own link.
        told: Option<Told>,
    },
}

/// Reads and writes the adverts of one instance.
#[derive(Debug)]
pub struct Wire {
    vrid: u8,
    protocol: Protocol,
    addresses: AddressList,
    peers: Vec<IpAddr>,
    check_ttl: bool,
    authenticator: Option<Authenticator>,
}

impl Wire {
    /// For an identity that can be spoken.
    pub fn new(identity: Identity) -> Result<Self, IdentityError> {
        let Identity { vrid, protocol, addresses, peers, check_ttl, keyring } = identity;
        if vrid == 0 {
            return Err(IdentityError::VirtualRouterId);
        }
        if matches!(protocol, Protocol::V2 { .. }) && !addresses.is_ipv4() {
            return Err(IdentityError::Ipv6NeedsV3);
        }
        if peers.len() > MOST_PEERS {
            return Err(IdentityError::TooManyPeers);
        }
        if let Some(peer) = peers.iter().find(|peer| peer.is_ipv4() != addresses.is_ipv4()) {
            return Err(IdentityError::PeerFamily(*peer));
        }
        let authenticator = keyring.map(Authenticator::new);
        let check_ttl = check_ttl || peers.is_empty();
        Ok(Self { vrid, protocol, addresses, peers, check_ttl, authenticator })
    }

    /// The virtual addresses.
    #[must_use]
    pub fn addresses(&self) -> &AddressList {
        &self.addresses
    }

    /// Where each advert goes: the peers, or the group.
    pub fn destinations(&self) -> impl Iterator<Item = IpAddr> {
        let group = if self.addresses.is_ipv4() { GROUP_V4.into() } else { GROUP_V6.into() };
        self.peers.iter().copied().chain(self.peers.is_empty().then_some(group))
    }

    /// Writes an advert from `source` to one of the [`Self::destinations`] into `buffer`; its length.
    /// Allocates nothing.
    pub fn encode(
        &mut self,
        priority: u8,
        source: IpAddr,
        destination: IpAddr,
        utc: Utc,
        buffer: &mut [u8; LONGEST],
    ) -> usize {
        let kind = match self.protocol {
            Protocol::V2 { interval, legacy } => Kind::V2 { interval, legacy },
            Protocol::V3 { interval, checksum } => Kind::V3 { interval, checksum },
        };
        let addresses = self.addresses.as_slice();
        let length = Outgoing { vrid: self.vrid, priority, kind, addresses, source, destination }.encode(buffer);
        let bound = self.bound(source);
        let Some(authenticator) = self.authenticator.as_mut().filter(|authenticator| authenticator.signs()) else {
            return length;
        };
        let trailer = authenticator.sign(bound, &buffer[..length], utc);
        let whole = length + trailer.len();
        buffer[length..whole].copy_from_slice(&trailer);
        if source.is_ipv6() {
            packet::seal(&mut buffer[..whole], source, destination);
        }
        whole
    }

    /// Reads a datagram. The order is that of RFC 9568 §7.1, with what keeps strangers out first.
    pub fn receive(&mut self, datagram: &Datagram<'_>, utc: Utc) -> Received {
        let source = datagram.source;
        if let Err(refusal) = self.check_sender(datagram) {
            return Received::Refused { source, refusal, told: None };
        }
        let advert = match packet::decode(datagram.message, source, datagram.destination) {
            Ok(advert) => advert,
            Err(refusal) => return Received::Refused { source, refusal, told: None },
        };
        let told = Told {
            vrid: advert.vrid,
            priority: advert.priority,
            interval: advert.interval,
            addresses: self.addresses.overlap(advert.addresses),
            checksum: advert.checksum,
        };
        match self.check_advert(&advert, &told, source, utc) {
            Ok(()) => Received::Accepted { source, told },
            Err(refusal) => Received::Refused { source, refusal, told: Some(told) },
        }
    }

    fn check_sender(&self, datagram: &Datagram<'_>) -> Result<(), Refusal> {
        if datagram.source == datagram.local {
            return Err(Refusal::Ourselves);
        }
        // RFC 9568 §7.1: "MUST verify that the IPv4 TTL/IPv6 Hop Limit is 255".
        if datagram.ttl != 255 && self.check_ttl {
            return Err(Refusal::Ttl);
        }
        if datagram.source.is_ipv4() != self.addresses.is_ipv4() {
            return Err(Refusal::NotAPeer);
        }
        let believed = match self.peers.as_slice() {
            // RFC 9568 §5.1.1.2: to the group. What was sent to us alone speaks to nobody else.
            [] => datagram.destination.is_multicast(),
            peers => peers.contains(&datagram.source),
        };
        if believed { Ok(()) } else { Err(Refusal::NotAPeer) }
    }

    fn check_advert(&mut self, advert: &Advert<'_>, told: &Told, source: IpAddr, utc: Utc) -> Result<(), Refusal> {
        if advert.vrid != self.vrid {
            return Err(Refusal::VirtualRouterId);
        }
        let ours = self.protocol.interval();
        if advert.interval.version() != ours.version() {
            return Err(Refusal::Version);
        }
        if let (Protocol::V2 { legacy: ours, .. }, Some(theirs)) = (self.protocol, advert.legacy) {
            if theirs.kind != ours.kind {
                return Err(Refusal::AuthType);
            }
            // RFC 2338 §5.3.6.1. Without a password the eight bytes mean nothing.
            if ours.kind != Legacy::NONE.kind && theirs.data != ours.data {
                return Err(Refusal::Secret);
            }
        }
        // RFC 3768 §7.1; RFC 9568 lets intervals differ.
        if ours.version() == Version::V2 && advert.interval != ours {
            return Err(Refusal::Interval);
        }
        if told.addresses != Overlap::Same {
            return Err(Refusal::AddressList);
        }
        let bound = self.bound(source);
        // Last, so that what is refused for another cause costs no digest and no sequence.
        match &mut self.authenticator {
            Some(authenticator) => authenticator.verify(bound, advert.message, advert.trailer, utc),
            None if advert.trailer.is_some() => Err(Refusal::AuthType),
            None => Ok(()),
        }
    }

    fn bound(&self, source: IpAddr) -> Bound {
        Bound { version: self.protocol.interval().version(), vrid: self.vrid, source }
    }
}

#[cfg(test)]
mod tests;
