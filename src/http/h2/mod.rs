//! HTTP/2 with a client (RFC 9113), by the `h2` crate: this room translates streams to exchanges
//! and back.
//!
//! Each stream is a task of the thread; the connection's own task reads and writes frames. What
//! always holds: a body goes to the upstream only as fast as the upstream takes it, and to the
//! client only as far as its window reaches; in between lies one buffer a stream.

mod answer;

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;

use super::Accepted;
use crate::codec::h2 as request;
use crate::head::{Known, RequestHead};
use crate::message::{Exchange, H2Body, Peer, RequestBody};
use crate::net::{Client, Deadline, Stream, Tag};
use crate::serve::{self, Ended, Inquiry, Worker};
use crate::snapshot::{Listener, ListenerId};
use crate::telemetry::Phase;

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
    client: Client,
    open: Cell<u32>,
    /// Fires when the connection has rested too long, or is to end.
    idle: Deadline,
}

/// Serves a client until its connection ends.
pub async fn serve(accepted: Accepted) {
    let Accepted { worker, listener: id, stream, client, place: _place } = accepted;
    let shared = Rc::new(Shared { worker, listener: id, client, open: Cell::new(0), idle: Deadline::default() });
    let snapshot = shared.worker.snapshot();
    let Some(listener) = snapshot.listener(id) else { return };
    let thread = shared.worker.local.thread;
    listener.cells(thread).h2_connections.add(1);
    shared.idle.set(listener.timeouts.head);
    let Ok(Ok(mut connection)) = shared.idle.within(builder(listener).handshake::<Stream, Bytes>(stream)).await else {
        listener.cells(thread).timed_out(Phase::Head);
        return;
    };
    let idle = listener.timeouts.idle;
    shared.rest(idle);
    drop(snapshot);
    let mut leaving = false;
    loop {
        let next = poll_fn(|cx| match connection.poll_accept(cx) {
            Poll::Ready(next) => Poll::Ready(Some(next)),
            Poll::Pending => shared.idle.poll(cx).map(|()| None),
        });
        match next.await {
            Some(Some(Ok((request, respond)))) => {
                shared.open.set(shared.open.get() + 1);
                let guard = Open(Rc::clone(&shared), idle);
                tokio::task::spawn_local(async move { stream_task(&guard.0, request, respond).await });
            }
            // The connection is over; streams still open find that out by themselves.
            Some(Some(Err(_)) | None) => return,
            None if leaving => return,
            None => {
                let to_leave = shared.worker.is_leaving(id);
                if to_leave || shared.open.get() == 0 {
                    // RFC 9113 §6.8: the client learns which streams were taken; those are finished.
                    connection.graceful_shutdown();
                    leaving = shared.open.get() == 0 && !to_leave;
                }
                shared.rest(if leaving { GOODBYE } else { idle });
            }
        }
    }
}

/// How long a client that was told to go may take.
const GOODBYE: Duration = Duration::from_secs(2);

impl Shared {
    fn rest(&self, patience: Duration) {
        self.idle.set_idle(patience, Tag(self.listener.0));
    }
}

/// An open stream.
struct Open(Rc<Shared>, Duration);

impl Drop for Open {
    fn drop(&mut self) {
        let left = self.0.open.get() - 1;
        self.0.open.set(left);
        if left == 0 {
            self.0.rest(self.1);
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
    if ended.client_gone {
        cells.h2_resets.add(1);
    }
    serve::finish(worker, listener, &exchange, &head, &ended);
    worker.local.keep_head(response.head);
    drop(response.body);
    if sent.fault.is_none() {
        linger(&mut RequestBody::H2(&mut body)).await;
    }
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

fn now() -> (std::time::Instant, std::time::SystemTime) {
    (std::time::Instant::now(), std::time::SystemTime::now())
}
