//! How many lines of one kind a thread may write to the diagnostics.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// So many lines in a second: what a hostile client brings about a thousand times a second fills
/// counters and the access log, not the operator's screen, on which the thread would wait.
#[derive(Debug)]
pub struct LineBudget {
    most: u32,
    second: Cell<Option<(Instant, u32)>>,
}

impl LineBudget {
    /// `most` lines a second.
    #[must_use]
    pub const fn new(most: u32) -> Self {
        Self { most, second: Cell::new(None) }
    }

    /// Whether one more may be written at `now`.
    #[must_use]
    pub fn take(&self, now: Instant) -> bool {
        let (since, lines) = match self.second.get() {
            Some((since, lines)) if now.saturating_duration_since(since) < Duration::from_secs(1) => (since, lines),
            _ => (now, 0),
        };
        self.second.set(Some((since, lines.saturating_add(1))));
        lines < self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_so_many_lines() {
        let budget = LineBudget::new(2);
        let now = Instant::now();
        let at = |millis| budget.take(now + Duration::from_millis(millis));
        assert_eq!([at(0), at(400), at(999), at(1000), at(1001), at(1002)], [true, true, false, true, true, false]);
    }
}
