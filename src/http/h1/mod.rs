//! HTTP/1.x with a client: one task drives both sides of each exchange, full duplex.
//!
//! ```text
//!           ┌──────────── keep ────────────┐
//!           ▼                              │
//!   idle ──► head ──► answer ──► send ─────┤
//!    │        │                    │       └─ close ─► linger ─► end
//!    └ end    └ refuse ─► send ────┴─ tunnel ─► end
//! ```
//!
//! What always holds: an idle connection holds no buffer; after any fault in the framing of a
//! request the connection is closed; a broken answer never looks like a whole one.

mod answer;
mod head;
mod linger;

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::sent::Sent;
use super::{Accepted, tunnel};
use crate::codec::h1::{Request, RequestFault, RequestReader};
use crate::handler::Body;
use crate::head::RequestHead;
use crate::message::{Exchange, H1Body, Peer, RequestBody, Upgrade};
use crate::net::{Client, Tag};
use crate::serve::{self, Ended, Inquiry, Matched, Refusal, Underway, Worker};
use crate::snapshot::{Listener, ListenerId, Place, Snapshot};
use crate::telemetry::Phase;
use answer::Answer;
use head::{Next, Rest};
use linger::linger;

/// A client's connection: what it holds while it rests. Little, as many thousands may rest.
pub struct Connection {
    worker: Rc<Worker>,
    listener: ListenerId,
    client: Client,
    body: H1Body,
    _place: Place,
}

impl Connection {
    /// One on which nothing was read yet.
    #[must_use]
    pub fn new(accepted: Accepted) -> Self {
        let Accepted { worker, listener, stream, client, place } = accepted;
        Self { worker, listener, client, body: H1Body::new(stream), _place: place }
    }

    /// Serves the client until the connection ends.
    pub async fn serve(&mut self) {
        let mut rested = Duration::ZERO;
        let mut unused = true;
        loop {
            let patience = {
                let snapshot = self.worker.snapshot();
                let Some(listener) = snapshot.listener(self.listener) else { return };
                self.worker.rest(listener.timeouts.idle).saturating_sub(rested)
            };
            match head::rest(&mut self.body, patience, Tag(self.listener.0), unused).await {
                Rest::Over => {}
                Rest::TimedOut => return self.count_idle(),
                Rest::Closed => return,
            }
            unused = false;
            // An exchange takes many times what a connection at rest does.
            match Box::pin(self.exchanges(&mut rested)).await {
                End::Keep => {}
                End::Linger => return Box::pin(linger(&mut self.body)).await,
                End::Quiet => return,
            }
        }
    }

    /// Exchanges until the connection ends or comes to rest; `rested` for how long it has already.
    async fn exchanges(&mut self, rested: &mut Duration) -> End {
        let Self { worker, listener: id, client, body: connection, .. } = self;
        let at_hand = AtHand::begin();
        let mut reader = RequestReader::default();
        let mut peer: Option<(u64, Peer)> = None;
        let mut in_a_row = 0;
        loop {
            let (limits, idle, patience) = {
                let snapshot = worker.snapshot();
                let Some(listener) = snapshot.listener(*id) else { return End::Quiet };
                (listener.head_limits, worker.rest(listener.timeouts.idle), listener.timeouts.head)
            };
            if connection.input.is_empty() {
                *rested = at_hand.patience();
                if rested.is_zero() {
                    return End::Keep;
                }
                match head::rest(connection, idle.min(*rested), Tag(id.0), false).await {
                    Rest::Over => {}
                    Rest::TimedOut => return End::Keep,
                    Rest::Closed => return End::Quiet,
                }
            }
            let next = head::next(connection, &mut reader, limits, patience).await;
            // The snapshot is held for one exchange and not while the connection rests.
            let snapshot = worker.snapshot();
            let Some(listener) = snapshot.listener(*id) else { return End::Quiet };
            let peer = match &mut peer {
                Some((generation, peer)) if *generation == snapshot.generation => &*peer,
                stale => &stale.insert((snapshot.generation, Peer::new(client.peer.ip(), &listener.trusted_proxies))).1,
            };
            if let Next::TimedOut = next {
                reader.clear();
            }
            let head = reader.head();
            let exchange = Exchange::new(worker.local.thread, client, peer, Instant::now());
            let end = if let Next::Closed = next {
                End::Quiet
            } else {
                let underway = Underway::new(worker, listener, exchange, head);
                let mut turn = Turn { worker, snapshot: &snapshot, listener, connection, underway };
                match next {
                    Next::Request(request) => turn.exchange(head, request).await,
                    Next::Refused(fault) => turn.refuse(head, fault).await,
                    Next::TimedOut | Next::Closed => turn.time_out(head).await,
                }
            };
            let cells = listener.cells(worker.local.thread);
            let (bytes_in, bytes_out) = std::mem::take(&mut connection.moved);
            cells.bytes_in.add(bytes_in);
            cells.bytes_out.add(bytes_out);
            match end {
                End::Keep if connection.input.is_empty() => in_a_row = 0,
                End::Keep => in_a_row += 1,
                End::Linger | End::Quiet => return end,
            }
            if in_a_row == PIPELINED {
                in_a_row = 0;
                tokio::task::yield_now().await;
            }
        }
    }

    fn count_idle(&self) {
        if let Some(listener) = self.worker.snapshot().listener(self.listener) {
            listener.cells(self.worker.local.thread).timed_out(Phase::Idle);
        }
    }
}

/// What an exchange needs is kept for the next one, for as long as a client at work pauses, by this
/// many connections of a thread; others give it away as soon as they rest.
struct AtHand;

impl AtHand {
    const MOST: usize = 256;
    const PATIENCE: Duration = Duration::from_secs(1);

    fn begin() -> Self {
        AT_HAND.set(AT_HAND.get() + 1);
        Self
    }

    fn patience(&self) -> Duration {
        if AT_HAND.get() > Self::MOST { Duration::ZERO } else { Self::PATIENCE }
    }
}

impl Drop for AtHand {
    fn drop(&mut self) {
        AT_HAND.set(AT_HAND.get() - 1);
    }
}

thread_local! {
    static AT_HAND: Cell<usize> = const { Cell::new(0) };
}

/// Pipelined requests that are answered before others have a turn.
const PIPELINED: u32 = 16;

/// What becomes of a connection after an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The next request.
    Keep,
    /// It closes, in a way that lets the client read the answer to its end.
    Linger,
    /// It is over.
    Quiet,
}

/// One exchange on a connection.
struct Turn<'t, 's> {
    worker: &'s Worker,
    snapshot: &'s Snapshot,
    listener: &'s Listener,
    connection: &'t mut H1Body,
    underway: Underway<'t, 's>,
}

impl Turn<'_, '_> {
    async fn exchange(&mut self, head: &RequestHead, request: Request) -> End {
        self.connection.begin(&request, head.version, self.listener.body_limit, self.listener.body_pace());
        let upgrade = if request.upgrade { Upgrade::Field } else { Upgrade::No };
        let inquiry = Inquiry { head, upgrade };
        let Self { worker, snapshot, listener, connection, underway } = &mut *self;
        let mut body = RequestBody::H1(connection);
        let mut response = serve::answer(worker, snapshot, listener, &mut underway.exchange, inquiry, &mut body).await;
        let connection = &mut *self.connection;

        if let Body::Tunnel(lease) = response.body {
            let start = answer::tunnel_head(&response.head, self.listener, &self.underway.exchange);
            if let Some((_, cells)) = self.underway.exchange.site {
                cells.upgrades.add(1);
            }
            // A tunnel may rest for hours: it is bounded as the connection that it is.
            self.underway.exchange.in_flight = None;
            self.underway.status = response.head.status;
            let moved = tunnel::run(connection, *lease, start, self.listener.timeouts.tunnel).await;
            if moved.timed_out {
                self.listener.cells(self.worker.local.thread).timed_out(Phase::Tunnel);
            }
            let (bytes_in, bytes_out) = (moved.up, moved.down);
            let ended = Ended { status: response.head.status, bytes_in, bytes_out, ..Ended::default() };
            self.underway.finish(&ended);
            return End::Quiet;
        }
        // What has come already of a body that nobody wanted is passed over; for more the
        // connection is not kept.
        let unread = !response.body.is_uploading() && !drained(&mut RequestBody::H1(connection)).await;
        // A request that we cannot understand may mean something else to whoever sent it.
        let misread = self.underway.exchange.refusal.is_some() && response.head.status == 400;
        let keep = request.persistent && !unread && !misread && !self.worker.is_leaving(self.listener.id);
        let answer = Answer::new(&response, head, keep);
        let keep = answer.keeps();
        let out = answer.head(&response, self.listener, &self.underway.exchange);
        self.underway.status = response.head.status;
        let sent = answer.send(connection, &mut response.body, out, self.listener.send_pace()).await;
        let ended = sent.ended(response.head.status, RequestBody::H1(connection).received());
        self.underway.finish(&ended);
        self.worker.local.keep_head(response.head);
        drop(response.body);
        let keep = keep && sent.fault.is_none() && outlasted(&mut RequestBody::H1(connection)).await;
        end_of(&sent, keep)
    }

    /// Answers a head that cannot be understood, and closes: where the next request would begin
    /// nobody knows.
    async fn refuse(&mut self, head: &RequestHead, fault: RequestFault) -> End {
        self.listener.cells(self.worker.local.thread).refused_heads.count(fault.name());
        self.connection.begin_nothing();
        self.send_refusal(head, &Refusal::Head(fault)).await
    }

    async fn time_out(&mut self, head: &RequestHead) -> End {
        self.listener.cells(self.worker.local.thread).timed_out(Phase::Head);
        self.connection.begin_nothing();
        self.send_refusal(head, &Refusal::HeadTimeout).await
    }

    async fn send_refusal(&mut self, head: &RequestHead, refusal: &Refusal) -> End {
        let mut response =
            serve::refuse(self.worker, self.snapshot, Matched::default(), &mut self.underway.exchange, refusal);
        let answer = Answer::new(&response, head, false);
        let out = answer.head(&response, self.listener, &self.underway.exchange);
        self.underway.status = response.head.status;
        let sent = answer.send(self.connection, &mut response.body, out, self.listener.send_pace()).await;
        let ended = Ended { status: response.head.status, bytes_out: sent.bytes, ..Ended::default() };
        self.underway.finish(&ended);
        self.worker.local.keep_head(response.head);
        end_of(&sent, false)
    }
}

fn end_of(sent: &Sent, keep: bool) -> End {
    match sent.fault {
        Some(_) => End::Quiet,
        None if keep => End::Keep,
        None => End::Linger,
    }
}

/// Passes over what has come of the body already; whether that was all of it.
async fn drained(body: &mut RequestBody<'_>) -> bool {
    if body.is_over() || body.waits_for_continue() {
        return body.is_over();
    }
    std::future::poll_fn(|cx| {
        let mut passed = 0;
        while let std::task::Poll::Ready(Ok(true)) = body.poll_fill(cx) {
            let n = body.data().len();
            body.consume(n);
            passed += n;
            if passed > DRAINED {
                break;
            }
        }
        std::task::Poll::Ready(body.is_over())
    })
    .await
}

/// Waits for the end of a body whose answer was over first, where little of it is left: the client
/// was told that the connection is kept. Whether the end came.
async fn outlasted(body: &mut RequestBody<'_>) -> bool {
    if body.is_over() {
        return true;
    }
    let left = body.declared_length().map_or(0, |length| length.saturating_sub(body.received()));
    if body.waits_for_continue() || left > DRAINED as u64 {
        return body.is_over();
    }
    let mut passed = 0;
    std::future::poll_fn(|cx| {
        while passed <= DRAINED && std::task::ready!(body.poll_fill(cx)).unwrap_or(false) {
            let n = body.data().len();
            body.consume(n);
            passed += n;
        }
        std::task::Poll::Ready(body.is_over())
    })
    .await
}

/// Bytes of an unwanted body that are passed over to keep the connection.
const DRAINED: usize = 64 * 1024;
