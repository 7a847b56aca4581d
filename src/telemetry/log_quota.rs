//! How many lines a thread may write about one kind of event.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Lets a few lines a second through: whoever causes a thousand events a second fills counters, not
/// the log. A thread's own.
#[derive(Debug, Default)]
pub struct LogQuota(Cell<Option<(Instant, u32)>>);

impl LogQuota {
    /// Lines a second.
    const LINES: u32 = 10;

    /// Whether one more line may be written now.
    pub fn take(&self, now: Instant) -> bool {
        let (since, lines) = match self.0.get() {
            Some((since, lines)) if now.saturating_duration_since(since) < Duration::from_secs(1) => (since, lines),
            _ => (now, 0),
        };
        self.0.set(Some((since, lines.saturating_add(1))));
        lines < Self::LINES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_ten_lines() {
        let (quota, now) = (LogQuota::default(), Instant::now());
        assert_eq!((0..50).filter(|_| quota.take(now)).count(), 10);
        assert!(!quota.take(now + Duration::from_millis(999)));
        assert!(quota.take(now + Duration::from_secs(1)));
    }
}
