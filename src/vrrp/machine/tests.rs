//! One machine and what is done to it. Adverts every 100 ms unless said; times in microseconds.

mod partition;
mod state;

use std::time::Duration;

use super::*;
use crate::vrrp::interval::Version;
use crate::vrrp::wire::Overlap;

const MS: u64 = 1_000;

/// 3 × 100 ms + 156/256 × 100 ms.
const DOWN: u64 = 360_937;

/// 156/256 × 100 ms.
const SKEW: u64 = 60_937;

struct Bench {
    machine: Machine,
    start: Instant,
    now: Instant,
    /// What came out, and when.
    log: Vec<(u64, Output)>,
    /// Whether addresses are added as soon as they are claimed.
    claims: bool,
}

fn settings() -> Settings {
    Settings::new(51, interval(100), Priority::new(100).unwrap())
}

/// Any time: only what passes from it counts.
fn moment() -> Instant {
    Instant::now()
}

fn interval(millis: u64) -> AdvertInterval {
    AdvertInterval::new(Version::V3, Duration::from_millis(millis)).unwrap()
}

fn host(last: u8) -> IpAddr {
    IpAddr::from([192, 168, 0, last])
}

fn told(priority: u8) -> Told {
    Told { vrid: 51, priority, interval: interval(100), addresses: Overlap::Same, checksum: None }
}

impl Bench {
    /// A backup whose link came up at 0.
    fn new(settings: Settings) -> Self {
        let start = moment();
        let machine = Machine::new(settings, start);
        let mut bench = Self { machine, start, now: start, log: Vec::new(), claims: true };
        bench.act(|machine, now| machine.handle_link(now, Some(host(12))));
        bench.log.clear();
        bench
    }

    /// One that became active by silence; the clock starts anew there.
    fn active(settings: Settings) -> Self {
        let mut bench = Self::new(settings);
        while bench.machine.state() == State::Backup {
            bench.now = bench.machine.poll_timeout().unwrap();
            bench.act(Machine::handle_timeout);
        }
        bench.start = bench.now;
        bench.log.clear();
        bench
    }

    fn act(&mut self, input: impl FnOnce(&mut Machine, Instant)) {
        input(&mut self.machine, self.now);
        self.collect();
    }

    fn collect(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            self.log.push((self.at(), output));
            if output == Output::Claim && self.claims {
                self.machine.handle_claimed(self.now);
            }
        }
    }

    fn at(&self) -> u64 {
        u64::try_from((self.now - self.start).as_micros()).unwrap()
    }

    /// Does all that is due on its way to this time.
    fn run_to(&mut self, micros: u64) {
        let end = self.start + Duration::from_micros(micros);
        while let Some(due) = self.machine.poll_timeout()
            && due <= end
        {
            self.now = self.now.max(due);
            self.act(Machine::handle_timeout);
        }
        self.now = end;
    }

    /// Time passes and nothing is done in it.
    fn sleep_to(&mut self, micros: u64) {
        self.now = self.start + Duration::from_micros(micros);
    }

    fn hear(&mut self, last: u8, told: Told) {
        let received = Received::Accepted { source: host(last), told };
        self.act(|machine, now| machine.handle_advert(now, &received));
    }

    fn refuse(&mut self, refusal: Refusal, told: Told) {
        let received = Received::Refused { source: host(11), refusal, told: Some(told) };
        self.act(|machine, now| machine.handle_advert(now, &received));
    }

    /// An advert of this priority every 100 ms from now, until this time.
    fn hear_until(&mut self, priority: u8, micros: u64) {
        while self.at() + 100 * MS <= micros {
            self.hear(11, told(priority));
            self.run_to(self.at() + 100 * MS);
        }
        self.run_to(micros);
    }

    /// What came out since the last time this was asked.
    fn said(&mut self) -> Vec<(u64, Output)> {
        std::mem::take(&mut self.log)
    }

    fn outputs(&mut self) -> Vec<Output> {
        self.said().into_iter().map(|(_, output)| output).collect()
    }

    fn events(&mut self) -> Vec<Event> {
        let event = |output| if let Output::Event(event) = output { Some(event) } else { None };
        self.outputs().into_iter().filter_map(event).collect()
    }

    fn sends(&mut self) -> Vec<(u64, u8)> {
        let send = |(at, output)| if let Output::Send { priority } = output { Some((at, priority)) } else { None };
        self.said().into_iter().filter_map(send).collect()
    }
}

fn became(state: State, reason: Reason) -> Output {
    Output::Event(Event::Became { state, reason })
}
