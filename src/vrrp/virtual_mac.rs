//! An interface with the virtual router's own MAC (RFC 9568 §7.3), as a macvlan on the real one.
//!
//! With it no neighbour's cache has to change when the address moves; only switches learn anew. Adverts
//! are sent through it and received on the real interface.

use std::fs;

use ipnet::{IpNet, Ipv6Net};
use netlink_packet_route::link::{InfoData, InfoKind, InfoMacVlan, LinkAttribute, LinkInfo, LinkMessage, MacVlanMode};

use super::NetworkError;
use super::neighbour::Mac;
use super::netlink::{Interface, Netlink};
use super::socket::Family;

/// The name of the virtual interface of a virtual router: at most fifteen bytes, as the kernel asks.
#[must_use]
pub fn name(parent: &Interface, virtual_router_id: u8, family: Family) -> String {
    let version = if family == Family::V4 { 4 } else { 6 };
    format!("v{version}-{virtual_router_id}-{}", parent.index)
}

/// Creates the virtual interface and sets it up; one of its name that an earlier process left goes
/// first. From then on the parent answers ARP only for its own addresses (`arp_ignore`) and asks by ARP
/// only from them (`arp_announce`), or it would undo what this is for; these two settings stay.
///
/// # Errors
/// Where the kernel refuses, or its settings cannot be written.
pub fn create(
    netlink: &mut Netlink,
    parent: &Interface,
    virtual_router_id: u8,
    family: Family,
) -> Result<Interface, NetworkError> {
    let name = name(parent, virtual_router_id, family);
    netlink.remove(&name)?;
    let mac = match family {
        Family::V4 => Mac::virtual_v4(virtual_router_id),
        Family::V6 => Mac::virtual_v6(virtual_router_id),
    };
    netlink.create(macvlan(&name, parent.index, mac))?;
    let made = set_up(netlink, parent, family, &name);
    if made.is_err() {
        // What went wrong first is told.
        let _ = netlink.remove(&name);
    }
    made
}

/// Removes the virtual interface, and every address on it. Whether it was there.
///
/// # Errors
/// Where the kernel refuses.
pub fn remove(netlink: &mut Netlink, name: &str) -> Result<bool, NetworkError> {
    netlink.remove(name)
}

/// Nothing is bridged on this host. In this mode, and not in `private`, what other hosts send to a group
/// with the same MAC is heard on the real interface.
fn macvlan(name: &str, parent: u32, mac: Mac) -> LinkMessage {
    let mode = InfoData::MacVlan(vec![InfoMacVlan::Mode(MacVlanMode::Vepa)]);
    let mut link = LinkMessage::default();
    link.attributes = vec![
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::Link(parent),
        LinkAttribute::Address(mac.0.to_vec()),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::MacVlan), LinkInfo::Data(mode)]),
    ];
    link
}

fn set_up(netlink: &mut Netlink, parent: &Interface, family: Family, name: &str) -> Result<Interface, NetworkError> {
    let gone = || NetworkError::NoInterface(name.to_owned());
    let index = netlink.interface(name, &[])?.ok_or_else(gone)?.index;
    match family {
        Family::V4 => {
            for (setting, value) in [("arp_ignore", "1"), ("arp_announce", "2")] {
                write("ipv4", &parent.name, setting, value)?;
                write("ipv4", name, setting, value)?;
            }
            // Packets for the address come in here while the route to their source leads elsewhere.
            write("ipv4", name, "rp_filter", "2")?;
            write("ipv4", name, "accept_local", "1")?;
            netlink.set_up(index)?;
        }
        Family::V6 => {
            // RFC 9568 §7.4: both hosts would make the same link-local address from the virtual MAC.
            write("ipv6", name, "addr_gen_mode", "1")?;
            write("ipv6", name, "accept_ra", "0")?;
            netlink.set_up(index)?;
            if let Some(net) = parent.link_local.and_then(|own| Ipv6Net::new(own, 64).ok()) {
                netlink.add(index, IpNet::V6(net))?;
            }
        }
    }
    netlink.interface(name, &[])?.ok_or_else(gone)
}

fn write(family: &str, interface: &str, setting: &str, value: &str) -> Result<(), NetworkError> {
    let path = format!("/proc/sys/net/{family}/conf/{interface}/{setting}");
    fs::write(&path, value).map_err(|source| NetworkError::Setting { path, source })
}
