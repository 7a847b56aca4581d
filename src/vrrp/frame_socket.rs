//! The socket that whole frames go through: announcements, and questions with their answers.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{LinkAddr, bind, recvfrom};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use socket2::{Domain, Protocol, SockFilter, Type};

use super::NetworkError;
use super::netlink::Interface;
use super::socket::Family;

/// A packet socket on one interface. No call waits.
#[derive(Debug)]
pub struct FrameSocket {
    socket: socket2::Socket,
    index: u32,
}

impl FrameSocket {
    /// A socket that only sends.
    ///
    /// # Errors
    /// Where the process lacks CAP_NET_RAW, or the interface is gone.
    pub fn for_announcements(interface: &Interface) -> Result<Self, NetworkError> {
        Self::open(interface, NOTHING, None)
    }

    /// A socket that also receives what may be an answer: ARP, or neighbour advertisements.
    ///
    /// # Errors
    /// Where the process lacks CAP_NET_RAW, or the interface is gone.
    pub fn for_questions(interface: &Interface, family: Family) -> Result<Self, NetworkError> {
        match family {
            Family::V4 => Self::open(interface, ETH_P_ARP, None),
            Family::V6 => Self::open(interface, ETH_P_IPV6, Some(&NEIGHBOUR_ADVERTISEMENTS)),
        }
    }

    fn open(interface: &Interface, ethertype: u16, filter: Option<&[SockFilter]>) -> Result<Self, NetworkError> {
        let name = &*interface.name;
        let protocol = Protocol::from(i32::from(ethertype.to_be()));
        let socket = socket2::Socket::new(Domain::PACKET, Type::RAW.cloexec().nonblocking(), Some(protocol))
            .map_err(NetworkError::on(name, "no packet socket"))?;
        if let Some(filter) = filter {
            socket.attach_filter(filter).map_err(NetworkError::on(name, "no filter on the packet socket"))?;
        }
        // It names no protocol, which leaves the socket its own.
        let address = link_address(interface)?;
        bind(socket.as_raw_fd(), &address).map_err(NetworkError::on(name, "packet socket not bound"))?;
        Ok(Self { socket, index: interface.index })
    }

    /// Sends a whole frame.
    ///
    /// # Errors
    /// Those of the socket; where its buffer is full, too.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        send(&self.socket, frame, SendFlags::DONTWAIT)?;
        Ok(())
    }

    /// The next frame that waits, if any; one that is larger than the buffer is cut.
    ///
    /// # Errors
    /// Those of the socket. An interface that goes down is told once.
    pub fn receive<'b>(&self, buffer: &'b mut [u8]) -> io::Result<Option<&'b [u8]>> {
        loop {
            match recvfrom::<LinkAddr>(self.socket.as_raw_fd(), &mut *buffer) {
                // What came before the socket was bound may be of any interface.
                Ok((length, Some(from))) if from.ifindex() == self.index as usize => {
                    return Ok(buffer.get(..length));
                }
                Ok(_) => {}
                Err(error) => match Errno::from_raw_os_error(error as i32) {
                    Errno::INTR => {}
                    Errno::AGAIN => return Ok(None),
                    error => return Err(error.into()),
                },
            }
        }
    }
}

impl AsFd for FrameSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

const NOTHING: u16 = 0;
const ETH_P_ARP: u16 = 0x0806;
const ETH_P_IPV6: u16 = 0x86dd;

/// Lets through what is ICMPv6 by its next header and a neighbour advertisement by its type.
const NEIGHBOUR_ADVERTISEMENTS: [SockFilter; 6] = [
    SockFilter::new(LOAD_BYTE, 0, 0, 20),
    SockFilter::new(JUMP_IF_EQUAL, 0, 3, 58),
    SockFilter::new(LOAD_BYTE, 0, 0, 54),
    SockFilter::new(JUMP_IF_EQUAL, 0, 1, 136),
    SockFilter::new(RETURN, 0, 0, u32::MAX),
    SockFilter::new(RETURN, 0, 0, 0),
];
const LOAD_BYTE: u16 = 0x30;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

/// The link-level address of an interface: the system's own list has it in the form that `bind` takes.
fn link_address(interface: &Interface) -> Result<LinkAddr, NetworkError> {
    let all = getifaddrs().map_err(NetworkError::on(&interface.name, "no list of interfaces"))?;
    all.filter(|entry| entry.interface_name == interface.name)
        .find_map(|entry| entry.address.as_ref()?.as_link_addr().copied())
        .filter(|address| address.ifindex() == interface.index as usize)
        .ok_or_else(|| NetworkError::NoInterface(interface.name.clone()))
}
