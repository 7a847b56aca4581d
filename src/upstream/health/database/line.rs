//! A connection on which TLS may begin later.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::upstream::Outbound;
use crate::upstream::health::{Clock, Phase, Reason};

/// Plain, or within TLS.
pub(in crate::upstream::health) enum Line {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Line {
    /// The same connection within TLS. One that is within it already stays as it is.
    pub(super) async fn begin_tls(self, tls: &Outbound, written: &str, clock: &Clock) -> Result<Self, Reason> {
        let Self::Plain(stream) = self else { return Ok(self) };
        let host = written.rsplit_once(':').map_or(written, |(host, _)| host);
        let name = tls.tls.server_name(host).map_err(|fault| Reason::Tls(io::Error::other(fault)))?;
        let handshake = TlsConnector::from(Arc::clone(tls.tls.config())).connect(name, stream);
        let stream = clock.within(Phase::Tls, handshake).await?.map_err(Reason::Tls)?;
        Ok(Self::Tls(Box::new(stream)))
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes).await,
            Self::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }

    /// Some bytes; none is an error, as nobody here expects the end.
    pub(super) async fn receive(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let read = match self {
            Self::Plain(stream) => stream.read(space).await?,
            Self::Tls(stream) => stream.read(space).await?,
        };
        if read == 0 { Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed by the server")) } else { Ok(read) }
    }

    /// Ends our side in the way that the other side expects. What goes wrong now matters to nobody.
    pub(super) async fn close(mut self) {
        let _ended = match &mut self {
            Self::Plain(stream) => stream.shutdown().await,
            Self::Tls(stream) => stream.shutdown().await,
        };
    }
}
