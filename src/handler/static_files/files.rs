//! What a thread remembers of the files that it served.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::disk::Disk;
use super::look::Entry;
use crate::head::Fields;

/// How long a file is served without a look at it.
const FRESH: Duration = Duration::from_secs(1);
/// A file that nobody asked for between two sweeps is closed, so that a deleted one gives its room
/// on the disk back.
const SWEEP: Duration = Duration::from_secs(30);
/// How many heads' memory is kept for the next answers.
const SPARE_HEADS: usize = 64;

/// The bounds of a thread's memory of files.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How many files; a coding that lies beside a file counts as one more.
    pub files: usize,
    /// How many bytes of memory, bodies included.
    pub bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { files: 1024, bytes: 8 * 1024 * 1024 }
    }
}

/// The open files and small bodies of one data-plane thread.
#[derive(Debug)]
pub struct Files {
    table: RefCell<Table>,
    spare: RefCell<Vec<Fields>>,
    disk: Disk,
}

impl Files {
    /// An empty memory with these bounds; `disk` is shared by all threads.
    #[must_use]
    pub fn new(bounds: Bounds, disk: Disk) -> Self {
        let table = Table {
            bounds,
            slots: HashMap::with_hasher(Seed(fastrand::u64(..))),
            order: VecDeque::new(),
            files: 0,
            bytes: 0,
            swept: None,
            key: Vec::new(),
        };
        Self { table: RefCell::new(table), spare: RefCell::new(Vec::new()), disk }
    }

    /// Takes the memory of an answer's fields back once they are written.
    pub fn reuse(&self, fields: Fields) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_HEADS {
            spare.push(fields);
        }
    }

    /// Closes what nobody has asked for lately. Each request does it when it is due; a thread
    /// without requests may call it every half minute.
    pub fn sweep(&self, now: Instant) {
        self.table.borrow_mut().sweep(now);
    }

    pub(super) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Empty fields, with memory of their own if there is any.
    pub(super) fn fields(&self) -> Fields {
        let mut fields = self.spare.borrow_mut().pop().unwrap_or_default();
        fields.clear();
        fields
    }

    /// What lies at a path of a root, if that was looked up within the last second.
    pub(super) fn fresh(&self, root: u64, path: &[u8], now: Instant) -> Option<Arc<Entry>> {
        let mut table = self.table.borrow_mut();
        table.sweep(now);
        table.fresh(root, path, now)
    }

    /// Remembers what a look found.
    pub(super) fn keep(&self, root: u64, path: &[u8], entry: Arc<Entry>, now: Instant) {
        self.table.borrow_mut().keep(root, path, entry, now);
    }

    /// Forgets what a look did not find again.
    pub(super) fn forget(&self, root: u64, path: &[u8]) {
        self.table.borrow_mut().forget(root, path);
    }
}

#[derive(Debug)]
struct Table {
    bounds: Bounds,
    slots: HashMap<Arc<[u8]>, Slot, Seed>,
    /// The keys of `slots` in the order in which they may have to go.
    order: VecDeque<Arc<[u8]>>,
    files: usize,
    bytes: usize,
    swept: Option<Instant>,
    /// Room to write a key in.
    key: Vec<u8>,
}

/// Makes hashes of keys that nobody outside can foresee.
#[derive(Debug)]
struct Seed(u64);

impl BuildHasher for Seed {
    type Hasher = KeyHasher;

    fn build_hasher(&self) -> KeyHasher {
        KeyHasher(self.0)
    }
}

struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    // A key is one piece: its length needs no place of its own.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[derive(Debug)]
struct Slot {
    entry: Arc<Entry>,
    looked: Instant,
    /// Whether it was asked for since it was last in danger.
    asked: bool,
}

impl Table {
    fn fresh(&mut self, root: u64, path: &[u8], now: Instant) -> Option<Arc<Entry>> {
        self.write_key(root, path);
        let slot = self.slots.get_mut(self.key.as_slice())?;
        slot.asked = true;
        (now.saturating_duration_since(slot.looked) < FRESH).then(|| Arc::clone(&slot.entry))
    }

    fn keep(&mut self, root: u64, path: &[u8], entry: Arc<Entry>, now: Instant) {
        self.write_key(root, path);
        let key: Arc<[u8]> = Arc::from(self.key.as_slice());
        let slot = Slot { entry, looked: now, asked: false };
        if slot.files() > self.bounds.files || slot.weight(&key) > self.bounds.bytes {
            return self.forget(root, path);
        }
        self.files += slot.files();
        self.bytes += slot.weight(&key);
        match self.slots.insert(Arc::clone(&key), slot) {
            None => self.order.push_back(key),
            Some(old) => {
                self.files -= old.files();
                self.bytes -= old.weight(&key);
            }
        }
        while self.files > self.bounds.files || self.bytes > self.bounds.bytes {
            self.evict();
        }
    }

    fn forget(&mut self, root: u64, path: &[u8]) {
        self.write_key(root, path);
        if let Some((key, slot)) = self.slots.remove_entry(self.key.as_slice()) {
            self.files -= slot.files();
            self.bytes -= slot.weight(&key);
            self.order.retain(|other| *other != key);
        }
    }

    /// Drops the oldest that was not asked for since the last time round.
    fn evict(&mut self) {
        while let Some(key) = self.order.pop_front() {
            match self.slots.get_mut(&key) {
                Some(slot) if slot.asked => {
                    slot.asked = false;
                    self.order.push_back(key);
                }
                Some(slot) => {
                    self.files -= slot.files();
                    self.bytes -= slot.weight(&key);
                    self.slots.remove(&key);
                    return;
                }
                None => {}
            }
        }
    }

    fn sweep(&mut self, now: Instant) {
        let swept = *self.swept.get_or_insert(now);
        if now.saturating_duration_since(swept) < SWEEP {
            return;
        }
        self.swept = Some(now);
        let (files, bytes) = (&mut self.files, &mut self.bytes);
        self.slots.retain(|key, slot| {
            let stays = std::mem::take(&mut slot.asked) || now.saturating_duration_since(slot.looked) < SWEEP;
            if !stays {
                *files -= slot.files();
                *bytes -= slot.weight(key);
            }
            stays
        });
        self.order.retain(|key| self.slots.contains_key(key));
    }

    fn write_key(&mut self, root: u64, path: &[u8]) {
        self.key.clear();
        self.key.extend_from_slice(&root.to_ne_bytes());
        self.key.extend_from_slice(path);
    }
}

impl Slot {
    fn files(&self) -> usize {
        self.entry.files()
    }

    fn weight(&self, key: &[u8]) -> usize {
        size_of::<Self>() + key.len() + self.entry.weight()
    }
}

#[cfg(test)]
mod tests;
