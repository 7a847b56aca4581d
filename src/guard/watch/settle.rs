//! When a change has settled. Pure: the shell says what it sees and when.
//!
//! ```text
//!            Print ≠ followed              Print = candidate, STABLE later
//!   quiet ───────────────────► candidate ─────────────────────────────────► quiet, Changed
//!     ▲                         │     ▲
//!     └── Print = followed ─────┘     └── Print is yet another: wait anew
//! ```

use std::time::{Duration, Instant};

/// Contents must be the same for this long before they are acted on.
pub const STABLE: Duration = Duration::from_millis(100);

/// How often contents are looked at when nothing says that they changed.
pub const LOOK: Duration = Duration::from_secs(2);

/// What the shell saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The kernel reported something; it may mean nothing.
    Touched,
    /// The contents were read and have this print.
    Print(u64),
}

/// The contents are others than those followed, and settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed;

/// Decides when to read and what counts as a change.
#[derive(Debug)]
pub struct Settle {
    followed: u64,
    candidate: Option<(u64, Instant)>,
    last_read: Option<Instant>,
    next_read: Instant,
    changed: bool,
}

impl Settle {
    /// Contents with this print are followed; they are read at once.
    #[must_use]
    pub fn new(followed: u64, now: Instant) -> Self {
        Self { followed, candidate: None, last_read: None, next_read: now, changed: false }
    }

    /// Takes in what was seen.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Touched => self.touched(now),
            Input::Print(print) => self.read(now, print),
        }
    }

    /// When the contents are to be read next.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        self.next_read
    }

    /// Whether there is a change to act on; said once.
    pub fn poll_output(&mut self) -> Option<Changed> {
        std::mem::take(&mut self.changed).then_some(Changed)
    }

    /// Brings the next reading forward, but a busy folder causes no more than one each `STABLE`.
    fn touched(&mut self, now: Instant) {
        let earliest = self.last_read.map_or(now, |read| now.max(read + STABLE));
        self.next_read = self.next_read.min(earliest);
    }

    fn read(&mut self, now: Instant, print: u64) {
        self.last_read = Some(now);
        if print == self.followed {
            self.candidate = None;
            self.next_read = now + LOOK;
            return;
        }
        match self.candidate {
            Some((candidate, since)) if candidate == print && now >= since + STABLE => {
                self.followed = print;
                self.candidate = None;
                self.changed = true;
                self.next_read = now + LOOK;
            }
            Some((candidate, since)) if candidate == print => self.next_read = since + STABLE,
            _ => {
                self.candidate = Some((print, now));
                self.next_read = now + STABLE;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const NEVER: [Instant; 0] = [];

    /// Reads `print` when the machine wants to, `n` times; the times at which it said `Changed`.
    fn read(settle: &mut Settle, print: u64, n: usize) -> Vec<Instant> {
        (0..n)
            .filter_map(|_| {
                let now = settle.poll_timeout();
                settle.handle(now, Input::Print(print));
                settle.poll_output().map(|Changed| now)
            })
            .collect()
    }

    #[test]
    fn the_same_contents_are_never_a_change_and_are_looked_at_every_two_seconds() {
        let start = Instant::now();
        let mut settle = Settle::new(1, start);
        assert_eq!(read(&mut settle, 1, 5), NEVER);
        assert_eq!(settle.poll_timeout(), start + 5 * LOOK);
    }

    #[test]
    fn a_change_is_told_once_after_two_equal_readings() {
        let start = Instant::now();
        let mut settle = Settle::new(1, start);
        assert_eq!(read(&mut settle, 2, 5), [start + STABLE]);
    }

    #[test]
    fn contents_that_still_move_wait() {
        let start = Instant::now();
        let mut settle = Settle::new(1, start);
        assert_eq!(read(&mut settle, 2, 1), NEVER);
        assert_eq!(read(&mut settle, 3, 1), NEVER);
        assert_eq!(read(&mut settle, 4, 2), [start + 3 * STABLE]);
    }

    #[test]
    fn contents_that_come_back_are_no_change() {
        let start = Instant::now();
        let mut settle = Settle::new(1, start);
        assert_eq!(read(&mut settle, 2, 1), NEVER);
        assert_eq!(read(&mut settle, 1, 1), NEVER);
        assert_eq!(settle.poll_timeout(), start + STABLE + LOOK);
        assert_eq!(read(&mut settle, 2, 1), NEVER, "the first reading of 2 is forgotten");
    }

    #[test]
    fn a_change_back_is_a_change_once_the_first_was_acted_on() {
        let mut settle = Settle::new(1, Instant::now());
        assert_eq!(read(&mut settle, 2, 2).len(), 1);
        assert_eq!(read(&mut settle, 1, 2).len(), 1);
    }

    #[test]
    fn an_early_second_reading_does_not_settle() {
        let start = Instant::now();
        let mut settle = Settle::new(1, start);
        settle.handle(start, Input::Print(2));
        settle.handle(start + 40 * MS, Input::Print(2));
        assert_eq!(settle.poll_output(), None);
        assert_eq!(settle.poll_timeout(), start + STABLE);
    }

    #[test]
    fn an_event_brings_the_reading_forward_but_not_in_a_storm() {
        let start = Instant::now();
        let mut settle = Settle::new(1, start);
        assert_eq!(read(&mut settle, 1, 1), NEVER);
        settle.handle(start + 1000 * MS, Input::Touched);
        assert_eq!(settle.poll_timeout(), start + 1000 * MS);
        assert_eq!(read(&mut settle, 1, 1), NEVER);
        for ms in 1001..1050 {
            settle.handle(start + ms * MS, Input::Touched);
        }
        assert_eq!(settle.poll_timeout(), start + 1000 * MS + STABLE);
    }
}
