//! The tasks that run checks on the control thread: clock and sockets, no decisions.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::{Change, Check, Input, Machine, Output, Passed, Reason, probe};
use crate::upstream::role::Answer;
use crate::upstream::{Health, LastProbe, ServerState, Upstream};

/// The checks of every server that runs, one task each.
///
/// Dropping it ends them; the verdicts stay in the states.
#[derive(Debug)]
pub struct Checks {
    /// By state id. A task ends when its sender goes.
    running: HashMap<u32, watch::Sender<Target>>,
    /// One permit for each probe under way.
    slots: Arc<Semaphore>,
    /// Who judges what databases say of themselves.
    reports: Option<mpsc::Sender<Report>>,
}

/// How one probe of a server went whose part in its group is looked at.
#[derive(Clone, Debug)]
pub struct Report {
    /// The upstream's name.
    pub upstream: Arc<str>,
    /// The server's name.
    pub server: Arc<str>,
    /// [`ServerState::id`]
    pub id: u32,
    /// When the answer was whole.
    pub at: std::time::Instant,
    /// What it said, or why it did not.
    pub outcome: Result<Answer, Arc<str>>,
}

/// Whom a task checks, and how.
#[derive(Clone, Debug, PartialEq)]
struct Target {
    upstream: Arc<str>,
    server: Arc<str>,
    written: Arc<str>,
    address: SocketAddr,
    check: Arc<Check>,
}

impl Default for Checks {
    fn default() -> Self {
        Self::new()
    }
}

impl Checks {
    /// Probes under way at once over all servers, so that a large config does not spend every
    /// descriptor on its checks. Those beyond it wait, which does not count as their time.
    const MOST_PROBES: usize = 256;

    /// No checks yet.
    #[must_use]
    pub fn new() -> Self {
        Self { running: HashMap::new(), slots: Arc::new(Semaphore::new(Self::MOST_PROBES)), reports: None }
    }

    /// No checks yet; what databases say of themselves goes to `reports`. A server is not asked again
    /// before its report was taken, so that none is lost and none waits behind many.
    #[must_use]
    pub fn reporting(reports: mpsc::Sender<Report>) -> Self {
        Self { reports: Some(reports), ..Self::new() }
    }

    /// Checks the servers of these upstreams and no others.
    ///
    /// A server that is checked already keeps its verdict; where its check or address is another
    /// now it is asked at once. A server without a check becomes unknown, one whose name does not
    /// resolve is down. To be called on the control thread's runtime.
    pub fn apply<'a>(&mut self, upstreams: impl IntoIterator<Item = &'a Arc<Upstream>>) {
        let mut before = std::mem::take(&mut self.running);
        for upstream in upstreams {
            for server in &upstream.servers {
                let state = &server.state;
                let Some(address) = server.address else {
                    settle(state, &upstream.name, &server.name, Health::Down, "its name does not resolve");
                    continue;
                };
                let Some(check) = &upstream.check else {
                    settle(state, &upstream.name, &server.name, Health::Unknown, "no check is configured");
                    continue;
                };
                let target = Target {
                    upstream: Arc::clone(&upstream.name),
                    server: Arc::clone(&server.name),
                    written: Arc::clone(&server.written),
                    address,
                    check: Arc::clone(check),
                };
                let sender = match before.remove(&state.id) {
                    Some(sender) => {
                        sender.send_if_modified(|old| {
                            let changed = *old != target;
                            *old = target;
                            changed
                        });
                        sender
                    }
                    None => {
                        let (sender, targets) = watch::channel(target);
                        tokio::spawn(run(Arc::clone(state), targets, Arc::clone(&self.slots), self.reports.clone()));
                        sender
                    }
                };
                self.running.insert(state.id, sender);
            }
        }
    }
}

/// Sets a health that follows from the config and not from a probe.
fn settle(state: &ServerState, upstream: &str, server: &str, health: Health, reason: &'static str) {
    if state.health() == health {
        return;
    }
    state.judge(health, reason, Instant::now().into_std());
    match health {
        Health::Down => tracing::warn!(upstream, server, reason, "server is down"),
        Health::Up | Health::Unknown | Health::Kept => {
            tracing::info!(upstream, server, reason, "server is {}", health.as_str());
        }
    }
}

async fn run(
    state: Arc<ServerState>,
    mut targets: watch::Receiver<Target>,
    slots: Arc<Semaphore>,
    reports: Option<mpsc::Sender<Report>>,
) {
    let mut target = targets.borrow_and_update().clone();
    let mut machine = Machine::new(target.check.pace, state.health(), Instant::now().into_std(), u64::from(state.id));
    loop {
        // `biased`, so that a task whose server is gone writes no verdict any more.
        let changed = match machine.poll_output() {
            Some(Output::Became(change)) => {
                if !target.check.question.is_observed() {
                    announce(&state, &target, &change);
                }
                continue;
            }
            Some(Output::Probe) => tokio::select! {
                biased;
                changed = targets.changed() => changed,
                result = probe_and_report(&target, state.id, &slots, reports.as_ref()) => {
                    machine.handle(Instant::now().into_std(), note(&state, result));
                    continue;
                }
            },
            None => tokio::select! {
                biased;
                changed = targets.changed() => changed,
                () = sleep_until(machine.poll_timeout().map_or_else(Instant::now, Into::into)) => {
                    machine.handle_timeout(Instant::now().into_std());
                    continue;
                }
            },
        };
        if changed.is_err() {
            return;
        }
        target = targets.borrow_and_update().clone();
        machine.handle(Instant::now().into_std(), Input::Changed(target.check.pace));
    }
}

async fn probe_and_report(
    target: &Target,
    id: u32,
    slots: &Semaphore,
    reports: Option<&mpsc::Sender<Report>>,
) -> Result<Passed, Reason> {
    let result = probe_in_turn(target, slots).await;
    if let Some(reports) = reports.filter(|_| target.check.question.is_observed()) {
        let outcome = match &result {
            Ok(Passed { answer: Some(answer), .. }) => Ok(answer.clone()),
            Ok(Passed { answer: None, .. }) => Err("it said nothing of itself".into()),
            Err(reason) => Err(reason.to_string().into()),
        };
        let (upstream, server) = (Arc::clone(&target.upstream), Arc::clone(&target.server));
        let report = Report { upstream, server, id, at: Instant::now().into_std(), outcome };
        // Where nobody judges any more, the process is about to end.
        let _taken = reports.send(report).await;
    }
    result
}

async fn probe_in_turn(target: &Target, slots: &Semaphore) -> Result<Passed, Reason> {
    // The semaphore is never closed; without a permit the probe runs all the same.
    let _slot = slots.acquire().await.ok();
    probe(&target.check, target.check.address(target.address), &target.written).await
}

fn note(state: &ServerState, result: Result<Passed, Reason>) -> Input {
    let at = Instant::now().into_std();
    match result {
        Ok(Passed { took, .. }) => {
            state.note_probe(LastProbe { at, took: Some(took), failure: None });
            Input::Passed { took }
        }
        Err(reason) => {
            state.note_probe(LastProbe { at, took: None, failure: Some(reason.to_string().into()) });
            state.check_failures.count(reason.word());
            Input::Failed(reason)
        }
    }
}

fn announce(state: &ServerState, target: &Target, change: &Change) {
    let Target { upstream, server, .. } = target;
    let now = Instant::now().into_std();
    match change {
        Change::Up { took } => {
            state.judge(Health::Up, format!("check passed in {took:?}"), now);
            tracing::info!(%upstream, %server, ?took, "server is up");
        }
        Change::Down(reason) => {
            state.judge(Health::Down, reason.to_string(), now);
            tracing::warn!(%upstream, %server, %reason, "server is down");
        }
    }
}
