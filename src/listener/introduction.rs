//! The PROXY header with which a proxy before us introduces its client.

use std::time::Instant;

use rustix::net::RecvFlags;
use tokio::net::TcpStream;

use crate::codec::proxy::{self, Fault, Header, LONGEST};
use crate::net::{Buffer, Client, Deadline, peek_until};
use crate::serve::Worker;
use crate::snapshot::Listener;
use crate::telemetry::LineBudget;

/// Why nobody was introduced.
#[derive(Debug, thiserror::Error)]
enum Unknown {
    #[error("whoever sent it is not among trusted_proxies")]
    Untrusted,
    #[error("it did not come in time")]
    TimedOut,
    #[error("the connection ended before it")]
    Closed,
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Unknown {
    fn name(&self) -> &'static str {
        match self {
            Self::Untrusted => "untrusted",
            Self::TimedOut => "timeout",
            Self::Closed => "client_closed",
            Self::Fault(fault) => fault.name(),
        }
    }
}

/// Reads the header that must come first, within `timeouts.handshake`, and takes the client from it; none,
/// counted and logged by category, where it is not one that is believed.
pub(super) async fn introduce(
    worker: &Worker,
    listener: &Listener,
    socket: &TcpStream,
    client: &mut Client,
) -> Option<()> {
    let peer = client.peer;
    let unknown = if listener.trusts(peer.ip()) {
        let deadline = Deadline::default();
        deadline.set(listener.timeouts.handshake);
        match deadline.within(read(socket)).await {
            Ok(Ok(header)) => {
                if let Some(addresses) = header.addresses {
                    (client.peer, client.local) = (addresses.source, addresses.destination);
                }
                return Some(());
            }
            Ok(Err(unknown)) => unknown,
            Err(_) => Unknown::TimedOut,
        }
    } else {
        Unknown::Untrusted
    };
    listener.cells(worker.local.thread).proxy_header_failures.count(unknown.name());
    if LINES.with(|lines| lines.take(now())) {
        let (name, reason) = (&*listener.name, unknown.name());
        tracing::info!(listener = name, client = %peer, reason, error = %unknown, "PROXY header refused");
    }
    // Failing only means an ordinary close.
    let _ = socket2::SockRef::from(socket).set_linger(Some(std::time::Duration::ZERO));
    None
}

/// Takes the header from the socket, and nothing of what comes behind it: that may be TLS.
async fn read(socket: &TcpStream) -> Result<Header, Unknown> {
    let peeked = peek_until(socket, LONGEST, |bytes| proxy::parse(bytes).transpose()).await;
    let header = peeked.map_err(|_| Unknown::Closed)??;
    let mut taken = Buffer::with_capacity(header.length);
    let bytes = taken.spare().get_mut(..header.length).ok_or(Unknown::Closed)?;
    match rustix::net::recv(socket, bytes, RecvFlags::empty()) {
        Ok((_, n)) if n == header.length => Ok(header),
        _ => Err(Unknown::Closed),
    }
}

fn now() -> Instant {
    Instant::now()
}

thread_local! {
    static LINES: LineBudget = const { LineBudget::new(10) };
}
