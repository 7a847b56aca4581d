//! Sessions by the thousand.

use std::net::{SocketAddr, TcpStream};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::SockRef;

use super::connect;
use crate::harness::ports::free_port;
use crate::harness::programs::Program;
use crate::harness::siege::{all_gone, resident_kib};
use crate::harness::{Client, Haechi, Wire, eventually, get};

const WANTED: u64 = 10_000;

/// Raises this process's own limit; how many files it, or one that it starts, may have open.
fn files() -> u64 {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// So many sessions over each of which one request was answered. Many are under way at once: one after another,
/// each would wait for its turn on a busy machine three times.
fn used(address: SocketAddr, count: u64) -> Vec<Wire> {
    const AT_ONCE: u64 = 250;
    let mut sessions = Vec::new();
    let mut left = count;
    while left > 0 {
        let now = left.min(AT_ONCE);
        let mut some: Vec<Wire> = (0..now).map(|_| Wire::of(connect(address)).unwrap()).collect();
        some.iter_mut().for_each(|wire| wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap());
        some.iter_mut().for_each(|wire| assert_eq!(wire.read_response("GET").unwrap().text(), "served"));
        sessions.append(&mut some);
        left -= now;
    }
    sessions
}

/// Breaks a session off, so that no port is kept for it: the other tests need some too.
fn break_off(wire: &Wire) {
    let stream: &TcpStream = wire.stream();
    SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
}

#[test]
fn ten_thousand_sessions_that_rest_cost_little_and_a_second_crowd_nothing_more() {
    // haechi has two files open for each; where the host allows fewer, fewer have to do.
    let crowd = WANTED.min(files().saturating_sub(300) / 2);
    if crowd < WANTED {
        eprintln!("only {crowd} sessions: RLIMIT_NOFILE is {}", files());
    }
    // The far ends are in a process of their own, as they need a file each too.
    let server = free_port();
    let http = format!(
        "http {{ keepalive_timeout 1h; server {{ listen {server} backlog=4096; location / {{ return 200 served; }} }} }}\n"
    );
    let Some(_nginx) = Program::nginx(&http, &[server]) else { return };
    let text = "[listener.db]\nbind = [\"@db\"]\nmode = \"tcp\"\nupstream = \"db\"\nlimits = { connections = 30000 }\n\
                [upstream.db]\nservers = [\"@server\"]\n[process]\nworkers = 2\nconnections = 30000\n\
                [log]\nlevel = \"info\"\naccess = { format = \"off\" }\n";
    let haechi = Haechi::plan(text).with("server", server).start();
    let db = haechi.at("db");
    // What is made once is not counted.
    drop(used(db, 250));
    all_gone(&haechi);
    let before = resident_kib(&haechi);

    let wave = || {
        let mut sessions = used(db, crowd);
        let open = haechi.metric("haechi_connections_open", &[("listener", "db")]).unwrap();
        assert!(open >= crowd as f64, "{open} sessions are open");
        let held = resident_kib(&haechi).saturating_sub(before);
        let mut kept = Client::connect(db).unwrap();
        for _ in 0..20 {
            assert_eq!((kept.get("/").status, get(db, "/").status), (200, 200), "beside the crowd");
        }
        for one in [0, sessions.len() / 2, sessions.len() - 1] {
            sessions[one].send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            assert_eq!(sessions[one].read_response("GET").unwrap().status, 200, "after its rest");
        }
        sessions.iter().for_each(break_off);
        drop((sessions, kept));
        all_gone(&haechi);
        held
    };
    let held = wave();
    // A read buffer alone would be 16 KiB.
    assert!(held < crowd * 4 + 1024, "{held} KiB for {crowd} sessions");
    // The allocator may keep what a crowd has taken, for the next one.
    let first = resident_kib(&haechi);
    wave();
    let grown = resident_kib(&haechi).saturating_sub(first.max(before + held));
    assert!(grown < 4 * 1024, "{grown} KiB more for a second crowd");
    eventually("the server's side is gone too", || {
        (haechi.metric("haechi_server_active_exchanges", &[("upstream", "db")]) == Some(0.0)).then_some(())
    });
}
