//! Addresses and interfaces, by rtnetlink: requests that wait for their answer, and the kernel's news.
//!
//! A virtual address is held for a while and must be renewed: should this process be gone, the kernel
//! takes the address away by itself, and no dead host answers for it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use ipnet::IpNet;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader,
    NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope, CacheInfo};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::SocketAddr;
use netlink_sys::protocols::NETLINK_ROUTE;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::NetworkError;
use super::neighbour::Mac;

/// An interface as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its number; another one after it was gone and came back.
    pub index: u32,
    /// Its own hardware address; zero where it has none.
    pub mac: Mac,
    /// It is set up, and there is a carrier.
    pub running: bool,
    /// Its first IPv4 address; a virtual one only where it is there for ever, and no other is.
    pub ipv4: Option<Ipv4Addr>,
    /// Its link-local IPv6 address, virtual ones left out.
    pub link_local: Option<Ipv6Addr>,
    /// Its first other IPv6 address, virtual ones left out.
    pub ipv6: Option<Ipv6Addr>,
}

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address and its prefix.
    pub net: IpNet,
    /// When the kernel takes it away; `None`: never.
    pub valid: Option<Duration>,
    /// It cannot be used yet or ever: another host may have it.
    pub tentative: bool,
}

/// A socket for requests. Each waits for the kernel, which may take as long as others hold its lock.
#[derive(Debug)]
pub struct Netlink {
    socket: netlink_sys::Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Netlink {
    /// Opens a socket for requests.
    ///
    /// # Errors
    /// Where the process may open no more files.
    pub fn open() -> Result<Self, NetworkError> {
        let open = || {
            let mut socket = netlink_sys::Socket::new(NETLINK_ROUTE)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            Ok(socket)
        };
        let socket = open().map_err(failed("no socket"))?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; LARGEST_MESSAGE] })
    }

    /// An interface by its name; `None`: there is none. An address in `virtual_addresses` that will go by
    /// itself is not its own.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn interface(&mut self, name: &str, virtual_addresses: &[IpNet]) -> Result<Option<Interface>, NetworkError> {
        let mut link = LinkMessage::default();
        link.attributes.push(LinkAttribute::IfName(name.to_owned()));
        let answer = match self.ask(&RouteNetlinkMessage::GetLink(link), NLM_F_ACK) {
            Ok(answer) => answer,
            Err(error) if is(&error, Errno::NODEV) => return Ok(None),
            Err(error) => return Err(failed("interface not read")(error)),
        };
        let link = answer.into_iter().find_map(|message| match message {
            RouteNetlinkMessage::NewLink(link) => Some(link),
            _ => None,
        });
        let Some(link) = link else { return Ok(None) };
        let own = self.addresses(link.header.index)?;
        let is_virtual = |own: &Address| virtual_addresses.iter().any(|net| net.addr() == own.net.addr());
        let ours = own.into_iter().filter(|own| own.valid.is_none() || !is_virtual(own));
        // An address owner has virtual ones for ever. They are the last choice: a host that holds them
        // drops what comes from them, as from itself.
        let (owned, others): (Vec<Address>, Vec<Address>) = ours.partition(is_virtual);
        Ok(Some(interface(name, &link, others.into_iter().chain(owned))))
    }

    /// The addresses of an interface, in the kernel's order.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn addresses(&mut self, index: u32) -> Result<Vec<Address>, NetworkError> {
        let all = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let answer = self.ask(&all, NLM_F_DUMP).map_err(failed("addresses not read"))?;
        let address = |message| match message {
            RouteNetlinkMessage::NewAddress(message) if message.header.index == index => address(&message),
            _ => None,
        };
        Ok(answer.into_iter().filter_map(address).collect())
    }

    /// Adds an address to an interface, or renews it: in `lifetime`, whole seconds, the kernel takes it
    /// away. An IPv6 address is not looked for on the link first (NODAD: who claims it has asked
    /// already), brings no route for its prefix, and is no source of this host's own connections.
    ///
    /// # Errors
    /// Where the kernel refuses: no such interface, no CAP_NET_ADMIN.
    pub fn hold(&mut self, index: u32, net: IpNet, route: Route, lifetime: Duration) -> Result<(), NetworkError> {
        let seconds = u32::try_from(lifetime.as_secs()).unwrap_or(FOREVER).max(1);
        let mut validity = CacheInfo::default();
        validity.ifa_valid = seconds;
        let flags = match net {
            IpNet::V4(_) => {
                validity.ifa_preferred = seconds;
                if route == Route::OfItsPrefix { AddressFlags::empty() } else { AddressFlags::Noprefixroute }
            }
            // A route of the same prefix that the router announced would get this lifetime, too.
            IpNet::V6(_) => AddressFlags::Nodad | AddressFlags::Noprefixroute,
        };
        let mut message = address_message(index, net);
        message.attributes.extend([AddressAttribute::Flags(flags), AddressAttribute::CacheInfo(validity)]);
        let request = RouteNetlinkMessage::NewAddress(message);
        self.ask(&request, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE).map_err(failed("address not held"))?;
        Ok(())
    }

    /// Adds an address that stays for as long as its interface.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub(super) fn add(&mut self, index: u32, net: IpNet) -> Result<(), NetworkError> {
        let mut message = address_message(index, net);
        message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        let request = RouteNetlinkMessage::NewAddress(message);
        self.ask(&request, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE).map_err(failed("address not added"))?;
        Ok(())
    }

    /// Takes an address away. Whether it was there.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn release(&mut self, index: u32, net: IpNet) -> Result<bool, NetworkError> {
        let request = RouteNetlinkMessage::DelAddress(address_message(index, net));
        match self.ask(&request, NLM_F_ACK) {
            Ok(_) => Ok(true),
            Err(error) if is(&error, Errno::ADDRNOTAVAIL) || is(&error, Errno::NODEV) => Ok(false),
            Err(error) => Err(failed("address not released")(error)),
        }
    }

    /// Creates an interface.
    ///
    /// # Errors
    /// Where the kernel refuses; where one of its name is there, too.
    pub(super) fn create(&mut self, link: LinkMessage) -> Result<(), NetworkError> {
        let request = RouteNetlinkMessage::NewLink(link);
        self.ask(&request, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL).map_err(failed("interface not created"))?;
        Ok(())
    }

    /// Sets an interface up.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub(super) fn set_up(&mut self, index: u32) -> Result<(), NetworkError> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        link.header.flags = LinkFlags::Up;
        link.header.change_mask = LinkFlags::Up;
        self.ask(&RouteNetlinkMessage::SetLink(link), NLM_F_ACK).map_err(failed("interface not set up"))?;
        Ok(())
    }

    /// Removes an interface. Whether it was there.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub(super) fn remove(&mut self, name: &str) -> Result<bool, NetworkError> {
        let mut link = LinkMessage::default();
        link.attributes.push(LinkAttribute::IfName(name.to_owned()));
        match self.ask(&RouteNetlinkMessage::DelLink(link), NLM_F_ACK) {
            Ok(_) => Ok(true),
            Err(error) if is(&error, Errno::NODEV) => Ok(false),
            Err(error) => Err(failed("interface not removed")(error)),
        }
    }

    /// Sends a request and waits for all of its answer.
    fn ask(&mut self, request: &RouteNetlinkMessage, flags: u16) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut tries = 0;
        loop {
            let (answer, interrupted) = self.ask_once(request.clone(), flags)?;
            tries += 1;
            // What was listed changed meanwhile, and something may be missing.
            if !interrupted || tries == MOST_TRIES {
                return Ok(answer);
            }
        }
    }

    fn ask_once(&mut self, request: RouteNetlinkMessage, flags: u16) -> io::Result<(Vec<RouteNetlinkMessage>, bool)> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        send(&self.socket, &bytes, SendFlags::empty())?;

        let (mut answer, mut interrupted) = (Vec::new(), false);
        loop {
            let (length, _) = recv(&self.socket, self.buffer.as_mut_slice(), RecvFlags::empty())?;
            for message in messages(&self.buffer[..length]) {
                let (header, payload) = message?.into_parts();
                // The rest of an answer that was given up.
                if header.sequence_number != self.sequence {
                    continue;
                }
                interrupted |= header.flags & NLM_F_DUMP_INTR != 0;
                match payload {
                    NetlinkPayload::InnerMessage(message) => answer.push(message),
                    NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
                    NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => return Ok((answer, interrupted)),
                    _ => {}
                }
            }
        }
    }
}

/// Whether an IPv4 address brings a route for its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// It does, where no other address of the interface has brought it.
    OfItsPrefix,
    /// It does not: another interface has the route.
    None,
}

/// A socket on which the kernel tells what changes.
#[derive(Debug)]
pub struct News {
    socket: netlink_sys::Socket,
    buffer: Vec<u8>,
}

/// What has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// An interface came, went or changed.
    Interface {
        /// Its number.
        index: u32,
        /// Its name.
        name: String,
    },
    /// An address came, went or was renewed.
    Address {
        /// The number of its interface.
        index: u32,
        /// The address.
        net: IpNet,
    },
    /// Anything: more changed at once than the kernel keeps.
    Anything,
}

impl News {
    /// Opens a socket that hears of changes from now on.
    ///
    /// # Errors
    /// Where the process may open no more files.
    pub fn open() -> Result<Self, NetworkError> {
        let open = || {
            let mut socket = netlink_sys::Socket::new(NETLINK_ROUTE)?;
            socket.bind_auto()?;
            for group in [RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR] {
                socket.add_membership(group)?;
            }
            Ok(socket)
        };
        Ok(Self { socket: open().map_err(failed("no socket for news"))?, buffer: vec![0; LARGEST_MESSAGE] })
    }

    /// The changes that wait, without waiting for more.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn read(&mut self, mut take: impl FnMut(Change)) -> Result<(), NetworkError> {
        loop {
            match recv(&self.socket, self.buffer.as_mut_slice(), RecvFlags::DONTWAIT) {
                Ok((length, _)) => {
                    for message in messages(&self.buffer[..length]) {
                        // What cannot be read may have been about anything.
                        let change = message.map_or(Some(Change::Anything), |message| change(&message.payload));
                        change.into_iter().for_each(&mut take);
                    }
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::NOBUFS) => take(Change::Anything),
                Err(error) => return Err(failed("no news")(error.into())),
            }
        }
    }
}

impl AsFd for News {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The kernel makes no larger ones.
const LARGEST_MESSAGE: usize = 64 << 10;
const MOST_TRIES: u32 = 5;
const FOREVER: u32 = u32::MAX;
const RTNLGRP_LINK: u32 = 1;
const RTNLGRP_IPV4_IFADDR: u32 = 5;
const RTNLGRP_IPV6_IFADDR: u32 = 9;

fn failed(what: &'static str) -> impl FnOnce(io::Error) -> NetworkError {
    move |source| NetworkError::Netlink { what, source }
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

/// The messages of one datagram.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = io::Result<NetlinkMessage<RouteNetlinkMessage>>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes);
        let length = message.as_ref().map_or(0, |message| message.header.length as usize);
        // RFC 3549 §2.3.2: each begins at a multiple of four. One of no length would be read for ever.
        bytes = if length == 0 { &[] } else { bytes.get(length.next_multiple_of(4)..).unwrap_or_default() };
        Some(message.map_err(io::Error::other))
    })
}

fn address_message(index: u32, net: IpNet) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = if net.addr().is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.prefix_len = net.prefix_len();
    message.header.index = index;
    message.header.scope = AddressScope::Universe;
    message.attributes = vec![AddressAttribute::Local(net.addr()), AddressAttribute::Address(net.addr())];
    message
}

fn interface(name: &str, link: &LinkMessage, addresses: impl Iterator<Item = Address>) -> Interface {
    let mac = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Address(bytes) => bytes.as_slice().try_into().ok().map(Mac),
        _ => None,
    });
    let (mut ipv4, mut link_local, mut ipv6) = (None, None, None);
    for address in addresses.filter(|address| !address.tentative) {
        match address.net.addr() {
            IpAddr::V4(v4) => ipv4 = ipv4.or(Some(v4)),
            IpAddr::V6(v6) if v6.is_unicast_link_local() => link_local = link_local.or(Some(v6)),
            IpAddr::V6(v6) => ipv6 = ipv6.or(Some(v6)),
        }
    }
    let running = link.header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp);
    let (name, index) = (name.to_owned(), link.header.index);
    Interface { name, index, mac: mac.unwrap_or_default(), running, ipv4, link_local, ipv6 }
}

fn address(message: &AddressMessage) -> Option<Address> {
    let (mut local, mut peer, mut flags, mut valid) = (None, None, AddressFlags::empty(), None);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Address(address) => peer = Some(*address),
            AddressAttribute::Flags(written) => flags = *written,
            AddressAttribute::CacheInfo(validity) => valid = Some(validity.ifa_valid),
            _ => {}
        }
    }
    // IPv6 addresses have no local part; on a point-to-point link the other one is the peer's.
    let net = IpNet::new(local.or(peer)?, message.header.prefix_len).ok()?;
    let seconds = valid.filter(|seconds| *seconds != FOREVER);
    Some(Address {
        net,
        valid: seconds.map(|seconds| Duration::from_secs(seconds.into())),
        tentative: flags.intersects(AddressFlags::Tentative | AddressFlags::Dadfailed),
    })
}

fn change(payload: &NetlinkPayload<RouteNetlinkMessage>) -> Option<Change> {
    let NetlinkPayload::InnerMessage(message) = payload else { return None };
    match message {
        RouteNetlinkMessage::NewLink(link) | RouteNetlinkMessage::DelLink(link) => {
            let name = link.attributes.iter().find_map(|attribute| match attribute {
                LinkAttribute::IfName(name) => Some(name.clone()),
                _ => None,
            });
            Some(Change::Interface { index: link.header.index, name: name? })
        }
        RouteNetlinkMessage::NewAddress(message) | RouteNetlinkMessage::DelAddress(message) => {
            Some(Change::Address { index: message.header.index, net: address(message)?.net })
        }
        _ => None,
    }
}
