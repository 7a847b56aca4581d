//! Attacks by HTTP/2 frames. What ends them is the protocol's own limits, or a budget; what counts
//! here is that the others are served and that memory stays.

use super::haechi;
use crate::harness::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    connect, frame, get, read_until,
};
use crate::harness::siege::besiege;
use crate::harness::{Haechi, Origin, Wire, pace};
use std::net::SocketAddr;
use std::time::Duration;

/// Bytes that an attacker sends on one connection before it begins anew.
const MOST_BYTES: usize = 4 * 1024 * 1024;
const ENHANCE_YOUR_CALM: u32 = 11;

fn h2c(origin: &Origin, listener: &str) -> (Haechi, SocketAddr) {
    haechi(origin, &format!("protocols = [\"http/1.1\", \"h2c\"]\n{listener}"), "")
}

/// Sends the first frames and then the others again and again, without a look at what comes back.
fn flood(http: SocketAddr, first: &[u8], again: &[u8]) {
    let mut wire = connect(http);
    let many = again.repeat(16 * 1024 / again.len() + 1);
    let mut sent = 0;
    let mut went = wire.send(first);
    while went.is_ok() && sent < MOST_BYTES {
        sent += many.len();
        went = wire.send(&many);
    }
}

fn besieged_by(first: Vec<u8>, again: Vec<u8>) {
    let origin = Origin::named("origin");
    let (haechi, http) = h2c(&origin, "timeouts = { body = \"1s\", idle = \"2s\", head = \"2s\", send = \"1s\" }");
    besiege(&haechi, http, move || flood(http, &first, &again));
}

/// GET or POST `/` of `a`, by the static table (RFC 7541 appendix A).
fn request(method: &str) -> Vec<u8> {
    let method = if method == "GET" { 0x82 } else { 0x83 };
    vec![method, 0x86, 0x84, 0x41, 1, b'a']
}

/// The head of a request whose stream stays open.
fn open(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, request("POST"))
}

#[test]
fn settings() {
    besieged_by(Vec::new(), frame(SETTINGS, 0, 0, []));
}

#[test]
fn large_settings() {
    let table_sizes = [0, 1, 0, 0, 16, 0].repeat(100);
    besieged_by(Vec::new(), frame(SETTINGS, 0, 0, &table_sizes));
}

#[test]
fn pings() {
    besieged_by(Vec::new(), frame(PING, 0, 0, [7; 8]));
}

#[test]
fn priorities() {
    besieged_by(Vec::new(), frame(PRIORITY, 0, 3, [0, 0, 0, 0, 1]));
}

#[test]
fn empty_data() {
    besieged_by(open(1), frame(DATA, 0, 1, []));
}

#[test]
fn padded_data_without_a_byte() {
    let padding = [[255].as_slice(), &[0; 255]].concat();
    besieged_by(open(1), frame(DATA, 8, 1, &padding));
}

#[test]
fn window_updates() {
    let one = 1_u32.to_be_bytes();
    besieged_by(open(1), [frame(WINDOW_UPDATE, 0, 0, one), frame(WINDOW_UPDATE, 0, 1, one)].concat());
}

#[test]
fn continuations_without_an_end() {
    let field = [[0x40, 1, b'x', 100].as_slice(), &[b'y'; 100]].concat();
    besieged_by(frame(HEADERS, 0, 1, request("GET")), frame(CONTINUATION, 0, 1, &field));
}

#[test]
fn empty_continuations() {
    besieged_by(frame(HEADERS, 0, 1, request("GET")), frame(CONTINUATION, 0, 1, []));
}

#[test]
fn continuations_end_with_the_connection_and_reach_nobody() {
    let origin = Origin::named("origin");
    let (_haechi, http) = h2c(&origin, "");
    let mut wire = connect(http);
    wire.send(frame(HEADERS, 0, 1, request("GET"))).unwrap();
    let field = frame(CONTINUATION, 0, 1, [[0x40, 1, b'x', 100].as_slice(), &[b'y'; 100]].concat());
    let sent = (0..200_000).take_while(|_| wire.send(&field).is_ok()).count();
    assert!(sent < 200_000, "nothing stopped it");
    assert!(origin.arrivals().is_empty());
}

/// Opens streams and takes each back at once.
fn resets(from: u32, count: u32) -> Vec<u8> {
    (0..count).fold(Vec::new(), |mut bytes, at| {
        let stream = from + at * 2;
        bytes.extend(get(stream, "/"));
        bytes.extend(frame(RST_STREAM, 0, stream, 8_u32.to_be_bytes()));
        bytes
    })
}

#[test]
fn rapid_reset() {
    let origin = Origin::named("origin");
    let (haechi, http) = h2c(&origin, "");
    besiege(&haechi, http, move || {
        let mut wire = connect(http);
        let mut next = 1;
        while wire.send(resets(next, 200)).is_ok() && next < 100_000 {
            next += 400;
        }
    });
}

#[test]
fn rapid_reset_ends_the_connection_and_few_reach_the_origin() {
    let origin = Origin::named("origin");
    let (_haechi, http) = h2c(&origin, "");
    let mut wire = connect(http);
    let _ = wire.send(resets(1, 2000));
    assert_eq!(read_until(&mut wire, GOAWAY).unwrap().code(), ENHANCE_YOUR_CALM);
    let reached = origin.arrivals().len();
    assert!(reached < 200, "{reached} of 2000 reached the origin");
}

/// An entry of the table, as large as it may be, and a block that is that entry many times over.
#[test]
fn a_bomb_of_compressed_fields() {
    let origin = Origin::named("origin");
    let (haechi, http) = h2c(&origin, "");
    // 0x40: with indexing; 0x7f 0x9a 0x1e: a value of 4,025 bytes (RFC 7541 §5.1), one entry of 4,061.
    let entry = [[0x40, 4].as_slice(), b"bomb", &[0x7f, 0x9a, 0x1e], &[b'x'; 4025]].concat();
    let first = frame(HEADERS, END_HEADERS | END_STREAM, 1, [request("GET"), entry].concat());
    let block = [request("GET"), vec![0xbe; 16_000]].concat();
    besiege(&haechi, http, move || {
        let mut wire = connect(http);
        let mut went = wire.send(&first);
        for stream in (3..400).step_by(2) {
            went = went.and_then(|()| wire.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, &block)));
        }
    });
    for arrival in origin.arrivals() {
        assert!(arrival.head.values("bomb").len() <= 4, "a bomb went through");
    }
}

#[test]
fn streams_that_never_end() {
    let origin = Origin::named("origin");
    let (haechi, http) = h2c(&origin, "timeouts = { body = \"500ms\", idle = \"2s\" }");
    besiege(&haechi, http, move || {
        let mut crowd: Vec<Wire> = (0..5).map(|_| connect(http)).collect();
        for stream in (1..400).step_by(2) {
            crowd.retain_mut(|wire| wire.send(open(stream)).is_ok());
        }
        pace(Duration::from_millis(700));
    });
}

#[test]
fn a_body_that_drips_is_reset_by_its_rate_and_not_by_its_pauses() {
    let origin = Origin::named("origin");
    let (haechi, http) = h2c(&origin, "timeouts = { body = \"500ms\" }");
    let mut wire = connect(http);
    wire.send(open(1)).unwrap();
    let dripped = (0..80).take_while(|_| {
        pace(Duration::from_millis(100));
        let _ = wire.send(frame(DATA, 0, 1, b"x"));
        haechi.metric("haechi_client_timeouts_total", &[("phase", "body")]) == Some(0.0)
    });
    assert!((2..80).contains(&dripped.count()));
    assert!(origin.arrivals().is_empty());
}
