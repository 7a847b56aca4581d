//! How long a peer is waited for, by what it has moved.

use std::time::Duration;

/// Bounds the waits for a peer to send or to take: each single one by `patience`, and by the same
/// amount how far the peer may fall behind `rate`.
///
/// Only waits count: while nobody waits for the peer, it owes nothing. What it moves pays for what it
/// was waited for and never for what is to come, so a fast beginning buys no slow end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    patience: Duration,
    rate: u64,
    behind: Duration,
    since: Option<Duration>,
}

impl Pace {
    /// For a peer that must move `rate` bytes a second; 0: at any rate.
    #[must_use]
    pub fn new(patience: Duration, rate: u64) -> Self {
        Self { patience, rate, behind: Duration::ZERO, since: None }
    }

    /// The peer is waited for at `now`. How long it may be, where the wait begins here.
    #[must_use]
    pub fn wait(&mut self, now: Duration) -> Option<Duration> {
        if self.since.is_some() {
            return None;
        }
        self.since = Some(now);
        Some(self.patience.saturating_sub(self.behind))
    }

    /// Whether the peer is being waited for.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.since.is_some()
    }

    /// The peer moved so many bytes at `now`.
    pub fn moved(&mut self, now: Duration, bytes: u64) {
        if let Some(since) = self.since.take() {
            self.behind += now.saturating_sub(since);
        }
        if self.behind.is_zero() {
            return;
        }
        self.behind = match bytes.saturating_mul(1_000_000).checked_div(self.rate) {
            Some(micros) => self.behind.saturating_sub(Duration::from_micros(micros)),
            None => Duration::ZERO,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_drip_uses_its_patience_up() {
        let mut pace = Pace::new(PATIENCE, 100);
        for turn in 0..3 {
            assert_eq!(pace.wait(at(turn * 4)), Some(at(10 - turn * 3)));
            assert_eq!(pace.wait(at(turn * 4 + 1)), None, "it is one wait");
            // Four seconds for a hundred bytes: three too many.
            pace.moved(at(turn * 4 + 4), 100);
        }
        assert_eq!(pace.wait(at(12)), Some(at(1)));
        pace.moved(at(22), 1);
        assert_eq!(pace.wait(at(22)), Some(Duration::ZERO));
    }

    #[test]
    fn bytes_pay_for_waits_behind_them_and_not_before_them() {
        let mut pace = Pace::new(PATIENCE, 100);
        pace.moved(at(0), 1_000_000);
        assert_eq!(pace.wait(at(0)), Some(PATIENCE));
        pace.moved(at(8), 0);
        assert_eq!(pace.wait(at(8)), Some(at(2)));
        pace.moved(at(8), 500);
        pace.moved(at(100), 100);
        assert_eq!(pace.wait(at(100)), Some(at(8)), "nobody waited from 8 to 100");
        pace.moved(at(101), 1_000_000);
        assert_eq!(pace.wait(at(200)), Some(PATIENCE));
    }

    #[test]
    fn without_a_rate_each_wait_stands_alone() {
        let mut pace = Pace::new(PATIENCE, 0);
        for turn in 0..100 {
            assert_eq!(pace.wait(at(turn * 9)), Some(PATIENCE));
            pace.moved(at(turn * 9 + 9), 1);
        }
    }
}
