//! The data plane: one thread per core, each with a runtime, sockets and pools of its own.
//!
//! It never binds and reads no file: it is handed sockets and a snapshot, by messages that each
//! thread carries out between two turns of its loop (law 8). Tests run it in their own process.

use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

use super::doors::Doors;
use crate::handler::static_files::Disk;
use crate::net::{Endpoint, Listening, run_deadlines};
use crate::serve::Worker;
use crate::snapshot::{ListenerId, Snapshot};
use crate::telemetry::{AccessLog, Counter, PerThread, ThreadId, ThreadLog};

/// How often a thread hands its log on and looks at the clock.
const TURN: Duration = Duration::from_millis(100);
/// Turns between two looks for what has rested too long.
const TURNS_BETWEEN_SWEEPS: u32 = 10;
/// Threads, for the whole process, that wait for slow disks.
const DISK_SLOTS: usize = 32;

/// A new state of the world for one thread.
#[derive(Debug)]
pub struct Commit {
    /// What is served from now on.
    pub snapshot: Arc<Snapshot>,
    /// Sockets for endpoints that were not listened on before.
    pub sockets: Vec<(Endpoint, Listening)>,
}

enum Order {
    Commit(Commit, oneshot::Sender<()>),
    /// Connections end with the exchange that they are in.
    EndKeepAlive,
    /// Connections are kept again.
    KeepAlive,
    /// Accepts no more; connections end with the exchange that they are in.
    WindDown,
    /// Ends the connections that rest.
    EndIdle,
    /// Says when there is no connection left.
    TellClosed(oneshot::Sender<()>),
}

/// The threads of the data plane. Dropped, it ends at once, whatever is under way.
#[derive(Debug)]
pub struct DataPlane {
    threads: Vec<Thread>,
    turns: Arc<PerThread<Counter>>,
}

#[derive(Debug)]
struct Thread {
    /// In the system.
    number: u32,
    orders: mpsc::UnboundedSender<Order>,
    handle: Option<JoinHandle<()>>,
}

impl DataPlane {
    /// Starts `threads` threads that serve by `snapshot`; they listen on nothing yet.
    ///
    /// # Errors
    /// When the system has no thread or no file descriptor left.
    pub fn start(threads: usize, snapshot: &Arc<Snapshot>, log: &AccessLog) -> io::Result<Self> {
        let disk = Disk::new(DISK_SLOTS);
        let turns = Arc::new(PerThread::new(threads));
        let started = (0..threads)
            .map(|number| {
                let thread = ThreadId(number);
                let log = log.thread(thread);
                Thread::start(thread, Arc::clone(snapshot), disk.clone(), log, Arc::clone(&turns))
            })
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Self { threads: started, turns })
    }

    /// How often each thread has come round; one that does nothing else still does.
    #[must_use]
    pub fn turns(&self) -> &Arc<PerThread<Counter>> {
        &self.turns
    }

    /// The control thread, which must be the caller, and each thread, by their numbers in the system.
    #[must_use]
    pub fn thread_numbers(&self) -> Vec<u32> {
        std::iter::once(own_number()).chain(self.threads.iter().map(|thread| thread.number)).collect()
    }

    /// Hands each thread its commit, and waits until all serve by it.
    pub async fn commit(&self, commits: Vec<Commit>) {
        let mut done = Vec::new();
        for (thread, commit) in self.threads.iter().zip(commits) {
            let (tell, told) = oneshot::channel();
            thread.order(Order::Commit(commit, tell));
            done.push(told);
        }
        for told in done {
            // A thread that is gone serves nothing; there is nobody to wait for.
            let _ = told.await;
        }
    }

    /// Accepts as ever, but connections end with the exchange that they are in.
    pub fn end_keep_alive(&self) {
        self.threads.iter().for_each(|thread| thread.order(Order::EndKeepAlive));
    }

    /// Connections are kept again after their exchanges.
    pub fn keep_alive(&self) {
        self.threads.iter().for_each(|thread| thread.order(Order::KeepAlive));
    }

    /// Accepts no more; connections end with the exchange that they are in.
    pub fn wind_down(&self) {
        self.threads.iter().for_each(|thread| thread.order(Order::WindDown));
    }

    /// Ends the connections that rest.
    pub fn end_idle(&self) {
        self.threads.iter().for_each(|thread| thread.order(Order::EndIdle));
    }

    /// Waits until no thread has a connection.
    pub async fn all_closed(&self) {
        let mut closed = Vec::new();
        for thread in &self.threads {
            let (tell, told) = oneshot::channel();
            thread.order(Order::TellClosed(tell));
            closed.push(told);
        }
        for told in closed {
            let _ = told.await;
        }
    }
}

impl Drop for DataPlane {
    fn drop(&mut self) {
        let handles: Vec<_> = self.threads.drain(..).filter_map(|mut thread| thread.handle.take()).collect();
        // The orders' senders are gone now, which ends each thread's loop.
        for handle in handles {
            let _ = handle.join();
        }
    }
}

impl Thread {
    fn start(
        thread: ThreadId,
        snapshot: Arc<Snapshot>,
        disk: Disk,
        log: ThreadLog,
        turns: Arc<PerThread<Counter>>,
    ) -> io::Result<Self> {
        let (orders, received) = mpsc::unbounded_channel();
        let (tell, told) = std::sync::mpsc::channel();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(DISK_SLOTS).build()?;
        let handle = std::thread::Builder::new().name(format!("worker-{}", thread.0)).spawn(move || {
            let _ = tell.send(own_number());
            let local = LocalSet::new();
            local.block_on(&runtime, run(thread, snapshot, disk, log, turns, received));
            drop(local);
            // A disk that does not answer must not hold up the end.
            runtime.shutdown_background();
        })?;
        let number = told.recv().map_err(io::Error::other)?;
        Ok(Self { number, orders, handle: Some(handle) })
    }

    fn order(&self, order: Order) {
        // Only a thread that panicked is gone.
        let _ = self.orders.send(order);
    }
}

async fn run(
    thread: ThreadId,
    snapshot: Arc<Snapshot>,
    disk: Disk,
    log: ThreadLog,
    turns: Arc<PerThread<Counter>>,
    mut orders: mpsc::UnboundedReceiver<Order>,
) {
    let worker = Rc::new(Worker::new(thread, snapshot, disk, log, now()));
    tokio::task::spawn_local(run_deadlines());
    tokio::task::spawn_local(keep_house(Rc::clone(&worker), turns));
    let mut doors = Doors::default();
    while let Some(order) = orders.recv().await {
        match order {
            Order::Commit(Commit { snapshot, sockets }, done) => {
                let wanted: BTreeMap<Endpoint, ListenerId> = snapshot.endpoints().into_iter().collect();
                worker.commit(snapshot);
                doors.set(&worker, &wanted, sockets);
                let _ = done.send(());
            }
            Order::EndKeepAlive => worker.wind_down(),
            Order::KeepAlive => worker.keep_alive(),
            Order::WindDown => {
                doors.shut();
                worker.wind_down();
            }
            Order::EndIdle => {
                doors.end_flows();
                worker.end_idle();
            }
            Order::TellClosed(tell) => {
                let worker = Rc::clone(&worker);
                tokio::task::spawn_local(async move {
                    worker.all_closed().await;
                    let _ = tell.send(());
                });
            }
        }
    }
}

fn now() -> Instant {
    Instant::now()
}

fn own_number() -> u32 {
    rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs()
}

/// Moves the thread's coarse clock on, hands the log on, and lets go of what rested too long.
async fn keep_house(worker: Rc<Worker>, counts: Arc<PerThread<Counter>>) {
    let mut turns = tokio::time::interval(TURN);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for turn in (0..TURNS_BETWEEN_SWEEPS).cycle() {
        turns.tick().await;
        let now = now();
        worker.turned(now, TURN);
        counts.of(worker.local.thread).add(1);
        worker.flush_log();
        if turn == 0 {
            worker.local.pools.sweep(now);
            worker.local.files.sweep(now);
        }
    }
}
