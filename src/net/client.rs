//! Who is at the other end of a client's connection.

use std::net::SocketAddr;

/// What a connection's beginning told of the client. It does not change after the handshake.
#[derive(Clone, Debug)]
pub struct Client {
    /// The address of the socket's other end.
    pub peer: SocketAddr,
    /// The address that was connected to.
    pub local: SocketAddr,
    /// What the handshake settled; `None`: no TLS.
    pub tls: Option<Box<TlsFacts>>,
}

/// What the TLS handshake settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// `TLSv1.3` and the like.
    pub version: &'static str,
    /// The cipher suite by its registered name.
    pub cipher: &'static str,
    /// The name that the client asked for.
    pub server_name: Option<Box<str>>,
    /// The subject of the client's certificate.
    pub client_subject: Option<Box<str>>,
}
