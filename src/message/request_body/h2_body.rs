//! The body of a request on an HTTP/2 stream.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;

use super::RequestBodyFault;
use crate::codec::h1;
use crate::head::{Fields, Known, ResponseHead};
use crate::net::{Deadline, Pace, Piece, coarse_now};

/// The body of a request on an HTTP/2 stream, and the way to answer it.
#[derive(Debug)]
pub struct H2Body {
    /// Where the answer goes.
    pub respond: h2::server::SendResponse<Piece>,
    body: h2::RecvStream,
    chunk: Bytes,
    over: bool,
    declared: Option<u64>,
    received: u64,
    limit: u64,
    pace: Pace,
    /// Made when the client is first waited for: most requests have come whole.
    deadline: Option<Deadline>,
    trailers: Fields,
    owes_continue: bool,
    /// Whether what comes belongs to a tunnel that is not open yet.
    held: bool,
}

impl H2Body {
    /// The body of a request whose head was read. `declared` is its content-length.
    #[must_use]
    pub fn new(
        body: h2::RecvStream,
        respond: h2::server::SendResponse<Piece>,
        declared: Option<u64>,
        expects_continue: bool,
        limit: u64,
        pace: Pace,
    ) -> Self {
        let over = body.is_end_stream();
        Self {
            respond,
            body,
            chunk: Bytes::new(),
            over,
            declared: if over { Some(0) } else { declared },
            received: 0,
            limit,
            pace,
            deadline: None,
            trailers: Fields::default(),
            owes_continue: expects_continue && !over,
            held: false,
        }
    }

    /// Holds back what comes until [`open_tunnel`](Self::open_tunnel): a request for a WebSocket has
    /// no body.
    pub fn hold(&mut self) {
        self.held = true;
        self.declared = Some(0);
    }

    /// From now on what comes is a tunnel's, of any length and in its own time.
    pub fn open_tunnel(&mut self) {
        self.held = false;
        self.limit = u64::MAX;
        self.pace = Pace::new(Duration::MAX, 0);
    }

    pub(super) fn data(&self) -> &[u8] {
        &self.chunk
    }

    pub(super) fn is_over(&self) -> bool {
        self.held || self.over && self.chunk.is_empty()
    }

    pub(super) fn narrow(&mut self, limit: u64) {
        self.limit = self.limit.min(limit);
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    pub(super) fn received(&self) -> u64 {
        self.received
    }

    pub(super) fn declared_length(&self) -> Option<u64> {
        self.declared
    }

    pub(super) fn trailers(&mut self) -> Fields {
        std::mem::take(&mut self.trailers)
    }

    pub(super) fn waits_for_continue(&self) -> bool {
        self.owes_continue
    }

    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.respond.poll_reset(cx).map(drop)
    }

    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, RequestBodyFault>> {
        while self.chunk.is_empty() {
            if self.over || self.held {
                return Poll::Ready(Ok(false));
            }
            if std::mem::take(&mut self.owes_continue) {
                self.send_interim(&ResponseHead::new(100));
            }
            match self.body.poll_data(cx) {
                Poll::Ready(Some(Ok(chunk))) => {
                    self.pace.moved(coarse_now(), chunk.len() as u64);
                    if self.received + chunk.len() as u64 > self.limit {
                        return Poll::Ready(Err(RequestBodyFault::TooLarge { limit: self.limit }));
                    }
                    self.chunk = chunk;
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(RequestBodyFault::Stream(error))),
                Poll::Ready(None) => {
                    match ready!(self.body.poll_trailers(cx)) {
                        Ok(Some(trailers)) => self.keep_trailers(&trailers),
                        Ok(None) => {}
                        Err(error) => return Poll::Ready(Err(RequestBodyFault::Stream(error))),
                    }
                    self.over = true;
                }
                Poll::Pending => {
                    let deadline = self.deadline.get_or_insert_default();
                    if let Some(patience) = self.pace.wait(coarse_now()) {
                        deadline.set(patience);
                    }
                    return deadline.poll(cx).map(|()| Err(RequestBodyFault::TimedOut));
                }
            }
        }
        Poll::Ready(Ok(true))
    }

    pub(super) fn consume(&mut self, n: usize) {
        let n = n.min(self.chunk.len());
        bytes::Buf::advance(&mut self.chunk, n);
        self.received += n as u64;
        // The client's window opens only as far as the upstream has taken: a slow server holds the
        // client back and not our memory. An error means that the stream is gone, which the next
        // poll tells.
        let _ = self.body.flow_control().release_capacity(n);
    }

    fn keep_trailers(&mut self, trailers: &http::HeaderMap) {
        for (name, value) in trailers {
            let known = Known::of(name.as_str().as_bytes());
            if h1::may_trail(known, name.as_str().as_bytes()) {
                self.trailers.push_known(known, name.as_str().as_bytes(), value.as_bytes());
            }
        }
    }

    pub(super) fn send_interim(&mut self, head: &ResponseHead) {
        let Ok(status) = http::StatusCode::from_u16(head.status) else { return };
        let mut response = http::Response::new(());
        *response.status_mut() = status;
        for field in head.fields.iter() {
            let name = http::HeaderName::from_bytes(field.name);
            let value = http::HeaderValue::from_bytes(field.value);
            if let (Ok(name), Ok(value)) = (name, value) {
                response.headers_mut().append(name, value);
            }
        }
        // A stream that the client has reset needs no hint any more.
        let _ = self.respond.send_informational(response);
    }
}
