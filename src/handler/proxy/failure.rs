//! Why an upstream gave no answer.

use std::io;

use crate::codec::h1::ResponseFault;
use crate::message::RequestBodyFault;
use crate::message::hop_by_hop::TooManyTokens;
use crate::upstream::LeaseFault;

/// Why there is no answer, by stage.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No server of the upstream is usable.
    #[error("no healthy server")]
    NoServer,
    /// No connection to the server.
    #[error("no connection to the server")]
    Lease(#[source] LeaseFault),
    /// The server's connection ended before its answer began.
    #[error("server closed the connection before it answered")]
    Closed(#[source] io::Error),
    /// The server has certainly not acted on the request (RFC 9113 §8.7).
    #[error("server refused the stream")]
    Refused(#[source] h2::Error),
    /// The server's connection ended inside the head of its answer.
    #[error("server closed the connection inside the head of its answer")]
    Truncated(#[source] io::Error),
    /// What the server sent is no answer.
    #[error("server's answer is malformed")]
    Malformed(#[source] ResponseFault),
    /// The head of the answer is larger than haechi takes.
    #[error("the head of the server's answer is too large")]
    HeadTooLarge,
    /// The answer's `Connection` field cannot be followed.
    #[error("server's answer is malformed")]
    Connection(#[from] TooManyTokens),
    /// The server switched to a protocol that nobody asked for.
    #[error("server switched protocols unasked")]
    Upgrade,
    /// The server answered a WebSocket's request as if it were an ordinary one.
    #[error("server did not open the WebSocket")]
    NoUpgrade,
    /// The request has a part that HTTP/2 cannot carry.
    #[error("request cannot be said in HTTP/2")]
    Unsendable,
    /// `timeouts.response` passed.
    #[error("server did not answer in time")]
    TimedOut,
    /// The client's body did not come, or the client left.
    #[error(transparent)]
    Client(#[from] RequestBodyFault),
}

impl Failure {
    /// The client has left.
    pub(super) fn gone() -> Self {
        Self::Client(RequestBodyFault::Gone(io::ErrorKind::ConnectionAborted.into()))
    }

    /// Its name in logs and as a label.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::NoServer => "no_healthy_server",
            Self::Lease(LeaseFault::Gate(_)) => "queue",
            Self::Lease(LeaseFault::NoAddress) => "unresolved",
            Self::Lease(LeaseFault::Dial(_)) => "connect",
            Self::Closed(_) => "closed",
            Self::Refused(_) => "refused_stream",
            Self::Truncated(_) => "truncated",
            Self::Malformed(_) | Self::Connection(_) => "malformed",
            Self::HeadTooLarge => "head_too_large",
            Self::Upgrade => "upgrade",
            Self::NoUpgrade => "no_upgrade",
            Self::Unsendable => "unsendable",
            Self::TimedOut => "timeout",
            Self::Client(fault) => fault.name(),
        }
    }

    /// The status that the client is answered with.
    #[must_use]
    pub fn status(&self) -> u16 {
        use crate::upstream::DialFault;
        match self {
            Self::NoServer | Self::Lease(LeaseFault::Gate(_) | LeaseFault::NoAddress) => 503,
            Self::Lease(LeaseFault::Dial(DialFault::TimedOut)) | Self::TimedOut => 504,
            Self::Lease(LeaseFault::Dial(_))
            | Self::Closed(_)
            | Self::Refused(_)
            | Self::Truncated(_)
            | Self::Malformed(_)
            | Self::HeadTooLarge
            | Self::Connection(_)
            | Self::Upgrade
            | Self::NoUpgrade => 502,
            Self::Unsendable => 400,
            Self::Client(fault) => fault.status(),
        }
    }
}
