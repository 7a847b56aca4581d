//! What outlives snapshots (law 5), keyed by identity.

use std::collections::HashMap;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_utils::CachePadded;

use super::{ListenerId, Snapshot};
use crate::config::Mode;
use crate::limits::Sources;
use crate::telemetry;
use crate::tls::{Known, Tickets};
use crate::upstream;

/// State beside the snapshot: it belongs to the process. Control side only.
#[derive(Debug)]
pub struct Lasting {
    /// How many data-plane threads there are.
    pub threads: usize,
    /// How many files the process may open.
    pub files: u32,
    /// The generation that was served before this process.
    pub generation: u64,
    /// How many connections all listeners have.
    pub connections: Arc<CachePadded<AtomicU32>>,
    /// Health, counters and gates of servers.
    pub servers: upstream::Registry,
    /// Counters of listeners and sites.
    pub cells: Arc<telemetry::Registry>,
    /// Certificates that a worker before this one has checked.
    pub known: Known,
    /// The keys of session tickets: a client resumes through a reload and a crash.
    pub tickets: Tickets,
    listeners: Mutex<HashMap<(Arc<str>, Mode), Numbered>>,
}

#[derive(Clone, Debug)]
pub(super) struct Numbered {
    pub(super) id: ListenerId,
    pub(super) connections: Arc<CachePadded<AtomicU32>>,
    pub(super) sources: Arc<Sources>,
}

impl Lasting {
    /// Nothing is known yet but which generation was served last, before this process.
    #[must_use]
    pub fn new(threads: usize, files: u32, tickets: Tickets, generation: u64) -> Self {
        Self {
            threads,
            files,
            generation,
            connections: Arc::default(),
            servers: upstream::Registry::new(threads),
            cells: Arc::new(telemetry::Registry::new(threads)),
            known: Known::default(),
            tickets,
            listeners: Mutex::default(),
        }
    }

    /// The number of the listener with this name, and what is known of its connections. Where a name gets
    /// another mode it is another listener: what was begun in one cannot go on in the other.
    pub(super) fn listener(&self, name: &Arc<str>, mode: Mode) -> Numbered {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        let next = ListenerId(u32::try_from(listeners.len()).unwrap_or(u32::MAX));
        let new = || Numbered { id: next, connections: Arc::default(), sources: Arc::default() };
        listeners.entry((Arc::clone(name), mode)).or_insert_with(new).clone()
    }

    /// Forgets what `running` does not use. To be called after each reload, taken or refused.
    pub fn prune(&self, running: &Snapshot) {
        self.servers.prune(&running.upstreams);
        self.cells.prune();
    }
}
