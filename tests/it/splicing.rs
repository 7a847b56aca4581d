//! Large bodies between plain sockets, which go through the kernel's pipes: how many of those there are
//! shows in the process's descriptors.

use crate::harness::client::Request;
use crate::harness::haechi::{PROXY, before};
use crate::harness::{Client, Haechi, Next, Origin, Wire, answer, eventually, get};
use socket2::SockRef;
use std::fs;
use std::time::Duration;

const LARGE: usize = 4_000_000;

/// Bytes without a period that divides a page.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

/// A pattern of [`LARGE`] bytes, written in pieces of many lengths.
fn in_odd_pieces() -> Origin {
    let bytes = answer(200, pattern(LARGE));
    Origin::start(move |_, wire| {
        let (mut rest, mut length) = (&bytes[..], 1);
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(length.min(rest.len()));
            if wire.send(piece).is_err() {
                return Next::Close;
            }
            (rest, length) = (after, length * 3 % 100_003);
        }
        Next::Keep
    })
}

/// One thread, which reads nothing ahead of a slow client.
fn single(origin: &Origin) -> Haechi {
    ahead(origin, "0")
}

/// One thread, which reads so much ahead of a slow client.
fn ahead(origin: &Origin, most: &str) -> Haechi {
    let text = PROXY.replace("upstream = \"was\" }", &format!("upstream = \"was\", read_ahead = {most} }}"));
    Haechi::plan(&format!("{text}\n[process]\nworkers = 1\n")).with("origin", origin.address).start()
}

/// Ends of pipes that the process has open.
fn ends(haechi: &Haechi) -> usize {
    let folder = fs::read_dir(format!("/proc/{}/fd", haechi.worker())).expect("its descriptors");
    let links = folder.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("pipe:")).count()
}

/// A client that has asked and takes little at a time.
fn slow(haechi: &Haechi) -> Wire {
    let mut wire = Wire::connect_narrow(haechi.at("http")).unwrap();
    wire.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    wire
}

#[test]
fn both_connections_serve_on_after_large_answers() {
    let origin = in_odd_pieces();
    let (haechi, http) = before(&origin);
    let mut client = Client::connect(http).unwrap();
    for _ in 0..3 {
        let response = client.get("/again");
        assert!(response.body == pattern(LARGE), "{} bytes", response.body.len());
    }
    assert_eq!((client.opened, origin.connections()), (1, 1));
    eventually("all are logged", || {
        let lines = haechi.access_log();
        let whole = lines.iter().filter(|line| line["bytes_out"] == LARGE && line["status"] == 200).count();
        (whole == 3).then_some(())
    });
    let received = haechi.metric("haechi_server_received_bytes_total", &[("upstream", "was")]);
    assert_eq!(received, Some(3.0 * LARGE as f64));
}

#[test]
fn a_pipelined_request_waits_behind_a_large_answer() {
    let origin = in_odd_pieces();
    let (_haechi, http) = before(&origin);
    let mut wire = Wire::connect(http).unwrap();
    wire.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    for _ in 0..2 {
        let response = wire.read_response("GET").unwrap();
        assert!(response.body == pattern(LARGE), "{} bytes", response.body.len());
    }
}

#[test]
fn a_slow_client_misses_nothing_and_keeps_a_pipe_meanwhile() {
    let origin = in_odd_pieces();
    let haechi = single(&origin);
    assert_eq!(get(haechi.at("http"), "/").body.len(), LARGE);
    let at_rest = ends(&haechi);
    let mut first = slow(&haechi);
    // The one of the thread's pool is in use then.
    let mut second = slow(&haechi);
    eventually("another pipe", || (ends(&haechi) == at_rest + 2).then_some(()));
    for wire in [&mut first, &mut second] {
        assert!(wire.read_response("GET").unwrap().body == pattern(LARGE));
        wire.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    }
    assert_eq!(ends(&haechi), at_rest + 2, "empty pipes are used again");
    for wire in [&mut first, &mut second] {
        assert!(wire.read_response("GET").unwrap().body == pattern(LARGE));
    }
}

#[test]
fn what_was_read_ahead_stands_behind_what_is_in_the_pipe() {
    let origin = in_odd_pieces();
    let haechi = ahead(&origin, "\"600KiB\"");
    let mut client = slow(&haechi);
    for _ in 0..3 {
        let response = client.read_response("GET").unwrap();
        let differs = response.body.iter().zip(pattern(LARGE)).position(|(got, sent)| *got != sent);
        assert_eq!((response.body.len(), differs), (LARGE, None));
        client.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    }
}

#[test]
fn a_client_that_leaves_takes_its_pipe_and_its_server_along() {
    let origin = in_odd_pieces();
    let haechi = single(&origin);
    let at_rest = ends(&haechi);
    let wire = slow(&haechi);
    eventually("a pipe", || (ends(&haechi) == at_rest + 2).then_some(()));
    drop(wire);
    eventually("the origin is let go", || (origin.open_connections() == 0).then_some(()));
    assert_eq!(haechi.logged("/slow")["error"], "client_gone");
    assert!(get(haechi.at("http"), "/").body == pattern(LARGE), "what was in the pipe goes to nobody");
}

#[test]
fn a_server_that_dies_inside_a_large_answer_leaves_it_broken() {
    for reset in [false, true] {
        let origin = Origin::start(move |_, wire| {
            let _ = wire.send(&answer(200, pattern(LARGE))[..LARGE / 2]);
            if reset {
                SockRef::from(wire.stream()).set_linger(Some(Duration::ZERO)).unwrap();
            }
            Next::Close
        });
        let (haechi, http) = before(&origin);
        let mut wire = Wire::connect(http).unwrap();
        wire.send("GET /half HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let response = wire.read_response("GET").map(|response| response.body.len());
        assert!(response.is_err(), "{response:?} bytes as if they were all");
        assert_eq!(haechi.logged("/half")["error"], "body_truncated");
    }
}

#[test]
fn a_server_that_stalls_inside_a_large_answer_has_its_time() {
    let origin = Origin::start(|_, wire| {
        let _ = wire.send(&answer(200, pattern(LARGE))[..LARGE / 2]);
        // Until haechi has hung up.
        let _ = wire.read_to_end();
        Next::Close
    });
    let text = PROXY.replace("[upstream.was]", "[upstream.was]\ntimeouts = { response = \"400ms\" }");
    let haechi = Haechi::plan(&text).with("origin", origin.address).start();
    let mut wire = Wire::connect(haechi.at("http")).unwrap();
    wire.send("GET /half HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(wire.read_response("GET").is_err());
    let line = haechi.logged("/half");
    assert_eq!(line["error"], "body_timeout");
    assert!(line["bytes_out"].as_u64().is_some_and(|bytes| bytes > 1_900_000), "{line}");
}

#[test]
fn what_a_server_sends_behind_a_large_answer_answers_nobody() {
    let origin = Origin::start(|_, wire| {
        let mut bytes = answer(200, pattern(LARGE));
        bytes.extend(answer(200, "of nobody"));
        wire.send(bytes).map_or(Next::Close, |()| Next::Keep)
    });
    let (_haechi, http) = before(&origin);
    let mut client = Client::connect(http).unwrap();
    for turn in 1..4 {
        let response = client.send(&Request::get("/")).unwrap();
        assert!(response.body == pattern(LARGE), "{} bytes", response.body.len());
        assert_eq!(origin.connections(), turn);
    }
}

#[test]
fn who_gets_no_pipe_is_served_all_the_same() {
    const MOST: usize = 64;
    let origin = in_odd_pieces();
    let haechi = single(&origin);
    let at_rest = ends(&haechi);
    let mut crowd: Vec<Wire> = (0..MOST + 16).map(|_| slow(&haechi)).collect();
    eventually("no pipe is left", || (ends(&haechi) == at_rest + 2 * MOST).then_some(()));
    assert!(get(haechi.at("http"), "/").body == pattern(LARGE));
    for mut wire in crowd.split_off(MOST + 14) {
        assert!(wire.read_response("GET").unwrap().body == pattern(LARGE));
    }
    drop(crowd);
    eventually("those that held something are closed", || (ends(&haechi) <= at_rest + 2 * 16).then_some(()));
}
