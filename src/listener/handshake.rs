//! The TLS handshake of a client.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::net::{Deadline, Socket, Stream, TlsFacts};
use crate::serve::Worker;
use crate::snapshot::{Listener, Secure};
use crate::telemetry::{LineBudget, Phase};
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
    let underway = Underway::begin(&deadline, listener.handshake_limit);
    let (failure, reason) = match deadline.within(shake(secure, socket)).await {
        Ok(Ok(mut session)) => {
            let facts = facts(session.get_ref().1);
            if listener.protocols.h2 && !listener.protocols.http1 && !facts.is_h2() {
                // It named no protocol at all: where it names others TLS itself refuses.
                cells.handshake_failures.count(HandshakeFailure::NoSharedProtocol.name());
                tracing::debug!(listener = &*listener.name, client = %peer, "client did not ask for h2 and nothing else is spoken");
                let _ = deadline.within(part(&mut session)).await;
                return None;
            }
            cells.handshakes.count(facts.version);
            cells.handshake_time.record(now().saturating_duration_since(started));
            if facts.resumed {
                cells.resumed.add(1);
            }
            return Some((Stream::Tls(Box::new(session.into())), facts));
        }
        Ok(Err(error)) => (HandshakeFailure::of(&error).name(), error.to_string()),
        Err(_) if underway.is_displaced() => (DISPLACED, "too many others are under way".to_owned()),
        Err(elapsed) => {
            cells.timed_out(Phase::Handshake);
            (HandshakeFailure::Timeout.name(), elapsed.to_string())
        }
    };
    cells.handshake_failures.count(failure);
    if LINES.with(|lines| lines.take(started)) {
        tracing::info!(listener = &*listener.name, client = %peer, failure, reason, "TLS handshake failed");
    }
    None
}

/// The category of a handshake that made room for another: nobody's fault, so none of TLS.
const DISPLACED: &str = "displaced";

/// Shakes hands, in turn with the other handshakes of the thread.
async fn shake(secure: &Secure, socket: TcpStream) -> io::Result<TlsStream<Socket>> {
    // A client that says nothing costs no session, and one that has gone again no signature.
    socket.peek(&mut [0; 1]).await?;
    turn(&socket).await?;
    TlsAcceptor::from(Arc::clone(&secure.config)).accept(Socket::from(socket)).await
}

/// Ends a session in good order, so that the client learns of its end and not of a reset: a little of
/// what it still sends is passed over.
async fn part(session: &mut TlsStream<Socket>) -> io::Result<()> {
    session.shutdown().await?;
    let mut passed = [0; 1024];
    for _ in 0..16 {
        if session.read(&mut passed).await? == 0 {
            break;
        }
    }
    Ok(())
}

/// Signing takes as long as many turns of other connections. So after a few handshakes whatever
/// else became ready goes first, new clients among it.
///
/// # Errors
/// The client has gone meanwhile.
async fn turn(socket: &TcpStream) -> io::Result<()> {
    loop {
        if has_gone(socket) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let begun = BEGUN.get();
        if begun < BEGUN_A_PASS {
            BEGUN.set(begun + 1);
            return Ok(());
        }
        let pass = PASS.get();
        tokio::task::yield_now().await;
        // The first that goes on after all the others had their turn begins the next pass.
        if PASS.get() == pass {
            PASS.set(pass.wrapping_add(1));
            BEGUN.set(0);
        }
    }
}

/// Handshakes that are begun before others have a turn: two milliseconds, about.
const BEGUN_A_PASS: u32 = 8;

/// Whether the client has ended its side, as far as the reactor has seen.
fn has_gone(socket: &TcpStream) -> bool {
    let ready = pin!(socket.ready(Interest::READABLE)).poll(&mut Context::from_waker(Waker::noop()));
    matches!(ready, Poll::Ready(Ok(ready)) if ready.is_read_closed())
}

thread_local! {
    static LINES: LineBudget = const { LineBudget::new(10) };
    static PASS: Cell<u32> = const { Cell::new(0) };
    static BEGUN: Cell<u32> = const { Cell::new(0) };
    static UNDERWAY: RefCell<BTreeMap<u64, Deadline>> = const { RefCell::new(BTreeMap::new()) };
}

/// A place among the handshakes of this thread, by age.
struct Underway(u64);

impl Underway {
    /// Takes a place. Where there are `most` already, the oldest is ended: whoever opens connections
    /// and says nothing keeps nobody out.
    fn begin(deadline: &Deadline, most: usize) -> Self {
        UNDERWAY.with_borrow_mut(|all| {
            let number = all.last_key_value().map_or(0, |(last, _)| last + 1);
            if all.len() >= most
                && let Some((_, oldest)) = all.pop_first()
            {
                oldest.fire();
            }
            all.insert(number, deadline.clone());
            Self(number)
        })
    }

    fn is_displaced(&self) -> bool {
        UNDERWAY.with_borrow(|all| !all.contains_key(&self.0))
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        UNDERWAY.with_borrow_mut(|all| all.remove(&self.0));
    }
}

fn now() -> Instant {
    Instant::now()
}
