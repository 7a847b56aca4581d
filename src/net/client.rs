//! Who is at the other end of a client's connection.

use std::net::SocketAddr;

/// What a connection's beginning told of the client. It does not change after the handshake.
#[derive(Clone, Debug)]
pub struct Client {
    /// The client's address: of the socket's other end, or by a PROXY header.
    pub peer: SocketAddr,
    /// The address that it connected to, by the same; no particular one where nobody is told of it.
    pub local: SocketAddr,
    /// What the handshake settled; `None`: no TLS.
    pub tls: Option<Box<TlsFacts>>,
}

/// The facts of one TLS connection; they do not change while it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite, as rustls names it.
    pub cipher: &'static str,
    /// The key-exchange group; empty for a resumed TLS 1.2 session, which has none.
    pub group: &'static str,
    /// The name that the client asked for, in lower case.
    pub server_name: Option<Box<str>>,
    /// The protocol agreed on by ALPN.
    pub alpn: Option<Box<[u8]>>,
    /// Whether a ticket spared the certificate.
    pub resumed: bool,
    /// The subject of the client's verified certificate, as RFC 4514 writes it, all in printable
    /// ASCII. None also for a subject of more than 2 KiB: half a name would be another name.
    pub client_subject: Option<Box<str>>,
}

impl TlsFacts {
    /// Whether the connection speaks HTTP/2 (RFC 9113 §3.2).
    #[must_use]
    pub fn is_h2(&self) -> bool {
        self.alpn.as_deref() == Some(b"h2")
    }
}
