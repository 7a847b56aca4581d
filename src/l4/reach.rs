//! A session's way to a server.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::Ending;
use super::session::Session;
use crate::net::Stream;
use crate::upstream::{DialFault, GateError, Held, Key, Lease, LeaseFault, Server, Upstream};

/// Servers that are tried for one session before it waits or is refused.
const MOST_TRIED: usize = 8;
/// How often who waits tries again servers that took no connection, though no check has said so yet.
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// What a session has tried so far.
#[derive(Debug, Default)]
pub(super) struct Reaching {
    tried: Vec<u32>,
    waiting: Option<Waiting>,
}

/// A session's place among those that wait for a server.
#[derive(Debug)]
struct Waiting {
    _held: Held,
    until: Instant,
    news: watch::Receiver<()>,
}

impl Reaching {
    /// A connection to one of the servers: nothing was sent to one that took none, so the next is tried.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn reach<'s>(
        &mut self,
        session: &mut Session,
        client: &mut Stream,
        upstream: &'s Arc<Upstream>,
    ) -> Result<Lease<'s>, Ending> {
        session.wants(upstream);
        let key = Key { client: session.address(), hashed: None };
        let mut failed = Ending::NoServer;
        while self.tried.len() < MOST_TRIED {
            let now = session.worker.local.now.get();
            let Some(server) = upstream.pick(session.worker.local.thread, &key, &self.tried, now) else {
                return Err(failed);
            };
            session.asks(server);
            failed = match dial(session, client, upstream, server).await {
                Ok(lease) => {
                    self.waiting = None;
                    session.connected();
                    return Ok(lease);
                }
                Err(None) => return Err(Ending::ClientGone),
                Err(Some(fault)) => {
                    fault.count(server.state.cells(session.worker.local.thread));
                    let (name, server) = (&*upstream.name, &*server.name);
                    tracing::debug!(upstream = name, server, error = %crate::diagnostic::Causes(&fault), "no connection");
                    ending(&fault)
                }
            };
            self.tried.push(server.state.id);
        }
        Err(failed)
    }

    /// Waits until a server may be there; at most for `hold`, from the first wait on.
    ///
    /// # Errors
    /// Why the session is refused: `because`, where the upstream has no `hold`.
    pub(super) async fn hold(
        &mut self,
        client: &mut Stream,
        upstream: &Upstream,
        because: Ending,
    ) -> Result<(), Ending> {
        let rules = &upstream.sessions;
        let Some(any) = upstream.servers.first().filter(|_| !rules.hold_for.is_zero()) else { return Err(because) };
        let has_failed = !self.tried.is_empty();
        self.tried.clear();
        let now = Instant::now();
        let Some(Waiting { news, until, .. }) = &mut self.waiting else {
            let held = rules.hold.enter(rules.most_held).ok_or(Ending::HoldFull)?;
            let news = any.state.news().listen();
            self.waiting = Some(Waiting { _held: held, until: now + rules.hold_for, news });
            // What came before somebody listened was not heard.
            return Ok(());
        };
        if now >= *until {
            return Err(Ending::HoldTimeout);
        }
        // Servers that nobody holds for down may take a connection at any time.
        let again = if has_failed { (*until).min(now + TRY_AGAIN) } else { *until };
        let mut told = pin!(timeout_at(again, news.changed()));
        let gone = poll_fn(|cx| match told.as_mut().poll(cx) {
            Poll::Ready(_) => Poll::Ready(false),
            Poll::Pending => client.poll_failed(cx).map(|()| true),
        });
        if gone.await { Err(Ending::ClientGone) } else { Ok(()) }
    }
}

/// A new connection to this server; none where the client has left meanwhile: who has left waits in no
/// queue.
async fn dial<'s>(
    session: &Session,
    client: &mut Stream,
    upstream: &'s Upstream,
    server: &'s Arc<Server>,
) -> Result<Lease<'s>, Option<LeaseFault>> {
    let local = &session.worker.local;
    let addresses = Some(session.addresses());
    let mut lease = pin!(upstream.lease(server, &local.pools, local.thread, local.now.get(), true, addresses));
    poll_fn(|cx| match lease.as_mut().poll(cx) {
        Poll::Ready(lease) => Poll::Ready(lease.map_err(Some)),
        Poll::Pending => client.poll_failed(cx).map(|()| Err(None)),
    })
    .await
}

fn ending(fault: &LeaseFault) -> Ending {
    match fault {
        LeaseFault::Gate(GateError::Full) => Ending::QueueFull,
        LeaseFault::Gate(GateError::TimedOut) => Ending::QueueTimeout,
        LeaseFault::Dial(DialFault::TimedOut) => Ending::ConnectTimeout,
        LeaseFault::Dial(_) => Ending::ConnectFailed,
        LeaseFault::NoAddress => Ending::NoServer,
    }
}
