//! A server while one flow of datagrams goes to it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::{Pass, Server, Upstream};
use crate::telemetry::ThreadId;

/// Work for a server that lasts longer than a snapshot. It counts as a lease in use until it is dropped.
#[derive(Debug)]
pub struct Session {
    /// Whose work it is.
    pub server: Arc<Server>,
    thread: ThreadId,
    /// The shared count is written only where a choice or a limit reads it.
    shared: bool,
    _pass: Option<Pass>,
}

impl Upstream {
    /// Begins a session with this server; none where it has `max_connections` already. Nothing waits: who
    /// sends datagrams will not.
    #[must_use]
    pub fn begin_session(&self, server: &Arc<Server>, thread: ThreadId) -> Option<Session> {
        let pass = match &server.gate {
            None => None,
            Some(gate) => Some(gate.try_enter()?),
        };
        let shared = self.balance.reads_active() || pass.is_some();
        server.state.cells(thread).leases_started.add(1);
        if shared {
            server.state.active.fetch_add(1, Relaxed);
        }
        Some(Session { server: Arc::clone(server), thread, shared, _pass: pass })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.server.state.cells(self.thread).leases_ended.add(1);
        if self.shared {
            self.server.state.active.fetch_sub(1, Relaxed);
        }
    }
}
