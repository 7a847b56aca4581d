//! An instance that listens: how long nothing is heard, and what follows (RFC 9568 §6.4.2).
//!
//! ```text
//!  last advert     1st missed      2nd missed      3rd missed   skew
//!     ├───────────────┼───────────────┼───────────────┼──────────┤
//!                              pulse: are we late?    │          │
//!                                        └ pulse ─ probe ─ answer ┴ down: claim, or hold
//! ```
//!
//! A pulse that is handled late shows that this host was held up, and may not have heard what was said.

use std::time::{Duration, Instant};

use super::{Event, Machine, OnPartition, Output, Probed, Reason, Stage};
use crate::vrrp::interval::AdvertInterval;
use crate::vrrp::priority::{HAND_OVER, Priority};
use crate::vrrp::refusal::Refusal;
use crate::vrrp::track::Tracking;
use crate::vrrp::wire::Told;

/// The silence of the active one, as far as it went.
#[derive(Debug)]
pub(super) struct Backup {
    /// Between two adverts of the active one, as it said itself (`Active_Adver_Interval`).
    interval: Duration,
    /// The whole silence that counts as its end.
    down: Duration,
    /// When that is over (`Active_Down_Timer`).
    down_at: Instant,
    /// Pulses before it that are left, an interval apart.
    pulses_left: u32,
    /// How often the end was put off because we were late.
    put_off: u8,
    /// The active one said that it goes.
    handing_over: bool,
    /// A host of lower priority speaks, and is being preempted.
    lower_heard: bool,
    /// What was heard in this silence was refused for this.
    refusal: Option<Refusal>,
    probe: Probe,
    hold: Option<Hold>,
    /// The silence is over and the rest of the group is waited for.
    ready: Option<Reason>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probe {
    Unasked,
    Asked,
    Answered(Probed),
}

/// The silence is over, but another host may be serving.
#[derive(Clone, Copy, Debug)]
struct Hold {
    until: Instant,
    /// What is claimed for then.
    reason: Reason,
    /// A host that is not known puts that off no longer, whatever it answers: a forger must not hold us
    /// down for ever.
    strangers_until: Instant,
    ask_at: Instant,
    /// It was told that a host serves.
    is_told: bool,
}

/// What a step of time brought.
enum Elapsed {
    Nothing,
    Late(Duration),
    Probe { deadline: Instant },
    Held { known: bool },
    Over(Reason),
}

/// Being late puts the end off so many times in one silence: a host that is always late is no reason
/// to have none at all.
const MOST_PUT_OFF: u8 = 3;

/// Down intervals that `on_partition = "stop"` waits at most for a host that is not known.
const MOST_HELD: u32 = 3;

/// The fastest that probes follow each other while held.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// One answer of a host that is known counts until so many questions more had none at all.
const MOST_UNANSWERED: u32 = 3;

impl Backup {
    /// Begins to measure the silence of one that sends at this interval.
    pub(super) fn new(now: Instant, interval: AdvertInterval, priority: Priority) -> Self {
        let down = interval.active_down(priority);
        Self {
            interval: interval.duration(),
            down,
            down_at: now + down,
            pulses_left: 2,
            put_off: 0,
            handing_over: false,
            lower_heard: false,
            refusal: None,
            probe: Probe::Unasked,
            hold: None,
            ready: None,
        }
    }

    /// Nothing is claimed before.
    pub(super) fn not_before(mut self, claims_from: Instant) -> Self {
        self.down_at = self.down_at.max(claims_from);
        self
    }

    /// A refused advert moves no timer. It is only remembered, to be named if we have to claim.
    pub(super) fn refused(&mut self, refusal: Refusal) {
        self.refusal = Some(refusal);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match (self.ready, self.hold) {
            (Some(_), _) => None,
            (None, Some(hold)) => Some(hold.until.min(hold.ask_at)),
            (None, None) => Some(self.due()),
        }
    }

    /// The next pulse, or the end.
    fn due(&self) -> Instant {
        self.down_at - self.interval * self.pulses_left
    }

    fn elapse(&mut self, now: Instant, policy: OnPartition) -> Elapsed {
        if self.ready.is_some() {
            return Elapsed::Nothing;
        }
        let again = self.again();
        if let Some(hold) = &mut self.hold {
            return hold.elapse(now, again, &mut self.probe);
        }
        let due = self.due();
        if now < due {
            return Elapsed::Nothing;
        }
        let late = now - due;
        if late > self.interval / 2 && self.put_off < MOST_PUT_OFF {
            self.put_off += 1;
            self.down_at = self.down_at.max(now + self.interval);
            self.pulses_left = u32::from(!self.handing_over);
            return Elapsed::Late(late);
        }
        match self.pulses_left {
            0 => self.over(now, policy),
            // Who hands over or is preempted is there: no probe tells more.
            1 if !self.lower_heard => {
                self.pulses_left = 0;
                self.probe = Probe::Asked;
                Elapsed::Probe { deadline: self.down_at.max(now) }
            }
            _ => {
                self.pulses_left -= 1;
                Elapsed::Nothing
            }
        }
    }

    fn over(&mut self, now: Instant, policy: OnPartition) -> Elapsed {
        if self.handing_over {
            return Elapsed::Over(Reason::HandOver);
        }
        if self.lower_heard {
            return Elapsed::Over(Reason::Preempting);
        }
        let strangers_until = now + MOST_HELD * self.down;
        let hold = |until, ask_at| Hold { until, reason: Reason::Silence, strangers_until, ask_at, is_told: false };
        match (self.probe, policy) {
            (Probe::Answered(Probed::Accepts { .. }), OnPartition::Serve) => Elapsed::Over(Reason::Unheard),
            (Probe::Answered(Probed::Accepts { known }), OnPartition::Stop) => {
                let again = self.again();
                self.hold.insert(hold(now, now + again)).is_served(now, known, again);
                Elapsed::Held { known }
            }
            // The answer is late. Where two do harm, it is worth an interval.
            (Probe::Asked, OnPartition::Stop) => {
                let until = now + self.interval;
                self.hold = Some(hold(until, until));
                Elapsed::Nothing
            }
            _ => Elapsed::Over(Reason::Silence),
        }
    }

    /// Between two questions while held.
    fn again(&self) -> Duration {
        self.interval.max(ASK_AGAIN)
    }
}

impl Hold {
    fn elapse(&mut self, now: Instant, again: Duration, probe: &mut Probe) -> Elapsed {
        if now >= self.until {
            return Elapsed::Over(self.reason);
        }
        if now < self.ask_at {
            return Elapsed::Nothing;
        }
        *probe = Probe::Asked;
        self.ask_at = now + again;
        Elapsed::Probe { deadline: self.ask_at.min(self.until) }
    }

    /// A host serves. Whether that was not told yet.
    fn is_served(&mut self, now: Instant, known: bool, again: Duration) -> bool {
        (self.until, self.reason) = if known {
            (now + MOST_UNANSWERED * again, Reason::Silence)
        } else {
            (self.strangers_until, Reason::UnheardTooLong)
        };
        !std::mem::replace(&mut self.is_told, true)
    }
}

impl Machine {
    pub(super) fn backup_hears(&mut self, now: Instant, told: &Told) {
        let (ours, preempts) = (self.priority(), self.preempts(now));
        let Stage::Backup(backup) = &mut self.stage else { return };
        if told.priority == HAND_OVER {
            // RFC 9568 §6.4.2: the timer becomes the skew. One who repeats it puts nothing off.
            let skew_ends = now + told.interval.skew(ours);
            let down_at = if backup.handing_over { backup.down_at.min(skew_ends) } else { skew_ends };
            let fresh = Backup::new(now, told.interval, ours);
            *backup = Backup { down_at, pulses_left: 0, handing_over: true, ..fresh };
        } else if told.priority < ours.value() && preempts {
            // RFC 9568 §6.4.2: discarded, the timer runs on.
            backup.lower_heard = true;
            if backup.hold.take().is_some() {
                backup.down_at = now;
            }
        } else {
            self.listen(now, told.interval);
        }
    }

    pub(super) fn backup_timeout(&mut self, now: Instant) {
        let policy = self.settings.on_partition;
        let Stage::Backup(backup) = &mut self.stage else { return };
        let refusal = backup.refusal;
        let known = matches!(backup.probe, Probe::Answered(Probed::Accepts { known: true }));
        match backup.elapse(now, policy) {
            Elapsed::Nothing => {}
            Elapsed::Late(by) => self.event(Event::Late { by }),
            Elapsed::Probe { deadline } => self.outputs.push_back(Output::Probe { deadline }),
            Elapsed::Held { known } => self.event(Event::Unheard { policy, known, refusal }),
            Elapsed::Over(reason) => {
                if reason == Reason::Unheard {
                    self.event(Event::Unheard { policy, known, refusal });
                }
                self.claim(now, reason);
            }
        }
    }

    pub(super) fn backup_probed(&mut self, now: Instant, probed: Probed) {
        let policy = self.settings.on_partition;
        let Stage::Backup(backup) = &mut self.stage else { return };
        if backup.probe != Probe::Asked {
            return;
        }
        backup.probe = Probe::Answered(probed);
        let (refusal, again) = (backup.refusal, backup.again());
        match (&mut backup.hold, probed) {
            (None, _) => {}
            (Some(hold), Probed::Accepts { known }) => {
                if hold.is_served(now, known, again) {
                    self.event(Event::Unheard { policy, known, refusal });
                }
            }
            (Some(_), Probed::Answers | Probed::Nobody) => self.claim(now, Reason::Silence),
        }
    }

    /// Whether its silence is over and it waits for its group.
    pub(in crate::vrrp) fn is_ready(&self) -> bool {
        matches!(&self.stage, Stage::Backup(backup) if backup.ready.is_some())
    }

    /// Every member of its group is ready.
    pub(in crate::vrrp) fn claim_with_group(&mut self, now: Instant) {
        if let Stage::Backup(Backup { ready: Some(reason), .. }) = self.stage {
            self.become_active(now, reason);
        }
    }

    fn claim(&mut self, now: Instant, reason: Reason) {
        match &mut self.stage {
            Stage::Backup(backup) if self.grouped => backup.ready = Some(reason),
            _ => self.become_active(now, reason),
        }
    }

    /// Whether a living host of lower priority is not waited for.
    fn preempts(&self, now: Instant) -> bool {
        if self.handed_over || now < self.claims_from {
            return false;
        }
        // RFC 9568 §6.1: the owner of the addresses always preempts.
        let settled = matches!(self.tracking, Tracking::Fit { settled: true, .. });
        self.settings.priority.is_owner() || self.settings.preempt && settled && now >= self.preempts_from
    }
}
