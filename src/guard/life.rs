//! What the guard does about each thing that may happen: signals, questions, workers that speak, hang
//! and die.

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
use super::offer::{Read, follow, open_log, threads};
use super::predecessor::Predecessor;
use super::program::Program;
use super::questions::Waiting;
use super::reload::{Pending, bind_patiently};
use super::signals::Signal;
use super::sockets::{Held, Shared};
use super::upgrade::Right;
use super::vips::Vips;
use super::watch::Watch;
use super::{Fault, privileges, readiness};
use crate::app::{self, Identity};
use crate::control::{LinkFault, Load, Order, Report, Seed};
use crate::diagnostic::{Causes, Diagnostic, Faults};

/// A worker that has not taken its first config by then hangs.
const START_PATIENCE: Duration = Duration::from_secs(60);
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
    pub(super) workers: Vec<Worker>,
    pub(super) vips: Vips,
    /// Workers that the program before has started.
    predecessors: Vec<Predecessor>,
    deaths: Deaths,
    /// When the next worker is due, where there is none.
    respawn: Option<Instant>,
    looked: Instant,
    /// When a worker last said that its threads come round.
    ticked: Option<Instant>,
    pub(super) questions: HashMap<u64, Waiting>,
    last_number: u64,
    pub(super) events: mpsc::Sender<Event>,
    phase: Phase,
    /// It was said that haechi serves.
    announced: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
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
        let Right { instance, mut held, seed, workers: left, active, drained } = right;
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
        follow(watch, &read.config);
        let mut vips = Vips::default();
        vips.run(&read.config, active).map_err(refused)?;
        if drained {
            vips.take_part(false);
        }
        let mut guard = Self {
            path: path.to_owned(),
            held,
            served: read,
            log,
            seed: Seed { threads, ..seed },
            pending: None,
            wanted: None,
            last_error: None,
            identity,
            instance,
            program: Program::own(),
            upgrading: None,
            predecessors: Vec::new(),
            started: SystemTime::now(),
            workers: Vec::new(),
            vips,
            ticked: None,
            deaths: Deaths::default(),
            respawn: None,
            looked: Instant::now(),
            questions: HashMap::new(),
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
        match asked.order {
            Word::Status => self.answer(asked),
            Word::Reload => self.want_reload(Some(asked)),
            Word::Upgrade => self.upgrade(Some(asked)),
            Word::Drain | Word::Undrain => {
                self.vips.take_part(asked.order == Word::Undrain);
                self.answer(asked);
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
            What::Checked(checked) => {
                self.checked(checked);
                Ok(())
            }
        }
    }

    fn heard(&mut self, number: u64, report: Report) -> Result<(), Fault> {
        let Some(worker) = self.workers.iter_mut().find(|worker| worker.number == number) else { return Ok(()) };
        let serves = worker.stage == Stage::Serving;
        let starts = worker.stage == Stage::Starting;
        match report {
            Report::Threads(threads) => worker.set_threads(threads),
            Report::Tick { turns } => {
                worker.tick(&turns);
                if serves {
                    self.ticked = Some(Instant::now());
                }
            }
            Report::Servers { generation, verdicts, names } if serves => {
                self.seed.generation = generation;
                self.seed.verdicts = verdicts;
                self.seed.names = names;
            }
            Report::TicketKeys(keys) if serves => self.seed.ticket_keys = keys,
            Report::Certificates(certificates) if serves => self.seed.certificates = certificates,
            Report::Servers { .. } | Report::TicketKeys(_) | Report::Certificates(_) => {}
            Report::Status { number, json } => self.answered(number, &json),
            Report::Loaded { generation, .. } if starts => self.serves(number, generation),
            Report::Refused { faults, .. } if starts => {
                worker.kill();
                if self.phase == Phase::Starting {
                    return Err(Fault::Refused(faults));
                }
                tracing::error!("the config that was served is refused by a new worker\n{faults}");
            }
            Report::Loaded { number, generation } => self.loaded(number, generation),
            Report::Refused { number, faults } => self.refused_by_worker(number, faults),
        }
        Ok(())
    }

    /// A new worker serves; it takes over from one that hung, if there is one.
    fn serves(&mut self, number: u64, generation: u64) {
        let until = Instant::now() + self.grace();
        for worker in &mut self.workers {
            if worker.number == number {
                worker.stage = Stage::Serving;
                if let Some(faults) = &self.last_error {
                    let _ = worker.order(&Order::Tell { faults: faults.clone() }, Vec::new());
                }
                tracing::info!(pid = worker.pid, generation, took = ?worker.born.elapsed(), "a worker serves");
            } else if worker.stage == Stage::Serving {
                worker.leave(true, until);
            }
        }
        self.predecessors.iter_mut().for_each(|predecessor| predecessor.leave(until));
        self.seed.generation = generation;
        if !self.announced {
            self.announced = true;
            self.phase = Phase::Serving;
            self.looked = Instant::now();
            readiness::ready("serving");
            tracing::info!(
                version = env!("CARGO_PKG_VERSION"),
                config = %self.path.display(),
                listeners = self.listening(),
                admin = %self.served.config.admin.bind.value,
                "haechi is serving"
            );
        }
    }

    fn died(&mut self, number: u64, why: &str) -> Result<(), Fault> {
        let Some(at) = self.workers.iter().position(|worker| worker.number == number) else { return Ok(()) };
        let worker = self.workers.remove(at);
        self.give_up_questions_to(number);
        if matches!(worker.stage, Stage::Leaving { .. }) {
            tracing::debug!(pid = worker.pid, why, "a worker that was leaving is gone");
            return Ok(());
        }
        if self.phase == Phase::Starting {
            return Err(Fault::Worker(why.to_owned()));
        }
        self.seed.restarts += 1;
        let wait = self.deaths.died(worker.born.elapsed());
        tracing::error!(pid = worker.pid, why, restarts = self.seed.restarts, ?wait, "the worker died");
        if worker.stage == Stage::Serving {
            self.give_up_pending("the worker died while it took the new config in");
        }
        if self.workers.iter().all(|other| matches!(other.stage, Stage::Leaving { .. })) {
            if wait.is_zero() {
                self.spawn();
            } else {
                self.respawn = Some(Instant::now() + wait);
            }
        }
        Ok(())
    }

    /// Starts a worker; where that fails, tries again later.
    pub(super) fn spawn(&mut self) {
        self.respawn = None;
        match self.new_worker() {
            Ok(worker) => self.workers.push(worker),
            Err(fault) => {
                tracing::error!("a worker cannot be started: {}", Causes(&fault));
                let wait = self.deaths.died(Duration::ZERO).max(Duration::from_secs(1));
                self.respawn = Some(Instant::now() + wait);
            }
        }
    }

    fn new_worker(&mut self) -> Result<Worker, LinkFault> {
        let shared = self.held.share()?;
        let log = self.log.as_ref().map(File::try_clone).transpose()?;
        let load = self.load_order(&self.served, shared, log);
        let number = self.number();
        let now = (Instant::now(), SystemTime::now());
        let worker = Worker::start(number, self.program.same(), self.identity.as_ref(), now, self.events.clone())?;
        let (order, with) = load;
        worker.order(&Order::Begin(self.seed.clone()), Vec::new())?;
        worker.order(&Order::Load(Load { number, ..order }), with)?;
        Ok(worker)
    }

    /// The order to serve by this, without its number, and what goes along.
    pub(super) fn load_order(&self, read: &Read, shared: Shared, log: Option<File>) -> (Load, Vec<OwnedFd>) {
        let Shared { endpoints, admin, mut descriptors } = shared;
        let load = Load {
            number: 0,
            config: self.path.clone().into(),
            record: read.record.clone(),
            sockets: endpoints,
            admin,
            log: log.is_some(),
        };
        descriptors.extend(log.map(OwnedFd::from));
        (load, descriptors)
    }

    /// To be called once a second: looks for workers that hang, or do not leave.
    pub(super) fn look(&mut self) {
        let now = Instant::now();
        let elapsed = now.saturating_duration_since(std::mem::replace(&mut self.looked, now));
        self.predecessors.iter().for_each(|predecessor| predecessor.look(now));
        let mut hung = None;
        for worker in &mut self.workers {
            match worker.stage {
                Stage::Leaving { until } if until <= now => worker.kill(),
                Stage::Starting if worker.born + START_PATIENCE <= now => worker.kill(),
                Stage::Leaving { .. } | Stage::Starting => {}
                Stage::Serving => {
                    if worker.hangs(elapsed) {
                        hung = Some(worker.pid);
                    }
                }
            }
        }
        self.give_up_late_questions(now);
        self.tell_worker_of_vips();
        if let Some(pid) = hung.filter(|_| !self.is_starting() && self.respawn.is_none() && !self.is_draining()) {
            self.seed.restarts += 1;
            tracing::error!(pid, restarts = self.seed.restarts, "the worker hangs, another one takes over");
            self.give_up_pending("the worker hung while it took the new config in");
            self.spawn();
        }
    }

    /// Whether a worker has ever served.
    pub(super) fn has_served(&self) -> bool {
        self.phase != Phase::Starting
    }

    /// When a worker last said that its threads come round.
    pub(super) fn ticked_at(&self) -> Option<Instant> {
        self.ticked
    }

    /// When the next worker is due, where one waits.
    pub(super) fn respawn_at(&self) -> Option<Instant> {
        self.respawn
    }

    /// The next worker is due.
    pub(super) fn respawn(&mut self) {
        self.respawn = None;
        if !self.is_draining() {
            self.spawn();
        }
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

    /// The worker that serves, where there is one.
    pub(super) fn serving(&self) -> Option<&Worker> {
        self.workers.iter().find(|worker| worker.stage == Stage::Serving)
    }

    /// Whether a worker is on its way.
    pub(super) fn is_starting(&self) -> bool {
        self.workers.iter().any(|worker| worker.stage == Stage::Starting)
    }

    /// A number that was not used before.
    pub(super) fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    pub(super) fn is_draining(&self) -> bool {
        self.phase == Phase::Draining
    }

    fn grace(&self) -> Duration {
        self.served.config.process.shutdown_grace + AFTER_GRACE
    }

    /// The addresses that are listened on, for the log.
    fn listening(&self) -> String {
        let listeners = self.served.config.listeners.iter();
        let addresses: Vec<String> = listeners
            .flat_map(|listener| listener.bind.iter().map(|bind| format!("{}={}", listener.name.value, bind.value)))
            .collect();
        addresses.join(" ")
    }
}
