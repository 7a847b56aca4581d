//! When the network is told who holds the virtual addresses: at once, again a little later for those
//! who missed it, and from time to time. No I/O, no clock.
//!
//! ```text
//!   start            delay                refresh             refresh
//!     │                │                    │                    │
//!   ■■■■■            ■■■■■                  ■                    ■          each ■: every address once
//! ```

use std::time::{Duration, Instant};

/// How often and how far apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Announcements of a burst; 0: no bursts.
    pub repeat: u8,
    /// Between two of a burst; zero: back to back.
    pub spacing: Duration,
    /// From the first burst to the second; zero: no second one.
    pub delay: Duration,
    /// Between single announcements while active; zero: none.
    pub refresh: Duration,
}

impl Default for Schedule {
    /// As keepalived, and a refresh, which it leaves off.
    fn default() -> Self {
        Self { repeat: 5, spacing: Duration::ZERO, delay: Duration::from_secs(5), refresh: Duration::from_secs(30) }
    }
}

/// The announcements of an active instance.
#[derive(Debug)]
pub struct Announcer {
    schedule: Schedule,
    /// Announcements of the burst under way that are left, and when the next one is due.
    burst: Option<(u8, Instant)>,
    second: Option<Instant>,
    refresh: Option<Instant>,
}

impl Announcer {
    /// Nothing is due before [`Self::start`].
    #[must_use]
    pub fn new(schedule: Schedule) -> Self {
        Self { schedule, burst: None, second: None, refresh: None }
    }

    /// Goes by another schedule from the next step on.
    pub fn reschedule(&mut self, schedule: Schedule) {
        self.schedule = schedule;
    }

    /// A burst is due now, and all that follows it. One under way is begun anew.
    pub fn start(&mut self, now: Instant) {
        self.burst = (self.schedule.repeat > 0).then_some((self.schedule.repeat, now));
        self.second = after(now, self.schedule.delay).filter(|_| self.schedule.repeat > 0);
        self.refresh = after(now, self.schedule.refresh);
    }

    /// No burst, only the refresh: the addresses were held and announced before.
    pub fn resume(&mut self, now: Instant) {
        self.refresh = after(now, self.schedule.refresh);
    }

    /// Nothing is due any more.
    pub fn stop(&mut self) {
        *self = Self::new(self.schedule);
    }

    /// How often every address is to be announced now.
    pub fn handle_timeout(&mut self, now: Instant) -> u8 {
        if let Some(at) = self.second
            && at <= now
        {
            self.second = None;
            self.burst = Some((self.schedule.repeat.max(1), now));
        }
        let mut times = 0;
        while let Some((left, at)) = self.burst
            && at <= now
        {
            times += 1;
            self.burst = (left > 1).then_some((left - 1, at + self.schedule.spacing));
        }
        if let Some(at) = self.refresh
            && at <= now
        {
            self.refresh = after(now, self.schedule.refresh);
            times = times.max(1);
        }
        times
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let burst = self.burst.map(|(_, at)| at);
        [burst, self.second, self.refresh].into_iter().flatten().min()
    }
}

fn after(now: Instant, wait: Duration) -> Option<Instant> {
    (!wait.is_zero()).then(|| now + wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// When, in milliseconds from the start, and how often, until `end`.
    fn announced(announcer: &mut Announcer, start: Instant, end: u64) -> Vec<(u128, u8)> {
        let mut found = Vec::new();
        while let Some(now) = announcer.poll_timeout()
            && now <= start + MS * u32::try_from(end).unwrap()
        {
            let times = announcer.handle_timeout(now);
            assert!(times > 0, "woken for nothing");
            found.push(((now - start).as_millis(), times));
        }
        found
    }

    fn started(schedule: Schedule, end: u64) -> Vec<(u128, u8)> {
        let start = Instant::now();
        let mut announcer = Announcer::new(schedule);
        assert_eq!(announcer.poll_timeout(), None);
        announcer.start(start);
        announced(&mut announcer, start, end)
    }

    #[test]
    fn five_at_once_five_after_five_seconds_then_one_each_thirty() {
        let expected = [(0, 5), (5_000, 5), (30_000, 1), (60_000, 1), (90_000, 1)];
        assert_eq!(started(Schedule::default(), 100_000), expected);
    }

    #[test]
    fn keepaliveds_example_with_other_settings_is_the_same() {
        let second = Duration::from_secs(1);
        let schedule = Schedule { repeat: 2, spacing: 10 * MS, delay: second, refresh: 2 * second };
        let expected = [(0, 1), (10, 1), (1_000, 1), (1_010, 1), (2_000, 1), (4_000, 1)];
        assert_eq!(started(schedule, 5_000), expected);
    }

    #[test]
    fn each_part_can_be_left_out() {
        let schedule = Schedule { refresh: Duration::ZERO, ..Schedule::default() };
        assert_eq!(started(schedule, 100_000), [(0, 5), (5_000, 5)]);
        let schedule = Schedule { delay: Duration::ZERO, ..schedule };
        assert_eq!(started(schedule, 100_000), [(0, 5)]);
        let schedule = Schedule { repeat: 0, ..Schedule::default() };
        assert_eq!(started(schedule, 70_000), [(30_000, 1), (60_000, 1)]);
    }

    #[test]
    fn a_second_start_begins_anew_and_a_stop_ends_all() {
        let start = Instant::now();
        let mut announcer = Announcer::new(Schedule::default());
        announcer.start(start);
        assert_eq!(announcer.handle_timeout(start), 5);
        announcer.start(start + 1_000 * MS);
        assert_eq!(announced(&mut announcer, start, 20_000), [(1_000, 5), (6_000, 5)]);
        announcer.stop();
        assert_eq!(announcer.poll_timeout(), None);
        announcer.resume(start);
        assert_eq!(announced(&mut announcer, start, 40_000), [(30_000, 1)]);
    }

    #[test]
    fn one_that_wakes_late_announces_once_for_all_it_missed() {
        let start = Instant::now();
        let mut announcer = Announcer::new(Schedule { spacing: 10 * MS, ..Schedule::default() });
        announcer.start(start);
        assert_eq!(announcer.handle_timeout(start + 300_000 * MS), 1, "the second burst begins");
        assert_eq!(announcer.poll_timeout(), Some(start + 300_010 * MS));
    }
}
