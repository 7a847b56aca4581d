//! The client's side of an exchange, as handlers see it: a body that comes in while the answer is
//! being made, and a way to say something before the answer (1xx).
//!
//! Reading is like `BufRead`: `poll_fill` until there is something, look at `data`, `consume` what
//! was used. Nothing is copied for HTTP/1.1: `data` lies in the connection's input buffer. Handlers
//! see payload alone; framing stays here.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;

use super::hop_by_hop::TooManyTokens;
use crate::codec::h1::{self, BodyDecoder, BodyFault, Framing};
use crate::head::{Fields, Known, ResponseHead};
use crate::net::{Buffer, Deadline, Scratch, Stream};

/// Why a request body did not come whole. All of them are the client's doing.
#[derive(Debug, thiserror::Error)]
pub enum RequestBodyFault {
    /// The client broke the framing of its body.
    #[error("request body is malformed")]
    Framing(#[from] BodyFault),
    /// The client's connection failed or ended inside the body.
    #[error("client went away inside its request body")]
    Gone(#[source] io::Error),
    /// The client's HTTP/2 stream ended inside the body.
    #[error("client ended its stream inside its request body")]
    Stream(#[source] h2::Error),
    /// More came than the route allows.
    #[error("request body is larger than {limit} bytes")]
    TooLarge {
        /// `limits.body` of the route or its listener.
        limit: u64,
    },
    /// `timeouts.body` passed without a byte.
    #[error("request body did not go on in time")]
    TimedOut,
    /// The head's `Connection` field cannot be followed.
    #[error(transparent)]
    Connection(#[from] TooManyTokens),
}

impl RequestBodyFault {
    /// Its name in logs and as a label.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Framing(_) => "request_body_malformed",
            Self::Gone(_) | Self::Stream(_) => "client_gone",
            Self::TooLarge { .. } => "body_too_large",
            Self::TimedOut => "request_body_timeout",
            Self::Connection(_) => "connection_tokens",
        }
    }

    /// The status that the client is answered with, where it still listens.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Framing(_) | Self::Gone(_) | Self::Stream(_) | Self::Connection(_) => 400,
            Self::TooLarge { .. } => 413,
            Self::TimedOut => 408,
        }
    }
}

/// The body of one request, whatever protocol carries it.
#[derive(Debug)]
pub enum RequestBody<'c> {
    /// On an HTTP/1.x connection.
    H1(&'c mut H1Body),
    /// On an HTTP/2 stream.
    H2(&'c mut H2Body),
}

impl RequestBody<'_> {
    /// Ready with true when `data` holds something, with false when the body is over.
    ///
    /// # Errors
    /// [`RequestBodyFault`]; the body is then lost.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, RequestBodyFault>> {
        match self {
            Self::H1(body) => body.poll_fill(cx),
            Self::H2(body) => body.poll_fill(cx),
        }
    }

    /// Payload that is at hand.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        match self {
            Self::H1(body) => body.data(),
            Self::H2(body) => &body.chunk,
        }
    }

    /// Forgets the first `n` bytes of `data`.
    pub fn consume(&mut self, n: usize) {
        match self {
            Self::H1(body) => body.consume(n),
            Self::H2(body) => body.consume(n),
        }
    }

    /// Whether the body is known to be over: there is none, or all of it was used.
    #[must_use]
    pub fn is_over(&self) -> bool {
        match self {
            Self::H1(body) => body.decoder.finished(),
            Self::H2(body) => body.over && body.chunk.is_empty(),
        }
    }

    /// Lets at most `limit` bytes in from here on, where that is less than before.
    pub fn narrow(&mut self, limit: u64) {
        match self {
            Self::H1(body) => body.limit = body.limit.min(limit),
            Self::H2(body) => body.limit = body.limit.min(limit),
        }
    }

    /// Bytes that may come in all.
    #[must_use]
    pub fn limit(&self) -> u64 {
        match self {
            Self::H1(body) => body.limit,
            Self::H2(body) => body.limit,
        }
    }

    /// How long the body is, where the client said so; 0 where there is none.
    #[must_use]
    pub fn declared_length(&self) -> Option<u64> {
        match self {
            Self::H1(body) => match body.framing {
                Framing::None => Some(0),
                Framing::Length(length) => Some(length),
                Framing::Chunked | Framing::UntilClose => None,
            },
            Self::H2(body) => body.declared,
        }
    }

    /// Payload bytes used so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        match self {
            Self::H1(body) => body.received,
            Self::H2(body) => body.received,
        }
    }

    /// The trailer fields, once the body is over.
    pub fn trailers(&mut self) -> Fields {
        match self {
            Self::H1(body) => body.decoder.trailers(),
            Self::H2(body) => std::mem::take(&mut body.trailers),
        }
    }

    /// Passes an interim response (1xx but 101) on; `poll_interim` sends it.
    pub fn queue_interim(&mut self, head: &ResponseHead) {
        match self {
            Self::H1(body) => body.queue_interim(head),
            Self::H2(body) => body.send_interim(head),
        }
    }

    /// Sends what `queue_interim` took.
    ///
    /// # Errors
    /// [`RequestBodyFault::Gone`]
    pub fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RequestBodyFault>> {
        match self {
            Self::H1(body) => body.poll_interim(cx).map_err(RequestBodyFault::Gone),
            Self::H2(_) => Poll::Ready(Ok(())),
        }
    }

    /// Ready when the client has left for good, so that nobody waits for the answer any more. A
    /// client that only ended its sending side has not (RFC 9112 §9.6 allows it).
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            // A plain close looks like the end of sending; only a reset tells more, and comes with
            // the next read or write.
            Self::H1(_) => Poll::Pending,
            Self::H2(body) => body.respond.poll_reset(cx).map(drop),
        }
    }
}

/// An HTTP/1.x connection to a client, read side first: the stream is here because reading the
/// request goes on while the answer is written.
#[derive(Debug)]
pub struct H1Body {
    /// The connection.
    pub stream: Stream,
    /// What was read and not yet used.
    pub input: Buffer,
    /// Bounds waits for the client to send.
    pub receive_deadline: Deadline,
    /// Bounds waits for the client to take.
    pub send_deadline: Deadline,
    framing: Framing,
    decoder: BodyDecoder,
    /// Payload at the front of `input`.
    run: usize,
    received: u64,
    limit: u64,
    patience: Duration,
    waiting: bool,
    interim: Scratch,
    interim_sent: usize,
}

impl H1Body {
    /// A connection on which no request was read yet.
    #[must_use]
    pub fn new(stream: Stream) -> Self {
        Self {
            stream,
            input: Buffer::none(),
            receive_deadline: Deadline::default(),
            send_deadline: Deadline::default(),
            framing: Framing::None,
            decoder: BodyDecoder::new(Framing::None),
            run: 0,
            received: 0,
            limit: 0,
            patience: Duration::ZERO,
            waiting: false,
            interim: Scratch::none(),
            interim_sent: 0,
        }
    }

    /// Begins the body behind a head that was consumed. `limit` bounds its bytes, `patience` each
    /// wait for more.
    pub fn begin(&mut self, framing: Framing, limit: u64, patience: Duration) {
        self.framing = framing;
        self.decoder = BodyDecoder::new(framing);
        self.run = 0;
        self.received = 0;
        self.limit = limit;
        self.patience = patience;
        self.waiting = false;
    }

    /// Interim bytes that wait to be sent; the answer goes behind them.
    #[must_use]
    pub fn take_interim(&mut self) -> Option<(Scratch, usize)> {
        (self.interim_sent < self.interim.len())
            .then(|| (std::mem::take(&mut self.interim), std::mem::take(&mut self.interim_sent)))
    }

    /// What of the payload is at hand.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        self.input.data().get(..self.run).unwrap_or_default()
    }

    fn consume(&mut self, n: usize) {
        let n = n.min(self.run);
        self.input.consume(n);
        self.decoder.consume(n);
        self.run -= n;
        self.received += n as u64;
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, RequestBodyFault>> {
        loop {
            if self.run > 0 {
                return Poll::Ready(Ok(true));
            }
            if self.decoder.finished() {
                return Poll::Ready(Ok(false));
            }
            let run = self.decoder.advance(self.input.data())?;
            self.input.consume(run.skip);
            if run.data > 0 {
                if self.received + run.data as u64 > self.limit {
                    return Poll::Ready(Err(RequestBodyFault::TooLarge { limit: self.limit }));
                }
                self.run = run.data;
                continue;
            }
            if run.done {
                continue;
            }
            ready!(self.poll_more(cx))?;
        }
    }

    /// Reads once into `input`.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RequestBodyFault>> {
        let wanted = if self.received > Buffer::SMALL as u64 * 2 { Buffer::LARGE } else { Buffer::SMALL };
        if self.input.is_empty() && self.input.capacity() < wanted {
            self.input = Buffer::with_capacity(wanted);
        }
        match self.stream.poll_read(cx, self.input.spare()) {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(RequestBodyFault::Gone(io::ErrorKind::UnexpectedEof.into()))),
            Poll::Ready(Ok(n)) => {
                self.input.filled(n);
                self.waiting = false;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(RequestBodyFault::Gone(error))),
            Poll::Pending => {
                // Only a wait that began here counts: while the upstream takes nothing, nobody waits
                // for the client.
                if !self.waiting {
                    self.waiting = true;
                    self.receive_deadline.set(self.patience);
                }
                self.receive_deadline.poll(cx).map(|()| Err(RequestBodyFault::TimedOut))
            }
        }
    }

    fn queue_interim(&mut self, head: &ResponseHead) {
        if self.interim.capacity() == 0 {
            self.interim = Scratch::new();
        }
        // A server that keeps saying 103 must not fill our memory while the client takes nothing.
        if self.interim.len() - self.interim_sent > Buffer::SMALL {
            return;
        }
        h1::write_status_line(&mut self.interim, head.status, &head.reason);
        for field in head.fields.iter() {
            h1::write_field(&mut self.interim, field.name, field.value);
        }
        h1::end_head(&mut self.interim);
    }

    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.interim.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while let Some(rest) = self.interim.get(self.interim_sent..).filter(|rest| !rest.is_empty()) {
            self.interim_sent += ready!(self.stream.poll_write(cx, rest))?;
        }
        ready!(self.stream.poll_flush(cx))?;
        self.interim.clear();
        self.interim_sent = 0;
        Poll::Ready(Ok(()))
    }
}

/// The body of a request on an HTTP/2 stream, and the way to answer it.
#[derive(Debug)]
pub struct H2Body {
    /// Where the answer goes.
    pub respond: h2::server::SendResponse<Bytes>,
    body: h2::RecvStream,
    chunk: Bytes,
    over: bool,
    declared: Option<u64>,
    received: u64,
    limit: u64,
    patience: Duration,
    deadline: Deadline,
    waiting: bool,
    trailers: Fields,
}

impl H2Body {
    /// The body of a request whose head was read. `declared` is its content-length.
    #[must_use]
    pub fn new(
        body: h2::RecvStream,
        respond: h2::server::SendResponse<Bytes>,
        declared: Option<u64>,
        limit: u64,
        patience: Duration,
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
            patience,
            deadline: Deadline::default(),
            waiting: false,
            trailers: Fields::default(),
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, RequestBodyFault>> {
        while self.chunk.is_empty() {
            if self.over {
                return Poll::Ready(Ok(false));
            }
            match self.body.poll_data(cx) {
                Poll::Ready(Some(Ok(chunk))) => {
                    self.waiting = false;
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
                    if !self.waiting {
                        self.waiting = true;
                        self.deadline.set(self.patience);
                    }
                    return self.deadline.poll(cx).map(|()| Err(RequestBodyFault::TimedOut));
                }
            }
        }
        Poll::Ready(Ok(true))
    }

    fn consume(&mut self, n: usize) {
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

    fn send_interim(&mut self, head: &ResponseHead) {
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
