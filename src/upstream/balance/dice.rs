//! Random numbers for choices that only have to be fair.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::mix;
use crate::telemetry::{PerThread, ThreadId};

/// A sequence for each thread; not for secrets.
#[derive(Debug)]
pub(super) struct Dice(PerThread<AtomicU64>);

impl Dice {
    pub(super) fn new(threads: usize) -> Self {
        Self(PerThread::new(threads))
    }

    /// The next number of this thread's sequence.
    pub(super) fn roll(&self, thread: ThreadId) -> u64 {
        // A Weyl sequence, mixed: threads differ by the place at which they enter it.
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let cell = self.0.of(thread);
        let next = cell.load(Relaxed).wrapping_add(STEP);
        cell.store(next, Relaxed);
        mix(next ^ mix(thread.0 as u64 + 1))
    }
}
