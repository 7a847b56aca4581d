//! The TLS handshake of a client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::net::{Deadline, Stream, TlsFacts};
use crate::serve::Worker;
use crate::snapshot::{Listener, Secure};
use crate::telemetry::Phase;
use crate::tls::{HandshakeFailure, facts};

/// Shakes hands within `timeouts.handshake`; none, counted and logged by category, where it fails.
pub(super) async fn handshake(
    worker: &Worker,
    listener: &Listener,
    secure: &Secure,
    socket: TcpStream,
    peer: SocketAddr,
) -> Option<(Stream, TlsFacts)> {
    let cells = listener.cells(worker.local.thread);
    let started = now();
    let deadline = Deadline::default();
    deadline.set(listener.timeouts.handshake);
    let acceptor = TlsAcceptor::from(Arc::clone(&secure.config));
    let (failure, reason) = match deadline.within(acceptor.accept(socket)).await {
        Ok(Ok(session)) => {
            let facts = facts(session.get_ref().1);
            cells.handshakes.count(facts.version);
            cells.handshake_time.record(now().saturating_duration_since(started));
            if facts.resumed {
                cells.resumed.add(1);
            }
            return Some((Stream::Tls(Box::new(session.into())), facts));
        }
        Ok(Err(error)) => (HandshakeFailure::of(&error), error.to_string()),
        Err(elapsed) => {
            cells.timed_out(Phase::Handshake);
            (HandshakeFailure::Timeout, elapsed.to_string())
        }
    };
    cells.handshake_failures.count(failure.name());
    if worker.handshake_lines.take(started) {
        tracing::info!(listener = &*listener.name, client = %peer, failure = failure.name(), reason, "TLS handshake failed");
    }
    None
}

fn now() -> Instant {
    Instant::now()
}
