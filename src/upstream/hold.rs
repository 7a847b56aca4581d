//! Sessions that wait for a server to come up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crossbeam_utils::CachePadded;

/// Those of one upstream that wait, over all threads: their bound is shared by its meaning.
#[derive(Clone, Debug, Default)]
pub struct Hold(Arc<CachePadded<AtomicU32>>);

/// A place among them, given back when dropped.
#[derive(Debug)]
pub struct Held(Hold);

impl Hold {
    /// A place, where fewer than `most` have one.
    #[must_use]
    pub fn enter(&self, most: u32) -> Option<Held> {
        let one_more = |waiting| (waiting < most).then_some(waiting + 1);
        self.0.fetch_update(Relaxed, Relaxed, one_more).ok().map(|_| Held(self.clone()))
    }

    /// How many wait now.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        self.0.load(Relaxed)
    }

    /// Whether nobody else can find it.
    pub(super) fn is_forgotten(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_wait_and_no_more() {
        let hold = Hold::default();
        let held = hold.enter(2).unwrap();
        let _other = hold.enter(2).unwrap();
        assert!(hold.enter(2).is_none());
        drop(held);
        assert_eq!(hold.waiting(), 1);
        assert!(hold.enter(2).is_some());
        assert!(hold.enter(0).is_none());
    }
}
