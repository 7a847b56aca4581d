//! The raw socket that adverts go through (RFC 9568 §5.1), one for each interface and family.
//!
//! Heads of packets are ours on the way out: source address, hop limit 255 and traffic class are exactly
//! what the advert's checksum and its receivers expect, whatever addresses the interface has meanwhile.
//! On the way in they are told as they came; who reads an advert judges them. No call waits.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::cmsg_space;
use nix::libc::{c_int, in6_pktinfo};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg, setsockopt, sockopt};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, sendmsg_addr};
use socket2::{Domain, InterfaceIndexOrAddress, Type};

use super::NetworkError;
use super::netlink::Interface;

/// Where adverts go by multicast (RFC 9568 §5.1.1.2).
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

/// Where adverts go by multicast (RFC 9568 §5.1.2.2).
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);

/// The protocol number of VRRP (RFC 9568 §5.1.1.4).
pub const PROTOCOL: u8 = 112;

/// Bytes that hold any advert with its head: 255 IPv6 addresses are more than a link carries.
pub const LARGEST_PACKET: usize = 2048;

/// IPv4 or IPv6: an instance speaks one of them (RFC 9568 §1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// Whether adverts to the multicast group are received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// The group is joined: the kernel says so by IGMP or MLD, so that switches let adverts through.
    Joined,
    /// Only what is sent to an address of this host comes in.
    None,
}

/// A raw socket on one interface.
#[derive(Debug)]
pub struct Socket {
    socket: socket2::Socket,
    family: Family,
    /// Number of the interface, for link-local destinations.
    index: u32,
    /// Room for what the kernel tells beside an IPv6 packet.
    beside: Vec<u8>,
}

/// An advert as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Who sent it.
    pub source: IpAddr,
    /// The group, or the address of ours that it was sent to.
    pub destination: IpAddr,
    /// Its time to live, or hop limit.
    pub ttl: u8,
    /// Where in the buffer the VRRP message lies.
    pub message: Range<usize>,
}

impl Socket {
    /// Opens a socket that is bound to this interface, and whose packets leave by it.
    ///
    /// # Errors
    /// Where the process lacks CAP_NET_RAW, or the interface is gone.
    pub fn open(interface: &Interface, family: Family, membership: Membership) -> Result<Self, NetworkError> {
        let name = &*interface.name;
        let domain = if family == Family::V4 { Domain::IPV4 } else { Domain::IPV6 };
        let socket = socket2::Socket::new(domain, Type::RAW.cloexec().nonblocking(), Some(i32::from(PROTOCOL).into()))
            .map_err(NetworkError::on(name, "no raw socket"))?;
        set_up(&socket, interface, family, membership).map_err(NetworkError::on(name, "raw socket not set up"))?;
        Ok(Self { socket, family, index: interface.index, beside: cmsg_space!(in6_pktinfo, c_int) })
    }

    /// Sends a message from `source`, which need not be an address of this host. The message is whole:
    /// its checksum is the caller's. Without allocation.
    ///
    /// # Errors
    /// Those of the socket; where its buffer is full, too.
    pub fn send(&self, message: &[u8], source: IpAddr, destination: IpAddr) -> io::Result<()> {
        let mut nothing = SendAncillaryBuffer::default();
        let flags = SendFlags::DONTWAIT;
        let sent = match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let head = head_v4(source, destination, message.len())?;
                let parts = [IoSlice::new(&head), IoSlice::new(message)];
                sendmsg_addr(&self.socket, &SocketAddrV4::new(destination, 0), &parts, &mut nothing, flags)?
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let head = head_v6(source, destination, message.len())?;
                let parts = [IoSlice::new(&head), IoSlice::new(message)];
                let to = SocketAddrV6::new(destination, 0, 0, self.index);
                sendmsg_addr(&self.socket, &to, &parts, &mut nothing, flags)?
            }
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        };
        let head = if self.family == Family::V4 { HEAD_V4 } else { HEAD_V6 };
        if sent == head + message.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// The next message that waits, if any. Packets that are no VRRP message are skipped; one that is
    /// larger than the buffer is cut, so that its length gives it away.
    ///
    /// # Errors
    /// Those of the socket. An interface that goes down is told once, as an error of the network.
    pub fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<Received>> {
        loop {
            let received = match self.family {
                Family::V4 => self.receive_v4(buffer),
                Family::V6 => self.receive_v6(buffer),
            };
            match received {
                Ok(Some(received)) => return Ok(Some(received)),
                Ok(None) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// `None`: what came was no packet.
    fn receive_v4(&self, buffer: &mut [u8]) -> Result<Option<Received>, Errno> {
        let (length, _) = recv(&self.socket, &mut *buffer, RecvFlags::DONTWAIT)?;
        Ok(read_v4(&buffer[..length]))
    }

    fn receive_v6(&mut self, buffer: &mut [u8]) -> Result<Option<Received>, Errno> {
        let mut parts = [IoSliceMut::new(buffer)];
        let beside = Some(&mut *self.beside);
        let packet = recvmsg::<SockaddrIn6>(self.socket.as_raw_fd(), &mut parts, beside, MsgFlags::MSG_DONTWAIT)
            .map_err(|error| Errno::from_raw_os_error(error as i32))?;
        let (mut destination, mut ttl) = (None, None);
        for message in packet.cmsgs().into_iter().flatten() {
            match message {
                ControlMessageOwned::Ipv6PacketInfo(about) => {
                    destination = Some(Ipv6Addr::from(about.ipi6_addr.s6_addr));
                }
                ControlMessageOwned::Ipv6HopLimit(limit) => ttl = u8::try_from(limit).ok(),
                _ => {}
            }
        }
        let (Some(source), Some(destination), Some(ttl)) = (packet.address, destination, ttl) else { return Ok(None) };
        let (source, destination) = (source.ip().into(), destination.into());
        Ok(Some(Received { source, destination, ttl, message: 0..packet.bytes }))
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

const HEAD_V4: usize = 20;
const HEAD_V6: usize = 40;
const TTL: u8 = 255;
/// CS6, network control, as routing protocols are marked (RFC 4594 §3.1).
const TRAFFIC_CLASS: u8 = 0xc0;
/// A few hundred adverts: those that come while the thread is kept from running.
const RECEIVE_BUFFER: usize = 256 << 10;

fn set_up(
    socket: &socket2::Socket,
    interface: &Interface,
    family: Family,
    membership: Membership,
) -> Result<(), io::Error> {
    socket.bind_device(Some(interface.name.as_bytes()))?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    match family {
        Family::V4 => {
            socket.set_header_included_v4(true)?;
            socket.set_multicast_loop_v4(false)?;
            socket.set_multicast_all_v4(false)?;
            if membership == Membership::Joined {
                socket.join_multicast_v4_n(&GROUP_V4, &InterfaceIndexOrAddress::Index(interface.index))?;
            }
        }
        Family::V6 => {
            socket.set_header_included_v6(true)?;
            socket.set_multicast_loop_v6(false)?;
            socket.set_multicast_all_v6(false)?;
            socket.set_recv_hoplimit_v6(true)?;
            setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
            if membership == Membership::Joined {
                socket.join_multicast_v6(&GROUP_V6, interface.index)?;
            }
        }
    }
    Ok(())
}

/// The head of an IPv4 packet (RFC 791 §3.1). Identification and checksum are left to the kernel.
fn head_v4(source: Ipv4Addr, destination: Ipv4Addr, message: usize) -> io::Result<[u8; HEAD_V4]> {
    let mut head = [0; HEAD_V4];
    head[..2].copy_from_slice(&[0x45, TRAFFIC_CLASS]);
    head[2..4].copy_from_slice(&length(HEAD_V4 + message)?);
    head[8..10].copy_from_slice(&[TTL, PROTOCOL]);
    head[12..16].copy_from_slice(&source.octets());
    head[16..].copy_from_slice(&destination.octets());
    Ok(head)
}

/// The head of an IPv6 packet (RFC 8200 §3).
fn head_v6(source: Ipv6Addr, destination: Ipv6Addr, message: usize) -> io::Result<[u8; HEAD_V6]> {
    let mut head = [0; HEAD_V6];
    head[..2].copy_from_slice(&[0x60 | TRAFFIC_CLASS >> 4, TRAFFIC_CLASS << 4]);
    head[4..6].copy_from_slice(&length(message)?);
    head[6..8].copy_from_slice(&[PROTOCOL, TTL]);
    head[8..24].copy_from_slice(&source.octets());
    head[24..].copy_from_slice(&destination.octets());
    Ok(head)
}

fn length(bytes: usize) -> io::Result<[u8; 2]> {
    u16::try_from(bytes).map(u16::to_be_bytes).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// A packet with its head, as the kernel hands it over.
fn read_v4(packet: &[u8]) -> Option<Received> {
    let head: &[u8; HEAD_V4] = packet.first_chunk()?;
    let begin = usize::from(head[0] & 0x0f) * 4;
    if head[0] >> 4 != 4 || begin < HEAD_V4 || begin > packet.len() {
        return None;
    }
    let address = |at: usize| Ipv4Addr::new(head[at], head[at + 1], head[at + 2], head[at + 3]).into();
    Some(Received { source: address(12), destination: address(16), ttl: head[8], message: begin..packet.len() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_sent_can_be_read() {
        let (source, destination) = (Ipv4Addr::new(192, 168, 0, 11), GROUP_V4);
        let mut packet = head_v4(source, destination, 12).unwrap().to_vec();
        packet.extend([7; 12]);
        let expected = Received { source: source.into(), destination: destination.into(), ttl: 255, message: 20..32 };
        assert_eq!(read_v4(&packet), Some(expected));
        assert_eq!(packet[..4], [0x45, 0xc0, 0, 32]);
    }

    #[test]
    fn the_head_of_ipv6_marks_network_control() {
        let head = head_v6(Ipv6Addr::LOCALHOST, GROUP_V6, 24).unwrap();
        assert_eq!(head[..8], [0x6c, 0, 0, 0, 0, 24, 112, 255]);
        assert_eq!(head[24..], GROUP_V6.octets());
    }

    #[test]
    fn options_of_a_packet_are_no_message() {
        let mut packet = vec![0; 40];
        packet[0] = 0x46;
        assert_eq!(read_v4(&packet).unwrap().message, 24..40);
        packet[0] = 0x4f;
        assert_eq!(read_v4(&packet), None, "its options are longer than it");
        packet[0] = 0x44;
        assert_eq!(read_v4(&packet), None);
        assert_eq!(read_v4(&packet[..19]), None);
    }

    #[test]
    fn a_message_that_fits_no_packet_is_refused() {
        assert!(head_v4(Ipv4Addr::LOCALHOST, GROUP_V4, 65_516).is_err());
        assert!(head_v6(Ipv6Addr::LOCALHOST, GROUP_V6, 65_536).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_no_panic(packet in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Some(received) = read_v4(&packet) {
                prop_assert!(packet.get(received.message).is_some());
            }
        }
    }
}
