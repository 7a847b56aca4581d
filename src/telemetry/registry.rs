//! Which listeners and sites have cells, beside the snapshot so that a reload keeps their counts.

use std::sync::Arc;

use dashmap::DashMap;

use super::{ListenerCells, PerThread, SiteCells};

/// The cells of every listener and of every site on it, by name.
///
/// A snapshot asks for its cells when it is compiled and holds them; the registry is not read on the
/// request path. Same name, same cells: counts go on through a reload.
#[derive(Debug)]
pub struct Registry {
    threads: usize,
    listeners: DashMap<Arc<str>, Arc<PerThread<ListenerCells>>>,
    sites: DashMap<SiteKey, Arc<PerThread<SiteCells>>>,
}

/// A site on a listener.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteKey {
    /// The listener's name.
    pub listener: Arc<str>,
    /// The site's name.
    pub site: Arc<str>,
}

impl Registry {
    /// How many sites, over all listeners, have cells of their own. Those that come later are
    /// counted together under [`Self::OTHER_SITES`], one for each listener: five thousand sites
    /// would make a page that no monitoring takes every fifteen seconds.
    pub const SITES_MAX: usize = 1_000;

    /// The name of the sites beyond [`Self::SITES_MAX`].
    pub const OTHER_SITES: &'static str = "(other)";

    /// An empty registry for this many data-plane threads.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self { threads, listeners: DashMap::new(), sites: DashMap::new() }
    }

    /// The cells of this listener, new ones if it has none yet.
    #[must_use]
    pub fn listener(&self, name: &str) -> Arc<PerThread<ListenerCells>> {
        let cells = self.listeners.entry(name.into()).or_insert_with(|| Arc::new(PerThread::new(self.threads)));
        Arc::clone(&cells)
    }

    /// The cells of this site on this listener, new ones if it has none yet.
    #[must_use]
    pub fn site(&self, listener: &str, site: &str) -> Arc<PerThread<SiteCells>> {
        let mut key = SiteKey { listener: listener.into(), site: site.into() };
        if self.sites.len() >= Self::SITES_MAX && !self.sites.contains_key(&key) {
            key.site = Self::OTHER_SITES.into();
        }
        let cells = self.sites.entry(key).or_insert_with(|| Arc::new(PerThread::new(self.threads)));
        Arc::clone(&cells)
    }

    /// Forgets the cells that no snapshot and no connection holds any longer.
    pub fn prune(&self) {
        self.listeners.retain(|_, cells| Arc::strong_count(cells) > 1);
        self.sites.retain(|_, cells| Arc::strong_count(cells) > 1);
    }

    /// Every listener's cells, by name.
    #[must_use]
    pub fn listeners(&self) -> Vec<(Arc<str>, Arc<PerThread<ListenerCells>>)> {
        let mut all: Vec<_> =
            self.listeners.iter().map(|entry| (Arc::clone(entry.key()), Arc::clone(entry.value()))).collect();
        all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        all
    }

    /// Every site's cells, by listener and name.
    #[must_use]
    pub fn sites(&self) -> Vec<(SiteKey, Arc<PerThread<SiteCells>>)> {
        let mut all: Vec<_> = self.sites.iter().map(|entry| (entry.key().clone(), Arc::clone(entry.value()))).collect();
        all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::ThreadId;

    #[test]
    fn a_name_keeps_its_cells_while_somebody_holds_them() {
        let registry = Registry::new(2);
        let held = registry.listener("https");
        held.of(ThreadId(1)).accepted.add(3);
        drop(registry.listener("gone"));
        drop(registry.site("https", "shop"));
        registry.prune();
        assert_eq!(registry.listeners().len(), 1);
        assert!(registry.sites().is_empty());
        assert_eq!(registry.listener("https").of(ThreadId(1)).accepted.value(), 3);
        drop(held);
        registry.prune();
        assert!(registry.listeners().is_empty());
    }

    #[test]
    fn sites_beyond_the_bound_share_cells() {
        let registry = Registry::new(1);
        let held: Vec<_> =
            (0..Registry::SITES_MAX + 20).map(|n| registry.site("https", &format!("{n}.example"))).collect();
        assert_eq!(registry.sites().len(), Registry::SITES_MAX + 1);
        assert!(Arc::ptr_eq(&held[Registry::SITES_MAX], &held[Registry::SITES_MAX + 19]));
        assert!(Arc::ptr_eq(&held[7], &registry.site("https", "7.example")));
    }
}
