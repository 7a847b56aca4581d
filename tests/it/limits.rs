//! Slow and greedy clients get an answer or an end, and memory stays where it is.

use crate::harness::haechi::{PROXY, before};
use crate::harness::{Client, Haechi, Next, Origin, Wire, answer, eventually, get, pace};
use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

fn limited(origin: &Origin, listener: &str) -> (Haechi, SocketAddr) {
    let text = PROXY.replace("bind = [\"@http\"]", &format!("bind = [\"@http\"]\n{listener}"));
    let haechi = Haechi::plan(&text).with("origin", origin.address).start();
    let http = haechi.at("http");
    (haechi, http)
}

#[test]
fn what_is_too_large_is_refused_by_its_own_status() {
    let origin = Origin::named("origin");
    let (_haechi, http) =
        limited(&origin, "limits = { head = \"4KiB\", headers = 20, uri = \"1KiB\", body = \"10KiB\" }");
    let long = "x".repeat(5000);
    let fields = (0..30).fold(String::new(), |mut fields, at| {
        let _ = write!(fields, "X-{at}: y\r\n");
        fields
    });
    for (name, status, head) in [
        ("one long field", 431, format!("GET /no HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n")),
        ("one endless field", 431, format!("GET /no HTTP/1.1\r\nHost: a\r\nX: {long}")),
        ("many fields", 431, format!("GET /no HTTP/1.1\r\nHost: a\r\n{fields}\r\n")),
        ("a long target", 414, format!("GET /no{} HTTP/1.1\r\nHost: a\r\n\r\n", &long[..2000])),
        ("a long body", 413, "POST /no HTTP/1.1\r\nHost: a\r\nContent-Length: 10241\r\n\r\n".to_owned()),
    ] {
        let mut wire = Wire::connect(http).unwrap();
        wire.send(head).unwrap();
        assert_eq!(wire.read_response("GET").expect(name).status, status, "{name}");
        assert!(wire.is_closed(), "{name}: not closed");
    }
    assert!(origin.arrivals().is_empty(), "{:?}", origin.arrivals());

    let mut wire = Wire::connect(http).unwrap();
    wire.send("POST /yes HTTP/1.1\r\nHost: a\r\nContent-Length: 10240\r\n\r\n").unwrap();
    wire.send([b'x'; 10_240]).unwrap();
    assert_eq!(wire.read_response("POST").unwrap().status, 200, "the limit itself is allowed");
}

#[test]
fn a_chunked_body_over_the_limit_is_never_whole_at_the_origin() {
    let origin = Origin::named("origin");
    let (_haechi, http) = limited(&origin, "limits = { body = \"10KiB\" }");
    let mut wire = Wire::connect(http).unwrap();
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    for _ in 0..11 {
        let _ = wire.send([b"400\r\n".as_slice(), &[b'x'; 1024], b"\r\n"].concat());
    }
    let _ = wire.send("0\r\n\r\n");
    assert_eq!(wire.read_response("POST").unwrap().status, 413);
    assert!(wire.is_closed());
    assert!(origin.arrivals().is_empty());
}

#[test]
fn a_slow_head_ends_in_408_however_steadily_it_drips() {
    let origin = Origin::named("origin");
    let (_haechi, http) = limited(&origin, "timeouts = { head = \"500ms\" }");
    let started = Instant::now();
    let mut stalled = Wire::connect(http).unwrap();
    stalled.send("GET / HTTP/1.1\r\nHo").unwrap();
    let mut dripping = Wire::connect(http).unwrap();
    for byte in b"GET / HTTP/1.1\r\nHost: a\r\nX: a value that takes its time".iter().cycle() {
        if dripping.send([*byte]).is_err() || started.elapsed() > Duration::from_secs(8) {
            break;
        }
        pace(Duration::from_millis(50));
    }
    for (name, wire) in [("stalled", &mut stalled), ("dripping", &mut dripping)] {
        match wire.read_response("GET") {
            Ok(response) => assert_eq!(response.status, 408, "{name}"),
            Err(error) => assert_ne!(error.kind(), ErrorKind::WouldBlock, "{name}: left open"),
        }
    }
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
    assert_eq!(get(http, "/").status, 200);
}

#[test]
fn a_body_that_stalls_ends_the_exchange_on_both_sides() {
    let origin = Origin::named("origin");
    let (_haechi, http) = limited(&origin, "timeouts = { body = \"500ms\" }");
    let mut wire = Wire::connect(http).unwrap();
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc").unwrap();
    match wire.read_response("POST") {
        Ok(response) => assert_eq!(response.status, 408),
        Err(error) => assert_ne!(error.kind(), ErrorKind::WouldBlock, "left open"),
    }
    assert!(wire.is_closed());
    assert!(origin.arrivals().is_empty());
    eventually("the origin is let go", || (origin.open_connections() == 0).then_some(()));
}

#[test]
fn a_connection_without_a_request_is_closed_in_silence() {
    let origin = Origin::named("origin");
    let (_haechi, http) = limited(&origin, "timeouts = { idle = \"500ms\", head = \"2s\" }");
    let mut used = Client::connect(http).unwrap();
    assert_eq!(used.get("/").status, 200);
    assert!(used.wire().patience(Duration::from_secs(5)).is_closed(), "after an exchange");
    let mut fresh = Wire::connect(http).unwrap();
    assert!(fresh.patience(Duration::from_secs(5)).is_closed(), "before the first");
}

#[test]
fn a_connection_that_gave_back_what_an_exchange_needs_is_served_again() {
    let origin = Origin::named("origin");
    let (_haechi, http) = limited(&origin, "timeouts = { idle = \"2s\" }");
    let mut client = Client::connect(http).unwrap();
    assert_eq!(client.get("/").status, 200);
    assert!(!client.wire().patience(Duration::from_millis(1300)).is_closed(), "it rests");
    client.wire().patience(Duration::from_secs(10));
    assert_eq!(client.get("/").status, 200);
    let rests = Instant::now();
    assert!(client.wire().is_closed());
    assert!(rests.elapsed() > Duration::from_millis(1900), "the time is whole, however it rested");
}

#[test]
fn a_tunnel_ends_when_neither_side_says_anything() {
    let origin = Origin::start(|_, wire| {
        let _ = wire.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n");
        while let Ok(word) = wire.read_exact(4) {
            let _ = wire.send(word);
        }
        Next::Close
    });
    let (haechi, http) = limited(&origin, "timeouts = { tunnel = \"1s\", idle = \"200ms\" }");
    let mut wire = Wire::connect(http).unwrap();
    wire.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n").unwrap();
    assert_eq!(wire.read_response("GET").unwrap().status, 101);
    for _ in 0..5 {
        pace(Duration::from_millis(300));
        wire.send("ping").unwrap();
        assert_eq!(wire.read_exact(4).unwrap(), b"ping", "it lives as long as it is used");
    }
    assert!(wire.patience(Duration::from_secs(5)).is_closed());
    eventually("the origin is let go", || (origin.open_connections() == 0).then_some(()));
    assert_eq!(haechi.metric("haechi_client_timeouts_total", &[("phase", "tunnel")]), Some(1.0));
}

#[test]
fn a_client_that_does_not_read_is_cut() {
    let origin = flood();
    let (_haechi, http) = limited(&origin, "timeouts = { send = \"500ms\" }");
    let mut wire = Wire::connect_narrow(http).unwrap();
    wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    eventually("the origin sees the request", || (origin.arrivals().len() == 1).then_some(()));
    eventually("the origin is let go", || (origin.open_connections() == 0).then_some(()));
    let whole = wire.read_response("GET");
    assert!(whole.is_err(), "a cut answer is not whole");
}

#[test]
fn connections_over_the_limit_wait_or_end_and_the_others_go_on() {
    let origin = Origin::named("origin");
    let (_haechi, http) = limited(&origin, "limits = { connections = 8 }");
    let mut kept: Vec<Client> = (0..8).map(|_| Client::connect(http).unwrap()).collect();
    for client in &mut kept {
        assert_eq!(client.get("/").status, 200);
    }
    for _ in 0..20 {
        if let Ok(mut wire) = Wire::connect(http) {
            let _ = wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            wire.patience(Duration::from_millis(300));
            if let Ok(response) = wire.read_response("GET") {
                assert_eq!(response.status, 503);
            }
        }
    }
    for client in &mut kept {
        assert_eq!(client.get("/").status, 200);
    }
    drop(kept);
    eventually("there is room again", || {
        let response = Client::connect(http).ok()?.send(&crate::harness::Request::get("/")).ok()?;
        (response.status == 200).then_some(())
    });
}

/// Sends without an end.
fn flood() -> Origin {
    Origin::start(|_, wire| {
        let _ = wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
        while wire.send([b'x'; 65536]).is_ok() {}
        Next::Close
    })
}

fn resident_kib(haechi: &Haechi) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", haechi.worker())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn memory_stays_bounded_under_slow_readers_and_half_heads() {
    let origin = flood();
    let (haechi, http) = before(&origin);
    let rested = resident_kib(&haechi);
    let mut readers = Vec::new();
    for _ in 0..50 {
        let mut wire = Wire::connect_narrow(http).unwrap();
        wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        readers.push(wire);
    }
    eventually("each reader has an exchange", || (origin.arrivals().len() == 50).then_some(()));
    for _ in 0..300 {
        let mut wire = Wire::connect(http).unwrap();
        wire.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(8000))).unwrap();
        readers.push(wire);
    }
    // All that could be buffered has had its time when a new client is served beside it.
    for _ in 0..20 {
        let mut wire = Wire::connect(http).unwrap();
        wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        wire.read_exact(1_000_000).unwrap();
    }
    let grown = resident_kib(&haechi).saturating_sub(rested);
    assert!(grown < 64 * 1024, "{grown} KiB for 50 slow readers and 300 half heads");
}

#[test]
fn an_upload_waits_for_a_slow_origin() {
    let origin = Origin::before_body(|_, wire| {
        // The body is left lying until the client is gone.
        let _ = wire.stream().set_read_timeout(None);
        let mut last = [0; 1];
        while wire.stream().peek(&mut last).is_ok_and(|length| length > 0) {
            if wire.stream().take_error().ok().flatten().is_some() {
                break;
            }
            pace(Duration::from_millis(20));
        }
        Next::Close
    });
    let (haechi, http) = limited(&origin, "timeouts = { body = \"30s\", send = \"30s\" }");
    let rested = resident_kib(&haechi);
    let mut wire = Wire::connect(http).unwrap();
    wire.stream().set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000000\r\n\r\n").unwrap();
    let mut taken = 0;
    let step = [b'x'; 64 * 1024];
    while taken < 500_000_000 && wire.send(step).is_ok() {
        taken += step.len();
    }
    assert!(taken < 100_000_000, "{taken} bytes were taken for an origin that reads nothing");
    let grown = resident_kib(&haechi).saturating_sub(rested);
    assert!(grown < 32 * 1024, "{grown} KiB");
    drop(wire);
}

#[test]
fn many_clients_at_once_are_all_answered() {
    let origin = Origin::start(|_, wire| wire.send(answer(200, "ok")).map_or(Next::Close, |()| Next::Keep));
    let (haechi, http) = before(&origin);
    let clients: Vec<_> = (0..32)
        .map(|_| {
            thread::spawn(move || {
                let mut client = Client::connect(http).unwrap();
                (0..100).filter(|_| client.get("/").status == 200).count()
            })
        })
        .collect();
    let answered: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    assert_eq!(answered, 3200);
    eventually("every exchange is counted", || {
        let counted = haechi.metric("haechi_exchanges_total", &[("listener", "http")]);
        (counted == Some(3200.0)).then_some(())
    });
}

/// The CPU time that the process has used, in hundredths of a second.
fn cpu_ticks(haechi: &Haechi) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", haechi.worker())).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn half_a_preface_costs_nothing() {
    let origin = Origin::named("origin");
    let (haechi, http) = limited(&origin, "protocols = [\"http/1.1\", \"h2c\"]");
    let mut halves: Vec<Wire> = (0..400).map(|_| Wire::connect(http).unwrap()).collect();
    for (at, wire) in halves.iter_mut().enumerate() {
        wire.send("PRI * HT").unwrap();
        if at % 2 == 1 {
            wire.finish().unwrap();
        }
    }
    eventually("all are accepted", || {
        let accepted = haechi.metric("haechi_connections_accepted_total", &[("listener", "http")]);
        (accepted == Some(400.0)).then_some(())
    });
    let before = cpu_ticks(&haechi);
    pace(Duration::from_secs(2));
    let used = cpu_ticks(&haechi) - before;
    assert!(used < 20, "{used} ticks in two seconds");
    // What follows decides, however it is cut.
    let mut wire = Wire::connect(http).unwrap();
    for byte in b"PRO / HTTP/1.1\r\nHost: a\r\n\r\n" {
        wire.send([*byte]).unwrap();
        pace(Duration::from_millis(2));
    }
    assert_eq!(wire.read_response("PRO").unwrap().status, 200);
    halves[0].send("TP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    assert_eq!(halves[0].read_exact(5).unwrap()[3..], [4, 0], "its SETTINGS");
    assert!(halves[1].read_to_end().is_ok(), "who has ended is let go");
}

#[test]
fn a_client_that_runs_out_of_time_is_counted_by_phase() {
    let origin = flood();
    let (haechi, http) = limited(&origin, "timeouts = { body = \"300ms\", send = \"300ms\" }");
    let mut stalls = Wire::connect(http).unwrap();
    stalls.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc").unwrap();
    let mut reads_nothing = Wire::connect_narrow(http).unwrap();
    reads_nothing.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    for phase in ["body", "send"] {
        eventually(phase, || {
            (haechi.metric("haechi_client_timeouts_total", &[("phase", phase)]) == Some(1.0)).then_some(())
        });
    }
}

#[test]
fn a_stalled_body_holds_no_large_block() {
    let origin = Origin::before_body(|arrival, wire| {
        if arrival.method == "GET" {
            let _ = wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
            let _ = wire.send(vec![b'x'; 900_000]);
        }
        // Until the client goes.
        let _ = wire.stream().set_read_timeout(None);
        while std::io::Read::read(&mut wire.stream(), &mut [0; 4096]).is_ok_and(|length| length > 0) {}
        Next::Close
    });
    let (haechi, http) = limited(&origin, "timeouts = { body = \"30s\" }");
    let rested = resident_kib(&haechi);
    let mut stalled = Vec::new();
    for _ in 0..100 {
        let mut upload = Wire::connect(http).unwrap();
        upload.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n").unwrap();
        upload.send(vec![b'x'; 900_000]).unwrap();
        let mut download = Wire::connect(http).unwrap();
        download.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        download.read_head().unwrap();
        download.read_exact(900_000).unwrap();
        stalled.extend([upload, download]);
    }
    let sent = || haechi.metric("haechi_server_requests_total", &[("upstream", "was")]);
    eventually("each has reached the origin", || (sent() == Some(200.0)).then_some(()));
    pace(Duration::from_millis(500));
    let grown = resident_kib(&haechi).saturating_sub(rested);
    assert!(grown < 30 * 1024, "{grown} KiB for 100 stalled uploads and 100 stalled downloads");
}
