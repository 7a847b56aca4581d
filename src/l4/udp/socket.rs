//! The listener's socket: datagrams in with the address that they were sent to, answers out from there.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;

use nix::cmsg_space;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrStorage, recvmsg, sendmsg,
};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::flows::Way;

/// Bytes that hold any datagram: what the length field of UDP can say (RFC 768).
pub(super) const LARGEST: usize = 65_535;

/// A socket that clients send to.
#[derive(Debug)]
pub(super) struct Socket {
    socket: UdpSocket,
    /// Where it is bound to; a wildcard address needs to be told from which one an answer is to leave.
    bound: IpAddr,
}

/// A datagram of a client, apart from what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Received {
    /// The way that it came.
    pub way: Way,
    /// Bytes in it.
    pub length: usize,
    /// Datagrams that have found no room in the socket's queue since it was bound, where there were any;
    /// the count goes round.
    pub lost: Option<u32>,
}

impl Socket {
    /// Takes a socket that is bound, does not block and tells the addresses of datagrams.
    pub(super) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        let bound = socket.local_addr()?.ip();
        Ok(Self { socket: UdpSocket::from_std(socket)?, bound })
    }

    /// Room for what the kernel tells beside a datagram.
    pub(super) fn beside() -> Vec<u8> {
        cmsg_space!(in6_pktinfo, in_pktinfo, u32)
    }

    /// Waits until there may be a datagram.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// The next datagram.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] where there is none; others are of one datagram, and the next may be read.
    pub(super) fn receive(&self, into: &mut [u8], beside: &mut [u8]) -> io::Result<Received> {
        self.socket.try_io(Interest::READABLE, || {
            let mut buffers = [IoSliceMut::new(into)];
            let flags = MsgFlags::MSG_DONTWAIT;
            let message = recvmsg::<SockaddrStorage>(self.socket.as_raw_fd(), &mut buffers, Some(beside), flags)?;
            let client = message.address.as_ref().and_then(socket_address);
            let client = client.ok_or(io::Error::from(io::ErrorKind::InvalidData))?;
            let (mut at, mut interface, mut lost) = (self.bound, 0, None);
            for told in message.cmsgs()? {
                match told {
                    ControlMessageOwned::Ipv4PacketInfo(info) => {
                        at = Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes()).into();
                    }
                    ControlMessageOwned::Ipv6PacketInfo(info) => {
                        let address = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                        at = address.into();
                        if address.is_unicast_link_local() {
                            interface = info.ipi6_ifindex;
                        }
                    }
                    ControlMessageOwned::RxqOvfl(count) => lost = Some(count),
                    _ => {}
                }
            }
            Ok(Received { way: Way { client, at, interface }, length: message.bytes, lost })
        })
    }

    /// Sends an answer back the way that a datagram came. What the runtime has seen of the socket does not
    /// matter: a datagram goes now or not at all.
    ///
    /// # Errors
    /// Those of the socket; where its buffer is full, too.
    pub(super) fn answer(&self, bytes: &[u8], way: &Way) -> io::Result<()> {
        let (socket, bytes) = (self.socket.as_raw_fd(), [IoSlice::new(bytes)]);
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let any = self.bound.is_unspecified();
        match (way.client, way.at) {
            (SocketAddr::V4(client), IpAddr::V4(at)) => {
                let info = in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: in_addr { s_addr: u32::from_ne_bytes(at.octets()) },
                    ipi_addr: in_addr { s_addr: 0 },
                };
                let told = any.then_some(ControlMessage::Ipv4PacketInfo(&info));
                sendmsg(socket, &bytes, told.as_slice(), flags, Some(&SockaddrIn::from(client)))?;
            }
            (SocketAddr::V6(client), IpAddr::V6(at)) => {
                let info = in6_pktinfo { ipi6_addr: in6_addr { s6_addr: at.octets() }, ipi6_ifindex: way.interface };
                let told = any.then_some(ControlMessage::Ipv6PacketInfo(&info));
                sendmsg(socket, &bytes, told.as_slice(), flags, Some(&SockaddrIn6::from(client)))?;
            }
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        }
        Ok(())
    }
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|address| SocketAddrV4::from(*address).into());
    v4.or_else(|| address.as_sockaddr_in6().map(|address| SocketAddrV6::from(*address).into()))
}

/// A socket for one flow, which hears only this server; the flow's first datagram has left by it.
///
/// # Errors
/// No socket is left, or there is no way to the server.
pub(super) fn connect(server: SocketAddr, first: &[u8]) -> io::Result<UdpSocket> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = std::net::UdpSocket::bind((any, 0))?;
    socket.set_nonblocking(true)?;
    socket.connect(server)?;
    socket.send(first)?;
    UdpSocket::from_std(socket)
}

/// Sends one more datagram to the server of a flow, now or not at all.
///
/// # Errors
/// Those of the socket; what an earlier datagram met with, too, and then this one has not left.
pub(super) fn send(socket: &UdpSocket, datagram: &[u8]) -> io::Result<()> {
    rustix::net::send(socket, datagram, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Waits until the server of a flow may have answered, or the network for it: that nobody listens there is an
/// error of the socket, and nothing to read.
pub(super) async fn answered(socket: &UdpSocket) -> io::Result<()> {
    socket.ready(Interest::READABLE | Interest::ERROR).await.map(|_| ())
}

/// The next answer of the server of a flow.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] where there is none; others tell what an earlier datagram met with.
pub(super) fn receive(socket: &UdpSocket, into: &mut [u8]) -> io::Result<usize> {
    let mut take = || Ok(rustix::net::recv(socket, &mut *into, RecvFlags::DONTWAIT)?.1);
    // The runtime forgets one kind of readiness at a time.
    match socket.try_io(Interest::READABLE, &mut take) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => socket.try_io(Interest::ERROR, take),
        taken => taken,
    }
}

/// Whether an error says that nobody is there, or that there is no way to where it is.
pub(super) fn is_servers(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(
            Errno::CONNREFUSED
                | Errno::HOSTUNREACH
                | Errno::NETUNREACH
                | Errno::HOSTDOWN
                | Errno::NETDOWN
                | Errno::ACCESS
                | Errno::PERM
        )
    )
}
