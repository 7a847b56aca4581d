//! Groups of servers: choose one, reach it, know whether it lives.
//!
//! In comes an exchange that wants a server, out goes a [`Server`]. An [`Upstream`] and its
//! servers are part of a snapshot and never change; what outlives a reload (health, counters,
//! leases in use) is the [`ServerState`] beside it, kept in the [`Registry`] by identity.
//!
//! What always holds: choosing allocates nothing, takes no lock and writes only into cells of its
//! own thread. Hashes are unseeded and taken over identities, so both hosts of a pair choose alike.

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use crate::config::OnDown;
pub use balance::{Balance, Key};
pub use dial::{DialFault, Outbound};
pub use gate::{Gate, GateError, Limit, Pass};
pub use hold::{Held, Hold};
pub use lease::{Lease, LeaseFault};
pub use lines::StreamLease;
pub use news::News;
pub use pool::{Connection, Pools};
pub use registry::Registry;
pub use server::{Failures, Health, LastProbe, Server, ServerCells, ServerState, Verdict};
pub use session::Session;

use crate::codec::proxy::Version as ProxyVersion;
use crate::telemetry::ThreadId;
use balance::Ramp;
use health::Check;

pub mod balance;
pub mod discovery;
pub mod health;
pub mod role;

mod dial;
mod gate;
mod hold;
mod lease;
mod lines;
mod news;
mod pool;
mod registry;
mod server;
mod session;

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
    /// What its servers are wanted for, where they are databases with a role; then [`role::Pools`] judges
    /// them, and not their checks.
    pub role: Option<role::Settings>,
    /// How long a server that came back takes to its whole share; `None`: it has it at once.
    pub slow_start: Option<Duration>,
    /// How sessions of L4 listeners are dealt with where servers fail.
    pub sessions: SessionRules,
    /// The PROXY header that each connection to a server begins with.
    pub proxy_header: Option<ProxyVersion>,
}

/// How sessions of L4 listeners are dealt with where servers fail.
#[derive(Clone, Debug, Default)]
pub struct SessionRules {
    /// What becomes of those on a server that is judged down.
    pub on_down: OnDown,
    /// How long a new one waits where no server is up.
    pub hold_for: Duration,
    /// Where it waits, and with how many others.
    pub hold: Hold,
    /// How many may.
    pub most_held: u32,
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
    /// when nothing else is left. `now` tells how far a server is that slowly comes back.
    #[must_use]
    pub fn pick(&self, thread: ThreadId, key: &Key<'_>, tried: &[u32], now: Instant) -> Option<&Arc<Server>> {
        let ramp = self.slow_start.map(|over| Ramp { over, now });
        self.balance.pick(&self.servers, thread, key, tried, ramp)
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
