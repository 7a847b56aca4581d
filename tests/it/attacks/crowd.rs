//! Attacks by numbers of connections.

use super::haechi;
use crate::harness::haechi::PROXY;
use crate::harness::siege::{all_gone, cpu_ticks, in_time, resident_kib};
use crate::harness::{Client, Haechi, Next, Origin, Wire, answer, eventually, get, pace};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::net::TcpStream;
use std::time::Duration;

/// Raises this process's own limit; how many files may be open.
fn files() -> u64 {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[test]
fn ten_thousand_idle_connections_cost_little_and_keep_nobody_out() {
    const WANTED: u64 = 10_000;
    let origin = Origin::named("origin");
    // Where the host allows fewer files, fewer have to do; the other tests need some too.
    let crowd = WANTED.min(files().saturating_sub(2000) / 2 * 2).min(files() * 3 / 5);
    if crowd < WANTED {
        eprintln!("only {crowd} connections: RLIMIT_NOFILE is {}", files());
    }
    let (haechi, http) = haechi(&origin, "limits = { connections = 30000 }", "connections = 30000");
    in_time("before", || get(http, "/").status);
    let before = resident_kib(&haechi);
    let wave = || {
        let idle: Vec<TcpStream> = (0..crowd).map(|_| TcpStream::connect(http).unwrap()).collect();
        eventually("all are taken", || {
            let open = haechi.metric("haechi_connections_open", &[("listener", "http")])?;
            (open >= crowd as f64).then_some(())
        });
        for round in 0..20 {
            in_time(&format!("beside the crowd, {round}"), || get(http, "/").status);
        }
        drop(idle);
        all_gone(&haechi);
        resident_kib(&haechi)
    };
    let first = wave();
    let each = first.saturating_sub(before) * 1024 / crowd;
    // A read buffer alone would be 16 KiB, and what an exchange needs 5.
    assert!(each < 4 * 1024, "{each} bytes for each idle connection");
    // The allocator may keep what a crowd has taken, for the next one.
    let grown = wave().saturating_sub(first);
    assert!(grown < 16 * 1024, "{grown} KiB more for a second crowd");
}

#[test]
fn a_crowd_that_was_served_and_rests_gives_back_what_that_took() {
    let origin = Origin::named("origin");
    let crowd = 3000.min(files() / 3);
    let (haechi, http) = haechi(&origin, "limits = { connections = 30000 }", "connections = 30000");
    assert_eq!(get(http, "/").status, 200);
    let before = resident_kib(&haechi);
    let serve = |_| {
        let mut client = Client::connect(http).unwrap();
        assert_eq!(client.get("/").status, 200);
        client
    };
    let served: Vec<Client> = (0..crowd).map(serve).collect();
    let grown = resident_kib(&haechi).saturating_sub(before);
    drop(served);
    // Some of each thread keep it for a while.
    let at_hand = 2 * 256 * 8;
    assert!(grown < crowd * 3 + at_hand, "{grown} KiB for {crowd} connections");
}

#[test]
fn a_full_house_ends_those_that_rest_and_takes_the_newcomer() {
    let origin = Origin::named("origin");
    for (limits, process) in [("limits = { connections = 64 }", ""), ("", "connections = 64")] {
        let (haechi, http) = haechi(&origin, limits, process);
        let mut kept = Client::connect(http).unwrap();
        assert_eq!(kept.get("/").status, 200);
        let mut resting: Vec<Client> = (1..64).map(|_| Client::connect(http).unwrap()).collect();
        // Who has just come may be about to ask.
        pace(Duration::from_millis(1200));
        for round in 0..20 {
            in_time(&format!("{limits}{process}: newcomer {round}"), || {
                let mut newcomer = Client::connect(http).unwrap();
                let status = newcomer.get("/").status;
                resting.push(newcomer);
                status
            });
        }
        assert!(haechi.metric("haechi_connections_displaced_total", &[]).unwrap() >= 1.0);
        assert!(haechi.metric("haechi_connections_open", &[]).unwrap() <= 65.0);
        assert_eq!(kept.get("/").status, 200, "a connection that is in use goes on");
        drop((kept, resting));
        all_gone(&haechi);
    }
}

#[test]
fn who_waits_for_an_answer_is_not_at_rest() {
    let origin = Origin::start(|_, wire| {
        pace(Duration::from_secs(3));
        wire.send(answer(200, "late")).map_or(Next::Close, |()| Next::Keep)
    });
    let (haechi, http) = haechi(&origin, "limits = { connections = 16 }", "");
    let mut waiting: Vec<Wire> = (0..16).map(|_| Wire::connect(http).unwrap()).collect();
    for wire in &mut waiting {
        wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    }
    pace(Duration::from_millis(1200));
    assert!(Wire::connect(http).unwrap().is_closed(), "there is no place");
    assert_eq!(haechi.metric("haechi_connections_displaced_total", &[]), Some(0.0));
    for wire in &mut waiting {
        assert_eq!(wire.read_response("GET").unwrap().status, 200);
    }
}

#[test]
fn out_of_files_nothing_spins_and_service_comes_back() {
    let origin = Origin::named("origin");
    let text = PROXY.replace("bind = [\"@http\"]", "bind = [\"@http\"]\ntimeouts = { head = \"60s\" }")
        + "\n[process]\nworkers = 2\nconnections = 30000\n";
    let haechi = Haechi::plan(&text).with("origin", origin.address).files(120).start();
    let http = haechi.at("http");
    in_time("before", || get(http, "/").status);
    // Half a head is no rest: nothing of this can be displaced.
    let mut greedy: Vec<Wire> = Vec::new();
    eventually("accept fails", || {
        for _ in 0..50 {
            let mut wire = Wire::connect(http).ok()?;
            let _ = wire.send("GET / HT");
            greedy.push(wire);
        }
        let failures = haechi.stderr().contains("connections cannot be accepted");
        failures.then_some(())
    });
    let before = cpu_ticks(&haechi);
    pace(Duration::from_secs(1));
    let used = cpu_ticks(&haechi) - before;
    assert!(used < 30, "{used} of 100 ticks while nothing can be accepted");
    drop(greedy);
    eventually("service is back", || (get(http, "/").status == 200).then_some(()));
    assert!(haechi.metric("haechi_accept_failures_total", &[]).unwrap() >= 1.0);
}
