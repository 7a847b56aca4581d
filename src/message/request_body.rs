//! The client's side of an exchange, as handlers see it: a body that comes in while the answer is
//! being made, and a way to say something before the answer (1xx).
//!
//! Reading is like `BufRead`: `poll_fill` until there is something, look at `data`, `consume` what
//! was used. Nothing is copied for HTTP/1.1: `data` lies in the connection's input buffer. Handlers
//! see payload alone; framing stays here.

mod h1_body;
mod h2_body;

use std::io;
use std::task::{Context, Poll};

pub use h1_body::H1Body;
pub use h2_body::H2Body;

use super::hop_by_hop::TooManyTokens;
use crate::codec::h1::BodyFault;
use crate::head::{Fields, ResponseHead};

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
            Self::H2(body) => body.data(),
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
            Self::H1(body) => body.is_over(),
            Self::H2(body) => body.is_over(),
        }
    }

    /// Lets at most `limit` bytes in from here on, where that is less than before.
    pub fn narrow(&mut self, limit: u64) {
        match self {
            Self::H1(body) => body.narrow(limit),
            Self::H2(body) => body.narrow(limit),
        }
    }

    /// Bytes that may come in all.
    #[must_use]
    pub fn limit(&self) -> u64 {
        match self {
            Self::H1(body) => body.limit(),
            Self::H2(body) => body.limit(),
        }
    }

    /// How long the body is, where the client said so; 0 where there is none.
    #[must_use]
    pub fn declared_length(&self) -> Option<u64> {
        match self {
            Self::H1(body) => body.declared_length(),
            Self::H2(body) => body.declared_length(),
        }
    }

    /// Payload bytes used so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        match self {
            Self::H1(body) => body.received(),
            Self::H2(body) => body.received(),
        }
    }

    /// The trailer fields, once the body is over.
    pub fn trailers(&mut self) -> Fields {
        match self {
            Self::H1(body) => body.trailers(),
            Self::H2(body) => body.trailers(),
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

    /// Whether the client waits to be told to send its body (RFC 9110 §10.1.1); reading it tells.
    #[must_use]
    pub fn waits_for_continue(&self) -> bool {
        match self {
            Self::H1(body) => body.waits_for_continue(),
            Self::H2(body) => body.waits_for_continue(),
        }
    }

    /// Ready when the client has left for good, so that nobody waits for the answer any more. A
    /// client that only ended its sending side has not (RFC 9112 §9.6 allows it).
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::H1(body) => body.poll_gone(cx),
            Self::H2(body) => body.poll_gone(cx),
        }
    }
}
