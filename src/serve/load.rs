//! How much a thread has taken on, and whether it takes more.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use crate::message::InFlight;
use crate::snapshot::Capacity;

/// Why a thread takes no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Overload {
    /// As many exchanges are under way as may be.
    #[error("as many exchanges are under way as may be")]
    Exchanges,
    /// The thread comes round too late.
    #[error("the thread has more to do than it can")]
    Lag,
}

impl Overload {
    /// Its name in logs and as a label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Exchanges => "too_many_exchanges",
            Self::Lag => "lag",
        }
    }
}

/// The load of one thread.
#[derive(Debug, Default)]
pub(super) struct Load {
    exchanges: Cell<u32>,
    turns: RefCell<Turns>,
}

impl Load {
    /// Takes one more exchange on.
    pub(super) fn admit(&self, capacity: Capacity) -> Result<InFlight<'_>, Overload> {
        if self.turns.borrow().is_late() {
            return Err(Overload::Lag);
        }
        if self.exchanges.get() >= capacity.exchanges {
            return Err(Overload::Exchanges);
        }
        Ok(InFlight::new(&self.exchanges))
    }

    /// The thread has come round, as it should `every` so often.
    pub(super) fn turned(&self, now: Instant, every: Duration, capacity: Capacity) {
        self.turns.borrow_mut().turned(now, every + capacity.lag);
    }
}

/// The pure part: whether turns come too late.
#[derive(Debug, Default)]
struct Turns {
    last: Option<Instant>,
    late: u32,
}

/// One late turn may be the host's doing; so many in a row are a load that cannot be carried.
const LATE_TURNS: u32 = 2;

impl Turns {
    fn turned(&mut self, now: Instant, longest: Duration) {
        let took = self.last.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        self.last = Some(now);
        self.late = if took > longest { self.late.saturating_add(1) } else { 0 };
    }

    fn is_late(&self) -> bool {
        self.late >= LATE_TURNS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_millis(100);
    const CAPACITY: Capacity = Capacity { exchanges: 2, lag: Duration::from_millis(500) };

    #[test]
    fn an_exchange_gives_its_place_back() {
        let load = Load::default();
        let first = load.admit(CAPACITY).unwrap();
        let _second = load.admit(CAPACITY).unwrap();
        assert_eq!(load.admit(CAPACITY).unwrap_err(), Overload::Exchanges);
        drop(first);
        assert!(load.admit(CAPACITY).is_ok());
    }

    #[test]
    fn a_thread_that_is_late_twice_takes_nothing_on_until_it_is_in_time() {
        let load = Load::default();
        let mut now = Instant::now();
        let mut turn = |millis| {
            now += Duration::from_millis(millis);
            load.turned(now, EVERY, CAPACITY);
            load.admit(CAPACITY).err()
        };
        assert_eq!(turn(5000), None, "the first turn has none before it");
        assert_eq!(turn(601), None);
        assert_eq!(turn(600), None, "in time again");
        assert_eq!(turn(601), None);
        assert_eq!(turn(601), Some(Overload::Lag));
        assert_eq!(turn(2000), Some(Overload::Lag));
        assert_eq!(turn(100), None);
    }
}
