//! Frames by which hosts find one another: ARP (RFC 826, 5227) and neighbour discovery (RFC 4861). Pure.
//!
//! Announcements move a virtual address in the caches of everybody on the link; questions ask who has
//! it. An answer is believed only as far as it is needed: that another MAC than ours speaks for the address.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// An ARP frame: Ethernet and ARP head, without padding.
pub type ArpFrame = [u8; 42];

/// An Ethernet frame with a neighbour solicitation or advertisement and one link-layer option.
pub type NeighbourFrame = [u8; 86];

/// The longest frame that is read: enough for any answer that counts.
pub const LONGEST_FRAME: usize = 256;

/// A hardware address (EUI-48).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    const BROADCAST: Self = Self([0xff; 6]);

    /// The MAC of a virtual router for IPv4 (RFC 9568 §7.3).
    #[must_use]
    pub const fn virtual_v4(virtual_router_id: u8) -> Self {
        Self([0, 0, 0x5e, 0, 1, virtual_router_id])
    }

    /// The MAC of a virtual router for IPv6 (RFC 9568 §7.3).
    #[must_use]
    pub const fn virtual_v6(virtual_router_id: u8) -> Self {
        Self([0, 0, 0x5e, 0, 2, virtual_router_id])
    }

    /// Where frames to an IPv6 multicast group go (RFC 2464 §7).
    fn of_group(group: Ipv6Addr) -> Self {
        let [.., a, b, c, d] = group.octets();
        Self([0x33, 0x33, a, b, c, d])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// Tells everybody that this MAC has this address now (RFC 9568 §6.4.2): a request whose target is its
/// sender. The target's hardware address is all ones, as keepalived sends it.
#[must_use]
pub fn gratuitous_arp(mac: Mac, address: Ipv4Addr) -> ArpFrame {
    arp(mac, address, Mac::BROADCAST, address)
}

/// Asks who has this address without claiming any (RFC 5227 §2.1.1): the sender's address is zero, so
/// that nobody's cache changes.
#[must_use]
pub fn arp_probe(mac: Mac, address: Ipv4Addr) -> ArpFrame {
    arp(mac, Ipv4Addr::UNSPECIFIED, Mac::default(), address)
}

/// The MAC that speaks for an address in an ARP frame of either kind; `None` where it is about
/// something else or no such frame.
#[must_use]
pub fn arp_owner(frame: &[u8], address: Ipv4Addr) -> Option<Mac> {
    let (ethernet, arp) = frame.split_at_checked(ETHERNET)?;
    let sender = arp.get(8..14)?;
    let is_arp = ethernet[12..] == ARP && arp[..6] == ARP_OF_IPV4 && matches!(arp[6..8], [0, 1 | 2]);
    let speaks_for_it = arp.get(14..18)? == address.octets();
    (is_arp && speaks_for_it).then(|| mac_of(sender)).flatten()
}

/// Tells everybody that this MAC has this address now (RFC 9568 §6.4.2, RFC 4861 §7.2.6): from the
/// address itself, to all nodes, Override set. `router`: the host forwards IPv6.
#[must_use]
pub fn unsolicited_advertisement(mac: Mac, address: Ipv6Addr, router: bool) -> NeighbourFrame {
    const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let flags = OVERRIDE | if router { ROUTER } else { 0 };
    let head = Head { source: address, destination: ALL_NODES, mac };
    neighbour(&head, NEIGHBOUR_ADVERTISEMENT, flags, address, TARGET_LINK_LAYER)
}

/// Asks who has this address (RFC 4861 §7.2.2), from an address of ours that the answer comes to.
#[must_use]
pub fn solicitation(mac: Mac, source: Ipv6Addr, address: Ipv6Addr) -> NeighbourFrame {
    let head = Head { source, destination: solicited_node(address), mac };
    neighbour(&head, NEIGHBOUR_SOLICITATION, 0, address, SOURCE_LINK_LAYER)
}

/// The MAC that speaks for an address in a neighbour advertisement; `None` where it is about something
/// else or no valid advertisement (RFC 4861 §7.1.2). Where it names no MAC, the frame's sender counts.
#[must_use]
pub fn advertisement_owner(frame: &[u8], address: Ipv6Addr) -> Option<Mac> {
    let (ethernet, packet) = frame.split_at_checked(ETHERNET)?;
    let (head, rest) = packet.split_at_checked(IPV6_HEAD)?;
    let length = usize::from(u16::from_be_bytes([head[4], head[5]]));
    // What lies behind the packet is padding of the frame.
    let message = rest.get(..length)?;
    // RFC 4861 §7.1.2: a hop limit of 255 shows that no router let it through.
    let is_icmp = ethernet[12..] == IPV6 && head[0] >> 4 == 6 && head[6] == ICMPV6 && head[7] == 255;
    let is_advertisement = is_icmp && message.len() >= 24 && message[..2] == [NEIGHBOUR_ADVERTISEMENT, 0];
    if !is_advertisement || message[8..24] != address.octets() || icmp_checksum(head, message) != 0 {
        return None;
    }
    named_mac(&message[24..]).or_else(|| mac_of(&ethernet[6..12]))
}

const ETHERNET: usize = 14;
const IPV6_HEAD: usize = 40;
const ARP: [u8; 2] = [0x08, 0x06];
const IPV6: [u8; 2] = [0x86, 0xdd];
/// Ethernet, IPv4, and the lengths of both kinds of addresses.
const ARP_OF_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];
const ICMPV6: u8 = 58;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const SOURCE_LINK_LAYER: u8 = 1;
const TARGET_LINK_LAYER: u8 = 2;
const ROUTER: u8 = 0x80;
const OVERRIDE: u8 = 0x20;

/// An ARP request, to everybody.
fn arp(mac: Mac, sender: Ipv4Addr, target_mac: Mac, target: Ipv4Addr) -> ArpFrame {
    let mut frame = [0; 42];
    frame[..6].copy_from_slice(&Mac::BROADCAST.0);
    frame[6..12].copy_from_slice(&mac.0);
    frame[12..14].copy_from_slice(&ARP);
    frame[14..20].copy_from_slice(&ARP_OF_IPV4);
    frame[20..22].copy_from_slice(&[0, 1]);
    frame[22..28].copy_from_slice(&mac.0);
    frame[28..32].copy_from_slice(&sender.octets());
    frame[32..38].copy_from_slice(&target_mac.0);
    frame[38..].copy_from_slice(&target.octets());
    frame
}

struct Head {
    source: Ipv6Addr,
    destination: Ipv6Addr,
    mac: Mac,
}

/// A message of neighbour discovery with one link-layer option, which names our MAC.
fn neighbour(head: &Head, kind: u8, flags: u8, target: Ipv6Addr, option: u8) -> NeighbourFrame {
    const MESSAGE: u8 = 32;
    let mut frame = [0; 86];
    frame[..6].copy_from_slice(&Mac::of_group(head.destination).0);
    frame[6..12].copy_from_slice(&head.mac.0);
    frame[12..14].copy_from_slice(&IPV6);
    let (ip, message) = frame[ETHERNET..].split_at_mut(IPV6_HEAD);
    ip[..8].copy_from_slice(&[0x60, 0, 0, 0, 0, MESSAGE, ICMPV6, 255]);
    ip[8..24].copy_from_slice(&head.source.octets());
    ip[24..].copy_from_slice(&head.destination.octets());
    message[0] = kind;
    message[4] = flags;
    message[8..24].copy_from_slice(&target.octets());
    message[24..26].copy_from_slice(&[option, 1]);
    message[26..].copy_from_slice(&head.mac.0);
    let checksum = icmp_checksum(ip, message);
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    frame
}

/// The group that whoever has this address listens to (RFC 4291 §2.7.1).
fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., last] = address.segments();
    let [.., middle, _, _] = address.octets();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(middle), last)
}

/// The checksum over pseudo-header and message (RFC 4443 §2.3); 0 over a message that holds its own.
fn icmp_checksum(ip: &[u8], message: &[u8]) -> u16 {
    let words = |bytes: &[u8]| -> u32 {
        let word = |pair: &[u8]| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low));
        bytes.chunks(2).map(word).sum()
    };
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut sum = words(&ip[8..IPV6_HEAD]) + words(message) + length + u32::from(ICMPV6);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// The MAC of the target link-layer option among the options of a message (RFC 4861 §4.6.1).
fn named_mac(mut options: &[u8]) -> Option<Mac> {
    while let [kind, eights, ..] = *options {
        // RFC 4861 §4.6: an option of no length makes the packet invalid; there is nothing to go on to.
        let (option, rest) =
            options.split_at_checked(usize::from(eights) * 8).filter(|(option, _)| !option.is_empty())?;
        if kind == TARGET_LINK_LAYER {
            return mac_of(&option[2..8]);
        }
        options = rest;
    }
    None
}

fn mac_of(bytes: &[u8]) -> Option<Mac> {
    bytes.try_into().ok().map(Mac)
}

#[cfg(test)]
mod tests;
