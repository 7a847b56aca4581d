//! The control thread's life: start, orders, drain.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use super::load::{Control, StartFault};
use super::running::Running;
use super::{memory, now, wall};
use crate::admin::Phase;
use crate::allocator;
use crate::control::{Inbox, LinkFault, Order, Outbox, Report, worker_side};
use crate::telemetry::{Counter, PerThread};
use crate::tls::Tickets;
use crate::upstream::discovery::Addresses;
use crate::upstream::health;

/// Why a worker ends before it is told to.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// It and the guard do not understand each other.
    #[error(transparent)]
    Link(#[from] LinkFault),
    /// The socket to the guard cannot be used, or signals not be ignored.
    #[error("the worker cannot start: {0}")]
    System(#[from] io::Error),
    /// The first orders are not what a worker begins with.
    #[error("the guard ordered something before the start")]
    Order,
    /// The system lacks something.
    #[error(transparent)]
    Start(#[from] StartFault),
}

/// How often the guard is told that the threads come round.
const TICK: Duration = Duration::from_secs(1);

/// Serves by the orders that come in by this socket until one ends it, or nobody is left to order.
pub(super) async fn run(socket: OwnedFd) -> Result<(), Fault> {
    let (reports, mut orders) = worker_side(socket)?;
    let _ignored = ignore_signals()?;
    let Some((Order::Begin(seed), _)) = orders.next().await? else { return Err(Fault::Order) };
    let Some((Order::Load(load), with)) = orders.next().await? else { return Err(Fault::Order) };
    let mut control = match Control::start(seed, &load, with).await {
        Ok(control) => control,
        Err(StartFault::Config(faults)) => {
            reports.send(&Report::Refused { number: load.number, faults: faults.to_string() }).await?;
            // What the guard says next cannot be obeyed: it has heard the report.
            let _ = orders.next().await;
            return Ok(());
        }
        Err(fault) => return Err(fault.into()),
    };
    drop(load.files);
    control.running().enter(Phase::Serving);
    reports.send(&Report::Threads(control.data_plane().thread_numbers())).await?;
    reports.send(&Report::Loaded { number: load.number, generation: control.generation() }).await?;
    reports.send(&control.certificates()).await?;
    allocator::give_back();
    let turns = Arc::clone(control.data_plane().turns());
    let mut names = control.name_changes();
    let known = (Arc::clone(control.running()), control.tickets().clone(), names.clone());
    tokio::task::spawn(tick(turns, known, reports.clone()));
    if let Some(probed) = control.take_reports() {
        tokio::task::spawn(feed_pools(Arc::clone(control.running()), probed, reports.clone()));
    }
    loop {
        let letter = tokio::select! {
            letter = orders.next() => letter,
            Ok(()) = names.changed() => {
                control.rename().await;
                continue;
            }
        };
        match heard(letter) {
            Some((Order::Load(load), with)) => {
                let report = control.load(&load, with).await;
                reports.send(&report).await?;
                reports.send(&control.certificates()).await?;
                allocator::give_back();
            }
            Some((Order::Log, with)) => control.switch_log(with),
            Some((Order::Tell { faults }, _)) => control.tell(faults),
            Some((Order::Kept(kept), _)) => control.running().pools().kept(&kept, now(), wall()),
            Some((Order::Confirm { number, upstream, server, accept_loss }, _)) => {
                let json = control.running().pools().confirm(&upstream, &server, accept_loss, (now(), wall()));
                reports.send(&Report::Said { number, json }).await?;
                tell_of_pools(control.running(), &reports).await?;
            }
            Some((Order::Explain { number, upstream }, _)) => {
                let json = control.running().pools().explain(upstream.as_deref(), now(), wall());
                reports.send(&Report::Said { number, json }).await?;
            }
            Some((Order::Status { number }, _)) => reports.send(&status(number, control.running())).await?,
            Some((Order::WindDown, _)) => control.data_plane().end_keep_alive(),
            Some((Order::KeepAlive, _)) => control.data_plane().keep_alive(),
            Some((Order::Vrrp { metrics, status }, _)) => control.running().tell_of_vrrp(metrics, &status),
            Some((Order::Drain { replaced }, _)) => {
                if replaced {
                    control.close_admin();
                }
                break;
            }
            Some((Order::Stop, _)) => {
                control.finish_logs();
                return Ok(());
            }
            Some((Order::Begin(_), _)) => return Err(Fault::Order),
            None => {
                tracing::warn!("the guard has ended or let go: nobody is let in any more");
                control.close_admin();
                break;
            }
        }
    }
    drain(&control, &mut orders, &reports).await;
    control.finish_logs();
    Ok(())
}

/// The guard leads: what is meant for it also reaches its workers, from a terminal or a service
/// manager. Once somebody listens to a signal it does not end the process, even if nobody hears.
fn ignore_signals() -> io::Result<Vec<Signal>> {
    let kinds = [
        SignalKind::hangup(),
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::quit(),
        SignalKind::user_defined1(),
        SignalKind::user_defined2(),
    ];
    kinds.into_iter().map(signal).collect()
}

type Letter = Option<(Order, VecDeque<OwnedFd>)>;

/// A guard that cannot be understood is as good as gone.
fn heard(letter: Result<Letter, LinkFault>) -> Letter {
    letter.unwrap_or_else(|fault| {
        tracing::error!("{fault}");
        None
    })
}

fn status(number: u64, running: &Running) -> Report {
    let json = serde_json::to_string(&running.status());
    Report::Status { number, json: json.unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}")) }
}

/// Lets the pools of databases know how their probes went, and the guard what they make of it.
async fn feed_pools(running: Arc<Running>, mut probed: mpsc::Receiver<health::Report>, reports: Outbox<Report>) {
    while let Some(report) = probed.recv().await {
        running.pools().report(report, wall());
        if let Err(fault) = tell_of_pools(&running, &reports).await {
            tracing::error!("the guard does not hear of pools of databases: {fault}");
            return;
        }
    }
}

async fn tell_of_pools(running: &Running, reports: &Outbox<Report>) -> Result<(), LinkFault> {
    let letters = running.pools().letters();
    for letter in &letters {
        reports.send(letter).await?;
    }
    Ok(())
}

/// Tells the guard that the threads come round, and what the next worker is to know, for ever. What
/// finds no room on the way is told a second later.
async fn tick(
    turns: Arc<PerThread<Counter>>,
    (running, tickets, names): (Arc<Running>, Tickets, watch::Receiver<Arc<Addresses>>),
    reports: Outbox<Report>,
) {
    let mut told = None;
    let mut keys = Vec::new();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let turns = turns.iter().map(Counter::value).collect();
        let _ = reports.offer(&Report::Tick { turns }, Vec::new());
        if let Err(error) = tickets.turn(wall()) {
            tracing::warn!(%error, "the keys of session tickets stay as they are");
        }
        if keys != tickets.keys() && reports.offer(&Report::TicketKeys(tickets.keys()), Vec::new()).is_ok() {
            keys = tickets.keys();
        }
        let snapshot = running.snapshot.load_full();
        let report = Report::Servers {
            generation: snapshot.generation,
            verdicts: memory::verdicts(&snapshot, now(), wall()),
            names: memory::names(&names.borrow()),
        };
        if told.as_ref() != Some(&report) && reports.offer(&report, Vec::new()).is_ok() {
            told = Some(report);
        }
    }
}

/// Accepts no more, lets exchanges end, and ends connections that rest; at most for
/// `shutdown_grace`, or until it is told to stop.
async fn drain(control: &Control, orders: &mut Inbox<Order>, reports: &Outbox<Report>) {
    let process = control.process();
    tracing::info!(grace = ?process.shutdown_grace, "draining");
    control.running().enter(Phase::Draining);
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
        () = stopped(control, orders, reports) => tracing::warn!("told to stop: what is still open is cut"),
    }
}

/// Waits until the guard wants the end at once; until then it is told how the drain is.
async fn stopped(control: &Control, orders: &mut Inbox<Order>, reports: &Outbox<Report>) {
    loop {
        match heard(orders.next().await) {
            Some((Order::Stop, _)) => return,
            Some((Order::Status { number }, _)) => {
                let _ = reports.send(&status(number, control.running())).await;
            }
            Some(_) => {}
            // Nobody is left to order anything.
            None => return std::future::pending().await,
        }
    }
}
