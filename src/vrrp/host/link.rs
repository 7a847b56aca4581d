//! An interface as instances use it: how it is, and the sockets on it.

use std::fs;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use ipnet::IpNet;

use crate::vrrp::NetworkError;
use crate::vrrp::frame_socket::FrameSocket;
use crate::vrrp::neighbour::{gratuitous_arp, unsolicited_advertisement};
use crate::vrrp::netlink::Interface;
use crate::vrrp::socket::{Family, Membership, Socket};

/// One interface.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) name: Arc<str>,
    pub(super) now: Option<Interface>,
    /// Virtual addresses that come and go on it.
    pub(super) virtual_addresses: Arc<[IpNet]>,
    /// The kernel was asked to report it, with these addresses.
    pub(super) is_watched: bool,
    wants: Wants,
    open: Option<Open>,
    report: Reported,
    /// It was said that it cannot be opened.
    complained: bool,
}

/// The sockets that instances need. One whose only use is to be tracked needs none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wants {
    v4: Option<Membership>,
    v6: Option<Membership>,
}

/// What reports have said so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reported {
    Never,
    /// It never was there.
    Missing,
    /// It was there.
    There,
}

#[derive(Debug)]
struct Open {
    index: u32,
    wants: Wants,
    v4: Option<Socket>,
    v6: Option<Socket>,
    frames: FrameSocket,
    /// This host forwards IPv6, which neighbours are told (RFC 4861 §4.4).
    router: bool,
}

impl Wants {
    /// One more instance needs this.
    pub(super) fn add(&mut self, family: Family, membership: Membership) {
        let wanted = match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        };
        if *wanted != Some(Membership::Joined) {
            *wanted = Some(membership);
        }
    }
}

impl Link {
    /// The sockets on it once more, those that are open.
    pub(super) fn handles(&self) -> Vec<OwnedFd> {
        let Some(open) = &self.open else { return Vec::new() };
        let adverts = [&open.v4, &open.v6].into_iter().flatten().map(AsFd::as_fd);
        adverts.chain([open.frames.as_fd()]).filter_map(|socket| socket.try_clone_to_owned().ok()).collect()
    }

    /// One of which nothing is known yet.
    pub(super) fn new(name: Arc<str>, wants: Wants, virtual_addresses: Arc<[IpNet]>) -> Self {
        let report = Reported::Never;
        let is_watched = false;
        Self { name, now: None, virtual_addresses, is_watched, wants, open: None, report, complained: false }
    }

    /// It is reported to be so now.
    pub(super) fn take(&mut self, now: Option<Interface>) {
        self.report = if now.is_some() || self.report == Reported::There { Reported::There } else { Reported::Missing };
        self.now = now;
    }

    /// Whether it was reported at all.
    pub(super) fn is_known(&self) -> bool {
        self.report != Reported::Never
    }

    /// Whether it was there once and is not any more.
    pub(super) fn was_removed(&self) -> bool {
        self.report == Reported::There && self.now.is_none()
    }

    /// Whether it is set up and has a carrier.
    pub(super) fn runs(&self) -> bool {
        self.now.as_ref().is_some_and(|now| now.running)
    }

    /// Goes by other needs from here on.
    pub(super) fn reconfigure(&mut self, wants: Wants, virtual_addresses: Arc<[IpNet]>) {
        self.wants = wants;
        self.is_watched &= self.virtual_addresses == virtual_addresses;
        self.virtual_addresses = virtual_addresses;
    }

    /// Opens what is needed and not open, and closes what is of an interface that is gone. An error is
    /// told once.
    pub(super) fn refresh(&mut self) -> Result<(), NetworkError> {
        let Some(now) = self.now.as_ref().filter(|now| now.running) else {
            self.open = None;
            return Ok(());
        };
        if self.wants == Wants::default() {
            self.open = None;
            return Ok(());
        }
        if self.open.as_ref().is_some_and(|open| open.index == now.index && open.wants == self.wants) {
            return Ok(());
        }
        // The old ones go first: the new ones are to hear all that comes from now on, and they alone.
        self.open = None;
        match Open::new(now, self.wants) {
            Ok(open) => {
                self.open = Some(open);
                self.complained = false;
                Ok(())
            }
            Err(_) if self.complained => Ok(()),
            Err(error) => {
                self.complained = true;
                Err(error)
            }
        }
    }

    /// The number of the interface that the sockets are of; `None`: nothing can be sent.
    pub(super) fn index(&self) -> Option<u32> {
        self.open.as_ref().map(|open| open.index)
    }

    pub(super) fn socket(&self, family: Family) -> Option<&Socket> {
        let open = self.open.as_ref()?;
        match family {
            Family::V4 => open.v4.as_ref(),
            Family::V6 => open.v6.as_ref(),
        }
    }

    pub(super) fn sockets(&self) -> impl Iterator<Item = &Socket> {
        self.open.iter().flat_map(|open| open.v4.iter().chain(&open.v6))
    }

    pub(super) fn socket_mut(&mut self, family: Family) -> Option<&mut Socket> {
        let open = self.open.as_mut()?;
        match family {
            Family::V4 => open.v4.as_mut(),
            Family::V6 => open.v6.as_mut(),
        }
    }

    /// Tells the network that this address is here. What is not sent is told again with the next
    /// announcement.
    pub(super) fn announce(&self, address: IpAddr) {
        let (Some(open), Some(now)) = (&self.open, &self.now) else { return };
        let _ = match address {
            IpAddr::V4(address) => open.frames.send(&gratuitous_arp(now.mac, address)),
            IpAddr::V6(address) => open.frames.send(&unsolicited_advertisement(now.mac, address, open.router)),
        };
    }
}

impl Open {
    fn new(interface: &Interface, wants: Wants) -> Result<Self, NetworkError> {
        let socket = |family, wanted: Option<Membership>| {
            wanted.map(|membership| Socket::open(interface, family, membership)).transpose()
        };
        let forwarding = fs::read_to_string("/proc/sys/net/ipv6/conf/all/forwarding").unwrap_or_default();
        Ok(Self {
            index: interface.index,
            wants,
            v4: socket(Family::V4, wants.v4)?,
            v6: socket(Family::V6, wants.v6)?,
            frames: FrameSocket::for_announcements(interface)?,
            router: forwarding.trim() == "1",
        })
    }
}
