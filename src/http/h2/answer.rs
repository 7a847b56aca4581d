//! Writes an answer to an HTTP/2 stream.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use crate::handler::{Body, Response};
use crate::head::{Fields, Method, RequestHead, ResponseHead};
use crate::http::fields::each_field;
use crate::http::sent::{SendFault, Sent};
use crate::message::{Exchange, H2Body, RequestBody};
use crate::net::{Deadline, Pace, coarse_now};
use crate::snapshot::Listener;

/// Sends the answer; the request's body goes on to the upstream meanwhile.
pub(super) async fn send(
    stream: &mut H2Body,
    response: &mut Response<'_>,
    request: &RequestHead,
    listener: &Listener,
    exchange: &Exchange<'_>,
) -> Sent {
    let head = head(response, request, listener, exchange);
    let ends = request.method == Method::Head || response.body.is_empty() || response.head.status == 304;
    let Ok(out) = stream.respond.send_response(head, ends) else {
        return Sent { bytes: 0, fault: Some(SendFault::Client) };
    };
    if ends {
        return Sent::default();
    }
    let mut sending = Sending { out, bytes: 0, pace: listener.send_pace(), deadline: Deadline::default() };
    let result = poll_fn(|cx| {
        if response.body.is_uploading() {
            response.body.poll_upload(cx, &mut RequestBody::H2(stream));
        }
        let sent = sending.poll(cx, &mut response.body);
        if sent.is_pending() && sending.pace.is_waiting() {
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
        let of_handshake = [&b"upgrade"[..], b"sec-websocket-accept"];
        if !of_handshake.iter().any(|name| field.name.eq_ignore_ascii_case(name)) {
            push(opened.headers_mut(), field.name, field.value);
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
    headers.reserve(response.head.fields.len() + 4);
    each_field(&response.head, listener, exchange, |field| push(headers, field.name, field.value));
    let length = match (response.head.status, &response.body) {
        (100..=199 | 204, _) => None,
        (304, body) => body.length(),
        (_, Body::Empty(None)) if request.method != Method::Head => Some(0),
        (_, body) => body.length(),
    };
    if let Some(length) = length {
        headers.insert(http::header::CONTENT_LENGTH, length.into());
    }
    head
}

fn push(headers: &mut http::HeaderMap, name: &[u8], value: &[u8]) {
    let name = http::HeaderName::from_bytes(name);
    let value = http::HeaderValue::from_bytes(value);
    if let (Ok(name), Ok(value)) = (name, value) {
        headers.append(name, value);
    }
}

struct Sending {
    out: h2::SendStream<Bytes>,
    bytes: u64,
    /// Waits while the client takes nothing.
    pace: Pace,
    deadline: Deadline,
}

impl Sending {
    fn poll(&mut self, cx: &mut Context<'_>, body: &mut Body<'_>) -> Poll<Result<(), SendFault>> {
        loop {
            match body.poll_fill(cx) {
                Poll::Ready(Ok(true)) => ready!(self.poll_data(cx, body))?,
                Poll::Ready(Ok(false)) => return Poll::Ready(self.end(&body.trailers())),
                Poll::Ready(Err(fault)) => return Poll::Ready(Err(SendFault::Body(fault))),
                Poll::Pending => return self.out.poll_reset(cx).map(|_| Err(SendFault::Client)),
            }
        }
    }

    /// Sends as much of what is at hand as the client's window takes.
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
        let n = granted.min(wanted);
        self.pace.moved(coarse_now(), n as u64);
        let piece = Bytes::copy_from_slice(body.data().get(..n).unwrap_or_default());
        body.consume(n);
        self.bytes += n as u64;
        Poll::Ready(self.out.send_data(piece, false).map_err(|_| SendFault::Client))
    }

    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendFault>> {
        if let Some(patience) = self.pace.wait(coarse_now()) {
            self.deadline.set(patience);
        }
        self.deadline.poll(cx).map(|()| Err(SendFault::TimedOut))
    }

    fn end(&mut self, trailers: &Fields) -> Result<(), SendFault> {
        let ended = if trailers.is_empty() {
            self.out.send_data(Bytes::new(), true)
        } else {
            let mut headers = http::HeaderMap::new();
            trailers.iter().for_each(|field| push(&mut headers, field.name, field.value));
            self.out.send_trailers(headers)
        };
        ended.map_err(|_| SendFault::Client)
    }
}
