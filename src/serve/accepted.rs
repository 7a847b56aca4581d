//! A client's connection on its way from the listener to who serves it.

use std::rc::Rc;

use super::Worker;
use crate::net::{Client, Stream};
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
