//! Attacks by HTTP/1.1 requests: slow ones, huge ones, very many on one connection.

use super::haechi;
use crate::harness::haechi::PROXY;
use crate::harness::siege::besiege;
use crate::harness::{Client, Haechi, Next, Origin, Wire, answer, eventually, get, pace};
use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write as _};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

const CROWD: usize = 100;

#[test]
fn slow_heads() {
    let origin = Origin::named("origin");
    let (haechi, http) = haechi(&origin, "timeouts = { head = \"500ms\" }", "");
    besiege(&haechi, http, move || {
        let mut wires: Vec<Wire> = (0..CROWD).filter_map(|_| Wire::connect(http).ok()).collect();
        for byte in b"GET / HTTP/1.1\r\nHost: a\r\nX: drip" {
            wires.retain_mut(|wire| wire.send([*byte]).is_ok());
            pace(Duration::from_millis(20));
        }
    });
    assert!(haechi.metric("haechi_client_timeouts_total", &[("phase", "head")]).unwrap() >= 1.0);
}

/// Drips a body, ten bytes a second, and tells for how long that went well.
fn drip(http: SocketAddr, longest: Duration) -> (Duration, Option<u16>) {
    let mut wire = Wire::connect(http).unwrap();
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n").unwrap();
    wire.patience(Duration::from_millis(100));
    let started = Instant::now();
    while started.elapsed() < longest {
        let _ = wire.send("x");
        // The pause between two drips is the wait for an answer that should not come yet.
        match wire.read_response("POST") {
            Ok(response) => return (started.elapsed(), Some(response.status)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return (started.elapsed(), None),
        }
    }
    (started.elapsed(), None)
}

#[test]
fn a_body_that_drips_is_ended_by_its_rate_and_not_by_its_pauses() {
    let origin = Origin::named("origin");
    let (any, http) = haechi(&origin, "timeouts = { body = \"500ms\" }\nlimits = { body_rate = 0 }", "");
    let (lasted, status) = drip(http, Duration::from_secs(3));
    assert_eq!((lasted >= Duration::from_secs(3), status), (true, None), "{lasted:?}");
    drop(any);
    let (haechi, http) = haechi(&origin, "timeouts = { body = \"500ms\" }", "");
    let (lasted, status) = drip(http, Duration::from_secs(8));
    assert_eq!(status, Some(408), "after {lasted:?}");
    assert_eq!(haechi.metric("haechi_client_timeouts_total", &[("phase", "body")]), Some(1.0));
    assert!(origin.arrivals().is_empty());
}

#[test]
fn slow_bodies() {
    let origin = Origin::named("origin");
    let (haechi, http) = haechi(&origin, "timeouts = { body = \"500ms\" }", "");
    besiege(&haechi, http, move || {
        let mut wires: Vec<Wire> = (0..CROWD).filter_map(|_| Wire::connect(http).ok()).collect();
        wires.retain_mut(|wire| wire.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n").is_ok());
        for _ in 0..30 {
            wires.retain_mut(|wire| wire.send("x").is_ok());
            pace(Duration::from_millis(50));
        }
    });
    assert!(haechi.metric("haechi_client_timeouts_total", &[("phase", "body")]).unwrap() >= 1.0);
    eventually("the origin is let go", || (origin.open_connections() < 10).then_some(()));
}

/// Ten megabytes for `/large`, a word for everything else.
fn large() -> Origin {
    Origin::start(|arrival, wire| {
        let body = if arrival.target == "/large" { vec![b'x'; 10_000_000] } else { b"ok".to_vec() };
        wire.send(answer(200, body)).map_or(Next::Close, |()| Next::Keep)
    })
}

#[test]
fn slow_readers() {
    let origin = large();
    let (haechi, http) = haechi(&origin, "timeouts = { send = \"500ms\" }", "");
    besiege(&haechi, http, move || {
        let mut wires: Vec<Wire> = (0..20).filter_map(|_| Wire::connect_narrow(http).ok()).collect();
        wires.retain_mut(|wire| wire.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n").is_ok());
        for _ in 0..30 {
            wires.retain(|wire| {
                wire.stream().set_read_timeout(Some(Duration::from_millis(1))).unwrap();
                !matches!(wire.stream().read(&mut [0; 16]), Ok(0))
            });
            pace(Duration::from_millis(50));
        }
    });
    assert!(haechi.metric("haechi_client_timeouts_total", &[("phase", "send")]).unwrap() >= 1.0);
    eventually("the origin is let go", || (origin.open_connections() < 10).then_some(()));
}

#[test]
fn floods_of_fields_and_huge_cookies() {
    let origin = Origin::named("origin");
    let (haechi, http) = haechi(&origin, "", "");
    let many = (0..5000).fold(String::new(), |mut fields, at| {
        let _ = write!(fields, "X-{at}: y\r\n");
        fields
    });
    let cookie = |length: usize| format!("Cookie: {}\r\n", "a=b; ".repeat(length / 5));
    let heads = [many, cookie(15_000), cookie(100_000), format!("X: {}", "x".repeat(200_000))];
    let heads = heads.map(|fields| format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    besiege(&haechi, http, move || {
        for head in &heads {
            if let Ok(mut wire) = Wire::connect(http) {
                // Whoever is refused may find the connection reset while it still sends.
                let _ = wire.send(head);
                let _ = wire.read_head();
            }
        }
    });
    for reason in ["head_too_large", "too_many_fields"] {
        let refused = haechi.metric("haechi_refused_heads_total", &[("reason", reason)]);
        assert!(refused.is_some_and(|count| count >= 1.0), "{reason}: {}", haechi.metrics().0);
    }
    assert!(origin.arrivals().iter().all(|arrival| arrival.head.fields.len() < 120));
}

#[test]
fn ten_thousand_pipelined_requests_leave_others_their_turn() {
    const REQUESTS: usize = 10_000;
    let origin = Origin::named("origin");
    let text = PROXY.replace("[[site.route]]", RESPOND) + QUIET;
    let haechi = Haechi::plan(&text).with("origin", origin.address).start();
    let http = haechi.at("http");
    besiege(&haechi, http, move || {
        let mut wire = Wire::connect(http).unwrap();
        let mut sender = wire.stream().try_clone().unwrap();
        let sending = thread::spawn(move || {
            let request = "GET /fixed HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100);
            (0..REQUESTS / 100).all(|_| sender.write_all(request.as_bytes()).is_ok())
        });
        for at in 0..REQUESTS {
            let response = wire.read_response("GET").unwrap_or_else(|error| panic!("answer {at}: {error}"));
            assert_eq!(response.text(), "fixed");
        }
        assert!(sending.join().unwrap());
    });
}

const RESPOND: &str =
    "[[site.route]]\npath_exact = \"/fixed\"\nrespond = { status = 200, body = \"fixed\" }\n\n[[site.route]]";
const QUIET: &str = "\n[log]\nlevel = \"info\"\naccess = { format = \"off\" }\n";

#[test]
fn a_download_that_never_blocks_leaves_others_their_turn() {
    let origin = large();
    let (haechi, http) = haechi(&origin, "", "");
    besiege(&haechi, http, move || {
        let mut client = Client::connect(http).unwrap();
        assert_eq!(client.get("/large").body.len(), 10_000_000);
    });
    assert_eq!(get(http, "/").status, 200);
}
