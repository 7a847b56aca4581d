//! An attack at full tilt, and what a well-behaved client meets meanwhile.

use super::client::{Client, get};
use super::haechi::Haechi;
use super::load::Load;
use super::{eventually, within};
use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What the issue promises a well-behaved client.
pub const SERVED_WITHIN: Duration = Duration::from_secs(1);
/// Attackers at once.
const ATTACKERS: usize = 2;
/// Exchanges of the well-behaved client during an attack.
const ROUNDS: usize = 20;
/// What pools and the allocator may keep.
const KEPT_KIB: u64 = 48 * 1024;

/// Lets `attack` be repeated by some threads as fast as they can. A client with a connection from
/// before the attack and one that connects anew are each served in time; afterwards no connection is
/// left and memory is where it was.
pub fn besiege(haechi: &Haechi, http: SocketAddr, attack: impl FnMut() + Clone + Send + 'static) {
    let mut kept = Client::connect(http).expect("a client");
    assert_eq!(kept.get("/").status, 200);
    let before = resident_kib(haechi);
    let mut load = Load::new();
    for _ in 0..ATTACKERS {
        let mut attack = attack.clone();
        load.add(Duration::ZERO, move || {
            attack();
            Ok(())
        });
    }
    within(Duration::from_secs(30), "the attack is on", || (load.answered() > 0).then_some(()));
    for round in 0..ROUNDS {
        in_time(&format!("kept, {round}"), || kept.get("/").status);
        in_time(&format!("fresh, {round}"), || get(http, "/").status);
    }
    load.end();
    drop(kept);
    at_rest(haechi, before);
}

/// Fails where an exchange is not answered 200 in time.
pub fn in_time(what: &str, exchange: impl FnOnce() -> u16) {
    let started = Instant::now();
    let status = exchange();
    let took = started.elapsed();
    assert_eq!(status, 200, "{what}");
    assert!(took < SERVED_WITHIN, "{what}: served in {took:?}");
}

/// Waits until no client is connected and memory is about where it was.
pub fn at_rest(haechi: &Haechi, before_kib: u64) {
    all_gone(haechi);
    let grown = resident_kib(haechi).saturating_sub(before_kib);
    assert!(grown < KEPT_KIB, "{grown} KiB are not given back");
}

/// Waits until no client is connected.
pub fn all_gone(haechi: &Haechi) {
    eventually("no connection is left", || (haechi.metric("haechi_connections_open", &[]) == Some(0.0)).then_some(()));
}

/// The memory that the process holds, in KiB.
pub fn resident_kib(haechi: &Haechi) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", haechi.worker())).expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// The CPU time that the process has used, in ticks of 10 ms.
pub fn cpu_ticks(haechi: &Haechi) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", haechi.worker())).expect("a stat");
    // The name, in brackets, may hold blanks; user and system time are the 12th and 13th behind it.
    let (_, behind) = stat.rsplit_once(')').expect("a name");
    behind.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("ticks")).sum()
}
