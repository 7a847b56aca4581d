//! An instance that holds the virtual addresses: what it sends, whom it yields to, how it leaves
//! (RFC 9568 §6.4.3).

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::{Event, Fault, Machine, Output, Reason, Settings, Stage, State};
use crate::vrrp::announce::Announcer;
use crate::vrrp::interval::AdvertInterval;
use crate::vrrp::priority::HAND_OVER;
use crate::vrrp::wire::Told;

/// What there is to an instance while it is active.
#[derive(Debug)]
pub(super) struct Active {
    /// Between two adverts.
    interval: Duration,
    /// Restarts with what is sent, never with what is heard.
    advert_at: Instant,
    announcer: Announcer,
    /// The shell has added the addresses.
    claimed: bool,
    /// The last answer to an advert that was believed, and to one that was not: one an interval.
    answered_at: Option<Instant>,
    retorted_at: Option<Instant>,
    rival: Option<Rival>,
    leaving: Option<Leaving>,
}

/// Another active one.
#[derive(Clone, Copy, Debug)]
struct Rival {
    source: IpAddr,
    since: Instant,
    last_heard: Instant,
    /// Without a word for so long it is gone.
    gone_after: Duration,
    /// When we last told the network that the addresses are here because of it.
    announced_at: Option<Instant>,
    /// Its last advert was believed.
    believed: bool,
    /// Operators know of it.
    told: bool,
}

/// The addresses are being given away.
#[derive(Clone, Copy, Debug)]
struct Leaving {
    towards: Towards,
    /// When they go, whatever happens.
    release_at: Instant,
    /// The interval of the host that took them.
    answered: Option<AdvertInterval>,
}

/// What comes after the addresses are given away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Towards {
    Backup(Reason),
    Fault(Fault),
}

/// From another's first advert until it has the addresses and the network knows: who sends the advert
/// first and adds the addresses then needs some milliseconds.
const LINGER: Duration = Duration::from_millis(20);

/// A rival is gone after so many intervals without a word, and is announced against once in as many.
const RIVAL_INTERVALS: u32 = 3;

impl Active {
    fn new(now: Instant, settings: &Settings) -> Self {
        Self {
            interval: settings.interval.duration(),
            advert_at: now,
            announcer: Announcer::new(settings.announcements),
            claimed: false,
            answered_at: None,
            retorted_at: None,
            rival: None,
            leaving: None,
        }
    }

    pub(super) fn reschedule(&mut self, settings: &Settings) {
        self.interval = settings.interval.duration();
        self.announcer.reschedule(settings.announcements);
    }

    pub(super) fn claimed(&mut self, now: Instant) {
        self.claimed = true;
        self.announce(now);
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }

    /// What it was leaving for is over: whether it stays. Where another has the addresses already, it
    /// goes on, but as a backup.
    pub(super) fn stays(&mut self) -> bool {
        let Some(Leaving { towards: Towards::Fault(_), answered, .. }) = self.leaving else { return false };
        if answered.is_none() {
            self.leaving = None;
            return true;
        }
        self.leaving = self.leaving.map(|leaving| Leaving { towards: Towards::Backup(Reason::HandedOver), ..leaving });
        false
    }

    pub(super) fn rival_since(&self) -> Option<Instant> {
        self.rival.map(|rival| rival.since)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        if let Some(leaving) = self.leaving {
            let advert_at = leaving.answered.is_none().then_some(self.advert_at);
            return advert_at.into_iter().chain([leaving.release_at]).min();
        }
        let gone_at = self.rival.map(Rival::gone_at);
        [Some(self.advert_at), self.announcer.poll_timeout(), gone_at].into_iter().flatten().min()
    }

    pub(super) fn announce(&mut self, now: Instant) {
        if self.claimed && self.leaving.is_none() {
            self.announcer.start(now);
        }
    }

    /// Whether an answer may be sent now; `last` is that of the last one.
    fn may_answer(last: &mut Option<Instant>, now: Instant, interval: Duration) -> bool {
        let may = last.is_none_or(|last| now >= last + interval);
        if may {
            *last = Some(now);
        }
        may
    }
}

impl Rival {
    fn gone_at(self) -> Instant {
        self.last_heard + self.gone_after
    }
}

impl Machine {
    pub(super) fn become_active(&mut self, now: Instant, reason: Reason) {
        self.handed_over = false;
        let mut active = Active::new(now, &self.settings);
        if reason == Reason::Resumed {
            active.claimed = true;
            active.announcer.resume(now);
        }
        self.stage = Stage::Active(active);
        self.speak(now);
        if reason != Reason::Resumed {
            self.outputs.push_back(Output::Claim);
        }
        self.event(Event::Became { state: State::Active, reason });
    }

    /// Sends an advert now, and the next one an interval later.
    pub(super) fn speak(&mut self, now: Instant) {
        let Stage::Active(active) = &mut self.stage else { return };
        active.advert_at = now + active.interval;
        self.send();
    }

    pub(super) fn active_timeout(&mut self, now: Instant) {
        let Stage::Active(active) = &mut self.stage else { return };
        if let Some(leaving) = active.leaving {
            if leaving.release_at <= now {
                self.left(now, leaving);
            } else if leaving.answered.is_none() && active.advert_at <= now {
                self.speak(now);
            }
            return;
        }
        if active.advert_at <= now {
            // The pace is kept, unless a whole beat was missed.
            let next = active.advert_at + active.interval;
            active.advert_at = if next > now { next } else { now + active.interval };
            self.send();
        }
        self.announce_due(now);
        self.rival_due(now);
    }

    pub(super) fn active_hears(&mut self, now: Instant, source: IpAddr, told: &Told) {
        let beaten = self.is_beaten_by(source, told);
        let Stage::Active(active) = &mut self.stage else { return };
        if let Some(leaving) = &mut active.leaving {
            if told.priority != HAND_OVER && leaving.answered.is_none() {
                leaving.answered = Some(told.interval);
                leaving.release_at = leaving.release_at.min(now + LINGER);
            }
            return;
        }
        // Before anything else, in all three cases. To who hands over: RFC 9568 §6.4.3. To a lower one,
        // which the RFC ignores: it learns at once that it is not alone. To a better one, to which the
        // RFC yields without a word: it learns that there was another, and announces itself anew.
        // One an interval, but a last word is said in any case.
        if beaten || Active::may_answer(&mut active.answered_at, now, active.interval) {
            self.speak(now);
        }
        if told.priority == HAND_OVER {
            self.rival_goes(now);
        } else if beaten {
            self.rival_forgotten(now);
            self.outputs.push_back(Output::Release);
            self.listen(now, told.interval);
            let reason = Reason::Beaten { by: source, priority: told.priority };
            self.event(Event::Became { state: State::Backup, reason });
        } else {
            self.rival_speaks(now, source, told, true, true);
        }
    }

    /// An advert of another active one that we do not believe. It moves no timer of ours.
    pub(super) fn active_refuses(&mut self, now: Instant, source: IpAddr, told: &Told) {
        let beaten = self.is_beaten_by(source, told);
        let Stage::Active(active) = &mut self.stage else { return };
        if active.leaving.is_some() {
            return;
        }
        if told.priority == HAND_OVER {
            self.rival_goes(now);
            return;
        }
        if beaten && Active::may_answer(&mut active.retorted_at, now, active.interval) {
            self.send();
        }
        // Of two that do not believe each other the better one announces; both would pull the
        // clients to and fro.
        self.rival_speaks(now, source, told, false, !beaten);
    }

    /// Begins to give the addresses away: priority 0, and served until another has them.
    pub(super) fn leave(&mut self, now: Instant, towards: Towards) {
        let down = self.settings.interval.active_down(self.priority());
        let Stage::Active(active) = &mut self.stage else { return };
        if let Some(leaving) = &mut active.leaving {
            if matches!(towards, Towards::Fault(_)) {
                leaving.towards = towards;
            }
            return;
        }
        active.leaving = Some(Leaving { towards, release_at: now + down, answered: None });
        active.announcer.stop();
        self.rival_forgotten(now);
        let fault = if let Towards::Fault(fault) = towards { Some(fault) } else { None };
        self.event(Event::Leaving { fault });
        self.speak(now);
    }

    fn left(&mut self, now: Instant, leaving: Leaving) {
        if leaving.towards == Towards::Backup(Reason::HandedOver) && leaving.answered.is_none() {
            // Nobody is there to have them.
            if let Stage::Active(active) = &mut self.stage {
                active.leaving = None;
                active.announce(now);
            }
            self.event(Event::NobodyTookOver);
            self.speak(now);
            return;
        }
        self.outputs.push_back(Output::Release);
        match leaving.towards {
            Towards::Backup(reason) => {
                self.handed_over = reason == Reason::HandedOver;
                self.listen(now, leaving.answered.unwrap_or(self.settings.interval));
                self.event(Event::Became { state: State::Backup, reason });
            }
            Towards::Fault(fault) => self.fail(self.fault().unwrap_or(fault)),
        }
    }

    fn send(&mut self) {
        let Stage::Active(active) = &self.stage else { return };
        let priority = if active.is_leaving() { HAND_OVER } else { self.priority().value() };
        self.say(priority);
    }

    /// Says that another may take over, and no more.
    pub(super) fn say_farewell(&mut self) {
        self.say(HAND_OVER);
    }

    fn say(&mut self, priority: u8) {
        self.counters.sent += 1;
        self.outputs.push_back(Output::Send { priority });
    }

    /// RFC 9568 §6.4.3: the higher priority, then the higher address.
    fn is_beaten_by(&self, source: IpAddr, told: &Told) -> bool {
        let ours = self.priority().value();
        told.priority > ours || told.priority == ours && self.source.is_none_or(|own| source > own)
    }

    fn announce_due(&mut self, now: Instant) {
        let Stage::Active(active) = &mut self.stage else { return };
        let times = active.announcer.handle_timeout(now);
        if times > 0 {
            self.outputs.push_back(Output::Announce { times });
        }
    }

    fn rival_speaks(&mut self, now: Instant, source: IpAddr, told: &Told, believed: bool, announce: bool) {
        let Stage::Active(active) = &mut self.stage else { return };
        let quiet = RIVAL_INTERVALS * active.interval;
        let gone_after = quiet.max(RIVAL_INTERVALS * told.interval.duration());
        let known = active.rival;
        let mut rival = known.unwrap_or(Rival {
            source,
            since: now,
            last_heard: now,
            gone_after,
            announced_at: None,
            believed,
            told: false,
        });
        // One that was refused until now and is believed at last believes us too, and yields at this moment:
        // whoever sends to it must not wait until it counts as gone.
        let healed = believed && !rival.believed;
        let announce = announce && (healed || rival.announced_at.is_none_or(|last| now >= last + quiet));
        if announce {
            rival.announced_at = Some(now);
        }
        // Who is believed and says but one word has yielded with it, as every host does that is preempted.
        let tell = !rival.told && (!believed || known.is_some());
        rival = Rival { source, last_heard: now, gone_after, believed, told: rival.told || tell, ..rival };
        active.rival = Some(rival);
        if announce {
            active.announce(now);
        }
        if tell {
            self.event(Event::Rival { source });
        }
        self.announce_due(now);
    }

    fn rival_due(&mut self, now: Instant) {
        if let Stage::Active(active) = &self.stage
            && active.rival.is_some_and(|rival| rival.gone_at() <= now)
        {
            self.rival_goes(now);
        }
    }

    /// The rival is gone: whoever still sends to it is told.
    fn rival_goes(&mut self, now: Instant) {
        if self.rival_forgotten(now)
            && let Stage::Active(active) = &mut self.stage
        {
            active.announce(now);
        }
        self.announce_due(now);
    }

    /// Whether there was one.
    fn rival_forgotten(&mut self, now: Instant) -> bool {
        let Stage::Active(active) = &mut self.stage else { return false };
        let Some(rival) = active.rival.take() else { return false };
        if rival.told {
            let lasted = now.saturating_duration_since(rival.since);
            self.event(Event::RivalGone { source: rival.source, lasted });
        }
        true
    }
}
