//! What `haechi status` prints: what the worker says of itself, and beside it what only the guard knows.

use std::path::Path;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::child::{Stage, Worker};
use crate::telemetry::rfc3339;
use crate::vrrp;

/// What the guard knows.
#[derive(Debug)]
pub(super) struct Facts<'g> {
    /// The config's path.
    pub(super) config: &'g Path,
    /// When the guard started.
    pub(super) started: SystemTime,
    /// Whether it drains.
    pub(super) draining: bool,
    /// Workers that died or hung.
    pub(super) restarts: u64,
    /// Why the newest config was refused, where it was.
    pub(super) last_error: Option<&'g str>,
    /// Servers that the next worker takes for dead.
    pub(super) servers_down: usize,
    /// Those that live.
    pub(super) workers: &'g [Worker],
    /// The instances of VRRP, where there are any.
    pub(super) vrrp: Option<vrrp::host::Status>,
}

/// One line of JSON. Where no worker could be asked, `worker` is `None`.
pub(super) fn status(worker: Option<&str>, facts: &Facts<'_>) -> String {
    let said = worker.and_then(|json| serde_json::from_str(json).ok());
    let mut status: Value = said.unwrap_or_else(|| {
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "phase": if facts.draining { "draining" } else { "starting" },
            "config": { "path": facts.config, "last_error": facts.last_error },
        })
    });
    let workers: Vec<Value> = facts.workers.iter().map(of_worker).collect();
    status["guard"] = json!({
        "pid": std::process::id(),
        "started_at": rfc3339(facts.started),
        "worker_restarts": facts.restarts,
        "servers_down": facts.servers_down,
        "workers": workers,
    });
    if let Some(vrrp) = &facts.vrrp {
        status["vrrp"] = json!(vrrp);
    }
    status.to_string()
}

fn of_worker(worker: &Worker) -> Value {
    let stage = match worker.stage {
        Stage::Starting => "starting",
        Stage::Serving => "serving",
        Stage::Leaving { .. } => "leaving",
    };
    json!({ "pid": worker.pid, "stage": stage, "started_at": rfc3339(worker.started) })
}
