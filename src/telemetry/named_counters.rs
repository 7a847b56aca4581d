//! Counters by a name that another room gives.

use std::sync::OnceLock;

use super::Counter;

/// Counters under names from some room's fixed list (fault names, TLS versions), written by one
/// thread only.
///
/// It has room for [`Self::MAX`] names, so a label made of it is bounded whatever happens; what
/// does not fit is counted under `other`. Names known from the start stand on the page with a zero,
/// so that `rate()` sees the first event.
#[derive(Debug, Default)]
pub struct NamedCounters {
    slots: [Slot; Self::MAX],
    others: Counter,
}

#[derive(Debug, Default)]
struct Slot {
    name: OnceLock<&'static str>,
    count: Counter,
}

impl NamedCounters {
    /// How many names there can be.
    pub const MAX: usize = 32;

    /// Counters that start with these names at zero; those beyond [`Self::MAX`] are left out.
    #[must_use]
    pub fn of(names: &[&'static str]) -> Self {
        let counters = Self::default();
        for name in names {
            counters.slot(name);
        }
        counters
    }

    /// Counts one under this name.
    pub fn count(&self, name: &'static str) {
        self.slot(name).add(1);
    }

    /// Counts `n` under this name.
    pub fn count_many(&self, name: &'static str, n: u64) {
        self.slot(name).add(n);
    }

    fn slot(&self, name: &'static str) -> &Counter {
        let found = self.slots.iter().find(|slot| *slot.name.get_or_init(|| name) == name);
        found.map_or(&self.others, |slot| &slot.count)
    }

    /// Every name and its count; `other` stands last, and only where something did not fit.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let named = self.slots.iter().map_while(|slot| slot.name.get().map(|name| (*name, slot.count.value())));
        let others = self.others.value();
        named.chain((others > 0).then_some(("other", others)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_start_at_zero_and_new_ones_are_learnt() {
        let counters = NamedCounters::of(&["timeout", "not_tls"]);
        counters.count("not_tls");
        counters.count("bad_host");
        counters.count("bad_host");
        let counts: Vec<_> = counters.iter().collect();
        assert_eq!(counts, [("timeout", 0), ("not_tls", 1), ("bad_host", 2)]);
    }

    #[test]
    fn names_beyond_the_bound_are_counted_together() {
        let counters = NamedCounters::default();
        let names: Vec<&'static str> = (0..=NamedCounters::MAX + 1).map(|n| &*format!("name{n}").leak()).collect();
        for name in &names {
            counters.count(name);
        }
        assert_eq!(counters.iter().count(), NamedCounters::MAX + 1);
        assert_eq!(counters.iter().last(), Some(("other", 2)));
    }
}
