//! Groups of servers: choose one, reach it, know whether it lives.
//!
//! In comes an exchange that wants a server, out goes a [`Server`]. An [`Upstream`] and its
//! servers are part of a snapshot and never change; what outlives a reload (health, counters,
//! leases in use) is the [`ServerState`] beside it, kept in the [`Registry`] by identity.
//!
//! What always holds: choosing allocates nothing, takes no lock and writes only into cells of its
//! own thread. Hashes are unseeded and taken over identities, so both hosts of a pair choose alike.

use std::sync::Arc;
use std::time::Duration;

pub use balance::{Balance, Key};
pub use dial::{DialFault, Outbound};
pub use gate::{Gate, GateError, Limit, Pass};
pub use lease::{Lease, LeaseFault};
pub use lines::StreamLease;
pub use pool::{Connection, Pools};
pub use registry::Registry;
pub use server::{Failures, Health, LastProbe, Server, ServerCells, ServerState, Verdict};

use crate::telemetry::ThreadId;
use health::Check;

pub mod balance;
pub mod discovery;
pub mod health;

mod dial;
mod gate;
mod lease;
mod lines;
mod pool;
mod registry;
mod server;

/// A named group of servers that do the same work.
#[derive(Debug)]
pub struct Upstream {
    /// The name in `[upstream.NAME]`.
    pub name: Arc<str>,
    /// Its servers in the order of the config; a name with several addresses is several servers.
    pub servers: Vec<Arc<Server>>,
    /// How one of them is chosen.
    pub balance: Balance,
    /// How long each phase with a server may take.
    pub timeouts: Timeouts,
    /// What its servers speak.
    pub protocol: Protocol,
    /// TLS to its servers; `None`: plain.
    pub outbound: Option<Outbound>,
    /// A number that differs where connections are made in another way: a resting connection is
    /// used only by who would have made it alike.
    pub recipe: u64,
    /// The active check that every server of the group gets; `None`: health stays unknown.
    pub check: Option<Arc<Check>>,
}

/// What the servers of an upstream speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1: a connection for each exchange at a time.
    #[default]
    Http1,
    /// HTTP/2, by prior knowledge (RFC 9113 §3.3) or by ALPN where there is TLS.
    Http2,
}

/// How long each phase with a server may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the first SYN to a usable connection, TLS included.
    pub connect: Duration,
    /// From the end of the request to the head of the response, and between bytes of its body.
    pub response: Duration,
    /// How long a pooled connection may rest; keep it below the server's own limit.
    pub idle: Duration,
    /// How long an exchange may wait for a free place at a server with `max_connections`.
    pub queue: Duration,
}

impl Upstream {
    /// The server for the next exchange, `None` where no server is usable: answer 503 at once.
    ///
    /// `tried` holds the state ids of servers that this exchange has failed at; they are not
    /// chosen again. A server is usable when it has an address, was not tried and is not
    /// [`Health::Down`]; [`Health::Unknown`] counts as usable. Backups are chosen only when no
    /// primary server is left. Draining servers are never chosen, but by `ip_hash` and `hash`
    /// when nothing else is left.
    #[must_use]
    pub fn pick(&self, thread: ThreadId, key: &Key<'_>, tried: &[u32]) -> Option<&Arc<Server>> {
        self.balance.pick(&self.servers, thread, key, tried)
    }

    /// Brings the gate of each server to its configured limit. To be called once this upstream
    /// runs, so that a refused reload moves no limit.
    pub fn apply_limits(&self) {
        for server in &self.servers {
            if let (Some(gate), Some(limit)) = (&server.gate, server.limit) {
                gate.resize(limit);
            }
        }
    }
}
