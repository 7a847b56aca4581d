//! When one server is asked, and what its answers make of it. No I/O, no clock.
//!
//! ```text
//!            due                  Passed / Failed
//! Waiting ─────────► Probing ──────────────────────► Waiting
//!    ▲    Probe out     │      (Became out, where it
//!    └──────────────────┘       turns the verdict)
//!          Changed
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Pace, Reason};
use crate::upstream::Health;

/// The check of one server.
///
/// The first answer makes the first verdict; after it `rise` passed or `fall` failed probes in a
/// row turn it. Probes never overlap: one that takes longer than the interval delays the next.
#[derive(Debug)]
pub struct Machine {
    pace: Pace,
    health: Health,
    /// Answers in a row that speak against `health`.
    against: u32,
    stage: Stage,
    jitter: fastrand::Rng,
    outputs: VecDeque<Output>,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Waiting { until: Instant },
    Probing { since: Instant },
}

/// What happens to a check.
#[derive(Debug)]
pub enum Input {
    /// The probe passed and took so long.
    Passed {
        /// From the start of the connection to the verdict.
        took: Duration,
    },
    /// The probe failed.
    Failed(Reason),
    /// The check has another question, address or pace now. A probe under way is void; the verdict
    /// stands until the next ones turn it.
    Changed(Pace),
}

/// What the shell has to do.
#[derive(Debug)]
pub enum Output {
    /// Ask the server once and say how it went.
    Probe,
    /// The verdict turned.
    Became(Change),
}

/// A verdict that turned, with the probe that turned it.
#[derive(Debug)]
pub enum Change {
    /// The server lives.
    Up {
        /// How long the last probe took.
        took: Duration,
    },
    /// The server does not.
    Down(Reason),
}

impl Machine {
    /// A check whose first probe is due now, of a server that is known to be so. The seed spreads the
    /// later ones.
    #[must_use]
    pub fn new(pace: Pace, health: Health, now: Instant, seed: u64) -> Self {
        Self {
            pace,
            health,
            against: 0,
            stage: Stage::Waiting { until: now },
            jitter: fastrand::Rng::with_seed(seed),
            outputs: VecDeque::new(),
        }
    }

    /// Takes an input in. An answer that nobody waits for changes nothing.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match (input, self.stage) {
            (Input::Changed(pace), _) => {
                self.pace = pace;
                self.outputs.clear();
                self.stage = Stage::Waiting { until: now };
            }
            (Input::Passed { took }, Stage::Probing { since }) => {
                self.wait_for_next(now, since);
                if self.turns(Health::Up, self.pace.rise) {
                    self.outputs.push_back(Output::Became(Change::Up { took }));
                }
            }
            (Input::Failed(reason), Stage::Probing { since }) => {
                self.wait_for_next(now, since);
                if self.turns(Health::Down, self.pace.fall) {
                    self.outputs.push_back(Output::Became(Change::Down(reason)));
                }
            }
            (Input::Passed { .. } | Input::Failed(_), Stage::Waiting { .. }) => {}
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Stage::Waiting { until } = self.stage
            && until <= now
        {
            self.stage = Stage::Probing { since: now };
            self.outputs.push_back(Output::Probe);
        }
    }

    /// When [`Self::handle_timeout`] is due; `None` while a probe is under way.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.stage {
            Stage::Waiting { until } => Some(until),
            Stage::Probing { .. } => None,
        }
    }

    /// The next thing to do; to be drained after every call.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether an answer for `side` turns the verdict.
    fn turns(&mut self, side: Health, needed: u32) -> bool {
        if self.health == side {
            self.against = 0;
            return false;
        }
        self.against += 1;
        let turned = self.health == Health::Unknown || self.against >= needed;
        if turned {
            self.health = side;
            self.against = 0;
        }
        turned
    }

    fn wait_for_next(&mut self, now: Instant, since: Instant) {
        let thousandth = self.pace.interval.clamp(Pace::LEAST_INTERVAL, Pace::MOST_INTERVAL) / 1_000;
        self.stage = Stage::Waiting { until: (since + thousandth * self.jitter.u32(900..=1_100)).max(now) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEC: Duration = Duration::from_secs(1);

    /// A machine, its time, and what it did.
    struct Bench {
        machine: Machine,
        now: Instant,
        probes: Vec<Instant>,
    }

    impl Bench {
        fn new(pace: Pace) -> Self {
            let now = Instant::now();
            Self { machine: Machine::new(pace, Health::Unknown, now, 7), now, probes: Vec::new() }
        }

        /// Goes on to the next probe and answers it after `took`: the verdict that it turned.
        fn answer_after(&mut self, took: Duration, passed: bool) -> Option<Health> {
            self.now = self.now.max(self.machine.poll_timeout().expect("a probe is due some day"));
            self.machine.handle_timeout(self.now);
            assert!(matches!(self.machine.poll_output(), Some(Output::Probe)));
            assert!(self.machine.poll_timeout().is_none(), "one probe at a time");
            self.probes.push(self.now);
            self.now += took;
            let reason = Reason::Body("UP".into());
            let input = if passed { Input::Passed { took } } else { Input::Failed(reason) };
            self.machine.handle(self.now, input);
            let became = self.machine.poll_output().map(|output| match output {
                Output::Became(Change::Up { .. }) => Health::Up,
                Output::Became(Change::Down(_)) => Health::Down,
                Output::Probe => panic!("a probe that is not due"),
            });
            assert!(self.machine.poll_output().is_none());
            became
        }

        fn answers(&mut self, passed: &[bool]) -> Vec<Option<Health>> {
            passed.iter().map(|passed| self.answer_after(Duration::from_millis(3), *passed)).collect()
        }
    }

    #[test]
    fn the_first_answer_decides_and_later_ones_need_a_row() {
        let mut bench = Bench::new(Pace { rise: 2, fall: 3, ..Pace::default() });
        assert_eq!(bench.answers(&[true]), [Some(Health::Up)]);
        assert_eq!(bench.answers(&[false, false, true]), [None; 3]);
        assert_eq!(bench.answers(&[false, false, false]), [None, None, Some(Health::Down)]);
        assert_eq!(bench.answers(&[false, true, false, true, true]), [None, None, None, None, Some(Health::Up)]);

        let mut bench = Bench::new(Pace { fall: 3, ..Pace::default() });
        assert_eq!(bench.answers(&[false]), [Some(Health::Down)]);
    }

    #[test]
    fn probes_come_at_once_and_then_at_the_interval_give_or_take() {
        let mut bench = Bench::new(Pace { interval: 10 * SEC, ..Pace::default() });
        let start = bench.now;
        bench.answers(&[true; 200]);
        assert_eq!(bench.probes[0], start);
        let gaps: Vec<_> = bench.probes.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().all(|gap| (9 * SEC..=11 * SEC).contains(gap)), "{gaps:?}");
        assert!(gaps.iter().any(|gap| *gap < 10 * SEC) && gaps.iter().any(|gap| *gap > 10 * SEC));
    }

    #[test]
    fn a_probe_longer_than_the_interval_delays_the_next() {
        let mut bench = Bench::new(Pace { interval: SEC, timeout: 5 * SEC, ..Pace::default() });
        bench.answer_after(5 * SEC, false);
        bench.answer_after(SEC, false);
        assert_eq!(bench.probes[1] - bench.probes[0], 5 * SEC);
    }

    #[test]
    fn a_changed_check_asks_at_once_and_keeps_its_verdict() {
        let mut bench = Bench::new(Pace { rise: 2, fall: 2, ..Pace::default() });
        bench.answers(&[true, false]);
        bench.machine.handle(bench.now, Input::Changed(Pace { rise: 2, fall: 2, interval: SEC, ..Pace::default() }));
        assert_eq!(bench.machine.poll_timeout(), Some(bench.now));
        assert_eq!(bench.answers(&[false]), [Some(Health::Down)]);
    }

    #[test]
    fn an_answer_that_nobody_waits_for_changes_nothing() {
        let mut bench = Bench::new(Pace::default());
        bench.machine.handle_timeout(bench.now);
        bench.machine.handle(bench.now, Input::Changed(Pace::default()));
        bench.machine.handle(bench.now, Input::Failed(Reason::Body("UP".into())));
        assert!(bench.machine.poll_output().is_none(), "the void probe is not asked for any more");
        assert_eq!(bench.answers(&[true]), [Some(Health::Up)]);
    }
}
