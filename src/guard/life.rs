//! The guard from its start to its end, and what it does about signals and questions.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc;

use super::child::{Event, Stage, What, Worker};
use super::deaths::Deaths;
use super::instance::{Asked, Instance, Order as Word};
use super::ledger::Ledger;
use super::offer::{Read, follow, open_log, threads};
use super::pool_hooks::PoolHooks;
use super::predecessor::Predecessor;
use super::program::Program;
use super::questions::Waiting;
use super::reload::{Pending, bind_patiently};
use super::signals::Signal;
use super::sockets::Held;
use super::upgrade::Right;
use super::vips::Vips;
use super::watch::Watch;
use super::{Fault, privileges, readiness};
use crate::app::{self, Identity};
use crate::control::{LinkFault, Order, Seed};
use crate::diagnostic::{Causes, Diagnostic, Faults};

/// What a worker may take after its grace, to write its logs.
const AFTER_GRACE: Duration = Duration::from_secs(5);
/// What a worker may take that was told to stop at once.
const AT_ONCE: Duration = Duration::from_secs(3);

/// The guard's state.
pub(super) struct Guard {
    pub(super) path: PathBuf,
    pub(super) held: Held,
    /// What the next worker is started on.
    pub(super) served: Read,
    pub(super) log: Option<File>,
    /// What the next worker is to know.
    pub(super) seed: Seed,
    /// A config that the worker is taking in.
    pub(super) pending: Option<Pending>,
    /// Somebody wants the config read again; these wait for what becomes of it.
    pub(super) wanted: Option<Vec<Asked>>,
    /// Why the newest config was refused, where it was.
    pub(super) last_error: Option<String>,
    pub(super) identity: Option<Identity>,
    pub(super) instance: Arc<Instance>,
    pub(super) started: SystemTime,
    pub(super) program: Program,
    /// A new binary is asked whether it takes over; who wants it to.
    pub(super) upgrading: Option<Option<Asked>>,
    /// It does: the program is exchanged next.
    pub(super) exchanging: Option<Option<Asked>>,
    pub(super) workers: Vec<Worker>,
    pub(super) vips: Vips,
    /// Workers that the program before has started.
    pub(super) predecessors: Vec<Predecessor>,
    pub(super) deaths: Deaths,
    /// When the next worker is due, where there is none.
    pub(super) respawn: Option<Instant>,
    pub(super) looked: Instant,
    /// When a worker last said that its threads come round.
    pub(super) ticked: Option<Instant>,
    pub(super) questions: HashMap<u64, Waiting>,
    pub(super) ledger: Ledger,
    pub(super) pool_hooks: PoolHooks,
    last_number: u64,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) phase: Phase,
    /// It was said that haechi serves.
    pub(super) announced: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// No worker has served yet.
    Starting,
    Serving,
    Draining,
}

impl Guard {
    /// Reads the config at `path`, binds, and starts the first worker.
    ///
    /// Where the program before has left something with the `right` to run, the sockets are bound
    /// already, and its workers serve until the new one does.
    pub(super) async fn start(
        path: &Path,
        watch: &Watch,
        right: Right,
        events: mpsc::Sender<Event>,
    ) -> Result<Self, Fault> {
        let Right { instance, mut held, seed, workers: left, mut vips } = right;
        let read = Read::from_disk(path)?;
        app::say(read.config.log.level);
        let refused = |fault: Diagnostic| match Faults::new(read.config.sources.clone(), vec![fault]) {
            Some(faults) => Fault::Config(faults),
            None => Fault::Refused(String::new()),
        };
        let identity = privileges::identity(&read.config).map_err(refused)?;
        let threads = threads(&read.config.process);
        held.resize(threads).map_err(|fault| Fault::Worker(Causes(&fault).to_string()))?;
        let bound = bind_patiently(&held, &read.config, threads).await?;
        held.take(&read.config, bound);
        let log = open_log(&read.config).map_err(refused)?;
        follow(watch, &read);
        vips.run(&read.config).map_err(refused)?;
        let left_pools = (!left.is_empty()).then(|| seed.pools.clone());
        let (ledger, pools) = Ledger::open(read.config.process.state.clone(), left_pools, events.clone());
        let mut guard = Self {
            path: path.to_owned(),
            held,
            served: read,
            log,
            seed: Seed { threads, pools, ..seed },
            pending: None,
            wanted: None,
            last_error: None,
            identity,
            instance,
            program: Program::own(),
            upgrading: None,
            exchanging: None,
            predecessors: Vec::new(),
            started: SystemTime::now(),
            workers: Vec::new(),
            vips,
            ticked: None,
            deaths: Deaths::default(),
            respawn: None,
            looked: Instant::now(),
            questions: HashMap::new(),
            ledger,
            pool_hooks: PoolHooks::default(),
            last_number: 0,
            events,
            announced: false,
            phase: if left.is_empty() { Phase::Starting } else { Phase::Serving },
        };
        guard.adopt(left);
        let worker = guard.new_worker().map_err(|fault| Fault::Worker(Causes(&fault).to_string()))?;
        guard.workers.push(worker);
        Ok(guard)
    }

    /// Workers of the binary before serve until the new one does.
    fn adopt(&mut self, left: Vec<(u32, OwnedFd)>) {
        for (pid, link) in left {
            let number = self.number();
            match Predecessor::adopt(number, pid, link, self.events.clone()) {
                Ok(predecessor) => self.predecessors.push(predecessor),
                Err(error) => tracing::debug!(pid, %error, "a worker of the binary before is gone"),
            }
        }
    }

    /// A signal came.
    pub(super) fn signal(&mut self, signal: Signal) {
        match signal {
            Signal::Reload => self.want_reload(None),
            Signal::ReopenLogs => self.reopen_logs(),
            Signal::Upgrade => self.upgrade(None),
            Signal::Drain => self.begin_to_stop(),
            Signal::Stop => {
                self.vips.hurry();
                for worker in &mut self.workers {
                    let _ = worker.order(&Order::Stop, Vec::new());
                    worker.stage = Stage::Leaving { until: Instant::now() + AT_ONCE };
                }
                self.predecessors.iter_mut().for_each(Predecessor::end);
            }
        }
    }

    /// Somebody asks on the control socket.
    pub(super) fn asked(&mut self, asked: Asked) {
        match asked.order.clone() {
            Word::Status => self.answer(asked),
            Word::Reload => self.want_reload(Some(asked)),
            Word::Upgrade => self.upgrade(Some(asked)),
            Word::Drain => {
                self.drain_vips(Instant::now());
                self.answer(asked);
            }
            Word::Undrain => {
                self.undrain_vips();
                self.answer(asked);
            }
            Word::Explain { upstream } => self.ask_worker(asked, |number| Order::Explain { number, upstream }),
            Word::Confirm { upstream, server, accept_loss } => {
                self.ask_worker(asked, |number| Order::Confirm { number, upstream, server, accept_loss });
            }
        }
    }

    /// The config is to be read again.
    pub(super) fn want_reload(&mut self, asker: Option<Asked>) {
        if self.is_draining() {
            asker.into_iter().for_each(|asked| self.answer(asked));
        } else {
            self.wanted.get_or_insert_default().extend(asker);
        }
    }

    /// Something happened to a worker.
    pub(super) fn happened(&mut self, event: Event) -> Result<(), Fault> {
        match event.what {
            What::Said(report) => self.heard(event.worker, report),
            What::Gone(status) => {
                let why = match status {
                    Ok(status) => status.to_string(),
                    Err(error) => error.to_string(),
                };
                self.died(event.worker, &why)
            }
            What::Left(why) => {
                for gone in self.predecessors.extract_if(.., |one| one.number == event.worker) {
                    tracing::debug!(pid = gone.pid, why, "a worker of the binary before is gone");
                }
                Ok(())
            }
            What::Released => {
                self.vips.released();
                self.drain();
                Ok(())
            }
            What::Kept(kept) => {
                self.pools_are_kept(kept);
                Ok(())
            }
            What::Checked(checked) => {
                self.checked(checked);
                Ok(())
            }
        }
    }

    /// Whether a worker has ever served.
    pub(super) fn has_served(&self) -> bool {
        self.phase != Phase::Starting
    }

    /// Gives the virtual addresses away, while all is served as ever, and drains then.
    fn begin_to_stop(&mut self) {
        tracing::info!("stopping");
        readiness::stopping("draining");
        self.give_up_pending("haechi stops");
        self.phase = Phase::Draining;
        for asked in self.wanted.take().unwrap_or_default() {
            self.answer(asked);
        }
        if !self.give_vips_away() {
            self.drain();
        }
    }

    /// Lets nobody in any more and waits for the workers' end.
    fn drain(&mut self) {
        self.phase = Phase::Draining;
        self.respawn = None;
        self.held.close_listeners();
        let until = Instant::now() + self.grace();
        self.predecessors.iter_mut().for_each(|predecessor| predecessor.leave(until));
        for worker in &mut self.workers {
            match worker.stage {
                Stage::Serving => worker.leave(false, until),
                Stage::Starting => {
                    worker.stage = Stage::Leaving { until };
                    worker.kill();
                }
                Stage::Leaving { .. } => {}
            }
        }
    }

    /// Whether there is nothing left to do.
    pub(super) fn is_over(&self) -> bool {
        self.is_draining() && !self.vips.are_leaving() && self.workers.is_empty() && self.predecessors.is_empty()
    }

    fn reopen_logs(&mut self) {
        match open_log(&self.served.config) {
            Ok(Some(log)) => {
                for worker in &self.workers {
                    let sent = log.try_clone().map_err(LinkFault::from);
                    if let Err(fault) = sent.and_then(|log| worker.order(&Order::Log, vec![log.into()])) {
                        tracing::error!(pid = worker.pid, "the log stays where it was: {}", Causes(&fault));
                    }
                }
                self.log = Some(log);
            }
            Ok(None) => {}
            Err(fault) => tracing::warn!("{}; the old file is kept", fault.message),
        }
    }

    /// A number that was not used before.
    pub(super) fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    pub(super) fn is_draining(&self) -> bool {
        self.phase == Phase::Draining
    }

    pub(super) fn grace(&self) -> Duration {
        self.served.config.process.shutdown_grace + AFTER_GRACE
    }

    /// The addresses that are listened on, for the log.
    pub(super) fn listening(&self) -> String {
        let listeners = self.served.config.listeners.iter();
        let addresses: Vec<String> = listeners
            .flat_map(|listener| listener.bind.iter().map(|bind| format!("{}={}", listener.name.value, bind.value)))
            .collect();
        addresses.join(" ")
    }
}
