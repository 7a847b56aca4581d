//! The control thread's life: start, what happens, drain.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;

use super::instance::{Asked, Instance, InstanceFault, Order};
use super::readiness;
use super::reload::{Control, StartFault};
use super::signals::{Signal, Signals};
use super::watch::Watch;
use crate::admin::Phase;
use crate::diagnostic::Causes;

/// Why haechi does not serve.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
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
    Start(#[from] StartFault),
}

/// Orders on the control socket that may wait for the loop.
const WAITING_ORDERS: usize = 16;

/// Serves by the config at `path` until a signal ends it.
pub(super) async fn run(path: &Path) -> Result<(), Fault> {
    let system = |what| move |source| Fault::System { what, source };
    let instance = Instance::claim(path)?;
    let mut signals = Signals::listen().map_err(system("signals cannot be received"))?;
    let mut watch = Watch::start().map_err(system("the config cannot be watched"))?;
    let (ask, mut asked) = mpsc::channel(WAITING_ORDERS);

    let mut control = Control::start(path, &watch).await?;
    let mut names = control.name_changes();
    tokio::task::spawn(async move {
        if let Err(error) = instance.hear(ask).await {
            tracing::error!(%error, "the control socket has failed");
        }
    });
    tokio::task::spawn(readiness::feed_watchdog());
    control.running().enter(Phase::Serving);
    readiness::ready("serving");
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        config = %path.display(),
        listeners = control.listening(),
        admin = %control.admin(),
        "haechi is serving"
    );
    loop {
        tokio::select! {
            signal = signals.next() => match signal {
                Signal::Reload => control.reload(&watch).await,
                Signal::ReopenLogs => control.reopen_logs(),
                Signal::Drain => break,
                Signal::Stop => return Ok(()),
            },
            () = watch.changed() => control.reload(&watch).await,
            Ok(()) = names.changed() => control.rename().await,
            Some(asked) = asked.recv() => answer(&mut control, &watch, asked).await,
        }
    }
    drain(&control, &mut signals).await;
    control.finish_logs();
    Ok(())
}

async fn answer(control: &mut Control, watch: &Watch, asked: Asked) {
    if asked.order == Order::Reload {
        control.reload(watch).await;
    }
    let status = serde_json::to_string(&control.running().status());
    asked.answer(status.unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}")));
}

/// Accepts no more, lets exchanges end, and ends connections that rest; at most for
/// `shutdown_grace`, or until a second signal.
async fn drain(control: &Control, signals: &mut Signals) {
    let process = control.process();
    tracing::info!(grace = ?process.shutdown_grace, "draining");
    control.running().enter(Phase::Draining);
    readiness::stopping("draining");
    let plane = control.data_plane();
    plane.wind_down();
    let ended = async {
        tokio::select! {
            // Clients whose request is on the way just now learn by its answer that it is the last.
            () = tokio::time::sleep(process.handover_grace.min(process.shutdown_grace)) => {}
            () = plane.all_closed() => {}
        }
        plane.end_idle();
        plane.all_closed().await;
    };
    tokio::select! {
        () = ended => tracing::info!("drained"),
        () = tokio::time::sleep(process.shutdown_grace) => {
            tracing::warn!("shutdown_grace is over: what is still open is cut");
        }
        () = second(signals) => tracing::warn!("stopped by a second signal: what is still open is cut"),
    }
}

async fn second(signals: &mut Signals) {
    while !matches!(signals.next().await, Signal::Drain | Signal::Stop) {}
}

/// How long the access log may take to write out what it holds.
pub(super) const LOG_PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn wall() -> SystemTime {
    SystemTime::now()
}
