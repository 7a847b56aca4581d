//! One request and its answer: what is known of it, for the log, the metrics and the forwarded
//! fields. It carries facts and decides nothing.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

use crate::net::Client;
use crate::telemetry::{SiteCells, ThreadId};

/// What is known of an exchange; rooms on its way add what they learn.
#[derive(Debug)]
pub struct Exchange<'s> {
    /// The data-plane thread that it runs on.
    pub thread: ThreadId,
    /// The client's connection.
    pub client: &'s Client,
    /// Whether the peer's own word about the client is believed.
    pub trusted: bool,
    /// The client's address, after trusted proxies were believed.
    pub address: IpAddr,
    /// The request's id; empty where the listener gives none.
    pub request_id: Vec<u8>,
    /// When the head was complete.
    pub started: Instant,
    /// The same on the wall clock, for the log.
    pub time: SystemTime,
    /// The site that was found, and its cells.
    pub site: Option<(&'s str, &'s SiteCells)>,
    /// The upstream that was asked.
    pub upstream: Option<&'s str>,
    /// The last server that was asked.
    pub server: Option<&'s str>,
    /// How long its connection took to make; `None` for one that was used again.
    pub connect: Option<Duration>,
    /// From `started` to the first byte of its answer.
    pub first_byte: Option<Duration>,
    /// How often a server was asked.
    pub attempts: u32,
    /// Why there was no normal answer, by the name of the refusal.
    pub refusal: Option<&'static str>,
}

impl<'s> Exchange<'s> {
    /// An exchange that begins.
    #[must_use]
    pub fn new(thread: ThreadId, client: &'s Client, started: Instant, time: SystemTime) -> Self {
        Self {
            thread,
            client,
            trusted: false,
            address: client.peer.ip(),
            request_id: Vec::new(),
            started,
            time,
            site: None,
            upstream: None,
            server: None,
            connect: None,
            first_byte: None,
            attempts: 0,
            refusal: None,
        }
    }

    /// The client's address with the port of the connection, where it is the peer's own.
    #[must_use]
    pub fn client_address(&self) -> SocketAddr {
        let peer = self.client.peer;
        if peer.ip() == self.address { peer } else { SocketAddr::new(self.address, 0) }
    }
}
