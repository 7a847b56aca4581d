//! The parent process: small, privileged, nearly idle. No byte of a client ever enters it.
//!
//! It reads the config and every file that it names, holds the listening sockets, and keeps a worker
//! alive that serves by them. A reload is a commit that it leads: read, bind what is new, hand over;
//! the worker takes it or refuses it; then what is gone is closed. A worker that dies is replaced while
//! the sockets stay open, so whoever connects meanwhile waits and is served.
//!
//! [`run`] is a loop in which each thing that may happen is one line. The rules with a clock are pure:
//! `deaths` (when the next worker is due), `pulse` (whether one hangs), [`watch::settle`] (whether a
//! file has changed).

mod child;
mod database;
mod deaths;
pub mod instance;
mod ledger;
mod life;
mod offer;
mod pool_hooks;
mod predecessor;
mod privileges;
mod program;
mod pulse;
mod questions;
pub mod readiness;
mod reload;
pub mod signals;
mod sockets;
mod status;
mod threads;
mod upgrade;
mod vips;
pub mod watch;
mod workers;

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tracing::level_filters::LevelFilter;

pub use self::database::{confirm, explain};
use self::instance::{InstanceFault, Order};
use self::life::Guard;
use self::signals::Signals;
pub use self::upgrade::takes_over;
use self::upgrade::{Right, UpgradeFault};
use self::watch::Watch;
use crate::allocator;
use crate::app::{LAST_WORDS, raise_limit};
use crate::diagnostic::{Causes, Faults};
use crate::telemetry::diagnostics;

/// How often workers are looked after.
const LOOK: Duration = Duration::from_secs(1);
/// How long who asks for an upgrade waits for the new worker.
const UPGRADE_PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks for it.
const QUESTION_PAUSE: Duration = Duration::from_millis(50);
/// Orders on the control socket, and words of workers, that may wait for the loop.
const WAITING: usize = 64;

/// Serves by the config at `path` until a signal ends it. With `adopt` another program has run in this
/// process until now, and has left it what it had.
#[must_use]
pub fn run(path: &Path, adopt: bool) -> ExitCode {
    // Until somebody listens; threads take none at all.
    signals::leave_to_main_thread();
    let _limit = raise_limit();
    if let Err(error) = privileges::shed() {
        eprintln!("error: privileges that are not needed cannot be given up: {error}");
        return ExitCode::FAILURE;
    }
    diagnostics::say(LevelFilter::INFO);
    migrate_requests();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = match runtime.enable_all().on_thread_start(signals::leave_to_main_thread).build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no event loop: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(serve(path, adopt));
    runtime.shutdown_background();
    diagnostics::finish(LAST_WORDS);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("{fault}");
            ExitCode::FAILURE
        }
    }
}

/// Asks the haechi that serves the config at `path`, and prints its answer.
#[must_use]
pub fn ask(path: &Path, order: &Order) -> ExitCode {
    let answer = match instance::ask(path, order) {
        Ok(answer) => answer,
        Err(fault) => {
            eprintln!("error: {}", Causes(&fault));
            return ExitCode::FAILURE;
        }
    };
    let status: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
    let refused = status["config"]["last_error"].as_str().filter(|_| *order == Order::Reload);
    match refused {
        Some(faults) => {
            eprintln!("{faults}");
            ExitCode::FAILURE
        }
        None => {
            println!("{status:#}");
            ExitCode::SUCCESS
        }
    }
}

/// Has the haechi that serves the config at `path` become the binary that lies where it was started
/// from, and waits until that one serves.
#[must_use]
pub fn upgrade(path: &Path) -> ExitCode {
    let failed = |why: &str| {
        eprintln!("error: {why}");
        ExitCode::FAILURE
    };
    let before = match serving_worker(path) {
        Ok(before) => before,
        Err(fault) => return failed(&Causes(&fault).to_string()),
    };
    // Who becomes another program gives no answer.
    if let Ok(answer) = instance::ask(path, &Order::Upgrade) {
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
        return failed(answer["error"].as_str().unwrap_or("the answer cannot be understood"));
    }
    let by = Instant::now() + UPGRADE_PATIENCE;
    while Instant::now() < by {
        if let Ok(Some(now)) = serving_worker(path)
            && Some(now) != before
        {
            return ask(path, &Order::Status);
        }
        // Between two questions.
        std::thread::park_timeout(QUESTION_PAUSE);
    }
    failed("the new binary runs, but its worker does not serve; the old one does, see the log")
}

/// Takes the virtual addresses of the config at `path` off this host's interfaces.
#[must_use]
pub fn release(path: &Path) -> ExitCode {
    match vips::release(path) {
        Ok(lines) => {
            lines.iter().for_each(|line| println!("{line}"));
            ExitCode::SUCCESS
        }
        Err(fault) => {
            eprintln!("{fault}");
            ExitCode::FAILURE
        }
    }
}

/// The worker that serves, by its number in the system.
fn serving_worker(path: &Path) -> Result<Option<u64>, InstanceFault> {
    let status: serde_json::Value = serde_json::from_str(&instance::ask(path, &Order::Status)?).unwrap_or_default();
    let workers = status["guard"]["workers"].as_array();
    let serving = workers.and_then(|workers| workers.iter().find(|worker| worker["stage"] == "serving"));
    Ok(serving.and_then(|worker| worker["pid"].as_u64()))
}

/// Why haechi does not serve.
#[derive(Debug, thiserror::Error)]
enum Fault {
    /// Another process serves this config, or there is none.
    #[error("error: {}", Causes(.0))]
    Instance(#[from] InstanceFault),
    /// The system gives no signals, no watch.
    #[error("error: {what}: {source}")]
    System {
        /// What was asked of it.
        what: &'static str,
        source: io::Error,
    },
    /// The config, or what it asks of the system.
    #[error(transparent)]
    Config(#[from] Faults),
    /// The same, in the worker's words.
    #[error("{0}")]
    Refused(String),
    /// The program before has left nothing that can be used.
    #[error("error: {}", Causes(.0))]
    Upgrade(#[from] UpgradeFault),
    /// There is no worker.
    #[error("error: the worker does not start: {0}")]
    Worker(String),
}

async fn serve(path: &Path, adopt: bool) -> Result<(), Fault> {
    let system = |what| move |source| Fault::System { what, source };
    let cannot_hear = system("signals cannot be received");
    let mut signals = Signals::listen().map_err(&cannot_hear)?;
    let right = if adopt { Right::inherit()? } else { Right::claim(path)? };
    let instance = Arc::clone(&right.instance);
    let mut watch = Watch::start().map_err(system("the config cannot be watched"))?;
    let (ask, mut asked) = mpsc::channel(WAITING);
    let (tell, mut events) = mpsc::channel(WAITING);

    let mut guard = Guard::start(path, &watch, right, tell).await?;
    allocator::give_back();
    // Only now: what was started until here has them blocked.
    signals.open().map_err(&cannot_hear)?;
    tokio::task::spawn(async move {
        if let Err(error) = instance.hear(ask).await {
            tracing::error!(%error, "the control socket has failed");
        }
    });
    tokio::task::spawn(readiness::feed_watchdog());
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !guard.is_over() {
        let (respawn, drain) = (guard.respawn_at(), guard.vips.drain_at());
        tokio::select! {
            signal = signals.next() => guard.signal(signal),
            () = watch.changed() => guard.want_reload(None),
            Some(asked) = asked.recv() => guard.asked(asked),
            Some(event) = events.recv() => guard.happened(event)?,
            _ = looks.tick() => guard.look(),
            () = until(respawn) => guard.respawn(),
            () = until(drain) => guard.vips.drain(),
        }
        guard.reload_if_wanted(&watch);
        guard.tell_vips(Instant::now());
        if let Some(asker) = guard.exchanges() {
            // It comes back where it fails.
            let _held = signals.pass_on().await;
            guard.exchange(asker, watch.handle());
        }
    }
    guard.finish_ledger();
    Ok(())
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

/// When one of several sockets of an address is closed, the kernel gives what waits in its queue to
/// the others, where it is allowed to (tcp_migrate_req, ip-sysctl).
fn migrate_requests() {
    let setting = "/proc/sys/net/ipv4/tcp_migrate_req";
    let on = std::fs::read_to_string(setting).is_ok_and(|value| value.trim() != "0");
    if !on && let Err(error) = std::fs::write(setting, "1") {
        tracing::debug!(%error, "tcp_migrate_req stays as it is");
    }
}
