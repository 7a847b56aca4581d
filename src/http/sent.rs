//! What came of sending an answer, whatever the client's protocol.

use crate::handler::BodyFault;
use crate::serve::Ended;

/// What came of sending an answer.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// Payload bytes that went out.
    pub(super) bytes: u64,
    /// Why it is not whole.
    pub(super) fault: Option<SendFault>,
}

/// Why an answer did not go out whole.
#[derive(Debug)]
pub(super) enum SendFault {
    /// The client's connection failed, or it reset the stream.
    Client,
    /// The client took nothing for `timeouts.send`, or too little.
    TimedOut,
    /// The body broke off.
    Body(BodyFault),
}

impl Sent {
    /// How the exchange ended whose answer this was.
    pub(super) fn ended(&self, status: u16, bytes_in: u64) -> Ended {
        Ended {
            status,
            bytes_in,
            bytes_out: self.bytes,
            fault: self.fault.as_ref().map(SendFault::name),
            client_gone: matches!(self.fault, Some(SendFault::Client | SendFault::TimedOut)),
        }
    }
}

impl SendFault {
    fn name(&self) -> &'static str {
        match self {
            Self::Client => "client_gone",
            Self::TimedOut => "send_timeout",
            Self::Body(BodyFault::File(_)) => "file",
            Self::Body(BodyFault::Upstream(fault)) => fault.name(),
        }
    }
}
