//! The workers: how each is started, what is done about what it says, and about one that hangs or dies.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::child::{Stage, Worker};
use super::life::{Guard, Phase};
use super::offer::Read;
use super::sockets::Shared;
use super::{Fault, readiness};
use crate::control::{LinkFault, Load, Order, Report};
use crate::diagnostic::Causes;

/// A worker that has not taken its first config by then hangs.
const START_PATIENCE: Duration = Duration::from_secs(60);

impl Guard {
    pub(super) fn heard(&mut self, number: u64, report: Report) -> Result<(), Fault> {
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
            // Before it is said to serve a worker tells of its pools too; one that leaves no more.
            Report::Pools(pools) if serves || starts => self.keep_pools(pools),
            Report::Pool(event) if serves || starts => self.tell_pool_hooks(event),
            Report::Said { number, json } => {
                let json = self.said_of_pools(json);
                self.said(number, json);
            }
            Report::Servers { .. }
            | Report::TicketKeys(_)
            | Report::Certificates(_)
            | Report::Pools(_)
            | Report::Pool(_) => {}
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

    pub(super) fn died(&mut self, number: u64, why: &str) -> Result<(), Fault> {
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

    pub(super) fn new_worker(&mut self) -> Result<Worker, LinkFault> {
        let shared = self.held.share()?;
        let log = self.log.as_ref().map(File::try_clone).transpose()?;
        let load = self.load_order(&self.served, shared, log)?;
        let number = self.number();
        let now = (Instant::now(), SystemTime::now());
        let worker = Worker::start(number, self.program.same(), self.identity.as_ref(), now, self.events.clone())?;
        let (order, with) = load;
        worker.order(&Order::Begin(self.seed.clone()), Vec::new())?;
        worker.order(&Order::Load(Load { number, ..order }), with)?;
        Ok(worker)
    }

    /// The order to serve by this, without its number, and what goes along.
    ///
    /// # Errors
    /// When the process may open no more files.
    pub(super) fn load_order(
        &self,
        read: &Read,
        shared: Shared,
        log: Option<File>,
    ) -> io::Result<(Load, Vec<OwnedFd>)> {
        let Shared { endpoints, admin, descriptors } = shared;
        let load = Load {
            number: 0,
            config: self.path.clone().into(),
            files: Arc::clone(read.record.index()),
            sockets: endpoints,
            admin,
            log: log.is_some(),
        };
        let mut with = vec![read.record.memory()?];
        with.extend(descriptors);
        with.extend(log.map(OwnedFd::from));
        Ok((load, with))
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
        self.look_after_pools();
        if let Some(pid) = hung.filter(|_| !self.is_starting() && self.respawn.is_none() && !self.is_draining()) {
            self.seed.restarts += 1;
            tracing::error!(pid, restarts = self.seed.restarts, "the worker hangs, another one takes over");
            self.give_up_pending("the worker hung while it took the new config in");
            self.spawn();
        }
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

    /// The worker that serves, where there is one.
    pub(super) fn serving(&self) -> Option<&Worker> {
        self.workers.iter().find(|worker| worker.stage == Stage::Serving)
    }

    /// Whether a worker is on its way.
    pub(super) fn is_starting(&self) -> bool {
        self.workers.iter().any(|worker| worker.stage == Stage::Starting)
    }
}
