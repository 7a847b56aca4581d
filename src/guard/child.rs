//! A worker as the guard sees it: a process, and what can be ordered of it.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::process::{Child, Command};
use tokio::sync::{Notify, mpsc};

use super::pulse::Pulse;
use super::threads;
use super::upgrade::UpgradeFault;
use crate::app::Identity;
use crate::control::{Inbox, LinkFault, Order, Outbox, Report, guard_side, pair};

/// A process that has closed its socket is about to end; this long it may take.
const LAST_STEPS: Duration = Duration::from_secs(5);

/// A worker process.
#[derive(Debug)]
pub(super) struct Worker {
    /// One after the other; never used again.
    pub(super) number: u64,
    /// Its number in the system.
    pub(super) pid: u32,
    /// When it was started.
    pub(super) born: Instant,
    /// The same by the wall's clock.
    pub(super) started: SystemTime,
    /// Where it is in its life.
    pub(super) stage: Stage,
    link: OwnedFd,
    orders: Outbox<Order>,
    kill: Arc<Notify>,
    threads: Vec<u32>,
    pulse: Pulse,
}

/// Where a worker is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It takes its first config in.
    Starting,
    /// It serves.
    Serving,
    /// It lets no client in any more; by then it is gone.
    Leaving {
        /// When it is killed.
        until: Instant,
    },
}

/// What happens to a worker.
#[derive(Debug)]
pub(super) struct Event {
    /// Which one.
    pub(super) worker: u64,
    /// What.
    pub(super) what: What,
}

/// What happens to a worker.
#[derive(Debug)]
pub(super) enum What {
    /// It has something to say.
    Said(Report),
    /// It has ended.
    Gone(io::Result<ExitStatus>),
    /// One that the binary before had started has ended.
    Left(String),
    /// Not a worker: the virtual addresses are given away.
    Released,
    /// Not a worker: what is known of pools is on the disk, upstreams with their epochs.
    Kept(Vec<(String, u64)>),
    /// Not a worker: a new binary has said whether it takes over.
    Checked(Result<(), UpgradeFault>),
}

impl Worker {
    /// Starts one. Must be called on the guard's main thread.
    ///
    /// # Errors
    /// When the system has no process or no socket left.
    pub(super) fn start(
        number: u64,
        program: &Path,
        identity: Option<&Identity>,
        now: (Instant, SystemTime),
        events: mpsc::Sender<Event>,
    ) -> io::Result<Self> {
        let (ours, theirs) = pair()?;
        let link = ours.try_clone()?;
        let (orders, reports) = guard_side(ours)?;
        let mut command = Command::new(program);
        command.arg0("haechi").arg("worker").stdin(Stdio::from(theirs)).kill_on_drop(true);
        if let Some(identity) = identity {
            command.arg("--identity").arg(identity.to_string());
        }
        // The guard speaks with the service manager.
        for variable in ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"] {
            command.env_remove(variable);
        }
        let child = command.spawn()?;
        let pid = child.id().unwrap_or_default();
        let kill = Arc::new(Notify::new());
        tokio::task::spawn(attend(number, child, reports, Arc::clone(&kill), events));
        let (born, started) = now;
        let (threads, pulse) = (Vec::new(), Pulse::default());
        Ok(Self { number, pid, born, started, stage: Stage::Starting, link, orders, kill, threads, pulse })
    }

    /// Orders something. Never waits.
    ///
    /// # Errors
    /// [`LinkFault::Deaf`] where it has not read for long.
    pub(super) fn order(&self, order: &Order, with: Vec<OwnedFd>) -> Result<(), LinkFault> {
        self.orders.offer(order, with)
    }

    /// Has it leave: it accepts no more, and is killed where it is not gone by then.
    pub(super) fn leave(&mut self, replaced: bool, until: Instant) {
        self.stage = Stage::Leaving { until };
        // One that does not hear is killed all the same.
        let _ = self.orders.offer(&Order::Drain { replaced }, Vec::new());
    }

    /// The end of its socket, for the program after this one.
    ///
    /// # Errors
    /// When the process may open no more files.
    pub(super) fn link(&self) -> io::Result<OwnedFd> {
        self.link.try_clone()
    }

    /// Ends it, whatever it does.
    pub(super) fn kill(&self) {
        self.kill.notify_one();
    }

    /// These are its threads.
    pub(super) fn set_threads(&mut self, threads: Vec<u32>) {
        self.pulse = Pulse::new(threads.len());
        self.threads = threads;
    }

    /// It has come round.
    pub(super) fn tick(&mut self, turns: &[u64]) {
        self.pulse.tick(turns);
    }

    /// Whether it hangs; to be asked once a second, so long after the last time.
    pub(super) fn hangs(&mut self, elapsed: Duration) -> bool {
        let (pid, numbers) = (self.pid, &self.threads);
        self.pulse.look(elapsed, |number| threads::time(pid, *numbers.get(number)?)).is_some()
    }
}

/// Passes on what a worker says, and that it has ended.
async fn attend(
    number: u64,
    mut child: Child,
    mut reports: Inbox<Report>,
    kill: Arc<Notify>,
    events: mpsc::Sender<Event>,
) {
    let status = loop {
        let report = tokio::select! {
            report = reports.next() => report,
            () = kill.notified() => {
                let _ = child.start_kill();
                continue;
            }
        };
        match report {
            Ok(Some((report, _))) => {
                let _ = events.send(Event { worker: number, what: What::Said(report) }).await;
            }
            Ok(None) => break ended(&mut child, &kill).await,
            Err(error) => {
                tracing::error!(%error, "a worker cannot be understood");
                let _ = child.start_kill();
                break child.wait().await;
            }
        }
    };
    let _ = events.send(Event { worker: number, what: What::Gone(status) }).await;
}

/// Waits for the end of one that has closed its socket, as all do when they end.
async fn ended(child: &mut Child, kill: &Notify) -> io::Result<ExitStatus> {
    tokio::select! {
        status = child.wait() => return status,
        () = kill.notified() => {}
        () = tokio::time::sleep(LAST_STEPS) => {}
    }
    let _ = child.start_kill();
    child.wait().await
}
