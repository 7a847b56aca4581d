//! Who holds the virtual addresses: the state machine of RFC 9568 §6.4, one for each instance. No I/O,
//! no clock.
//!
//! ```text
//!                     no link, unfit, drained, stopped, its group
//!        ┌───────────────────────────────────────────────────────────────┐
//!        ▼                                                               │
//!  ┌───────────┐  link, fit, undrained   ┌────────────┐  silence, hand-over, preempting  ┌────────────┐
//!  │   Fault   │ ──────────────────────► │   Backup   │ ───────────────────────────────► │   Active   │
//!  │ (initial) │ ◄────────────────────── │            │ ◄─────────────────────────────── │            │
//!  └───────────┘                         └────────────┘   a better one speaks; handed over└────────────┘
//!        ▲                                                                                     │
//!        └──────────────── leaving: priority 0 and still serving, until another ───────────────┘
//!                          speaks or one down interval passed; without a link at once
//! ```
//!
//! Every instance starts as a backup, whatever its priority. In both states a refused advert counts and
//! moves no timer. Where this differs from the RFC it says why; the differences heal a split: an active
//! one that hears another always answers, and announces once more.
//!
//! The shell empties its sockets ([`Machine::handle_advert`]) before each [`Machine::handle_timeout`], and
//! drains [`Machine::poll_output`] after every call.

mod active;
mod backup;
mod event;
mod settings;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Instant;

pub use event::{Event, Fault, Reason, State};
pub use settings::{HOLD_DOWN, OnPartition, Settings};

use super::interval::AdvertInterval;
use super::peer;
use super::priority::Priority;
use super::refusal::Refusal;
use super::track::Tracking;
use super::wire::{Received, Told};
use active::Active;
use backup::Backup;
use event::Muted;

/// One instance.
#[derive(Debug)]
pub struct Machine {
    settings: Settings,
    /// Our address on the interface; `None` while there is no link.
    source: Option<IpAddr>,
    tracking: Tracking,
    drained: bool,
    stopped: bool,
    /// It claims only together with others, and another of them takes no part.
    grouped: bool,
    group_unfit: bool,
    /// We gave the addresses away on purpose and do not take them back from a living host.
    handed_over: bool,
    /// Nobody is preempted before.
    preempts_from: Instant,
    /// Nothing is claimed before: the link came back.
    claims_from: Instant,
    stage: Stage,
    counters: Counters,
    muted: Muted,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
enum Stage {
    Fault(Fault),
    Backup(Backup),
    Active(Active),
}

/// What the shell has to do, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send an advert to every destination.
    Send {
        /// What it says; 0: we hand over.
        priority: u8,
    },
    /// Add the virtual addresses, then say so ([`Machine::handle_claimed`]).
    Claim,
    /// Remove the virtual addresses.
    Release,
    /// Tell the network that the virtual addresses are here: each so many times.
    Announce {
        /// Gratuitous ARPs or unsolicited NAs for each address.
        times: u8,
    },
    /// Ask who answers for the virtual addresses, and say so ([`Machine::handle_probe`]).
    Probe {
        /// An answer after it is late.
        deadline: Instant,
    },
    /// Something for the log, metrics and hooks.
    Event(Event),
}

/// What a probe found out about the virtual addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probed {
    /// No other host answers for them.
    Nobody,
    /// One answers by ARP or NDP, but refuses connections: its kernel lives, its daemon does not.
    Answers,
    /// One answers and takes connections: it serves, and its adverts do not come through.
    Accepts {
        /// It is a host whose adverts we have believed, or one that the config names.
        known: bool,
    },
}

/// What an instance has counted since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Adverts sent; one to many peers counts once.
    pub sent: u64,
    /// Adverts believed.
    pub accepted: u64,
    /// Adverts refused, at the places of [`Refusal::ALL`].
    pub refused: [u64; Refusal::ALL.len()],
}

impl Machine {
    /// An instance without a link yet.
    #[must_use]
    pub fn new(settings: Settings, now: Instant) -> Self {
        Self {
            settings,
            source: None,
            tracking: Tracking::WELL,
            drained: false,
            stopped: false,
            grouped: false,
            group_unfit: false,
            handed_over: false,
            preempts_from: now,
            claims_from: now,
            stage: Stage::Fault(Fault::Starting),
            counters: Counters::default(),
            muted: Muted::default(),
            outputs: VecDeque::with_capacity(16),
        }
    }

    /// An instance that was active in the program which this one replaces, and still holds the
    /// addresses. It speaks at once.
    #[must_use]
    pub fn resume(settings: Settings, source: IpAddr, now: Instant) -> Self {
        let mut machine = Self::new(settings, now);
        machine.resume_from(now, source);
        machine
    }

    /// The same for one that was made before its link was seen.
    pub(super) fn resume_from(&mut self, now: Instant, source: IpAddr) {
        self.source = Some(source);
        self.become_active(now, Reason::Resumed);
    }

    /// The link is up and we send from this address, or it is down.
    pub fn handle_link(&mut self, now: Instant, source: Option<IpAddr>) {
        let starting = matches!(self.stage, Stage::Fault(Fault::Starting));
        if self.source.is_none() && source.is_some() && !starting {
            // The switch may not forward yet, and nothing beyond it was looked at since.
            self.claims_from = now + self.settings.hold_down;
        }
        self.source = source;
        self.reconsider(now);
    }

    /// What the tracked facts come to now.
    pub fn handle_tracking(&mut self, now: Instant, tracking: Tracking) {
        let before = self.priority();
        self.tracking = tracking;
        self.reprioritised(now, before);
        self.reconsider(now);
    }

    /// An advert, believed or refused.
    pub fn handle_advert(&mut self, now: Instant, received: &Received) {
        match *received {
            Received::Accepted { source, told } => {
                self.counters.accepted += 1;
                self.compare(now, source, &told);
                match self.stage {
                    Stage::Fault(_) => {}
                    Stage::Backup(_) => self.backup_hears(now, &told),
                    Stage::Active(_) => self.active_hears(now, source, &told),
                }
            }
            Received::Refused { source, refusal, told } => {
                self.counters.refused[refusal as usize] += 1;
                self.complain(now, source, refusal, told.as_ref());
                let Some(told) = told.filter(|_| refusal.is_of_a_rival()) else { return };
                match &mut self.stage {
                    Stage::Fault(_) => {}
                    Stage::Backup(backup) => backup.refused(refusal),
                    Stage::Active(_) => self.active_refuses(now, source, &told),
                }
            }
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.stage {
            Stage::Fault(_) => {}
            Stage::Backup(_) => self.backup_timeout(now),
            Stage::Active(_) => self.active_timeout(now),
        }
    }

    /// What the last [`Output::Probe`] found out.
    pub fn handle_probe(&mut self, now: Instant, probed: Probed) {
        self.backup_probed(now, probed);
    }

    /// The virtual addresses were added: the network may be told.
    pub fn handle_claimed(&mut self, now: Instant) {
        if let Stage::Active(active) = &mut self.stage {
            active.claimed(now);
            self.active_timeout(now);
        }
    }

    /// Gives the addresses to another host that is there, and stays backup while one is.
    pub fn hand_over(&mut self, now: Instant) {
        if matches!(self.stage, Stage::Active(_)) {
            self.leave(now, active::Towards::Backup(Reason::HandedOver));
        }
    }

    /// Gives the addresses away and takes no part until [`Self::undrain`], even if nobody else is there.
    pub fn drain(&mut self, now: Instant) {
        self.drained = true;
        self.reconsider(now);
    }

    /// Takes part again, as a backup.
    pub fn undrain(&mut self, now: Instant) {
        self.drained = false;
        self.reconsider(now);
    }

    /// Gives the addresses away for good. Over with [`Fault::Stopped`].
    pub fn stop(&mut self, now: Instant) {
        self.stopped = true;
        self.reconsider(now);
    }

    /// The same at once, whether another host is there or not.
    pub fn stop_now(&mut self, now: Instant) {
        self.stopped = true;
        if matches!(self.stage, Stage::Active(_)) && self.source.is_some() {
            self.say_farewell();
            self.outputs.push_back(Output::Release);
            self.fail(Fault::Stopped);
        } else {
            self.reconsider(now);
        }
    }

    /// Goes by other settings from here on, without leaving its state.
    pub fn reconfigure(&mut self, now: Instant, settings: Settings) {
        let before = self.priority();
        let other_interval = settings.interval != self.settings.interval;
        self.settings = settings;
        match &mut self.stage {
            Stage::Backup(_) if other_interval => self.listen(now, settings.interval),
            Stage::Fault(_) | Stage::Backup(_) => {}
            Stage::Active(active) => {
                active.reschedule(&settings);
                if other_interval {
                    self.speak(now);
                }
            }
        }
        self.reprioritised(now, before);
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Fault(_) => None,
            Stage::Backup(backup) => backup.poll_timeout(),
            Stage::Active(active) => active.poll_timeout(),
        }
    }

    /// The next thing to do; to be drained after every call.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// What it is.
    #[must_use]
    pub fn state(&self) -> State {
        match self.stage {
            Stage::Fault(fault) => State::Fault(fault),
            Stage::Backup(_) => State::Backup,
            Stage::Active(_) => State::Active,
        }
    }

    /// Whether it is active, still serves, and tells others to take over.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        matches!(&self.stage, Stage::Active(active) if active.is_leaving())
    }

    /// Since when another active one has been heard while we are active too.
    #[must_use]
    pub fn rival_since(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Active(active) => active.rival_since(),
            Stage::Fault(_) | Stage::Backup(_) => None,
        }
    }

    /// The configured priority, less what tracking takes.
    #[must_use]
    pub fn priority(&self) -> Priority {
        match self.tracking {
            Tracking::Fit { lowered_by, .. } => self.settings.priority.lowered_by(lowered_by),
            Tracking::Unfit => self.settings.priority,
        }
    }

    /// What was counted.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Why it must not be active; the gravest first.
    fn fault(&self) -> Option<Fault> {
        self.own_fault().or(self.group_unfit.then_some(Fault::Group))
    }

    /// The same, without its group.
    pub(super) fn own_fault(&self) -> Option<Fault> {
        if self.stopped {
            return Some(Fault::Stopped);
        }
        if self.source.is_none() {
            let starting = matches!(self.stage, Stage::Fault(Fault::Starting));
            return Some(if starting { Fault::Starting } else { Fault::NoLink });
        }
        if self.drained {
            return Some(Fault::Drained);
        }
        (self.tracking == Tracking::Unfit).then_some(Fault::Unfit)
    }

    /// From here on it claims only together with others, or alone.
    pub(super) fn join_group(&mut self, grouped: bool) {
        self.grouped = grouped;
    }

    /// Whether another member takes no part.
    pub(super) fn handle_group(&mut self, now: Instant, unfit: bool) {
        if self.group_unfit != unfit {
            self.group_unfit = unfit;
            self.reconsider(now);
        }
    }

    /// A member of its group was beaten: the addresses stay together.
    pub(super) fn follow_group(&mut self, now: Instant) {
        if matches!(self.stage, Stage::Active(_)) {
            self.leave(now, active::Towards::Backup(Reason::Group));
        }
    }

    /// Brings the stage in line with what is known of faults.
    fn reconsider(&mut self, now: Instant) {
        match (self.fault(), &mut self.stage) {
            (None, Stage::Fault(_)) => {
                self.preempts_from = now + self.settings.preempt_delay;
                self.listen(now, self.settings.interval);
                self.event(Event::Became { state: State::Backup, reason: Reason::Fit });
            }
            (None, Stage::Active(active)) => {
                if active.stays() {
                    active.announce(now);
                    self.speak(now);
                }
            }
            (None, Stage::Backup(_)) => {}
            (Some(fault), Stage::Fault(old)) if *old == fault => {}
            (Some(fault), Stage::Fault(_) | Stage::Backup(_)) => self.fail(fault),
            // Nobody hears a farewell, and nobody reaches the addresses here.
            (Some(_), Stage::Active(_)) if self.source.is_none() => {
                self.outputs.push_back(Output::Release);
                let fault = if self.stopped { Fault::Stopped } else { Fault::NoLink };
                self.fail(fault);
            }
            (Some(fault), Stage::Active(_)) => self.leave(now, active::Towards::Fault(fault)),
        }
    }

    fn fail(&mut self, fault: Fault) {
        self.stage = Stage::Fault(fault);
        self.event(Event::Became { state: State::Fault(fault), reason: Reason::Fault });
    }

    /// Waits a full down interval of an active one that sends at this interval.
    fn listen(&mut self, now: Instant, interval: AdvertInterval) {
        let backup = Backup::new(now, interval, self.priority());
        self.stage = Stage::Backup(backup.not_before(self.claims_from));
    }

    fn reprioritised(&mut self, now: Instant, before: Priority) {
        if self.priority() > before {
            self.preempts_from = self.preempts_from.max(now + self.settings.preempt_delay);
        }
        // Said at once: a backup that is better now waits a down interval from what it hears.
        if self.priority() != before
            && let Stage::Active(active) = &self.stage
            && !active.is_leaving()
        {
            self.speak(now);
        }
    }

    /// Tells what differs between the hosts, now and then.
    fn compare(&mut self, now: Instant, source: IpAddr, told: &Told) {
        let mismatch = peer::compare(told, &self.settings);
        if let Some(mismatch) = mismatch.filter(|mismatch| self.muted.says_mismatch(*mismatch, now)) {
            self.event(Event::Mismatch { source, mismatch });
        }
    }

    /// Tells that an advert was refused, now and then.
    fn complain(&mut self, now: Instant, source: IpAddr, refusal: Refusal, told: Option<&Told>) {
        if refusal == Refusal::VirtualRouterId {
            // Other virtual routers live on the link by right.
            if let Some(told) = told {
                self.compare(now, source, told);
            }
        } else if self.muted.says_refusal(refusal, now) {
            self.event(Event::Refused { source, refusal });
        }
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}

#[cfg(test)]
mod tests;
