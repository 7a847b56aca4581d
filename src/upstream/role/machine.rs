//! Who of a pool gets somebody: what checks saw goes in, verdicts come out. No I/O, no clock.
//!
//! ```text
//!   Answered, Failed ──► Member ──► primary / replica ──► Ruling ──► Output: Judge, Remember, Told
//!   Kept, confirm() ───► Memory ─────────┘
//! ```
//!
//! What always holds, with [`Role::Primary`]: at most one server serves; it was seen writable when it was
//! seen last; it has all that the last primary was seen to have, or the operator has said that it need
//! not; that it is the primary is on the disk. There are no timers: only a check, the disk or the operator
//! changes anything. Another voter would be one more [`Input`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::confirm::{ConfirmFault, Confirmed, confirm};
use super::decision::{Decision, History};
use super::event::Event;
use super::member::Member;
use super::memory::{Aside, Known, Memory, Why};
use super::primary;
use super::replica;
use super::seen::Seen;
use super::settings::{Role, Settings};
use super::verdict::{Loss, Reason, Standing, Verdict};
use crate::codec::gtid::GtidSet;

/// The pool of one upstream.
#[derive(Debug)]
pub struct Machine {
    pub(super) settings: Settings,
    pub(super) members: Vec<Member>,
    pub(super) memory: Memory,
    pub(super) standing: Standing,
    /// An epoch that is not known to be on the disk.
    pub(super) unkept: Option<u64>,
    /// That the primary is lost was told, and it is still.
    lost_told: bool,
    /// Of servers that are writable beside the primary, or were: what they alone have.
    errant: Vec<(Arc<str>, GtidSet)>,
    history: History,
    outputs: VecDeque<Output>,
}

/// What happens to a pool. Servers are named by their place in it.
#[derive(Clone, Debug)]
pub enum Input {
    /// A check had an answer.
    Answered {
        /// Whose.
        server: usize,
        /// What it says.
        seen: Box<Seen>,
    },
    /// A check had none.
    Failed {
        /// Whose.
        server: usize,
        /// Why.
        reason: Arc<str>,
    },
    /// The memory of this epoch is on the disk.
    Kept {
        /// Which.
        epoch: u64,
    },
}

/// What the shell has to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Give this server what the verdict says.
    Judge {
        /// Its place.
        server: usize,
        /// What it gets.
        verdict: Verdict,
        /// Why.
        reason: Reason,
    },
    /// Keep [`Machine::memory`]; where its epoch is another, answer by [`Input::Kept`].
    Remember,
    /// Tell operators and hooks.
    Told(Event),
}

/// What the rules make of a pool as it is.
#[derive(Debug)]
pub(super) struct Ruling {
    pub(super) standing: Standing,
    pub(super) verdicts: Vec<(Verdict, Reason)>,
    /// This one is the primary from now on.
    pub(super) accept: Option<usize>,
}

/// A server as the config names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its name in the pool.
    pub name: Arc<str>,
    /// Host and port, as written and as resolved.
    pub addresses: Vec<Arc<str>>,
}

impl Machine {
    /// Servers that are set aside at once; of more the oldest are forgotten, which left the pool long ago.
    const MOST_ASIDE: usize = 64;

    /// A pool of which nothing is known but what was kept. No server gets anybody.
    #[must_use]
    pub fn new(settings: Settings, servers: Vec<Named>, memory: Memory) -> Self {
        Self {
            settings,
            members: servers.into_iter().map(|server| Member::new(server.name, server.addresses)).collect(),
            memory,
            standing: Standing::Learning,
            unkept: None,
            lost_told: false,
            errant: Vec::new(),
            history: History::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Other settings, other servers: those that stay, by their name and address, keep what is known of them.
    pub fn reconfigure(&mut self, now: Instant, settings: Settings, servers: Vec<Named>) {
        if settings.role != self.settings.role {
            *self = Self {
                history: std::mem::take(&mut self.history),
                ..Self::new(settings, servers, self.memory.clone())
            };
        } else {
            let mut before = std::mem::take(&mut self.members);
            self.settings = settings;
            self.members = servers
                .into_iter()
                .map(|server| {
                    let stays = |member: &Member| member.name == server.name && member.addresses == server.addresses;
                    match before.iter().position(stays) {
                        Some(place) => before.swap_remove(place),
                        None => Member::new(server.name, server.addresses),
                    }
                })
                .collect();
            self.standing = match std::mem::replace(&mut self.standing, Standing::Learning) {
                // Places have changed; who is concerned is found anew.
                Standing::Double { .. } => Standing::Double { servers: Vec::new() },
                other => other,
            };
        }
        // Servers are new to the shell: it is told every verdict.
        for place in 0..self.members.len() {
            self.tell_verdict(place);
        }
        self.rule(now);
    }

    /// Takes an input in.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Answered { server, seen } => {
                let max_lag = self.max_lag();
                let Some(member) = self.members.get_mut(server) else { return };
                member.answer(now, *seen, max_lag);
                self.learn(server);
            }
            Input::Failed { server, reason } => {
                let Some(member) = self.members.get_mut(server) else { return };
                member.fail(now, reason);
            }
            Input::Kept { epoch } => {
                if self.unkept.is_none_or(|unkept| unkept > epoch) {
                    return;
                }
                self.unkept = None;
            }
        }
        self.rule(now);
    }

    /// The operator says that this server is the primary.
    ///
    /// # Errors
    /// [`ConfirmFault`]; nothing has changed then.
    pub fn confirm(&mut self, now: Instant, server: &str, accept_loss: bool) -> Result<Confirmed, ConfirmFault> {
        let confirmed = confirm(self, server, accept_loss)?;
        self.instate(now, confirmed.place, true);
        self.rule(now);
        Ok(confirmed)
    }

    /// The next thing to do; to be drained after every call.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// What is to be kept.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// How the pool is.
    #[must_use]
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// What was decided lately, the newest last.
    pub fn decisions(&self) -> impl Iterator<Item = &Decision> {
        self.history.iter()
    }

    /// What a server has that the primary has not; `None`: nothing, as far as is known.
    #[must_use]
    pub fn errant(&self, server: &str) -> Option<&GtidSet> {
        self.errant.iter().find(|(name, _)| **name == *server).map(|(_, gtids)| gtids)
    }

    /// The last confirmed primary's place, where it is in the pool.
    #[must_use]
    pub fn primary(&self) -> Option<usize> {
        let known = self.memory.primary.as_ref()?;
        let named = self.members.iter().position(|member| *member.name == *known.server && member.is(known));
        named.or_else(|| self.members.iter().position(|member| member.is(known)))
    }

    pub(super) fn max_lag(&self) -> Duration {
        match self.settings.role {
            Role::Primary => Duration::ZERO,
            Role::Replica { max_lag, .. } => max_lag,
        }
    }

    /// The member that another one takes transactions from.
    pub(super) fn source_in_pool(&self, place: usize) -> Option<usize> {
        let seen = self.members.get(place)?.last()?;
        (0..self.members.len()).filter(|other| *other != place).find(|other| {
            let Some(member) = self.members.get(*other) else { return false };
            seen.sources.iter().any(|source| {
                let by_name = member.addresses.iter().any(|address| **address == *source.address);
                let identity = member.last().map(|seen| &seen.identity).filter(|identity| !identity.is_empty());
                by_name || (identity.is_some() && identity == source.identity.as_ref())
            })
        })
    }

    /// Transactions that the last primary was seen to have and this server has not; `None`: none, or the
    /// product cannot tell.
    pub(super) fn missing(&self, place: usize) -> Option<GtidSet> {
        let known = self.memory.primary.as_ref()?.gtids.as_ref()?;
        let has = self.members.get(place).and_then(Member::last).and_then(|seen| seen.gtids.as_ref());
        let missing = has.map_or_else(|| known.clone(), |has| known.difference(has));
        (!missing.is_empty()).then_some(missing)
    }

    /// Whether a server is set aside, and why.
    pub(super) fn aside(&self, place: usize) -> Option<Why> {
        let member = self.members.get(place)?;
        self.memory.aside.iter().find(|aside| member.is_set_aside(aside)).map(|aside| aside.why)
    }

    /// What an answer says beyond its verdict.
    fn learn(&mut self, place: usize) {
        if self.settings.role != Role::Primary {
            return;
        }
        let before = self.memory.clone();
        let primary = self.primary();
        let Some(member) = self.members.get(place) else { return };
        let Some(seen) = member.last() else { return };
        if !seen.writable {
            self.memory.aside.retain(|aside| !member.is_set_aside(aside));
        }
        if primary == Some(place) && seen.writable {
            let newest = seen.gtids.clone();
            if let Some(known) = &mut self.memory.primary
                && let (Some(had), Some(has)) = (&known.gtids, newest)
                && has.contains(had)
            {
                known.gtids = Some(has);
            }
            self.look_for_errant(place);
        }
        if before != self.memory {
            self.outputs.push_back(Output::Remember);
        }
    }

    /// The primary was just looked at: what others had before that and it has not is theirs alone.
    fn look_for_errant(&mut self, primary: usize) {
        let Some(has) = self.members.get(primary).and_then(Member::last).and_then(|seen| seen.gtids.clone()) else {
            return;
        };
        for (place, member) in self.members.iter().enumerate() {
            if place == primary || member.failures > 0 {
                continue;
            }
            let theirs = member.last().and_then(|seen| seen.gtids.as_ref()).map(|gtids| gtids.difference(&has));
            let theirs = theirs.filter(|gtids| !gtids.is_empty());
            let told = self.errant.iter().position(|(name, _)| *name == member.name);
            match (theirs, told) {
                (Some(gtids), Some(told)) => {
                    if let Some(entry) = self.errant.get_mut(told) {
                        entry.1 = gtids;
                    }
                }
                (Some(gtids), None) => {
                    self.errant.push((Arc::clone(&member.name), gtids.clone()));
                    let event = Event::Errant { server: Arc::clone(&member.name), gtids };
                    self.outputs.push_back(Output::Told(event));
                }
                (None, Some(told)) => {
                    self.errant.swap_remove(told);
                }
                (None, None) => {}
            }
        }
    }

    /// Applies the rules until they have nothing more to say.
    fn rule(&mut self, now: Instant) {
        let ruling = match self.settings.role {
            Role::Primary => primary::rule(self),
            Role::Replica { max_lag, fallback } => replica::rule(self, max_lag, fallback),
        };
        let ruling = match ruling.accept {
            Some(place) => {
                self.instate(now, place, false);
                primary::rule(self)
            }
            None => ruling,
        };
        self.apply(now, ruling);
    }

    /// From now on this one is the primary: a new epoch, that must be on the disk before anybody is let in.
    fn instate(&mut self, now: Instant, place: usize, by_operator: bool) {
        let Some(member) = self.members.get(place) else { return };
        let Some(seen) = member.last() else { return };
        let name = Arc::clone(&member.name);
        let new = Known { server: (*name).into(), identity: seen.identity.clone(), gtids: seen.gtids.clone() };
        let old = self.memory.primary.replace(new);
        let stays = old.as_ref().is_some_and(|old| member.is(old));
        self.set_aside_rivals(place, old.as_ref().filter(|_| !stays), by_operator);
        self.memory.epoch += 1;
        self.memory.doubtful = false;
        self.unkept = Some(self.memory.epoch);
        self.errant.clear();
        self.lost_told = false;
        self.outputs.push_back(Output::Remember);
        let word = if by_operator { " by the operator's word" } else { "" };
        self.history.note(now, self.memory.epoch, format!("{name} is the primary{word}"), &self.members);
        let old = old.map(|old| Arc::from(&*old.server));
        let event = Event::Changed { old, new: name, epoch: self.memory.epoch, by_operator };
        self.outputs.push_back(Output::Told(event));
    }

    /// A primary that was left without having been seen read-only believes that it still is one; and who is
    /// writable beside the one that the operator has named is none of its rivals any more.
    fn set_aside_rivals(&mut self, place: usize, old: Option<&Known>, by_operator: bool) {
        let Some(primary) = self.members.get(place) else { return };
        let mut aside = std::mem::take(&mut self.memory.aside);
        aside.retain(|aside| !primary.is_set_aside(aside));
        if let Some(old) = old
            && !self.members.iter().any(|member| member.is(old) && member.last().is_some_and(|seen| !seen.writable))
        {
            let (server, identity) = (old.server.clone(), old.identity.clone());
            aside.push(Aside { server, identity, why: Why::Deposed });
        }
        let rivals = self.members.iter().enumerate().filter(|(other, _)| *other != place && by_operator);
        for rival in rivals.map(|(_, rival)| rival).filter(|rival| rival.may_be_writable(self.settings.fall)) {
            aside.retain(|aside| !rival.is_set_aside(aside));
            let identity = rival.last().map(|seen| seen.identity.clone()).unwrap_or_default();
            aside.push(Aside { server: (*rival.name).into(), identity, why: Why::Dismissed });
        }
        let surplus = aside.len().saturating_sub(Self::MOST_ASIDE);
        aside.drain(..surplus);
        self.memory.aside = aside;
    }

    fn apply(&mut self, now: Instant, ruling: Ruling) {
        let mut turned = false;
        for (place, (verdict, reason)) in ruling.verdicts.into_iter().enumerate() {
            let Some(member) = self.members.get_mut(place) else { continue };
            turned |= member.verdict != verdict;
            if member.verdict != verdict || member.reason != reason {
                (member.verdict, member.reason) = (verdict, reason);
                self.tell_verdict(place);
            }
        }
        let before = std::mem::replace(&mut self.standing, ruling.standing);
        if turned || before.word() != self.standing.word() {
            let what = self.standing.word().to_owned();
            self.history.note(now, self.memory.epoch, what, &self.members);
        }
        self.tell_standing(&before);
    }

    /// What has begun or ended, for operators and hooks.
    fn tell_standing(&mut self, before: &Standing) {
        let names = |servers: &[usize]| -> Vec<Arc<str>> {
            servers.iter().filter_map(|place| self.members.get(*place)).map(|member| Arc::clone(&member.name)).collect()
        };
        let mut told = Vec::new();
        match (&self.standing, before) {
            (Standing::Double { servers }, before) if !matches!(before, Standing::Double { .. }) => {
                told.push(Event::Double { servers: names(servers) });
            }
            (Standing::Refused { server, reason }, before) => {
                let same = matches!(before, Standing::Refused { server: other, reason: was }
                    if server == other && std::mem::discriminant(reason) == std::mem::discriminant(was));
                if let Some(member) = self.members.get(*server).filter(|_| !same) {
                    told.push(Event::Refused { server: Arc::clone(&member.name), reason: reason.clone() });
                }
            }
            _ => {}
        }
        if matches!(before, Standing::Double { .. }) && !matches!(self.standing, Standing::Double { .. }) {
            told.push(Event::DoubleOver);
        }
        if self.settings.role == Role::Primary {
            let is_lost = matches!(self.standing, Standing::Lost(Loss::Silent | Loss::Gone));
            if let Standing::Lost(how @ (Loss::Silent | Loss::Gone)) = self.standing
                && !self.lost_told
                && let Some(known) = &self.memory.primary
            {
                told.push(Event::Lost { server: Arc::from(&*known.server), how, epoch: self.memory.epoch });
                self.lost_told = true;
            } else if self.lost_told && !is_lost && matches!(self.standing, Standing::Serving { .. }) {
                told.push(Event::Found);
                self.lost_told = false;
            }
        }
        self.outputs.extend(told.into_iter().map(Output::Told));
    }

    fn tell_verdict(&mut self, server: usize) {
        if let Some(member) = self.members.get(server) {
            let (verdict, reason) = (member.verdict, member.reason.clone());
            self.outputs.push_back(Output::Judge { server, verdict, reason });
        }
    }
}
