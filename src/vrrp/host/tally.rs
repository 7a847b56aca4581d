//! What is counted and remembered of an instance, for operators.

use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

use super::status::{Counts, PeerStatus, RefusedStatus, Transition};
use crate::telemetry::rfc3339;
use crate::vrrp::line::word;
use crate::vrrp::machine::{Fault, Machine, Reason, State};
use crate::vrrp::refusal::Refusal;
use crate::vrrp::wire::Told;

/// The memory of one instance.
#[derive(Debug)]
pub(super) struct Tally {
    reason: &'static str,
    since: SystemTime,
    /// As many as there are states and reasons.
    transitions: Vec<(&'static str, &'static str, u64)>,
    peer: Option<(Instant, IpAddr, Told)>,
    refused: Option<(Instant, IpAddr, Refusal)>,
    pub(super) send_failures: u64,
    pub(super) both_active: Duration,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            reason: Fault::Starting.name(),
            since: SystemTime::now(),
            transitions: Vec::new(),
            peer: None,
            refused: None,
            send_failures: 0,
            both_active: Duration::ZERO,
        }
    }

    pub(super) fn became(&mut self, state: State, reason: Reason, at: SystemTime) {
        let (name, why) = (state.name(), word(state, reason));
        self.reason = why;
        self.since = at;
        match self.transitions.iter_mut().find(|(state, reason, _)| (*state, *reason) == (name, why)) {
            Some((_, _, count)) => *count += 1,
            None => self.transitions.push((name, why, 1)),
        }
    }

    pub(super) fn heard(&mut self, now: Instant, source: IpAddr, told: &Told) {
        self.peer = Some((now, source, *told));
    }

    pub(super) fn refused(&mut self, now: Instant, source: IpAddr, refusal: Refusal) {
        // Other virtual routers live on the link by right.
        if refusal != Refusal::VirtualRouterId {
            self.refused = Some((now, source, refusal));
        }
    }

    pub(super) fn reason(&self) -> &'static str {
        self.reason
    }

    pub(super) fn since(&self) -> String {
        rfc3339(self.since)
    }

    pub(super) fn peer(&self, now: Instant) -> Option<PeerStatus> {
        self.peer.map(|(at, address, told)| PeerStatus {
            address,
            priority: told.priority,
            advert_interval_ms: millis(told.interval.duration()),
            checksum: told.checksum.map(|form| form.name().to_owned()),
            heard_ms_ago: millis(now.saturating_duration_since(at)),
        })
    }

    pub(super) fn last_refused(&self, now: Instant) -> Option<RefusedStatus> {
        self.refused.map(|(at, address, refusal)| RefusedStatus {
            address,
            cause: refusal.name().to_owned(),
            hint: refusal.hint().to_owned(),
            heard_ms_ago: millis(now.saturating_duration_since(at)),
        })
    }

    pub(super) fn counts(&self, now: Instant, machine: &Machine) -> Counts {
        let counted = machine.counters();
        let causes = Refusal::ALL.iter().zip(counted.refused);
        let so_far = machine.rival_since().map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let transition = |(state, reason, count): &(&str, &str, u64)| Transition {
            state: (*state).to_owned(),
            reason: (*reason).to_owned(),
            count: *count,
        };
        Counts {
            sent: counted.sent,
            send_failures: self.send_failures,
            accepted: counted.accepted,
            refused: causes.map(|(cause, count)| (cause.name().to_owned(), count)).collect(),
            transitions: self.transitions.iter().map(transition).collect(),
            both_active_seconds: (self.both_active + so_far).as_secs_f64(),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
