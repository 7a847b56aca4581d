//! Attacks on memory by the windows of HTTP/2: a client says itself how much may be on its way.

use super::haechi;
use crate::harness::frames::{
    DATA, END_HEADERS, END_STREAM, HEADERS, SETTINGS, WINDOW_UPDATE, fields, frame, get, read,
};
use crate::harness::siege::{at_rest, in_time, resident_kib};
use crate::harness::{Client, Haechi, Next, Origin, Wire, answer, eventually, pace};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

/// Streams of each connection: as many as may be open.
const STREAMS: u32 = 128;
const CONNECTIONS: usize = 4;
/// Bytes that a connection may hold of what its client does not take.
const MOST_KIB: u64 = 8 * 1024;
const LARGE: usize = 4 * 1024 * 1024;

fn h2c(origin: &Origin) -> (Haechi, SocketAddr) {
    haechi(origin, "protocols = [\"http/1.1\", \"h2c\"]", "")
}

/// A client that takes any amount on any stream, and has a small socket.
fn connect(http: SocketAddr) -> Wire {
    let mut wire = Wire::connect_narrow(http).unwrap();
    let settings = [[0, 4].as_slice(), &0x7fff_ffff_u32.to_be_bytes()].concat();
    let window = 0x7fff_0000_u32 - 65_535;
    wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    wire.send([frame(SETTINGS, 0, 0, settings), frame(WINDOW_UPDATE, 0, 0, window.to_be_bytes())].concat()).unwrap();
    wire
}

/// How much `haechi` holds for each of these connections, when it takes no more.
fn held_for_each(haechi: &Haechi, before: u64) -> u64 {
    let mut last = 0;
    let grown = eventually("memory grows no more", || {
        pace(Duration::from_millis(500));
        let now = resident_kib(haechi).saturating_sub(before);
        let rests = now <= last + 256;
        last = last.max(now);
        rests.then_some(now)
    });
    grown / CONNECTIONS as u64
}

#[test]
fn answers_that_nobody_reads_hold_little() {
    let body = answer(200, vec![b'x'; LARGE]);
    let origin = Origin::start(move |arrival, wire| match arrival.target.as_str() {
        "/large" => wire.send(&body).map_or(Next::Close, |()| Next::Keep),
        _ => wire.send(answer(200, "small")).map_or(Next::Close, |()| Next::Keep),
    });
    let (haechi, http) = h2c(&origin);
    let mut kept = Client::connect(http).unwrap();
    in_time("before", || kept.get("/").status);
    let before = resident_kib(&haechi);
    let crowd: Vec<Wire> = (0..CONNECTIONS)
        .map(|_| {
            let mut wire = connect(http);
            wire.send((0..STREAMS).flat_map(|at| get(1 + 2 * at, "/large")).collect::<Vec<u8>>()).unwrap();
            wire
        })
        .collect();
    let all = CONNECTIONS * STREAMS as usize;
    eventually("all are asked for", || (origin.arrivals_for("/large").len() == all).then_some(()));
    let each = held_for_each(&haechi, before);
    assert!(each < MOST_KIB, "{each} KiB for each connection");
    in_time("beside it", || kept.get("/").status);
    drop((crowd, kept));
    at_rest(&haechi, before);
}

#[test]
fn bodies_that_the_server_does_not_read_hold_no_more_than_the_window() {
    let (hold, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let origin = Origin::before_body(move |_, _| {
        // Until the test is over.
        let _ = held.lock().unwrap().recv();
        Next::Close
    });
    let (haechi, http) = h2c(&origin);
    // A first exchange would not be answered.
    eventually("it serves", || haechi.metric("haechi_connections_open", &[]));
    let before = resident_kib(&haechi);
    let list = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/")];
    let crowd: Vec<Wire> = (0..CONNECTIONS)
        .map(|_| {
            let mut wire = connect(http);
            let streams = (0..STREAMS).map(|at| 1 + 2 * at);
            wire.send(
                streams.clone().flat_map(|id| frame(HEADERS, END_HEADERS, id, fields(&list))).collect::<Vec<_>>(),
            )
            .unwrap();
            // All that the connection's window allows, in small pieces.
            let piece = [7; 1024];
            wire.send(streams.flat_map(|id| frame(DATA, 0, id, piece).repeat(8)).collect::<Vec<_>>()).unwrap();
            wire
        })
        .collect();
    let each = held_for_each(&haechi, before);
    assert!(each < MOST_KIB, "{each} KiB for each connection");
    drop(crowd);
    drop(hold);
    at_rest(&haechi, before);
}

#[test]
fn a_client_with_open_windows_gets_every_answer_whole() {
    let origin = Origin::start(|arrival, wire| {
        let body: Vec<u8> = arrival.target.bytes().cycle().take(LARGE / 8).collect();
        wire.send(answer(200, body)).map_or(Next::Close, |()| Next::Keep)
    });
    let (_haechi, http) = h2c(&origin);
    let mut wire = connect(http);
    let targets: HashMap<u32, String> = (0..STREAMS).map(|at| (1 + 2 * at, format!("/{at}"))).collect();
    wire.send((0..STREAMS).flat_map(|at| get(1 + 2 * at, &format!("/{at}"))).collect::<Vec<_>>()).unwrap();
    let mut came: HashMap<u32, usize> = HashMap::new();
    let mut over = 0;
    while over < STREAMS {
        let frame = read(&mut wire).unwrap();
        if frame.kind == DATA {
            let target = targets[&frame.stream].as_bytes();
            let at = came.entry(frame.stream).or_default();
            for byte in &frame.payload {
                assert_eq!(*byte, target[*at % target.len()], "stream {}", frame.stream);
                *at += 1;
            }
            over += u32::from(frame.flags & END_STREAM != 0);
        }
    }
    assert!(came.values().all(|length| *length == LARGE / 8));
}
