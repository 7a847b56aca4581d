//! Writes an answer to an HTTP/2 stream.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use super::Shared;
use super::fields::{push, push_id, push_length};
use crate::handler::{Body, Response};
use crate::head::{Fields, Known, Method, RequestHead, ResponseHead};
use crate::http::fields::each_field;
use crate::http::sent::{SendFault, Sent};
use crate::message::{Exchange, H2Body, RequestBody};
use crate::net::{Deadline, Pace, Piece, coarse_now};
use crate::snapshot::Listener;

/// Sends the answer; the request's body goes on to the upstream meanwhile.
pub(super) async fn send(
    stream: &mut H2Body,
    response: &mut Response<'_>,
    request: &RequestHead,
    listener: &Listener,
    exchange: &Exchange<'_>,
    shared: &Shared,
) -> Sent {
    let head = head(response, request, listener, exchange);
    let ends = request.method == Method::Head || response.body.is_empty() || response.head.status == 304;
    let Ok(out) = stream.respond.send_response(head, ends) else {
        return Sent { bytes: 0, fault: Some(SendFault::Client) };
    };
    if ends {
        return Sent::default();
    }
    let mut sending = Sending { out, shared, held: None, bytes: 0, pace: listener.send_pace(), deadline: None };
    let result = poll_fn(|cx| {
        if response.body.is_uploading() {
            response.body.poll_upload(cx, &mut RequestBody::H2(stream));
        }
        let sent = sending.poll(cx, &mut response.body);
        if sent.is_pending() && sending.pace.is_waiting() && shared.has_few_streams() {
            response.body.poll_ahead(cx);
        }
        sent
    })
    .await;
    match &result {
        // A client that still sends is told to stop when the stream is dropped (RFC 9113 §8.1): a
        // reset from here would overtake the answer and throw away what has not gone out.
        Ok(()) | Err(SendFault::Client) => {}
        // RFC 9113 §8.1: a broken answer must not look like a whole one.
        Err(SendFault::Body(_)) => sending.out.send_reset(h2::Reason::INTERNAL_ERROR),
        Err(SendFault::TimedOut) => sending.out.send_reset(h2::Reason::CANCEL),
    }
    Sent { bytes: sending.bytes, fault: result.err() }
}

/// The head before a tunnel (RFC 8441 §5): 101 of HTTP/1.1 is 200 here, and what only its handshake
/// knew stays behind.
pub(super) fn tunnel_head(head: &ResponseHead, listener: &Listener, exchange: &Exchange<'_>) -> http::Response<()> {
    let mut opened = http::Response::new(());
    each_field(head, listener, exchange, |field| {
        if field.known != Known::Upgrade && !field.name.eq_ignore_ascii_case(b"sec-websocket-accept") {
            push(opened.headers_mut(), field);
        }
    });
    opened
}

fn head(
    response: &Response<'_>,
    request: &RequestHead,
    listener: &Listener,
    exchange: &Exchange<'_>,
) -> http::Response<()> {
    let mut head = http::Response::new(());
    // A status of three digits is always one.
    *head.status_mut() = http::StatusCode::from_u16(response.head.status).unwrap_or(http::StatusCode::BAD_GATEWAY);
    let headers = head.headers_mut();
    // The map's size goes up in powers of two: what is not needed is not asked for.
    let dated = response.head.fields.first(Known::Date).is_some();
    headers.reserve(response.head.fields.len() + 3 - usize::from(dated));
    let id_field = listener.request_id_field.as_deref().unwrap_or_default();
    each_field(&response.head, listener, exchange, |field| {
        if field.name.eq_ignore_ascii_case(id_field) { push_id(headers, field) } else { push(headers, field) }
    });
    let length = match (response.head.status, &response.body) {
        (100..=199 | 204, _) => None,
        (304, body) => body.length(),
        (_, Body::Empty(None)) if request.method != Method::Head => Some(0),
        (_, body) => body.length(),
    };
    if let Some(length) = length {
        push_length(headers, length);
    }
    head
}

struct Sending<'c> {
    out: h2::SendStream<Piece>,
    shared: &'c Shared,
    /// The last piece, for which the window has room. It goes out when it is known whether it ends
    /// the stream, so that the end costs no frame of its own.
    held: Option<Piece>,
    bytes: u64,
    /// Waits while the client takes nothing.
    pace: Pace,
    deadline: Option<Deadline>,
}

impl Sending<'_> {
    fn poll(&mut self, cx: &mut Context<'_>, body: &mut Body<'_>) -> Poll<Result<(), SendFault>> {
        loop {
            body.allow_large(self.shared.has_few_streams());
            let filled = body.poll_fill(cx);
            if let Poll::Ready(Ok(false)) = filled {
                return Poll::Ready(self.end(&body.trailers()));
            }
            self.send_held(false)?;
            match filled {
                Poll::Ready(Ok(_)) => ready!(self.poll_data(cx, body))?,
                Poll::Ready(Err(fault)) => return Poll::Ready(Err(SendFault::Body(fault))),
                Poll::Pending => return self.out.poll_reset(cx).map(|_| Err(SendFault::Client)),
            }
        }
    }

    /// Takes as much of what is at hand as the client's window has room for.
    fn poll_data(&mut self, cx: &mut Context<'_>, body: &mut Body<'_>) -> Poll<Result<(), SendFault>> {
        let wanted = body.data().len();
        self.out.reserve_capacity(wanted);
        let granted = match self.out.capacity() {
            0 => match self.out.poll_capacity(cx) {
                Poll::Ready(Some(Ok(granted))) => granted,
                Poll::Ready(_) => return Poll::Ready(Err(SendFault::Client)),
                Poll::Pending => return self.poll_patience(cx),
            },
            granted => granted,
        };
        let Poll::Ready(room) = self.shared.unsent.poll_room(cx) else { return self.poll_patience(cx) };
        let n = granted.min(wanted).min(room);
        self.pace.moved(coarse_now(), n as u64);
        self.held = Some(Piece::copy_of(body.data().get(..n).unwrap_or_default(), &self.shared.unsent));
        body.consume(n);
        self.bytes += n as u64;
        Poll::Ready(Ok(()))
    }

    fn send_held(&mut self, ends: bool) -> Result<(), SendFault> {
        match self.held.take() {
            None if !ends => Ok(()),
            piece => self.out.send_data(piece.unwrap_or_default(), ends).map_err(|_| SendFault::Client),
        }
    }

    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendFault>> {
        let deadline = self.deadline.get_or_insert_default();
        if let Some(patience) = self.pace.wait(coarse_now()) {
            deadline.set(patience);
        }
        deadline.poll(cx).map(|()| Err(SendFault::TimedOut))
    }

    fn end(&mut self, trailers: &Fields) -> Result<(), SendFault> {
        if trailers.is_empty() {
            return self.send_held(true);
        }
        self.send_held(false)?;
        let mut headers = http::HeaderMap::new();
        trailers.iter().for_each(|field| push(&mut headers, field));
        self.out.send_trailers(headers).map_err(|_| SendFault::Client)
    }
}
