//! A map that knows which of its entries was touched longest ago, pure.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Instant;

use slab::Slab;

/// Values by key, in the order in which they were touched. Every step takes the same short time,
/// however many there are. Keys are hashed by a seed of the map's own: who sends them cannot choose
/// where they lie.
#[derive(Debug)]
pub struct Aged<K, V> {
    by_key: HashMap<K, usize>,
    slots: Slab<Entry<K, V>>,
    ends: Option<Ends>,
    serial: u64,
}

/// Tells an entry from all others of its map, those that are gone among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EntryId {
    slot: usize,
    serial: u64,
}

/// Who was touched longest ago, and who last.
#[derive(Clone, Copy, Debug)]
struct Ends {
    oldest: usize,
    newest: usize,
}

#[derive(Debug)]
struct Entry<K, V> {
    key: K,
    value: V,
    serial: u64,
    touched: Instant,
    older: Option<usize>,
    newer: Option<usize>,
}

impl<K, V> Default for Aged<K, V> {
    fn default() -> Self {
        Self { by_key: HashMap::new(), slots: Slab::new(), ends: None, serial: 0 }
    }
}

impl<K: Copy + Eq + Hash, V> Aged<K, V> {
    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The entry of this key, where there is one.
    #[must_use]
    pub fn find(&self, key: &K) -> Option<EntryId> {
        self.by_key.get(key).and_then(|slot| self.id(*slot))
    }

    /// The value of an entry that is not gone.
    pub fn value(&mut self, id: EntryId) -> Option<&mut V> {
        self.slots.get_mut(id.slot).filter(|entry| entry.serial == id.serial).map(|entry| &mut entry.value)
    }

    /// The entry that was touched longest ago, and when that was.
    #[must_use]
    pub fn oldest(&self) -> Option<(EntryId, Instant)> {
        let slot = self.ends?.oldest;
        Some((self.id(slot)?, self.slots.get(slot)?.touched))
    }

    /// Makes an entry the one that was touched last.
    pub fn touch(&mut self, now: Instant, id: EntryId) {
        if self.id(id.slot) == Some(id) {
            self.unlink(id.slot);
            self.append(id.slot, now);
        }
    }

    /// A new entry, touched now; and the value that this key had before.
    pub fn insert(&mut self, now: Instant, key: K, value: V) -> (EntryId, Option<V>) {
        let before = self.find(&key).and_then(|id| self.remove(id));
        self.serial += 1;
        let serial = self.serial;
        let slot = self.slots.insert(Entry { key, value, serial, touched: now, older: None, newer: None });
        self.by_key.insert(key, slot);
        self.append(slot, now);
        (EntryId { slot, serial }, before)
    }

    /// Takes an entry out.
    pub fn remove(&mut self, id: EntryId) -> Option<V> {
        if self.id(id.slot) != Some(id) {
            return None;
        }
        self.unlink(id.slot);
        let entry = self.slots.try_remove(id.slot)?;
        self.by_key.remove(&entry.key);
        Some(entry.value)
    }

    fn id(&self, slot: usize) -> Option<EntryId> {
        self.slots.get(slot).map(|entry| EntryId { slot, serial: entry.serial })
    }

    /// Takes an entry out of the list by age.
    fn unlink(&mut self, slot: usize) {
        let Some(entry) = self.slots.get_mut(slot) else { return };
        let (older, newer) = (entry.older.take(), entry.newer.take());
        if let Some(older) = older.and_then(|older| self.slots.get_mut(older)) {
            older.newer = newer;
        }
        if let Some(newer) = newer.and_then(|newer| self.slots.get_mut(newer)) {
            newer.older = older;
        }
        self.ends = self.ends.and_then(|ends| {
            let oldest = if ends.oldest == slot { newer } else { Some(ends.oldest) };
            let newest = if ends.newest == slot { older } else { Some(ends.newest) };
            Some(Ends { oldest: oldest?, newest: newest? })
        });
    }

    /// Puts an entry that is in no list at the new end of it.
    fn append(&mut self, slot: usize, now: Instant) {
        let newest = self.ends.map(|ends| ends.newest);
        let last = newest.and_then(|newest| {
            let entry = self.slots.get_mut(newest)?;
            entry.newer = Some(slot);
            Some(entry.touched)
        });
        if let Some(entry) = self.slots.get_mut(slot) {
            entry.older = newest;
            // The list is by age, whatever clock the caller read.
            entry.touched = last.map_or(now, |last| last.max(now));
        }
        self.ends = Some(Ends { oldest: self.ends.map_or(slot, |ends| ends.oldest), newest: slot });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Insert(u8),
        Touch(u8),
        Remove(u8),
        RemoveOldest,
        /// The clock goes on; a caller may have read it before another did.
        Clock(i8),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0..8_u8).prop_map(Step::Insert),
            (0..8_u8).prop_map(Step::Touch),
            (0..8_u8).prop_map(Step::Remove),
            Just(Step::RemoveOldest),
            (-2..20_i8).prop_map(Step::Clock),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn it_does_what_a_simple_list_does(steps in steps()) {
            let mut now = Instant::now() + Duration::from_secs(1000);
            let mut aged = Aged::default();
            // Key, value, when touched; the oldest first.
            let mut model: Vec<(u8, usize, Instant)> = Vec::new();
            let mut gone = Vec::new();
            for (number, step) in steps.into_iter().enumerate() {
                let latest = model.last().map_or(now, |last| last.2.max(now));
                match step {
                    Step::Clock(by) if by < 0 => now -= Duration::from_secs(u64::from(by.unsigned_abs())),
                    Step::Clock(by) => now += Duration::from_secs(u64::from(by.unsigned_abs())),
                    Step::Insert(key) => {
                        let old = model.iter().position(|entry| entry.0 == key).map(|at| model.remove(at));
                        let latest = model.last().map_or(now, |last| last.2.max(now));
                        let (id, before) = aged.insert(now, key, number);
                        prop_assert_eq!(before, old.map(|old| old.1));
                        prop_assert_eq!(aged.value(id), Some(&mut { number }));
                        model.push((key, number, latest));
                    }
                    Step::Touch(key) => {
                        if let Some(id) = aged.find(&key) {
                            aged.touch(now, id);
                            let at = model.iter().position(|entry| entry.0 == key).unwrap();
                            let entry = model.remove(at);
                            let latest = if model.is_empty() { now } else { latest.min(model.last().unwrap().2.max(now)) };
                            model.push((entry.0, entry.1, latest));
                        }
                    }
                    Step::Remove(key) => {
                        let id = aged.find(&key);
                        let at = model.iter().position(|entry| entry.0 == key);
                        prop_assert_eq!(id.is_some(), at.is_some());
                        if let (Some(id), Some(at)) = (id, at) {
                            prop_assert_eq!(aged.remove(id), Some(model.remove(at).1));
                            gone.push(id);
                        }
                    }
                    Step::RemoveOldest => {
                        let oldest = aged.oldest();
                        prop_assert_eq!(oldest.map(|oldest| oldest.1), model.first().map(|entry| entry.2));
                        if let Some((id, _)) = oldest {
                            prop_assert_eq!(aged.remove(id), Some(model.remove(0).1));
                            gone.push(id);
                        }
                    }
                }
                prop_assert_eq!(aged.len(), model.len());
                for id in &gone {
                    prop_assert_eq!(aged.value(*id), None);
                    aged.touch(now, *id);
                    prop_assert_eq!(aged.remove(*id), None);
                }
            }
        }
    }
}
