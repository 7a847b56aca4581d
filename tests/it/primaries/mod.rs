//! A primary and two replicas of MariaDB behind haechi: who gets writes and reads when one dies, comes back,
//! lags, or when two are writable. States and losses are asserted, no times.

mod pair;
mod pool;
mod readers;
mod traffic;

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::mariadb::{self, MariaDb};
use crate::harness::{Haechi, within};

/// The servers are `a`, the primary, `b` and `c`.
fn config(hooks: &str) -> String {
    let health = |role: &str| {
        format!(
            "mysql = {{ user = \"haechi_check\", password = \"secret\", {role} }}\n\
             interval = \"50ms\"\ntimeout = \"2s\"\nrise = 2\nfall = 3\n"
        )
    };
    let servers = "servers = [{ address = \"@a\", name = \"a\" }, { address = \"@b\", name = \"b\" }, \
                   { address = \"@c\", name = \"c\" }]\n";
    format!(
        "[process]\nstate = \"@dir/state\"\nhandover_grace = \"0s\"\nshutdown_grace = \"1s\"\n\
         [upstream.writer]\n{servers}[upstream.writer.health]\n{}\n{hooks}\n\
         [upstream.reader]\n{servers}[upstream.reader.health]\n{}\n{LISTENERS}",
        health("role = \"primary\""),
        health("role = \"replica\", max_lag = \"5s\""),
    )
}

/// A group with the accounts that are needed. `None`, and a loud line, where there is no MariaDB.
fn group() -> Option<Vec<MariaDb>> {
    let group = mariadb::group(2)?;
    accounts(&group);
    Some(group)
}

/// Those of checks and of applications.
fn accounts(group: &[MariaDb]) {
    let (primary, replicas) = group.split_first().unwrap();
    primary.sql(
        "CREATE USER haechi_check IDENTIFIED BY 'secret'; GRANT REPLICA MONITOR ON *.* TO haechi_check; \
         CREATE USER app IDENTIFIED BY 'app'; GRANT SELECT, INSERT ON shop.* TO app",
    );
    replicas.iter().for_each(|replica| replica.caught_up_with(primary));
}

/// Where applications come to write, and to read.
const LISTENERS: &str = "[listener.writer]\nbind = [\"@w\"]\nmode = \"tcp\"\nupstream = \"writer\"\n\
                         [listener.reader]\nbind = [\"@r\"]\nmode = \"tcp\"\nupstream = \"reader\"\n";

fn start(group: &[MariaDb], text: &str, files: &[(&str, String)]) -> Haechi {
    let plan = Haechi::plan(text);
    let plan = files.iter().fold(plan, |plan, (name, content)| plan.file(name, content));
    let named = ["a", "b", "c"].iter().zip(group);
    named.fold(plan, |plan, (name, server)| plan.with(name, server.address)).start()
}

/// A pool as `/status` tells it.
fn pool(haechi: &Haechi, upstream: &str) -> Value {
    let status = haechi.status();
    named(&status["databases"], upstream)
}

fn named(pools: &Value, upstream: &str) -> Value {
    let pools = pools.as_array().cloned().unwrap_or_default();
    pools.into_iter().find(|pool| pool["upstream"] == upstream).unwrap_or_default()
}

/// The verdicts on `a`, `b` and `c`, as `serves out out`.
fn verdicts(haechi: &Haechi, upstream: &str) -> String {
    verdicts_of(&pool(haechi, upstream))
}

fn verdicts_of(pool: &Value) -> String {
    let verdicts = pool["servers"].as_array().into_iter().flatten().filter_map(|server| server["verdict"].as_str());
    verdicts.collect::<Vec<_>>().join(" ")
}

fn becomes(haechi: &Haechi, upstream: &str, expected: &str) {
    let mut last = String::new();
    let patience = std::time::Duration::from_secs(30);
    within(patience, &format!("{upstream} becomes {expected}"), || {
        let now = verdicts(haechi, upstream);
        if now != last {
            last.clone_from(&now);
            eprintln!("{upstream}: {now}");
        }
        (now == expected).then_some(())
    });
}

fn db(haechi: &Haechi, arguments: &[&str]) -> (bool, String) {
    db_of(haechi.config(), arguments)
}

fn db_of(config: &Path, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haechi"));
    let said = command.arg("db").args(arguments).arg("--config").arg(config).output().expect("haechi db");
    let text = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    (said.status.success(), text)
}

/// What `db explain` says when the newest checks are in it.
fn explained(haechi: &Haechi) -> String {
    let (done, text) = db(haechi, &["explain"]);
    assert!(done, "{text}");
    text
}
