//! One cell a thread, so that no two cores write the same cache line.

use crossbeam_utils::CachePadded;

/// Which data-plane thread this is, from 0. Control-side threads have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ThreadId(pub usize);

/// A `T` for each data-plane thread.
#[derive(Debug)]
pub struct PerThread<T>(Box<[CachePadded<T>]>);

impl<T: Default> PerThread<T> {
    /// As many cells as there are threads; at least one.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self((0..threads.max(1)).map(|_| CachePadded::new(T::default())).collect())
    }
}

impl<T> PerThread<T> {
    /// The cell of this thread. A thread beyond the number given to `new` shares the last cell:
    /// counts may then be lost, nothing worse.
    #[must_use]
    pub fn of(&self, thread: ThreadId) -> &T {
        let last = self.0.len() - 1;
        &self.0[thread.0.min(last)]
    }

    /// Every cell, for the sum at a scrape.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|cell| &**cell)
    }
}
