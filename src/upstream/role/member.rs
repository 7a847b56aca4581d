//! One server of a pool, as the checks have seen it until now.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::memory::{Aside, Known};
use super::seen::{Following, Seen};
use super::verdict::{Reason, Verdict};

/// A server and its newest checks.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) name: Arc<str>,
    /// Host and port, as written and as resolved: what a replica may call it.
    pub(super) addresses: Vec<Arc<str>>,
    /// What its newest check with an answer saw, and when.
    pub(super) seen: Option<(Instant, Seen)>,
    /// Checks without an answer since, and why the newest had none.
    pub(super) failures: u32,
    pub(super) failure: Option<(Instant, Arc<str>)>,
    /// Checks in a row that saw it, the same server, writable and following no member.
    pub(super) writable_in_row: u32,
    /// Checks in a row that saw it follow closely enough.
    pub(super) ready_in_row: u32,
    pub(super) verdict: Verdict,
    pub(super) reason: Reason,
}

impl Member {
    pub(super) fn new(name: Arc<str>, addresses: Vec<Arc<str>>) -> Self {
        Self {
            name,
            addresses,
            seen: None,
            failures: 0,
            failure: None,
            writable_in_row: 0,
            ready_in_row: 0,
            verdict: Verdict::Out,
            reason: Reason::NotSeen,
        }
    }

    pub(super) fn fail(&mut self, now: Instant, reason: Arc<str>) {
        self.failures = self.failures.saturating_add(1);
        self.failure = Some((now, reason));
        self.writable_in_row = 0;
        self.ready_in_row = 0;
    }

    pub(super) fn answer(&mut self, now: Instant, seen: Seen, max_lag: Duration) {
        let same = self.seen.as_ref().is_some_and(|(_, before)| before.identity == seen.identity);
        let in_row = |before: u32, is: bool| if is { before.saturating_add(1) } else { 0 };
        let before = if same { self.writable_in_row } else { 0 };
        self.writable_in_row = in_row(before, seen.writable);
        self.ready_in_row = in_row(self.ready_in_row, lack(&seen, max_lag).is_none());
        self.failures = 0;
        self.seen = Some((now, seen));
    }

    pub(super) fn last(&self) -> Option<&Seen> {
        self.seen.as_ref().map(|(_, seen)| seen)
    }

    /// What its newest check saw, where that one had an answer.
    pub(super) fn fresh(&self) -> Option<&Seen> {
        self.last().filter(|_| self.failures == 0)
    }

    /// Dead, as far as can be told from here.
    pub(super) fn is_silent(&self, fall: u32) -> bool {
        self.failures >= fall.max(1)
    }

    /// Whether anything is known of it.
    pub(super) fn is_heard(&self, fall: u32) -> bool {
        self.seen.is_some() || self.is_silent(fall)
    }

    /// Whether its newest check saw it writable.
    pub(super) fn is_writable(&self) -> bool {
        self.fresh().is_some_and(|seen| seen.writable)
    }

    /// Whether it may be writable: the newest answer said so, and it is not known to be dead.
    pub(super) fn may_be_writable(&self, fall: u32) -> bool {
        !self.is_silent(fall) && self.last().is_some_and(|seen| seen.writable)
    }

    /// Whether somebody may be connected to it.
    pub(super) fn holds_sessions(&self) -> bool {
        matches!(self.verdict, Verdict::Serves | Verdict::Keeps)
    }

    pub(super) fn is(&self, known: &Known) -> bool {
        self.is_named(&known.server, &known.identity)
    }

    pub(super) fn is_set_aside(&self, aside: &Aside) -> bool {
        self.is_named(&aside.server, &aside.identity)
    }

    /// By its identity where both are known, else by its name.
    fn is_named(&self, name: &str, identity: &str) -> bool {
        match self.last() {
            Some(seen) if !seen.identity.is_empty() && !identity.is_empty() => *seen.identity == *identity,
            _ => *self.name == *name,
        }
    }

    /// What its newest check saw, or why it saw nothing, for people.
    pub(super) fn told(&self) -> String {
        match (&self.failure, self.last()) {
            (Some((_, why)), _) if self.failures > 0 => format!("no answer for {} checks: {why}", self.failures),
            (_, Some(seen)) => seen.told.to_string(),
            _ => "not asked yet".to_owned(),
        }
    }

    /// Why it cannot serve readers; `None`: it can.
    pub(super) fn lack(&self, max_lag: Duration) -> Option<Reason> {
        self.last().map_or(Some(Reason::NotSeen), |seen| lack(seen, max_lag))
    }
}

fn lack(seen: &Seen, max_lag: Duration) -> Option<Reason> {
    match &seen.following {
        _ if seen.writable => Some(Reason::Writable),
        Following::Nobody => Some(Reason::FollowsNobody),
        Following::Stopped(what) => Some(Reason::Stopped(what.clone())),
        Following::Running(None) => Some(Reason::LagUnknown),
        Following::Running(Some(lag)) if *lag > max_lag => Some(Reason::Lags { lag: *lag, max: max_lag }),
        Following::Running(Some(_)) => None,
    }
}
