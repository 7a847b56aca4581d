//! Server states by identity: what lives beside the snapshot (law 5).

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Instant;

use dashmap::DashMap;

use super::{Hold, News, ServerState, Upstream};

/// Every server's state, keyed by the upstream's name and the server's identity. Control side only.
#[derive(Debug)]
pub struct Registry {
    threads: usize,
    next_id: AtomicU32,
    states: DashMap<(Arc<str>, Arc<str>), Arc<ServerState>>,
    holds: DashMap<Arc<str>, Hold>,
    news: News,
}

impl Registry {
    /// An empty registry whose states count for `threads` data-plane threads.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self {
            threads,
            next_id: AtomicU32::new(0),
            states: DashMap::new(),
            holds: DashMap::new(),
            news: News::default(),
        }
    }

    /// How many data-plane threads there are.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// What tells of every verdict, and of every snapshot that is taken into use.
    #[must_use]
    pub fn news(&self) -> &News {
        &self.news
    }

    /// Where sessions of this upstream wait for a server, made at its first mention.
    pub fn hold(&self, upstream: &Arc<str>) -> Hold {
        self.holds.entry(Arc::clone(upstream)).or_default().clone()
    }

    /// The state of this server, made at its first mention.
    pub fn state(&self, upstream: &Arc<str>, identity: &Arc<str>, now: Instant) -> Arc<ServerState> {
        let state = self.states.entry((Arc::clone(upstream), Arc::clone(identity))).or_insert_with(|| {
            let id = self.next_id.fetch_add(1, Relaxed);
            Arc::new(ServerState::new(id, self.threads, now, self.news.clone()))
        });
        Arc::clone(&state)
    }

    /// Forgets every server that no upstream of `live` holds. To be called with what runs, after a
    /// reload that was taken and after one that was refused.
    pub fn prune<'a>(&self, live: impl IntoIterator<Item = &'a Arc<Upstream>>) {
        let live: HashSet<u32> =
            live.into_iter().flat_map(|upstream| upstream.servers.iter().map(|server| server.state.id)).collect();
        self.states.retain(|_, state| live.contains(&state.id));
        self.holds.retain(|_, hold| !hold.is_forgotten());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_kept_by_identity_until_nobody_names_it() {
        let registry = Registry::new(2);
        let now = Instant::now();
        let (was, db): (Arc<str>, Arc<str>) = ("was".into(), "db".into());
        let address: Arc<str> = "10.0.0.1:80".into();
        let first = registry.state(&was, &address, now);
        let again = registry.state(&was, &address, now);
        assert!(Arc::ptr_eq(&first, &again));
        assert_ne!(first.id, registry.state(&db, &address, now).id);
        registry.prune(&[]);
        assert_ne!(first.id, registry.state(&was, &address, now).id, "an id is never used again");
    }
}
