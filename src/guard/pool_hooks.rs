//! What is run when a pool of database servers loses its primary, or has another one.
//!
//! Each upstream has a thread for its hooks, so that they run one at a time and those of another do not wait.
//! Of a pair of hosts both see what happens; only the one that holds its virtual addresses runs anything. A
//! loss that this host may not act on waits: it is acted on when the host becomes active and nobody has
//! found a primary meanwhile.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;

use crate::config::{Config, PoolHook};
use crate::control::{PoolEvent, PoolEventKind};
use crate::diagnostic::Causes;
use crate::hook::{self, Program};
use crate::telemetry::rfc3339;

/// Events of one upstream that wait for its hooks.
const MOST_WAITING: usize = 16;
/// Runs that are remembered.
const MOST_RUNS: usize = 32;

/// The hooks of all upstreams.
#[derive(Debug, Default)]
pub(super) struct PoolHooks {
    runners: HashMap<String, SyncSender<Call>>,
    /// Losses that this host may not act on yet.
    waiting: HashMap<String, (PoolEvent, Plan)>,
    /// By upstream: told to the last loss that was handed on, where it is over.
    over: HashMap<String, Arc<AtomicBool>>,
    runs: Arc<Mutex<VecDeque<Run>>>,
}

/// What is to be done.
#[derive(Clone, Debug)]
struct Plan {
    program: Option<Program>,
    post: Option<String>,
    timeout: Duration,
}

/// One event for the hooks of its upstream.
#[derive(Debug)]
struct Call {
    event: PoolEvent,
    plan: Plan,
    over: Arc<AtomicBool>,
}

/// One run of a hook, for whoever asks.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Run {
    upstream: String,
    event: &'static str,
    epoch: u64,
    /// RFC 3339, UTC.
    at: String,
    hook: String,
    took_ms: u64,
    /// `None`: it did what it should.
    error: Option<String>,
}

impl PoolHooks {
    /// Something happened in a pool. `may_act`: this host is the one that does something about it.
    pub(super) fn tell(&mut self, event: PoolEvent, config: &Config, may_act: bool) {
        if let Some(over) = self.over.remove(&event.upstream) {
            over.store(true, Relaxed);
        }
        self.waiting.remove(&event.upstream);
        let Some(plan) = plan(&event, config) else { return };
        let PoolEvent { upstream, kind, epoch, .. } = &event;
        match (kind, may_act) {
            (_, true) => self.hand_on(event, plan),
            (PoolEventKind::Lost, false) => {
                tracing::warn!(%upstream, epoch, "on_primary_lost is left to the active host; it runs here if this becomes it");
                self.waiting.insert(upstream.clone(), (event, plan));
            }
            (_, false) => tracing::info!(%upstream, epoch, "on_primary_changed is left to the active host"),
        }
    }

    /// This host may act now: what waited for that is done.
    pub(super) fn may_act(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        waiting.into_values().for_each(|(event, plan)| self.hand_on(event, plan));
    }

    /// Whether something waits for this host to become the active one.
    pub(super) fn wait(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The newest runs, the last one last.
    pub(super) fn runs(&self) -> Vec<Run> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn hand_on(&mut self, event: PoolEvent, plan: Plan) {
        let upstream = event.upstream.clone();
        let over = Arc::new(AtomicBool::new(false));
        if event.kind == PoolEventKind::Lost {
            self.over.insert(upstream.clone(), Arc::clone(&over));
        }
        let runner = match self.runners.entry(upstream.clone()) {
            std::collections::hash_map::Entry::Occupied(runner) => runner.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => match start(Arc::clone(&self.runs)) {
                Ok(runner) => place.insert(runner),
                Err(error) => return tracing::error!(%upstream, %error, "no thread for the hooks of an upstream"),
            },
        };
        if let Err(TrySendError::Full(call)) = runner.try_send(Call { event, plan, over }) {
            let event = word(call.event.kind);
            tracing::error!(%upstream, event, "hooks do not keep up: this is not told");
        }
    }
}

fn plan(event: &PoolEvent, config: &Config) -> Option<Plan> {
    let written = config.upstreams.iter().find(|upstream| upstream.name.value == event.upstream)?;
    let hook: &PoolHook = match event.kind {
        PoolEventKind::Lost => written.hooks.lost.as_ref()?,
        PoolEventKind::Changed => written.hooks.changed.as_ref()?,
        PoolEventKind::Found => return None,
    };
    let user = config.process.user.as_ref().map(|user| user.value.as_str());
    Some(Plan {
        program: hook.command.as_ref().map(|command| Program::of(command, user)),
        post: hook.post.as_ref().map(|url| url.value.clone()),
        timeout: hook.timeout,
    })
}

fn word(kind: PoolEventKind) -> &'static str {
    match kind {
        PoolEventKind::Lost => "primary_lost",
        PoolEventKind::Found => "primary_found",
        PoolEventKind::Changed => "primary_changed",
    }
}

fn start(runs: Arc<Mutex<VecDeque<Run>>>) -> std::io::Result<SyncSender<Call>> {
    let (runner, calls) = sync_channel(MOST_WAITING);
    thread::Builder::new().name("pool-hook".into()).spawn(move || run(&calls, &runs))?;
    Ok(runner)
}

fn run(calls: &Receiver<Call>, runs: &Mutex<VecDeque<Run>>) {
    for Call { event, plan, over } in calls {
        let PoolEvent { upstream, kind, server, epoch, json } = &event;
        if over.load(Relaxed) {
            tracing::info!(%upstream, event = word(*kind), epoch, "is over before its hook could run");
            continue;
        }
        let note = |hook: String, began: Instant, at: SystemTime, error: Option<String>| {
            match &error {
                None => {
                    tracing::info!(%upstream, event = word(*kind), epoch, %hook, took = ?began.elapsed(), "a hook has run");
                }
                Some(error) => {
                    tracing::error!(%upstream, event = word(*kind), epoch, %hook, error, "a hook failed");
                }
            }
            let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let run = Run {
                upstream: upstream.clone(),
                event: word(*kind),
                epoch: *epoch,
                at: rfc3339(at),
                hook,
                took_ms,
                error,
            };
            let mut runs = runs.lock().unwrap_or_else(PoisonError::into_inner);
            if runs.len() == MOST_RUNS {
                runs.pop_front();
            }
            runs.push_back(run);
        };
        let number = epoch.to_string();
        if let Some(program) = &plan.program {
            let (began, at) = (Instant::now(), SystemTime::now());
            let variables = [
                ("HAECHI_UPSTREAM", upstream.as_str()),
                ("HAECHI_EVENT", word(*kind)),
                ("HAECHI_PRIMARY", server.as_str()),
                ("HAECHI_EPOCH", number.as_str()),
            ];
            let failure = hook::run(program, &variables, json.as_bytes(), plan.timeout).err();
            note(program.path.display().to_string(), began, at, failure.map(|error| Causes(&error).to_string()));
        }
        if let Some(url) = &plan.post {
            let (began, at) = (Instant::now(), SystemTime::now());
            let failure = hook::post(url, json, plan.timeout).err();
            note(url.clone(), began, at, failure.map(|error| Causes(&error).to_string()));
        }
    }
}
