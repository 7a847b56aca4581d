//! HTTP/2 with a client (RFC 9113), by the `h2` crate: this room translates streams to exchanges
//! and back.
//!
//! Each stream has a task of the thread for its time; the connection's own task reads and writes frames. What
//! always holds: a body goes to the upstream only as fast as the upstream takes it, and to the
//! client only as far as its window reaches; in between lies one buffer a stream.

mod answer;
mod fields;
mod lane;
mod tunnel;
mod wire;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use h2::server::SendResponse;

use super::Accepted;
use crate::codec::h2::{self as request, StreamFault};
use crate::handler::Body;
use crate::head::{Known, RequestHead};
use crate::message::{Exchange, H2Body, Peer, RequestBody, Upgrade};
use crate::net::{Client, Deadline, Elapsed, Gather, Piece, Tag, Unsent};
use crate::serve::{self, Ended, Inquiry, Matched, Underway, Worker};
use crate::snapshot::{Listener, ListenerId};
use crate::telemetry::{ListenerCells, PerThread, Phase};
use wire::Wire;

/// Bytes that a client may send ahead on one stream; the upstream's pace holds it there.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Bytes that a client may send ahead on all streams of a connection.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Streams that were reset and that the crate still remembers; more end the connection
/// (CVE-2023-44487).
const MOST_RESET: usize = 20;
/// Bytes of one stream that wait in the crate for the client; those of all are [`Unsent`].
const SEND_BUFFER: usize = 256 * 1024;
/// Streams of a connection beside which bodies are read in large pieces, and ahead of the client.
const FEW: u32 = 4;

/// What the streams of a connection share.
struct Shared {
    worker: Rc<Worker>,
    listener: ListenerId,
    cells: Arc<PerThread<ListenerCells>>,
    client: Client,
    /// The client as forwarding sees it, and by the snapshot of which generation.
    peer: RefCell<(u64, Rc<Peer>)>,
    open: Cell<u32>,
    /// What the streams have handed over.
    unsent: Unsent,
    /// Whether the client was told to go.
    leaving: Cell<bool>,
    /// How long the connection may rest.
    patience: Duration,
    /// Fires when it has rested too long, or is to end.
    idle: Deadline,
}

/// Serves a client until its connection ends.
pub async fn serve(accepted: Accepted) {
    let Accepted { worker, listener: id, stream, client, place: _place } = accepted;
    let snapshot = worker.snapshot();
    let Some(listener) = snapshot.listener(id) else { return };
    let shared = Rc::new(Shared {
        worker,
        listener: id,
        cells: Arc::clone(&listener.cells),
        peer: RefCell::new((snapshot.generation, Rc::new(Peer::new(client.peer.ip(), &listener.trusted_proxies)))),
        client,
        open: Cell::new(0),
        unsent: Unsent::default(),
        leaving: Cell::new(false),
        patience: listener.timeouts.idle,
        idle: Deadline::default(),
    });
    shared.cells().h2_connections.add(1);
    shared.idle.set(listener.timeouts.head);
    let gather = Gather::new(stream);
    let wire = Wire::new(gather.clone(), Rc::clone(&shared), listener.control_frame_limit);
    // Boxed: the rest of the connection's life must not hold its place.
    let handshake = Box::pin(handshake(listener, &gather, wire.clone()));
    let mut connection = match shared.idle.within(handshake).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(_)) => return,
        Err(Elapsed) => return shared.cells().timed_out(Phase::Head),
    };
    drop(snapshot);
    shared.rest();
    drive(&shared, &mut connection, &gather, &wire).await;
    wire.count_sent();
}

/// Takes streams until the connection ends.
async fn drive(
    shared: &Rc<Shared>,
    connection: &mut h2::server::Connection<Wire, Piece>,
    gather: &Gather,
    wire: &Wire,
) {
    let mut flooded = false;
    let mut taken = 0;
    loop {
        let next = poll_fn(|cx| {
            match connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    shared.open.set(shared.open.get() + 1);
                    shared.idle.keep_place();
                    lane::serve(Stream { open: Open(Rc::clone(shared)), request, respond });
                    return Poll::Ready(Next::Stream);
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Next::Over(Some(error))),
                Poll::Ready(None) => return Poll::Ready(Next::Over(None)),
                Poll::Pending => {}
            }
            if let Some(control) = wire.flood()
                && !flooded
            {
                flooded = true;
                return Poll::Ready(Next::Flood(control.name()));
            }
            if let Poll::Ready(Err(_)) = gather.poll_turn(cx) {
                return Poll::Ready(Next::Over(None));
            }
            shared.idle.poll(cx).map(|()| Next::Rested)
        });
        match next.await {
            // Streams still open find out by themselves.
            Next::Over(error) => {
                if error.is_some_and(|error| is_flood(&error)) {
                    shared.cells().h2_floods.count(BY_THE_CRATE);
                }
                return;
            }
            Next::Flood(kind) => {
                // RFC 9113 §10.5: what is of no use and costs us is ended.
                shared.cells().h2_floods.count(kind);
                connection.abrupt_shutdown(h2::Reason::ENHANCE_YOUR_CALM);
                shared.leaving.set(true);
                shared.rest();
            }
            Next::Rested if flooded => return,
            // A client that was told to go has time as long as it takes what was still to be sent.
            Next::Rested if shared.leaving.get() && shared.open.get() == 0 && gather.taken() == taken => return,
            Next::Stream | Next::Rested => {}
        }
        let rested = shared.idle.has_fired();
        if !flooded && (rested && shared.open.get() == 0 || shared.worker.is_leaving(shared.listener)) {
            // RFC 9113 §6.8: the client learns which streams were taken; those are finished.
            connection.graceful_shutdown();
            shared.leaving.set(true);
        }
        if rested {
            taken = gather.taken();
            shared.rest();
        }
    }
}

/// What a connection's task is woken for.
enum Next {
    /// A request, which has its lane.
    Stream,
    /// The connection is over.
    Over(Option<h2::Error>),
    /// Too many control frames of this kind.
    Flood(&'static str),
    /// Nothing happened for long enough, or the listener is to be left.
    Rested,
}

/// How long a client that was told to go may take nothing and say nothing.
const GOODBYE: Duration = Duration::from_secs(2);

/// The kind of flood that the crate itself sees: resets before we took the stream, DATA that
/// carries next to nothing, CONTINUATION without end.
const BY_THE_CRATE: &str = "streams";

/// Shakes hands. The server's SETTINGS go out without waiting for the client.
async fn handshake(
    listener: &Listener,
    gather: &Gather,
    wire: Wire,
) -> Result<h2::server::Connection<Wire, Piece>, h2::Error> {
    let mut handshake = pin!(builder(listener).handshake::<Wire, Piece>(wire));
    poll_fn(|cx| {
        let shaken = handshake.as_mut().poll(cx);
        if shaken.is_pending() {
            // A fault is met again by whoever reads.
            let _ = gather.poll_send(cx);
        }
        shaken
    })
    .await
}

impl Shared {
    fn rest(&self) {
        let patience = if self.leaving.get() { GOODBYE } else { self.worker.rest(self.patience) };
        self.idle.set_idle(patience, Tag(self.listener.0));
        if self.open.get() > 0 {
            self.idle.keep_place();
        }
    }

    fn peer(&self, generation: u64, listener: &Listener) -> Rc<Peer> {
        let mut known = self.peer.borrow_mut();
        if known.0 != generation {
            *known = (generation, Rc::new(Peer::new(self.client.peer.ip(), &listener.trusted_proxies)));
        }
        Rc::clone(&known.1)
    }

    /// Whether a stream may hold much. Whoever does was let when there were few, so there are never
    /// more of them than that, however many streams follow.
    fn has_few_streams(&self) -> bool {
        self.open.get() <= FEW
    }

    fn cells(&self) -> &ListenerCells {
        self.cells.of(self.worker.local.thread)
    }
}

/// A stream that the client has opened.
struct Stream {
    open: Open,
    request: http::Request<h2::RecvStream>,
    respond: SendResponse<Piece>,
}

/// Counts an open stream.
struct Open(Rc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        let left = self.0.open.get() - 1;
        self.0.open.set(left);
        if left == 0 {
            self.0.rest();
        }
    }
}

/// Whether the crate has ended the connection for a flood that it sees itself.
fn is_flood(error: &h2::Error) -> bool {
    error.is_library() && error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM)
}

fn builder(listener: &Listener) -> h2::server::Builder {
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(listener.stream_limit)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(listener.head_limits.head).unwrap_or(u32::MAX))
        .max_concurrent_reset_streams(MOST_RESET)
        .max_pending_accept_reset_streams(MOST_RESET)
        .max_send_buffer_size(SEND_BUFFER)
        .enable_connect_protocol();
    builder
}

/// Serves the stream that is in `next`; `head` is empty, and its memory that of the stream before.
async fn stream_task(next: &RefCell<Option<Stream>>, head: &mut RequestHead) {
    let Some(Stream { open, request, mut respond }) = next.take() else { return };
    let shared = &*open.0;
    let worker = &*shared.worker;
    let snapshot = worker.snapshot();
    let Some(listener) = snapshot.listener(shared.listener) else {
        respond.send_reset(h2::Reason::REFUSED_STREAM);
        return;
    };
    let cells = listener.cells(worker.local.thread);
    cells.h2_streams.add(1);
    let peer = shared.peer(snapshot.generation, listener);
    let exchange = Exchange::new(worker.local.thread, &shared.client, &peer, Instant::now());
    let (understood, body) = understand(request, listener, head);
    let head = &*head;
    let mut underway = Underway::new(worker, listener, exchange, head);
    let declared = request::declared_length(head);
    let waits = head.fields.first(Known::Expect).is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"));
    let mut body = H2Body::new(body, respond, declared, waits, listener.body_limit, listener.body_pace());
    let mut response = match understood {
        Ok(websocket) => {
            let upgrade = if websocket { Upgrade::WebSocket } else { Upgrade::No };
            if websocket {
                body.hold();
            }
            let inquiry = Inquiry { head, upgrade };
            serve::answer(worker, &snapshot, listener, &mut underway.exchange, inquiry, &mut RequestBody::H2(&mut body))
                .await
        }
        Err(fault) => {
            cells.refused_heads.count(fault.name());
            serve::refuse(worker, &snapshot, Matched::default(), &mut underway.exchange, &serve::Refusal::Stream(fault))
        }
    };
    if let Body::Tunnel(lease) = response.body {
        if let Some((_, cells)) = underway.exchange.site {
            cells.upgrades.add(1);
        }
        underway.status = 200;
        let opened = answer::tunnel_head(&response.head, listener, &underway.exchange);
        let moved = tunnel::run(&mut body, *lease, opened, listener.timeouts.tunnel, &shared.unsent).await;
        if moved.timed_out {
            cells.timed_out(Phase::Tunnel);
        }
        let ended = Ended { status: 200, bytes_in: moved.up, bytes_out: moved.down, ..Ended::default() };
        underway.finish(&ended);
        return;
    }
    underway.status = response.head.status;
    let sent = answer::send(&mut body, &mut response, head, listener, &underway.exchange, shared).await;
    let ended = sent.ended(response.head.status, RequestBody::H2(&mut body).received());
    if ended.client_gone {
        cells.h2_resets.add(1);
    }
    underway.finish(&ended);
    worker.local.keep_head(response.head);
    drop(response.body);
    if sent.fault.is_none() && !RequestBody::H2(&mut body).is_over() {
        linger(&mut RequestBody::H2(&mut body)).await;
    }
}

/// Reads what is asked. Apart, so that the crate's form of it has no place in the exchange's state.
fn understand(
    request: http::Request<h2::RecvStream>,
    listener: &Listener,
    head: &mut RequestHead,
) -> (Result<bool, StreamFault>, h2::RecvStream) {
    let (parts, body) = request.into_parts();
    (request::read(&parts, &listener.head_limits, head), body)
}

/// Gives a client that still sends the time to see its answer: dropped, the stream tells it to stop
/// (RFC 9113 §8.1), and a client that is told in the middle of a write may forget to read.
async fn linger(body: &mut RequestBody<'_>) {
    let deadline = Deadline::default();
    deadline.set(GOODBYE);
    let mut passed = 0;
    let over = poll_fn(|cx| {
        while passed < MOST_PASSED && ready!(body.poll_fill(cx)).unwrap_or(false) {
            let n = body.data().len();
            body.consume(n);
            passed += n;
        }
        Poll::Ready(())
    });
    // Late or over, there is nothing more to be said.
    let _ = deadline.within(over).await;
}

/// Bytes of a body that nobody wants any more which a client may still send.
const MOST_PASSED: usize = 1024 * 1024;
