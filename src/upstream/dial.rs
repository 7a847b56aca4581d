//! A new connection to a server.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsConnector;

use super::Connection;
use crate::net::{Buffer, Deadline, Elapsed, Socket, Stream};
use crate::tls::outbound::OutboundFault;
use crate::tls::{OutboundSpec, OutboundTls};

/// TLS to the servers of an upstream.
#[derive(Clone, Debug)]
pub struct Outbound {
    /// Tells it from every other that this process has made.
    pub number: u64,
    /// What is trusted, shown and asked for.
    pub tls: Arc<OutboundTls>,
    /// What it was made of, and what the files held: the same again needs no new one.
    pub spec: OutboundSpec,
    /// See `spec`.
    pub files: Vec<Option<bytes::Bytes>>,
}

/// Whether it is the very same.
impl PartialEq for Outbound {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Outbound {}

/// Why no connection came about. Nothing of a request was sent.
#[derive(Debug, thiserror::Error)]
pub enum DialFault {
    /// The network or the server refused.
    #[error("connect failed")]
    Connect(#[source] io::Error),
    /// The server's name cannot stand in a certificate.
    #[error("the server has no name for TLS")]
    NoTlsName(#[source] OutboundFault),
    /// The handshake failed.
    #[error("TLS handshake failed")]
    Tls(#[source] io::Error),
    /// The server does not agree on HTTP/2 in the handshake.
    #[error("the server does not offer HTTP/2 in the TLS handshake")]
    NotAgreed,
    /// HTTP/2 could not begin.
    #[error("HTTP/2 could not begin")]
    Preface(#[source] h2::Error),
    /// A connection failed that this exchange was to share.
    #[error("the connection that it waited for failed")]
    Joined,
    /// `timeouts.connect` passed.
    #[error("connect timed out")]
    TimedOut,
}

impl From<Elapsed> for DialFault {
    fn from(Elapsed: Elapsed) -> Self {
        Self::TimedOut
    }
}

/// Connects to `address` and says `first`.
async fn connect(address: SocketAddr, first: &[u8]) -> Result<Socket, DialFault> {
    let mut socket = Socket::connect(address).await.map_err(DialFault::Connect)?;
    if !first.is_empty() {
        socket.write_all(first).await.map_err(DialFault::Connect)?;
    }
    Ok(socket)
}

async fn shake_hands(outbound: &Outbound, name: &str, socket: Socket) -> Result<Stream, DialFault> {
    let name = outbound.tls.server_name(name).map_err(DialFault::NoTlsName)?;
    let connector = TlsConnector::from(Arc::clone(outbound.tls.config()));
    let session = connector.connect(name, socket).await.map_err(DialFault::Tls)?;
    Ok(Stream::Tls(Box::new(session.into())))
}

/// A new connection, made within `limit`. `first` is what it begins with before anything else, a PROXY
/// header; empty: nothing. With `outbound` comes the name that a certificate must have.
///
/// # Errors
/// [`DialFault`]; the server has then seen nothing of the request.
pub async fn dial(
    address: SocketAddr,
    outbound: Option<(&Outbound, &str)>,
    limit: std::time::Duration,
    first: &[u8],
) -> Result<Box<Connection>, DialFault> {
    let deadline = Deadline::default();
    deadline.set(limit);
    let socket = deadline.within(connect(address, first)).await??;
    let stream = match outbound {
        None => Stream::Tcp(socket),
        // Boxed: most connections need no place for it.
        Some((outbound, name)) => Box::pin(deadline.within(shake_hands(outbound, name, socket))).await??,
    };
    deadline.clear();
    Ok(Box::new(Connection { stream, address, input: Buffer::none(), deadline, reused: false }))
}
