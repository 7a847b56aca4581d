//! What may not be understood in two ways is refused, and the connection ends there.

use crate::harness::haechi::before;
use crate::harness::{Next, Origin, Wire, answer, get};

/// Heads that one proxy might read in another way than the next, and the statuses that may refuse them.
const REFUSED: &[(&str, &[u16], &[u8])] = &[
    (
        "length and coding",
        &[400],
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    (
        "coding and length",
        &[400],
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n",
    ),
    ("two lengths", &[400], b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n"),
    ("two equal lengths", &[400], b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\n"),
    ("list of lengths", &[400], b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 4\r\n\r\n"),
    ("signed length", &[400], b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\n"),
    ("negative length", &[400], b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -4\r\n\r\n"),
    ("hexadecimal length", &[400], b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x4\r\n\r\n"),
    ("length in two words", &[400], b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4 4\r\n\r\n"),
    ("empty length", &[400], b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n"),
    ("length past 64 bits", &[400, 413], b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551620\r\n\r\n"),
    ("coding before chunked", &[400, 501], b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
    ("chunked twice", &[400, 501], b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n"),
    (
        "two codings",
        &[400, 501],
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
    ),
    ("chunked not last", &[400, 501], b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n"),
    ("identity", &[400, 501], b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n"),
    ("nearly chunked", &[400, 501], b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n"),
    ("chunked with a parameter", &[400, 501], b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;a=b\r\n\r\n"),
    ("chunked in quotes", &[400, 501], b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n"),
    ("chunked in 1.0", &[400, 501], b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ("lookalike coding", &[400], b"POST / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\n\r\n"),
    ("lookalike length", &[400], b"POST / HTTP/1.1\r\nHost: a\r\nContent_Length: 4\r\n\r\n"),
    ("blank before the colon", &[400], b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n"),
    ("tab before the colon", &[400], b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length\t: 4\r\n\r\n"),
    ("vertical tab in a name", &[400], b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\x0b: chunked\r\n\r\n"),
    ("vertical tab in a value", &[400, 501], b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n"),
    ("folded line", &[400], b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n"),
    ("folded transfer coding", &[400, 501], b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n"),
    ("first field folded", &[400], b"GET / HTTP/1.1\r\n Host: a\r\nHost: b\r\n\r\n"),
    ("bare LF after a field", &[400], b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n"),
    ("bare LF after the first line", &[400], b"GET / HTTP/1.1\nHost: a\r\n\r\n"),
    ("bare LF at the end", &[400], b"GET / HTTP/1.1\r\nHost: a\n\n"),
    ("bare CR in a value", &[400], b"GET / HTTP/1.1\r\nHost: a\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n"),
    ("NUL in a value", &[400], b"GET / HTTP/1.1\r\nHost: a\r\nX: y\0z\r\n\r\n"),
    ("control byte in a value", &[400], b"GET / HTTP/1.1\r\nHost: a\r\nX: y\x01z\r\n\r\n"),
    ("control byte in a name", &[400], b"GET / HTTP/1.1\r\nHost: a\r\nX\x01: y\r\n\r\n"),
    ("empty name", &[400], b"GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n"),
    ("no colon", &[400], b"GET / HTTP/1.1\r\nHost: a\r\nXyz\r\n\r\n"),
    ("no host", &[400], b"GET / HTTP/1.1\r\nX: y\r\n\r\n"),
    ("two hosts", &[400], b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    ("two equal hosts", &[400], b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
    ("blank in the host", &[400], b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    ("path in the host", &[400], b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    ("user in the host", &[400], b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    ("list of hosts", &[400], b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    ("port of letters", &[400], b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"),
    ("authority against host", &[400], b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("two blanks in the first line", &[400], b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("tab in the first line", &[400], b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("blank in the target", &[400], b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("control byte in the target", &[400], b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("fragment in the target", &[400], b"GET /#a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("target without a slash", &[400], b"GET a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("path above the root", &[400], b"GET /../a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("encoded path above the root", &[400], b"GET /a/%2e%2e/%2e%2e/b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("bad percent-encoding", &[400], b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("blank after the version", &[400, 505], b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
    ("version in small letters", &[400, 505], b"GET / http/1.1\r\nHost: a\r\n\r\n"),
    ("version with a tail", &[400, 505], b"GET / HTTP/1.11\r\nHost: a\r\n\r\n"),
    ("version 2 by name", &[400, 505], b"GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    ("version 0.9 by name", &[400, 505], b"GET / HTTP/0.9\r\nHost: a\r\n\r\n"),
    ("bad method", &[400], b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("CONNECT", &[400, 405, 501], b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n"),
    ("TRACE", &[405, 501], b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("unknown expectation", &[417], b"POST / HTTP/1.1\r\nHost: a\r\nExpect: wonders\r\nContent-Length: 4\r\n\r\n"),
    ("a handshake of TLS", &[400], b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n"),
];

/// What stands behind each refused head; read as a request of its own it would be smuggled in.
const SMUGGLED: &[u8] = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn ambiguous_heads_are_refused_and_end_the_connection() {
    let origin = Origin::named("origin");
    let (_haechi, http) = before(&origin);
    let mut faults = Vec::new();
    for (name, statuses, head) in REFUSED {
        let mut wire = Wire::connect(http).unwrap();
        wire.send([*head, SMUGGLED].concat()).unwrap();
        match wire.read_response("GET") {
            Ok(response) if !statuses.contains(&response.status) => faults.push(format!("{name}: {}", response.status)),
            Ok(_) if !wire.is_closed() => faults.push(format!("{name}: not closed")),
            Ok(_) => {}
            Err(error) => faults.push(format!("{name}: {error}")),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let arrived: Vec<String> = origin.arrivals().into_iter().map(|arrival| arrival.head.line).collect();
    assert!(arrived.is_empty(), "reached the origin: {arrived:?}");
    assert_eq!(get(http, "/").status, 200, "it serves on");
}

/// Chunked bodies that must not reach the origin as if they were whole.
const BAD_CHUNKS: &[(&str, &[u8])] = &[
    ("no size", b"\r\nabcd\r\n0\r\n\r\n"),
    ("size of letters", b"g\r\nabcd\r\n0\r\n\r\n"),
    ("size with 0x", b"0x4\r\nabcd\r\n0\r\n\r\n"),
    ("signed size", b"+4\r\nabcd\r\n0\r\n\r\n"),
    ("negative size", b"-4\r\nabcd\r\n0\r\n\r\n"),
    ("blank before the size", b" 4\r\nabcd\r\n0\r\n\r\n"),
    ("size past 64 bits", b"10000000000000004\r\nabcd\r\n0\r\n\r\n"),
    ("bare LF after the size", b"4\nabcd\r\n0\r\n\r\n"),
    ("bare CR after the size", b"4\rabcd\r\n0\r\n\r\n"),
    ("bare LF after the data", b"4\r\nabcd\n0\r\n\r\n"),
    ("data too long", b"4\r\nabcde\r\n0\r\n\r\n"),
    ("LF in an extension", b"4;a\nb\r\nabcd\r\n0\r\n\r\n"),
    ("NUL in an extension", b"4;a\0b\r\nabcd\r\n0\r\n\r\n"),
    ("bare LF after the last chunk", b"4\r\nabcd\r\n0\n\r\n"),
    ("bare LF after a trailer", b"4\r\nabcd\r\n0\r\nX: y\n\r\n"),
    ("trailer without a colon", b"4\r\nabcd\r\n0\r\nXyz\r\n\r\n"),
    ("folded trailer", b"4\r\nabcd\r\n0\r\nX: y\r\n z\r\n\r\n"),
    ("body that ends early", b"4\r\nab"),
];

#[test]
fn a_bad_chunk_never_makes_a_whole_request() {
    let origin = Origin::named("origin");
    let (_haechi, http) = before(&origin);
    for (name, chunks) in BAD_CHUNKS {
        let mut wire = Wire::connect(http).unwrap();
        wire.send(b"POST /bad HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        // The connection may be gone before all is sent.
        let _ = wire.send([chunks, &b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"[..]].concat());
        let _ = wire.finish();
        if let Ok(response) = wire.read_response("POST") {
            assert_eq!(response.status, 400, "{name}");
        }
        assert!(wire.is_closed(), "{name}: not closed");
    }
    // The origin records a request when its body is whole.
    let arrived: Vec<String> = origin.arrivals().into_iter().map(|arrival| arrival.head.line).collect();
    assert!(arrived.is_empty(), "reached the origin: {arrived:?}");
}

/// Answers of a server that may not be believed, and whether a part of it may have reached the client.
const BAD_ANSWERS: &[(&str, &[u8])] = &[
    ("no status line", b"hello\r\n\r\n"),
    ("version 2", b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("status of two digits", b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("status of letters", b"HTTP/1.1 2xx OK\r\nContent-Length: 2\r\n\r\nok"),
    ("status 000", b"HTTP/1.1 000 OK\r\nContent-Length: 2\r\n\r\nok"),
    (
        "length and coding",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ),
    ("two lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"),
    ("bad length", b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok"),
    ("unknown coding", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok"),
    ("chunked not last", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\nok"),
    ("bare LF", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
    ("folded line", b"HTTP/1.1 200 OK\r\nX: y\r\n z\r\nContent-Length: 2\r\n\r\nok"),
    ("blank before the colon", b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok"),
    ("NUL in a value", b"HTTP/1.1 200 OK\r\nX: \0\r\nContent-Length: 2\r\n\r\nok"),
    ("cut in the head", b"HTTP/1.1 200 OK\r\nContent-Le"),
    ("nothing", b""),
];

#[test]
fn a_bad_answer_becomes_a_502() {
    let origin = Origin::start(|arrival, wire| {
        let at: usize = arrival.target.trim_start_matches('/').parse().unwrap();
        let _ = wire.send(BAD_ANSWERS[at].1);
        Next::Close
    });
    let (haechi, http) = before(&origin);
    for (at, (name, _)) in BAD_ANSWERS.iter().enumerate() {
        let response = get(http, &format!("/{at}"));
        assert_eq!(response.status, 502, "{name}: {}", response.text());
    }
    assert!(haechi.logged("/0")["error"].is_string(), "the log gives a reason");
}

#[test]
fn requests_sent_at_once_are_answered_in_their_order() {
    let origin =
        Origin::start(|arrival, wire| wire.send(answer(200, &arrival.target)).map_or(Next::Close, |()| Next::Keep));
    let (_haechi, http) = before(&origin);
    let mut wire = Wire::connect(http).unwrap();
    let requests: String = (0..20).map(|at| format!("GET /{at} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    wire.send(requests).unwrap();
    for at in 0..20 {
        assert_eq!(wire.read_response("GET").unwrap().text(), format!("/{at}"));
    }
    wire.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(wire.read_response("POST").unwrap().text(), "/a");
    assert_eq!(wire.read_response("GET").unwrap().text(), "/b");
    assert_eq!(origin.arrival("/a").body, b"abc");
}

#[test]
fn a_head_may_come_byte_by_byte() {
    let origin = Origin::named("origin");
    let (_haechi, http) = before(&origin);
    let mut wire = Wire::connect(http).unwrap();
    for byte in b"\r\nPOST /slow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\n\r\n" {
        wire.send([*byte]).unwrap();
    }
    assert_eq!(wire.read_response("POST").unwrap().status, 200);
    assert_eq!(origin.arrival("/slow").body, b"abc");
}
