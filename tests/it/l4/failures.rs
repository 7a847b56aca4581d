//! Servers that are full, slow, gone, or come back.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use super::{accept, before, connect, ended, is_reset, logged, passes, server, session};
use crate::harness::ports::free_port;
use crate::harness::{Haechi, Origin, eventually, get};

const CHECK: &str = "health = { tcp = true, interval = \"50ms\", rise = 1, fall = 1 }";

/// A server at this address.
fn server_at(address: SocketAddr) -> TcpListener {
    TcpListener::bind(address).unwrap()
}

#[test]
fn a_server_that_takes_no_connection_is_passed_over() {
    let server = server();
    let text = "[listener.db]\nbind = [\"@db\"]\nmode = \"tcp\"\nupstream = \"db\"\n\
                [upstream.db]\nservers = [\"@nobody\", \"@server\", { address = \"@unused\", backup = true }]\n";
    let haechi = Haechi::plan(text).with("server", server.local_addr().unwrap()).start();
    for _ in 0..4 {
        let (mut client, mut far) = session(&haechi, &server);
        passes(&mut far, &mut client, b"served");
    }
    let failed = haechi.metric("haechi_server_failures_total", &[("upstream", "db"), ("reason", "connect")]);
    assert!(failed.unwrap() >= 1.0, "the first server was tried");
}

#[test]
fn without_a_server_a_session_is_reset_at_once() {
    let text =
        "[listener.db]\nbind = [\"@db\"]\nmode = \"tcp\"\nupstream = \"db\"\n[upstream.db]\nservers = [\"@nobody\"]\n";
    let haechi = Haechi::plan(text).start();
    is_reset(&mut connect(haechi.at("db")));
    ended(&haechi, "connect_failed", 1);
    logged(&haechi, Some("connect_failed"));
    assert!(haechi.stderr().contains("session refused"), "{}", haechi.stderr());
}

#[test]
fn who_finds_every_place_taken_waits_for_one() {
    let server = server();
    // One thread takes connections in their order: with two, the third sometimes came before the second.
    let more =
        "max_connections = 1\nmax_queue = 1\ntimeouts = { queue = \"30s\" }\n[process]\nworkers = 1\nlag = \"1m\"";
    let haechi = before(&server, more).start();
    let (first, far) = session(&haechi, &server);
    let mut second = connect(haechi.at("db"));
    second.write_all(b"second").unwrap();
    // One waits already.
    eventually("a third is refused", || {
        let mut third = connect(haechi.at("db"));
        third.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let refused = third.read(&mut [0]);
        refused.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset).then_some(())
    });
    drop((first, far));
    let mut far = accept(&server);
    let mut got = [0; 6];
    far.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"second");
}

#[test]
fn sessions_on_a_server_that_goes_down_are_cut_or_kept_as_the_upstream_says() {
    for (on_down, is_cut) in [("close", true), ("keep", false)] {
        let address = free_port();
        let server = server_at(address);
        let more = format!("on_down = \"{on_down}\"\n{CHECK}");
        let haechi = before(&server, &more).start();
        haechi.becomes("db", &address.to_string(), "up");
        let mut sessions: Vec<_> = (0..8).map(|_| session(&haechi, &server)).collect();
        drop(server);
        haechi.becomes("db", &address.to_string(), "down");
        for (client, far) in &mut sessions {
            if is_cut {
                is_reset(client);
                is_reset(far);
            } else {
                passes(client, far, b"goes on");
                passes(far, client, b"both ways");
            }
        }
        if is_cut {
            ended(&haechi, "server_down", 8);
        }
    }
}

#[test]
fn a_session_waits_for_a_server_as_long_as_it_may() {
    let address = free_port();
    let text = format!(
        "[listener.db]\nbind = [\"@db\"]\nmode = \"tcp\"\nupstream = \"db\"\n\
         [upstream.db]\nservers = [\"{address}\"]\nhold = \"HOLD\"\nmax_queue = 1\n{CHECK}\n"
    );
    let mut haechi = Haechi::plan(&text.replace("HOLD", "30s")).start();
    haechi.becomes("db", &address.to_string(), "down");
    let mut client = connect(haechi.at("db"));
    client.write_all(b"!").unwrap();
    eventually("it waits", || (haechi.status()["upstreams"][0]["held"] == 1).then_some(()));
    let waiting = || haechi.metric("haechi_upstream_held_sessions", &[("upstream", "db")]);
    assert_eq!(waiting(), Some(1.0));
    is_reset(&mut connect(haechi.at("db")));
    ended(&haechi, "hold_full", 1);
    let server = server_at(address);
    let mut byte = [0];
    let mut far = loop {
        let mut far = accept(&server);
        if far.read_exact(&mut byte).is_ok() {
            break far;
        }
    };
    passes(&mut far, &mut client, b"served at last");
    assert_eq!((&haechi.status()["upstreams"][0]["held"], waiting()), (&0.into(), Some(0.0)));

    drop(server);
    haechi.edit(&text.replace("HOLD", "200ms"));
    haechi.becomes("db", &address.to_string(), "down");
    let start = Instant::now();
    is_reset(&mut connect(haechi.at("db")));
    assert!(start.elapsed() >= Duration::from_millis(200), "{:?}", start.elapsed());
    ended(&haechi, "hold_timeout", 1);
}

#[test]
fn who_waits_is_served_by_a_server_that_a_reload_brings() {
    let server = server();
    let text = "[listener.db]\nbind = [\"@db\"]\nmode = \"tcp\"\nupstream = \"db\"\n\
                [upstream.db]\nservers = [\"@nobody\"]\nhold = \"30s\"\n";
    let mut haechi = Haechi::plan(&format!("{text}{CHECK}\n")).with("server", server.local_addr().unwrap()).start();
    let mut client = connect(haechi.at("db"));
    client.write_all(b"!").unwrap();
    eventually("it waits", || (haechi.status()["upstreams"][0]["held"] == 1).then_some(()));
    haechi.edit(&text.replace("@nobody", "@server"));
    let mut far = accept(&server);
    passes(&mut far, &mut client, b"served");
}

#[test]
fn a_server_that_comes_back_gets_few_sessions_first_and_its_share_later() {
    let (kept, address) = (Origin::named("kept"), free_port());
    let back = Origin::named_at(address, "back");
    let text = format!(
        "[listener.db]\nbind = [\"@db\"]\nmode = \"tcp\"\nupstream = \"db\"\n[upstream.db]\n\
         servers = [\"@kept\", \"{address}\"]\nslow_start = \"LONG\"\n{CHECK}\n[process]\nworkers = 1\nlag = \"1m\"\n"
    );
    // As long as no test takes: what a server begins with is all that it has until then.
    let mut haechi = Haechi::plan(&text.replace("LONG", "24h")).with("kept", kept.address).start();
    let server = address.to_string();
    haechi.becomes("db", &server, "up");
    let share = |haechi: &Haechi| (0..34).filter(|_| get(haechi.at("db"), "/").text() == "back").count();
    assert_eq!(share(&haechi), 17, "it never was down");
    back.stop();
    haechi.becomes("db", &server, "down");
    assert_eq!(share(&haechi), 0);
    let _back = Origin::named_at(address, "back");
    haechi.becomes("db", &server, "up");
    let few = share(&haechi);
    assert!((1..=4).contains(&few), "{few} of 34 sessions, of which one in 17 is due");
    haechi.edit(&text.replace("LONG", "1s"));
    eventually("it has its whole share", || (share(&haechi) == 17).then_some(()));
}
