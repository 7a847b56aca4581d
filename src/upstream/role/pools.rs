//! The pools that run: checks' reports go in, servers are judged, and what the guard is to hear comes out.
//!
//! No rule stands here: [`Machine`] decides. A pool outlives a reload (law 5), keyed by its upstream's name;
//! what it remembers outlives its upstream too.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::event::Event;
use super::machine::{Input, Machine, Named, Output};
use super::memory::Memory;
use super::seen::Seen;
use super::status::{PoolCounts, PoolStatus};
use super::verdict::{Reason, Verdict};
use crate::control::{self, PoolEvent, PoolEventKind};
use crate::upstream::health;
use crate::upstream::{Health, Server, Upstream};

/// Every pool whose check has a role. Control side only.
#[derive(Debug, Default)]
pub struct Pools {
    running: BTreeMap<Arc<str>, Pool>,
    /// Of every pool that there was.
    memories: BTreeMap<Arc<str>, Memory>,
    /// What was kept cannot be read: a pool of which nothing is known may have had a primary.
    unreadable: bool,
    /// The guard has not heard the newest memories.
    untold: bool,
    letters: VecDeque<control::Report>,
}

#[derive(Debug)]
struct Pool {
    upstream: Arc<Upstream>,
    machine: Machine,
    changes: Changes,
}

/// How often there was another primary, by how it came about.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Changes {
    pub(super) first: u64,
    pub(super) followed: u64,
    pub(super) confirmed: u64,
}

impl Pools {
    /// Letters that wait for the guard; of more the oldest are lost, which never happens while it reads.
    const MOST_LETTERS: usize = 256;

    /// No pool runs, and so much is known.
    #[must_use]
    pub fn new(kept: &control::Pools) -> Self {
        let memory = |pool: &control::PoolMemory| {
            let memory = Memory::try_from(pool).unwrap_or_else(|fault| {
                tracing::error!(upstream = pool.upstream, %fault, "what was kept of a pool cannot be read");
                Memory::doubtful()
            });
            (Arc::from(pool.upstream.as_str()), memory)
        };
        let memories = kept.known.iter().map(memory).collect();
        Self { memories, unreadable: kept.unreadable, ..Self::default() }
    }

    /// Judges by the roles of these upstreams from now on. To be called before they are used: a server of a
    /// pool that was not one before gets nobody until its role is known.
    pub fn apply<'a>(
        &mut self,
        upstreams: impl IntoIterator<Item = &'a Arc<Upstream>>,
        now: Instant,
        wall: SystemTime,
    ) {
        let mut before = std::mem::take(&mut self.running);
        for upstream in upstreams {
            let Some(settings) = upstream.role else { continue };
            let servers: Vec<Named> = upstream.servers.iter().map(|server| named(server)).collect();
            let name = Arc::clone(&upstream.name);
            let mut pool = match before.remove(&name) {
                Some(mut pool) => {
                    pool.upstream = Arc::clone(upstream);
                    pool.machine.reconfigure(now, settings, servers);
                    pool
                }
                None => {
                    let unknown = if self.unreadable { Memory::doubtful() } else { Memory::default() };
                    let memory = self.memories.get(&name).cloned().unwrap_or(unknown);
                    self.untold |= memory.doubtful;
                    let mut machine = Machine::new(settings, servers.clone(), memory);
                    // Every verdict is told.
                    machine.reconfigure(now, settings, servers);
                    Pool { upstream: Arc::clone(upstream), machine, changes: Changes::default() }
                }
            };
            for (place, _) in upstream.servers.iter().enumerate().filter(|(_, server)| server.address.is_none()) {
                for _ in 0..settings.fall.max(1) {
                    let reason = "its name does not resolve".into();
                    pool.machine.handle(now, Input::Failed { server: place, reason });
                }
            }
            self.running.insert(name, pool);
        }
        self.obey(now, wall);
    }

    /// Takes in how a check went. One of a server that is no more changes nothing.
    pub fn report(&mut self, report: health::Report, wall: SystemTime) {
        let Some(pool) = self.running.get_mut(&report.upstream) else { return };
        let place = pool.upstream.servers.iter().position(|server| server.state.id == report.id);
        let Some(server) = place else { return };
        let input = match report.outcome {
            Ok(answer) => Input::Answered { server, seen: Box::new(Seen::from(&answer)) },
            Err(reason) => Input::Failed { server, reason },
        };
        pool.machine.handle(report.at, input);
        self.obey(report.at, wall);
    }

    /// So much is on the disk: upstreams with their epochs.
    pub fn kept(&mut self, kept: &[(String, u64)], now: Instant, wall: SystemTime) {
        for (upstream, epoch) in kept {
            if let Some(pool) = self.running.get_mut(upstream.as_str()) {
                pool.machine.handle(now, Input::Kept { epoch: *epoch });
            }
        }
        self.obey(now, wall);
    }

    /// The operator's word on a pool; what became of it, as JSON.
    pub fn confirm(
        &mut self,
        upstream: &str,
        server: &str,
        accept_loss: bool,
        (now, wall): (Instant, SystemTime),
    ) -> String {
        let refused = |why: String| {
            tracing::warn!(upstream, server, why, "the operator's word on the primary is not taken");
            serde_json::json!({ "error": why }).to_string()
        };
        let Some(pool) = self.running.get_mut(upstream) else {
            return refused(self.no_such_pool(upstream));
        };
        let said = match pool.machine.confirm(now, server, accept_loss) {
            Err(fault) => return refused(fault.to_string()),
            Ok(said) => said,
        };
        let lost = said.lost.as_ref().map(ToString::to_string);
        tracing::warn!(upstream, server, lost, dismissed = ?said.dismissed, "the operator has named the primary");
        let epoch = pool.machine.memory().epoch;
        let dismissed: Vec<&str> = said.dismissed.iter().map(|name| &**name).collect();
        let answer = serde_json::json!({
            "upstream": upstream, "server": server, "epoch": epoch, "lost": lost, "dismissed": dismissed,
        });
        self.obey(now, wall);
        answer.to_string()
    }

    /// How one pool or all are and why, as JSON; `now` and `wall` are the same moment on both clocks.
    #[must_use]
    pub fn explain(&self, upstream: Option<&str>, now: Instant, wall: SystemTime) -> String {
        let wanted = |name: &str| upstream.is_none_or(|upstream| upstream == name);
        let pools: Vec<PoolStatus> =
            self.statuses(now, wall).into_iter().filter(|pool| wanted(&pool.upstream)).collect();
        match upstream.filter(|_| pools.is_empty()) {
            Some(upstream) => serde_json::json!({ "error": self.no_such_pool(upstream) }).to_string(),
            None => serde_json::json!({ "upstreams": pools }).to_string(),
        }
    }

    /// How every pool is.
    #[must_use]
    pub fn statuses(&self, now: Instant, wall: SystemTime) -> Vec<PoolStatus> {
        self.running.iter().map(|(name, pool)| PoolStatus::of(name, &pool.machine, now, wall)).collect()
    }

    /// What the page of metrics shows of every pool.
    #[must_use]
    pub fn counts(&self) -> Vec<PoolCounts> {
        self.running.iter().map(|(name, pool)| PoolCounts::of(name, &pool.machine, pool.changes)).collect()
    }

    /// What the guard is to hear, in its order.
    pub fn letters(&mut self) -> Vec<control::Report> {
        let mut letters: Vec<control::Report> = Vec::new();
        if std::mem::take(&mut self.untold) {
            let known = self.memories.iter().map(|(name, memory)| memory.letter(name)).collect();
            letters.push(control::Report::Pools(known));
        }
        letters.extend(self.letters.drain(..));
        letters
    }

    fn no_such_pool(&self, upstream: &str) -> String {
        let names: Vec<String> = self.running.keys().map(|name| format!("`{name}`")).collect();
        match names.is_empty() {
            true => format!("no upstream has a check with a role, so there is no `{upstream}`"),
            false => format!("no upstream with a role is called `{upstream}`; there are {}", names.join(", ")),
        }
    }

    /// Does what the machines want.
    fn obey(&mut self, now: Instant, wall: SystemTime) {
        for (name, pool) in &mut self.running {
            while let Some(output) = pool.machine.poll_output() {
                match output {
                    Output::Judge { server, verdict, reason } => {
                        if let Some(server) = pool.upstream.servers.get(server) {
                            judge(name, server, verdict, &reason, now);
                        }
                    }
                    Output::Remember => self.untold = true,
                    Output::Told(event) => {
                        pool.changes.note(&event);
                        say(name, &event);
                        if let Some(letter) = letter(name, &event, &pool.machine, (now, wall)) {
                            if self.letters.len() == Self::MOST_LETTERS {
                                self.letters.pop_front();
                            }
                            self.letters.push_back(control::Report::Pool(letter));
                        }
                    }
                }
            }
            if self.memories.get(name) != Some(pool.machine.memory()) {
                self.memories.insert(Arc::clone(name), pool.machine.memory().clone());
            }
        }
    }
}

impl Changes {
    fn note(&mut self, event: &Event) {
        match event {
            Event::Changed { by_operator: true, .. } => self.confirmed += 1,
            Event::Changed { old: None, .. } => self.first += 1,
            Event::Changed { .. } => self.followed += 1,
            _ => {}
        }
    }
}

fn named(server: &Server) -> Named {
    let resolved = server.address.map(|address| Arc::from(address.to_string()));
    let addresses = [Some(Arc::clone(&server.written)), resolved].into_iter().flatten().collect();
    Named { name: Arc::clone(&server.name), addresses }
}

fn judge(upstream: &str, server: &Server, verdict: Verdict, reason: &Reason, now: Instant) {
    let health = match verdict {
        Verdict::Serves => Health::Up,
        Verdict::Keeps => Health::Kept,
        Verdict::Out => Health::Down,
    };
    let (before, name) = (server.state.health(), &*server.name);
    server.state.judge(health, reason.to_string(), now);
    if before == health {
        tracing::debug!(upstream, server = name, %reason, "server is still {}", verdict.word());
        return;
    }
    match verdict {
        Verdict::Serves => tracing::info!(upstream, server = name, %reason, "server is up"),
        Verdict::Keeps => tracing::warn!(upstream, server = name, %reason, "server gets nobody new"),
        Verdict::Out => tracing::warn!(upstream, server = name, %reason, "server is down"),
    }
}

fn say(upstream: &str, event: &Event) {
    match event {
        Event::Changed { old: Some(old), new, epoch, by_operator } => {
            tracing::warn!(upstream, %old, %new, epoch, by_operator, "the primary has changed");
        }
        Event::Changed { old: None, new, epoch, .. } => tracing::info!(upstream, %new, epoch, "the primary is known"),
        Event::Lost { server, how, epoch } => {
            tracing::error!(upstream, primary = %server, how = how.word(), epoch, "the primary is lost and no server takes writes");
        }
        Event::Found => tracing::info!(upstream, "the primary is back"),
        Event::Double { servers } => {
            let servers = servers.join(" and ");
            tracing::error!(
                upstream,
                servers,
                "more than one primary: no new writes go to any; see `haechi db explain`"
            );
        }
        Event::DoubleOver => tracing::warn!(upstream, "no more than one primary any more"),
        Event::Refused { server, reason } => {
            tracing::error!(upstream, %server, %reason, "the only writable server is not accepted; see `haechi db explain`");
        }
        Event::Errant { server, gtids } => {
            tracing::error!(upstream, %server, %gtids, "a server has transactions that the primary has not");
        }
    }
}

/// What hooks may be told of an event, with all that is known.
fn letter(
    upstream: &Arc<str>,
    event: &Event,
    machine: &Machine,
    (now, wall): (Instant, SystemTime),
) -> Option<PoolEvent> {
    let (kind, server, epoch) = match event {
        // The first one and one that was confirmed as what it was are no change.
        Event::Changed { old: Some(old), new, epoch, .. } if old != new => {
            (PoolEventKind::Changed, new.to_string(), *epoch)
        }
        Event::Lost { server, epoch, .. } => (PoolEventKind::Lost, server.to_string(), *epoch),
        Event::Found | Event::Changed { .. } => (PoolEventKind::Found, String::new(), machine.memory().epoch),
        Event::Double { .. } | Event::DoubleOver | Event::Refused { .. } | Event::Errant { .. } => return None,
    };
    let mut json = serde_json::to_value(PoolStatus::of(upstream, machine, now, wall)).unwrap_or_default();
    json["event"] = match kind {
        PoolEventKind::Lost => "primary_lost",
        PoolEventKind::Found => "primary_found",
        PoolEventKind::Changed => "primary_changed",
    }
    .into();
    if let Event::Changed { old: Some(old), .. } = event {
        json["old_primary"] = (**old).into();
    }
    Some(PoolEvent { upstream: upstream.to_string(), kind, server, epoch, json: json.to_string() })
}
