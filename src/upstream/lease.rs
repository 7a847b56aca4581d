//! A connection to a server while one exchange has it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::dial::{DialFault, dial};
use super::{Connection, GateError, OnDown, Outbound, Pass, Pools, Server, ServerCells, Upstream};
use crate::codec::proxy::{self, Addresses};
use crate::telemetry::ThreadId;

/// A connection to `server` that one exchange uses. Dropped, it closes; [`Lease::release`] lets the
/// connection rest for the next exchange.
#[derive(Debug)]
pub struct Lease<'s> {
    /// Who is at the other end.
    pub server: &'s Arc<Server>,
    /// The connection; boxed, as it is handed from room to room.
    pub connection: Box<Connection>,
    upstream: &'s Upstream,
    busy: Busy<'s>,
}

/// Counts a server's leases for as long as one lives.
#[derive(Debug)]
pub(super) struct Busy<'s> {
    server: &'s Server,
    thread: ThreadId,
    /// The shared count is written only where a choice or a limit reads it.
    shared: bool,
    _pass: Option<Pass>,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.server.state.cells(self.thread).leases_ended.add(1);
        if self.shared {
            self.server.state.active.fetch_sub(1, Relaxed);
        }
    }
}

/// Why there is no lease. Nothing of a request was sent.
#[derive(Debug, thiserror::Error)]
pub enum LeaseFault {
    /// No connection came about.
    #[error(transparent)]
    Dial(#[from] DialFault),
    /// `max_connections` are in use and the queue did not move.
    #[error("no free connection")]
    Gate(#[from] GateError),
    /// Its name does not resolve.
    #[error("the server's name does not resolve")]
    NoAddress,
}

impl LeaseFault {
    /// Counts it among the failures of its server.
    pub fn count(&self, cells: &ServerCells) {
        match self {
            Self::Dial(DialFault::TimedOut) => cells.failures.timeout.add(1),
            Self::Dial(_) => cells.failures.connect.add(1),
            Self::Gate(_) => cells.failures.queue.add(1),
            Self::NoAddress => {}
        }
    }
}

impl Upstream {
    /// A connection to `server` that rests on this thread, where one may be used at once.
    #[must_use]
    pub fn lease_resting<'s>(
        &'s self,
        server: &'s Arc<Server>,
        pools: &Pools,
        thread: ThreadId,
        now: Instant,
    ) -> Option<Lease<'s>> {
        let pass = match &server.gate {
            None => None,
            Some(gate) => Some(gate.try_enter()?),
        };
        let connection = pools.take(server.state.id, server.address?, self.recipe, now)?;
        server.state.cells(thread).reused.add(1);
        Some(Lease { server, connection, upstream: self, busy: self.busy(server, thread, pass) })
    }

    /// A connection to `server`: one that rests on this thread, or a new one. `fresh` wants a new
    /// one in any case. `client` is told to servers that want to know (`proxy_header`).
    ///
    /// # Errors
    /// [`LeaseFault`]; another server may be tried.
    pub async fn lease<'s>(
        &'s self,
        server: &'s Arc<Server>,
        pools: &Pools,
        thread: ThreadId,
        now: Instant,
        fresh: bool,
        client: Option<Addresses>,
    ) -> Result<Lease<'s>, LeaseFault> {
        let address = server.address.ok_or(LeaseFault::NoAddress)?;
        let busy = self.enter(server, thread).await?;
        let cells = server.state.cells(thread);
        if !fresh && let Some(connection) = pools.take(server.state.id, address, self.recipe, now) {
            cells.reused.add(1);
            return Ok(Lease { server, connection, upstream: self, busy });
        }
        cells.connects.add(1);
        // Boxed: it is rare, and every exchange would have to keep its place.
        let first = self.proxy_header.map(|version| proxy::header(version, client)).unwrap_or_default();
        let connection = Box::pin(dial(address, self.outbound_to(server), self.timeouts.connect, &first)).await?;
        Ok(Lease { server, connection, upstream: self, busy })
    }

    /// TLS to `server`, and its name there.
    pub(super) fn outbound_to<'s>(&'s self, server: &'s Server) -> Option<(&'s Outbound, &'s str)> {
        self.outbound.as_ref().map(|outbound| (outbound, server.host()))
    }

    pub(super) async fn enter<'s>(&'s self, server: &'s Server, thread: ThreadId) -> Result<Busy<'s>, GateError> {
        let pass = match &server.gate {
            None => None,
            Some(gate) => match gate.try_enter() {
                Some(pass) => Some(pass),
                None => Some(gate.enter(tokio::time::Instant::now() + self.timeouts.queue).await?),
            },
        };
        Ok(self.busy(server, thread, pass))
    }

    fn busy<'s>(&'s self, server: &'s Server, thread: ThreadId, pass: Option<Pass>) -> Busy<'s> {
        let shared = self.balance.reads_active() || pass.is_some();
        server.state.cells(thread).leases_started.add(1);
        if shared {
            server.state.active.fetch_add(1, Relaxed);
        }
        Busy { server, thread, shared, _pass: pass }
    }
}

impl Lease<'_> {
    /// How long the server may take to answer, and between two bytes of its answer.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.upstream.timeouts.response
    }

    /// What becomes of a session on it when its server is judged down.
    #[must_use]
    pub fn on_down(&self) -> OnDown {
        self.upstream.sessions.on_down
    }

    /// Lets the connection rest. `server_limit` is what the server said of its own limit
    /// (`Keep-Alive: timeout`); a second of it is left unused, so that its close and our next
    /// request do not cross.
    pub fn release(self, pools: &Pools, now: Instant, server_limit: Option<Duration>) {
        let Self { server, connection, upstream, busy } = self;
        drop(busy);
        let own = upstream.timeouts.idle;
        let rest = server_limit.map_or(own, |limit| own.min(limit.saturating_sub(Duration::from_secs(1))));
        // One that began with a client's address is of no use to another.
        if !rest.is_zero() && upstream.proxy_header.is_none() {
            pools.put(server.state.id, upstream.recipe, connection, now, rest);
        }
    }
}
