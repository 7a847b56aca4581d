//! What is listened on.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use serde::{Deserialize, Serialize};

/// What carries a client's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Transport {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

/// An address that is listened on. Port 53 of UDP and port 53 of TCP are two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// By what.
    pub transport: Transport,
    /// Where.
    pub address: SocketAddr,
}

impl Endpoint {
    /// Where connections come in.
    #[must_use]
    pub const fn tcp(address: SocketAddr) -> Self {
        Self { transport: Transport::Tcp, address }
    }

    /// Where datagrams come in.
    #[must_use]
    pub const fn udp(address: SocketAddr) -> Self {
        Self { transport: Transport::Udp, address }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.transport {
            Transport::Tcp => self.address.fmt(f),
            Transport::Udp => write!(f, "{} of udp", self.address),
        }
    }
}

/// A socket that is bound to an endpoint.
#[derive(Debug)]
pub enum Listening {
    /// Gives connections.
    Tcp(TcpListener),
    /// Gives datagrams.
    Udp(UdpSocket),
}

impl Listening {
    /// A socket that came from another process, which says what it is.
    #[must_use]
    pub fn received(transport: Transport, socket: OwnedFd) -> Self {
        match transport {
            Transport::Tcp => Self::Tcp(socket.into()),
            Transport::Udp => Self::Udp(socket.into()),
        }
    }

    /// Where it is bound.
    ///
    /// # Errors
    /// None while it is open.
    pub fn address(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(socket) => socket.local_addr(),
            Self::Udp(socket) => socket.local_addr(),
        }
    }
}

impl AsFd for Listening {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Udp(socket) => socket.as_fd(),
        }
    }
}
