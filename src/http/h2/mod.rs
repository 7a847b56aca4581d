//! HTTP/2 with a client (RFC 9113), by the `h2` crate: this room translates streams to exchanges
//! and back.
//!
//! Each stream is a task of the thread; the connection's own task reads and writes frames. What
//! always holds: a body goes to the upstream only as fast as the upstream takes it, and to the
//! client only as far as its window reaches; in between lies one buffer a stream.

mod answer;
mod metered;

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;

use super::Accepted;
use crate::codec::h2 as request;
use crate::head::{Known, RequestHead};
use crate::message::{Exchange, H2Body, Peer, RequestBody};
use crate::net::{Client, Deadline, Elapsed, Tag};
use crate::serve::{self, Ended, Inquiry, Worker};
use crate::snapshot::{Listener, ListenerId};
use crate::telemetry::{ListenerCells, PerThread, Phase};
use metered::Metered;

/// Bytes that a client may send ahead on one stream; the upstream's pace holds it there.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Bytes that a client may send ahead on all streams of a connection.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Streams that were reset and that the crate still remembers; more end the connection
/// (CVE-2023-44487).
const MOST_RESET: usize = 20;
/// Bytes that wait in the crate for a client's window, for each stream.
const SEND_BUFFER: usize = 256 * 1024;

/// What the streams of a connection share.
struct Shared {
    worker: Rc<Worker>,
    listener: ListenerId,
    cells: Arc<PerThread<ListenerCells>>,
    client: Client,
    open: Cell<u32>,
    /// Bytes that the client's socket took.
    written: Cell<u64>,
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
        client,
        open: Cell::new(0),
        written: Cell::new(0),
        leaving: Cell::new(false),
        patience: listener.timeouts.idle,
        idle: Deadline::default(),
    });
    shared.cells().h2_connections.add(1);
    shared.idle.set(listener.timeouts.head);
    let stream = Metered { stream, shared: Rc::clone(&shared) };
    let mut connection = match shared.idle.within(builder(listener).handshake::<_, Bytes>(stream)).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(_)) => return,
        Err(Elapsed) => return shared.cells().timed_out(Phase::Head),
    };
    drop(snapshot);
    shared.rest();
    let mut written = 0;
    loop {
        let next = poll_fn(|cx| match connection.poll_accept(cx) {
            Poll::Ready(next) => Poll::Ready(Some(next)),
            Poll::Pending => shared.idle.poll(cx).map(|()| None),
        });
        match next.await {
            Some(Some(Ok((request, respond)))) => {
                shared.open.set(shared.open.get() + 1);
                let open = Open(Rc::clone(&shared));
                tokio::task::spawn_local(async move { stream_task(&open.0, request, respond).await });
            }
            // The connection is over; streams still open find that out by themselves.
            Some(Some(Err(_)) | None) => return,
            // A client that was told to go has time as long as it takes what was still to be sent.
            None if shared.leaving.get() && shared.open.get() == 0 && shared.written.get() == written => return,
            None => {}
        }
        let rested = shared.idle.has_fired();
        if rested && shared.open.get() == 0 || shared.worker.is_leaving(id) {
            // RFC 9113 §6.8: the client learns which streams were taken; those are finished.
            connection.graceful_shutdown();
            shared.leaving.set(true);
        }
        if rested {
            written = shared.written.get();
            shared.rest();
        }
    }
}

/// How long a client that was told to go may take nothing and say nothing.
const GOODBYE: Duration = Duration::from_secs(2);

impl Shared {
    fn rest(&self) {
        let patience = if self.leaving.get() { GOODBYE } else { self.worker.rest(self.patience) };
        self.idle.set_idle(patience, Tag(self.listener.0));
    }

    fn cells(&self) -> &ListenerCells {
        self.cells.of(self.worker.local.thread)
    }
}

/// An open stream.
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

fn builder(listener: &Listener) -> h2::server::Builder {
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(listener.stream_limit)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(listener.head_limits.head).unwrap_or(u32::MAX))
        .max_concurrent_reset_streams(MOST_RESET)
        .max_pending_accept_reset_streams(MOST_RESET)
        .max_send_buffer_size(SEND_BUFFER);
    builder
}

async fn stream_task(shared: &Shared, request: http::Request<h2::RecvStream>, mut respond: SendResponse<Bytes>) {
    let worker = &*shared.worker;
    let snapshot = worker.snapshot();
    let Some(listener) = snapshot.listener(shared.listener) else {
        respond.send_reset(h2::Reason::REFUSED_STREAM);
        return;
    };
    let cells = listener.cells(worker.local.thread);
    cells.h2_streams.add(1);
    let peer = Peer::new(shared.client.peer.ip(), &listener.trusted_proxies);
    let (started, time) = now();
    let mut exchange = Exchange::new(worker.local.thread, &shared.client, &peer, started, time);
    let mut head = RequestHead::default();
    let (parts, body) = request.into_parts();
    let understood = request::read(&parts, &listener.head_limits, &mut head);
    let declared = request::declared_length(&head);
    let waits = head.fields.first(Known::Expect).is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"));
    let mut body = H2Body::new(body, respond, declared, waits, listener.body_limit, listener.timeouts.body);
    let mut response = match understood {
        Ok(()) => {
            let inquiry = Inquiry { head: &head, upgrade: false };
            serve::answer(worker, &snapshot, listener, &mut exchange, inquiry, &mut RequestBody::H2(&mut body)).await
        }
        Err(fault) => {
            cells.refused_heads.count(fault.name());
            serve::refuse(worker, &snapshot, None, &mut exchange, &serve::Refusal::Stream(fault))
        }
    };
    let sent = answer::send(&mut body, &mut response, &head, listener, &exchange).await;
    let ended = Ended {
        status: response.head.status,
        bytes_in: RequestBody::H2(&mut body).received(),
        bytes_out: sent.bytes,
        fault: sent.fault.as_ref().map(answer::SendFault::name),
        client_gone: sent.fault.as_ref().is_some_and(answer::SendFault::is_clients),
    };
    if matches!(sent.fault, Some(answer::SendFault::Client)) {
        cells.h2_resets.add(1);
    }
    serve::finish(worker, listener, &exchange, &head, &ended);
    worker.local.keep_head(response.head);
}

fn now() -> (std::time::Instant, std::time::SystemTime) {
    (std::time::Instant::now(), std::time::SystemTime::now())
}
