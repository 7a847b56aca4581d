//! Pools of database servers, as far as the guard has to do with them: what workers tell of them is kept and
//! handed to hooks, and the operator's words and questions go to the worker that serves.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;

use super::instance::{self, Order as Word};
use super::ledger::merge;
use super::life::Guard;
use crate::control::{Order, PoolEvent, PoolMemory};
use crate::diagnostic::Causes;

impl Guard {
    /// A worker has said what is to be kept of its pools.
    pub(super) fn keep_pools(&mut self, told: Vec<PoolMemory>) {
        merge(&mut self.seed.pools, told);
        self.ledger.note(&self.seed.pools);
    }

    /// It is on the disk.
    pub(super) fn pools_are_kept(&self, kept: Vec<(String, u64)>) {
        if let Some(worker) = self.serving()
            && let Err(fault) = worker.order(&Order::Kept(kept), Vec::new())
        {
            tracing::error!(pid = worker.pid, "a worker cannot be told what is kept: {}", Causes(&fault));
        }
    }

    /// Something happened in a pool.
    pub(super) fn tell_pool_hooks(&mut self, event: PoolEvent) {
        let may_act = self.may_act_on_pools();
        self.pool_hooks.tell(event, &self.served.config, may_act);
    }

    /// Once a second: what could not be done before.
    pub(super) fn look_after_pools(&mut self) {
        self.ledger.catch_up(&self.seed.pools);
        if self.pool_hooks.wait() && self.may_act_on_pools() {
            self.pool_hooks.may_act();
        }
    }

    /// The end: nothing more is heard.
    pub(super) fn finish_ledger(&mut self) {
        self.ledger.finish(&self.seed.pools);
    }

    /// Of a pair the host does something that has the virtual addresses; one without any is alone.
    fn may_act_on_pools(&self) -> bool {
        self.served.config.vrrp.is_empty() || self.vips.is_active()
    }

    /// An answer of a worker about pools, with what only the guard knows.
    pub(super) fn said_of_pools(&self, json: String) -> String {
        let Ok(mut answer) = serde_json::from_str::<Value>(&json) else { return json };
        if answer.get("upstreams").is_some() {
            answer["hooks"] = serde_json::to_value(self.pool_hooks.runs()).unwrap_or_default();
        }
        answer.to_string()
    }
}

/// Prints how the pools of the haechi that serves this config are, and why.
#[must_use]
pub fn explain(path: &Path, upstream: Option<String>, as_json: bool) -> ExitCode {
    asked(path, &Word::Explain { upstream }, |answer| if as_json { format!("{answer:#}") } else { explained(answer) })
}

/// Tells the haechi that serves this config who a pool's primary is.
#[must_use]
pub fn confirm(path: &Path, upstream: String, server: String, accept_loss: bool) -> ExitCode {
    asked(path, &Word::Confirm { upstream, server, accept_loss }, |answer| {
        let text = |key: &str| answer[key].as_str().unwrap_or_default();
        let mut said =
            format!("{} is the primary of {} from epoch {}", text("server"), text("upstream"), answer["epoch"]);
        if let Some(lost) = answer["lost"].as_str() {
            let _ = write!(said, "\ngiven up: {lost}");
        }
        let dismissed = list(&answer["dismissed"]);
        if !dismissed.is_empty() {
            let _ = write!(said, "\nget nothing until they are seen read-only: {dismissed}");
        }
        said
    })
}

fn asked(path: &Path, order: &Word, print: impl FnOnce(&Value) -> String) -> ExitCode {
    let failed = |why: &str| {
        eprintln!("error: {why}");
        ExitCode::FAILURE
    };
    match instance::ask(path, order) {
        Ok(answer) => {
            let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
            match answer["error"].as_str() {
                Some(why) => failed(why),
                None => {
                    println!("{}", print(&answer));
                    ExitCode::SUCCESS
                }
            }
        }
        Err(fault) => failed(&Causes(&fault).to_string()),
    }
}

/// The same for people who read it at night.
fn explained(answer: &Value) -> String {
    let mut page = String::new();
    let rows = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for pool in rows(&answer["upstreams"]) {
        let primary = pool["primary"].as_str().map_or("none yet", |primary| primary);
        let _ = writeln!(
            page,
            "upstream {} ({}): {}, epoch {}, last confirmed primary: {primary}",
            text(&pool["upstream"]),
            text(&pool["role"]),
            text(&pool["standing"]),
            pool["epoch"],
        );
        if let Some(gtids) = pool["primary_gtids"].as_str() {
            let _ = writeln!(page, "  it was last seen to have {gtids}");
        }
        for server in rows(&pool["servers"]) {
            let _ = writeln!(
                page,
                "  {} {}: {}\n      {} ({} ago)",
                text(&server["server"]),
                text(&server["verdict"]),
                text(&server["reason"]),
                text(&server["seen"]),
                text(&server["age"]),
            );
            if let Some(errant) = server["errant"].as_str() {
                let _ = writeln!(page, "      has what the primary has not: {errant}");
            }
        }
        let aside = rows(&pool["aside"]);
        for one in &aside {
            let _ = writeln!(
                page,
                "  set aside until it is seen read-only: {} ({})",
                text(&one["server"]),
                text(&one["why"])
            );
        }
        let _ = writeln!(page, "  decisions, the newest first:");
        for decision in rows(&pool["decisions"]).iter().rev() {
            let _ = writeln!(
                page,
                "    {} epoch {}: {}",
                text(&decision["at"]),
                decision["epoch"],
                text(&decision["what"])
            );
            for server in rows(&decision["servers"]) {
                let _ = writeln!(
                    page,
                    "        {} {}: {}; {}",
                    text(&server["server"]),
                    text(&server["verdict"]),
                    text(&server["reason"]),
                    text(&server["seen"]),
                );
            }
        }
    }
    for run in rows(&answer["hooks"]) {
        let how = run["error"].as_str().unwrap_or("done");
        let _ = writeln!(
            page,
            "hook {} of {} at {} (epoch {}, {} ms): {how}",
            text(&run["event"]),
            text(&run["upstream"]),
            text(&run["at"]),
            run["epoch"],
            run["took_ms"],
        );
    }
    page.trim_end().to_owned()
}

fn list(value: &Value) -> String {
    let names: Vec<&str> = value.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    names.join(", ")
}
