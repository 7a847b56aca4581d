//! What an instance tells the log, metrics and hooks.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::OnPartition;
use crate::vrrp::peer::{self, Mismatch};
use crate::vrrp::refusal::Refusal;

/// What an instance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It takes no part.
    Fault(Fault),
    /// It listens.
    Backup,
    /// It holds the virtual addresses.
    Active,
}

impl State {
    /// Every word of [`Self::name`].
    pub const NAMES: [&'static str; 3] = ["active", "backup", "fault"];

    /// The word that metrics, hooks and the log use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fault(_) => "fault",
            Self::Backup => "backup",
            Self::Active => "active",
        }
    }
}

/// Why an instance takes no part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Its link and its services have not been seen yet.
    Starting,
    /// Its interface has no link or no address.
    NoLink,
    /// Something it depends on is broken.
    Unfit,
    /// Another member of its group takes no part.
    Group,
    /// The operator took it out.
    Drained,
    /// It ends.
    Stopped,
}

impl Fault {
    /// The word that metrics, hooks and the log use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::NoLink => "no_link",
            Self::Unfit => "unfit",
            Self::Group => "group",
            Self::Drained => "drained",
            Self::Stopped => "stopped",
        }
    }
}

/// Why an instance became what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// To fault: the state says why.
    Fault,
    /// To backup: what kept it in fault is over.
    Fit,
    /// To backup: another active one is better.
    Beaten {
        /// Its address.
        by: IpAddr,
        /// Its priority.
        priority: u8,
    },
    /// To backup: it was told to.
    HandedOver,
    /// To backup: another member of the group was beaten.
    Group,
    /// To active: nothing was heard for a down interval, and nobody serves.
    Silence,
    /// To active: the other one handed over.
    HandOver,
    /// To active: the other one has a lower priority.
    Preempting,
    /// To active: another host serves unheard, and `on_partition` says so.
    Unheard,
    /// To active: another host served unheard for too long to go on waiting.
    UnheardTooLong,
    /// To active: it was so before the program was replaced.
    Resumed,
}

impl Reason {
    /// The word that metrics, hooks and the log use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fault => "fault",
            Self::Fit => "fit",
            Self::Beaten { .. } => "beaten",
            Self::HandedOver => "handed_over",
            Self::Group => "group",
            Self::Silence => "silence",
            Self::HandOver => "hand_over",
            Self::Preempting => "preempting",
            Self::Unheard => "unheard",
            Self::UnheardTooLong => "unheard_too_long",
            Self::Resumed => "resumed",
        }
    }
}

/// Something worth a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The state is another now.
    Became {
        /// What it is now.
        state: State,
        /// Why.
        reason: Reason,
    },
    /// An active one gives its addresses away and serves until another has them.
    Leaving {
        /// What comes after; `None`: it stays as a backup.
        fault: Option<Fault>,
    },
    /// Nobody answered a hand-over, so it stays active.
    NobodyTookOver,
    /// An advert was refused; once a minute for each cause.
    Refused {
        /// Who seems to have sent it.
        source: IpAddr,
        /// Why, and what to change.
        refusal: Refusal,
    },
    /// Settings of the hosts differ; once a minute for each kind.
    Mismatch {
        /// The other host.
        source: IpAddr,
        /// What differs, and what to change.
        mismatch: Mismatch,
    },
    /// Another host serves the virtual addresses and its adverts are lost or refused.
    Unheard {
        /// What is done about it.
        policy: OnPartition,
        /// It is a host that is known.
        known: bool,
        /// Why its adverts were refused, where they came at all; else something drops protocol 112.
        refusal: Option<Refusal>,
    },
    /// Another active one is heard while we are active.
    Rival {
        /// The other host.
        source: IpAddr,
    },
    /// It is not any more.
    RivalGone {
        /// The other host.
        source: IpAddr,
        /// How long both were active, as far as we heard.
        lasted: Duration,
    },
    /// This host was held up for so long that the silence it measured proves nothing: it waits on.
    Late {
        /// By how much a timer was late.
        by: Duration,
    },
}

/// Keeps what recurs with every advert from filling the log.
#[derive(Debug, Default)]
pub(super) struct Muted {
    refusals: [Option<Instant>; Refusal::ALL.len()],
    mismatches: [Option<Instant>; peer::KINDS],
}

/// After it the same thing is said again.
const AGAIN: Duration = Duration::from_secs(60);

impl Muted {
    pub(super) fn says_refusal(&mut self, refusal: Refusal, now: Instant) -> bool {
        says(&mut self.refusals[refusal as usize], now)
    }

    pub(super) fn says_mismatch(&mut self, mismatch: Mismatch, now: Instant) -> bool {
        says(&mut self.mismatches[mismatch.place()], now)
    }
}

fn says(last: &mut Option<Instant>, now: Instant) -> bool {
    let due = last.is_none_or(|last| now >= last + AGAIN);
    if due {
        *last = Some(now);
    }
    due
}
