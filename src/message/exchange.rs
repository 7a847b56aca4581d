//! One request and its answer: what is known of it, for the log, the metrics and the forwarded
//! fields. It carries facts and decides nothing.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::{Peer, RequestId};
use crate::net::Client;
use crate::telemetry::{SiteCells, ThreadId};

/// What is known of an exchange; rooms on its way add what they learn.
#[derive(Debug)]
pub struct Exchange<'s> {
    /// The data-plane thread that it runs on.
    pub thread: ThreadId,
    /// The client's connection.
    pub client: &'s Client,
    /// The other end of its socket, and whether its word about the client is believed.
    pub peer: &'s Peer,
    /// The client's address, after trusted proxies were believed.
    pub address: IpAddr,
    /// The request's id, where the listener gives one.
    pub request_id: Option<RequestId>,
    /// When the head was complete.
    pub started: Instant,
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
    /// Its place among those that are under way on the thread, where it was given one.
    pub in_flight: Option<InFlight<'s>>,
}

/// A place among a thread's exchanges, given back when dropped.
#[derive(Debug)]
pub struct InFlight<'s>(&'s Cell<u32>);

impl<'s> InFlight<'s> {
    /// One more in `count`.
    #[must_use]
    pub fn new(count: &'s Cell<u32>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

impl<'s> Exchange<'s> {
    /// An exchange that begins.
    #[must_use]
    pub fn new(thread: ThreadId, client: &'s Client, peer: &'s Peer, started: Instant) -> Self {
        Self {
            thread,
            client,
            peer,
            address: peer.address(),
            request_id: None,
            started,
            site: None,
            upstream: None,
            server: None,
            connect: None,
            first_byte: None,
            attempts: 0,
            refusal: None,
            in_flight: None,
        }
    }

    /// The exchange belongs to this site from here on.
    pub fn enter(&mut self, site: &'s str, cells: &'s SiteCells) {
        cells.start();
        self.site = Some((site, cells));
    }

    /// The client's address with the port of the connection, where it is the peer's own.
    #[must_use]
    pub fn client_address(&self) -> SocketAddr {
        let peer = self.client.peer;
        if peer.ip() == self.address { peer } else { SocketAddr::new(self.address, 0) }
    }
}
