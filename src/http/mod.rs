//! Protocol drivers: bytes of a client to exchanges, answers to bytes.
//!
//! In comes a connected stream, TLS already taken off; out go exchanges, each handed to
//! [`crate::serve::answer`], and its answer is written as the client's protocol wants it. Drivers
//! know framing, persistence and the time that a client may take; they know no route.

pub mod h1;
pub mod h2;

mod fields;
mod sent;
mod tunnel;

pub use tunnel::TunnelBytes;

use std::rc::Rc;

use crate::net::{Client, Stream};
use crate::serve::Worker;
use crate::snapshot::{ListenerId, Place};

/// A client's connection after its handshake.
#[derive(Debug)]
pub struct Accepted {
    /// The thread that serves it.
    pub worker: Rc<Worker>,
    /// The listener that it came by.
    pub listener: ListenerId,
    /// The bytes.
    pub stream: Stream,
    /// Who it is.
    pub client: Client,
    /// Its place among the listener's connections.
    pub place: Place,
}
