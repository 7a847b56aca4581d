//! When a worker that died is followed by the next one. Pure.

use std::time::Duration;

/// A worker that lived this long did not die of its start.
const LONG_LIFE: Duration = Duration::from_secs(10);
/// So many short lives in a row are a loop.
const LOOP: u32 = 5;
/// The longest wait.
const MOST: Duration = Duration::from_secs(10);

/// The workers that died young, in a row.
#[derive(Debug, Default)]
pub(super) struct Deaths(u32);

impl Deaths {
    /// A worker has died that lived so long: how long to wait before the next is started.
    pub(super) fn died(&mut self, lived: Duration) -> Duration {
        self.0 = if lived >= LONG_LIFE { 1 } else { self.0.saturating_add(1) };
        match self.0.checked_sub(LOOP) {
            None => Duration::ZERO,
            Some(more) => MOST.min(Duration::from_secs(1 << more.min(4))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_slowed_down_and_a_long_life_ends_it() {
        let mut deaths = Deaths::default();
        let mut young = || deaths.died(Duration::from_secs(2)).as_secs();
        assert_eq!([young(), young(), young(), young()], [0; 4]);
        assert_eq!([young(), young(), young(), young(), young(), young()], [1, 2, 4, 8, 10, 10]);
        assert_eq!(deaths.died(LONG_LIFE), Duration::ZERO);
        assert_eq!((0..4).map(|_| deaths.died(Duration::ZERO).as_secs()).collect::<Vec<_>>(), [0, 0, 0, 1]);
    }
}
