//! HTTP/2 where clients behave as no library does: floods, broken heads, windows that stay shut.

use crate::harness::frames::*;
use crate::harness::haechi::{Haechi, PROXY};
use crate::harness::{Next, Origin, Wire, answer, eventually, h2, websocket};
use rustix::process::Signal;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

/// haechi with a plain listener that speaks HTTP/2, before this origin.
fn before(origin: &Origin, more: &str) -> (Haechi, SocketAddr) {
    let listener = format!("bind = [\"@http\"]\nprotocols = [\"http/1.1\", \"h2c\"]\n{more}");
    let text = PROXY.replace("bind = [\"@http\"]", &listener);
    let haechi = Haechi::plan(&text).with("origin", origin.address).start();
    let http = haechi.at("http");
    (haechi, http)
}

const ENHANCE_YOUR_CALM: u32 = 11;

/// Sends this many of a frame; the error code of the GOAWAY that answers.
fn flood(wire: &mut Wire, frame: &[u8], times: usize) -> u32 {
    for _ in 0..times / 100 {
        if wire.send(frame.repeat(100)).is_err() {
            break;
        }
    }
    read_until(wire, GOAWAY).expect("a word of parting").code()
}

#[test]
fn a_client_that_floods_is_sent_away() {
    let origin = Origin::named("hello");
    let (haechi, http) = before(&origin, "limits = { control_frames = 500 }\n");
    let floods = haechi.metric("haechi_http2_floods_total", &[]).expect("zeros stand on the page");
    assert!(floods.abs() < 0.1, "{floods}");
    let open = frame(
        HEADERS,
        END_HEADERS,
        1,
        fields(&[(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/")]),
    );
    for (kind, before, flooding) in [
        ("ping", vec![], frame(PING, 0, 0, [0; 8])),
        ("settings", vec![], frame(SETTINGS, 0, 0, [])),
        ("priority", vec![], frame(PRIORITY, 0, 3, [0, 0, 0, 0, 1])),
        ("window_update", vec![], frame(WINDOW_UPDATE, 0, 0, [0, 0, 0, 1])),
        ("unknown", vec![], frame(0x77, 0, 0, [])),
        // The crate has a budget of its own for these, below ours.
        ("streams", open, frame(DATA, 0, 1, [])),
    ] {
        let mut wire = connect(http);
        wire.send(before).unwrap();
        assert_eq!(flood(&mut wire, &flooding, 1000), ENHANCE_YOUR_CALM, "{kind}");
        assert!(wire.is_closed(), "{kind}");
        eventually(kind, || {
            haechi.metric("haechi_http2_floods_total", &[("kind", kind)]).filter(|count| *count >= 1.0)
        });
    }
    let mut wire = connect(http);
    wire.send(get(1, "/still")).unwrap();
    assert_eq!(read_until(&mut wire, DATA).unwrap().payload, b"hello");
}

#[test]
fn rapid_reset_and_endless_continuation_end_the_connection() {
    let origin = Origin::named("hello");
    let (haechi, http) = before(&origin, "limits = { control_frames = 500 }\n");
    let mut wire = connect(http);
    let mut bytes = Vec::new();
    for stream in (1..4000).step_by(2) {
        bytes.extend(get(stream, "/"));
        bytes.extend(frame(RST_STREAM, 0, stream, [0, 0, 0, 8]));
    }
    let _ = wire.send(bytes);
    assert_eq!(read_until(&mut wire, GOAWAY).unwrap().code(), ENHANCE_YOUR_CALM, "CVE-2023-44487");

    let mut wire = connect(http);
    wire.send(frame(HEADERS, END_STREAM, 1, fields(&[(":method", "GET")]))).unwrap();
    assert_eq!(flood(&mut wire, &frame(CONTINUATION, 0, 1, []), 1000), ENHANCE_YOUR_CALM, "VU#421644");
    eventually("both are counted", || haechi.metric("haechi_http2_floods_total", &[]).filter(|count| *count >= 2.0));
}

#[test]
fn a_head_that_http_1_could_not_carry_is_refused() {
    let origin = Origin::named("hello");
    let (_haechi, http) = before(&origin, "");
    let head = |more: &[(&str, &str)]| {
        let pseudo = [(":method", "GET"), (":scheme", "http"), (":path", "/")];
        frame(HEADERS, END_HEADERS | END_STREAM, 1, fields(&[&pseudo[..], more].concat()))
    };
    const PROTOCOL_ERROR: u32 = 1;
    // Refused by the crate, and shown here to stay so.
    for more in [
        &[(":authority", "a"), ("connection", "close")][..],
        &[(":authority", "a"), ("keep-alive", "1")],
        &[(":authority", "a"), ("proxy-connection", "1")],
        &[(":authority", "a"), ("transfer-encoding", "chunked")],
        &[(":authority", "a"), ("upgrade", "websocket")],
        &[(":authority", "a"), ("te", "gzip")],
        &[("x", "1"), (":authority", "a")],
        &[(":authority", "a"), (":path", "/")],
        &[(":authority", "a"), ("content-length", "5")],
        &[(":authority", "a"), ("content-length", "+0")],
        &[(":authority", "a"), (":status", "200")],
    ] {
        let mut wire = connect(http);
        wire.send(head(more)).unwrap();
        assert_eq!(read_until(&mut wire, RST_STREAM).unwrap().code(), PROTOCOL_ERROR, "{more:?}");
    }
    for more in [
        &[(":authority", "a"), ("X", "1")][..],
        &[(":authority", "a"), ("x y", "1")],
        &[(":authority", "a"), ("x", "a\r\nb: c")],
        &[(":authority", "a"), ("x", "\0")],
    ] {
        let mut wire = connect(http);
        wire.send(head(more)).unwrap();
        let answered = loop {
            match read(&mut wire) {
                Ok(frame) if matches!(frame.kind, RST_STREAM | GOAWAY) => break frame.code(),
                Ok(frame) => assert_ne!(frame.kind, HEADERS, "{more:?}"),
                Err(_) => break PROTOCOL_ERROR,
            }
        };
        assert!(answered != 0, "{more:?}");
    }
    // Refused by us, with an answer.
    for more in [
        &[][..],
        &[(":authority", "a"), ("host", "b")],
        &[("host", "a"), ("host", "a")],
        &[(":authority", "u@a")],
        &[(":authority", "a"), ("x", " 1")],
        &[(":authority", "a"), ("content_length", "1")],
    ] {
        let mut wire = connect(http);
        wire.send(head(more)).unwrap();
        assert_eq!(read_until(&mut wire, DATA).unwrap().payload, b"400 Bad Request\n", "{more:?}");
    }
    assert!(origin.arrivals().is_empty(), "{:?}", origin.arrivals());
}

#[test]
fn a_body_is_as_long_as_it_was_told() {
    let origin = Origin::named("hello");
    let (_haechi, http) = before(&origin, "");
    let list = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/"), ("content-length", "5")];
    for (payload, flags) in [("four", END_STREAM), ("longer", 0)] {
        let mut wire = connect(http);
        wire.send(frame(HEADERS, END_HEADERS, 1, fields(&list))).unwrap();
        wire.send(frame(DATA, flags, 1, payload)).unwrap();
        assert_eq!(read_until(&mut wire, RST_STREAM).unwrap().code(), 1, "RFC 9113 §8.1.1: {payload}");
    }
    assert!(origin.arrivals().is_empty(), "{:?}", origin.arrivals());
}

#[test]
fn a_shut_window_stops_the_server() {
    let written = Arc::new(AtomicUsize::new(0));
    let theirs = Arc::clone(&written);
    let origin = Origin::start(move |_, wire| {
        let _ = wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 1 << 30));
        wire.stream().set_write_timeout(Some(Duration::from_secs(2))).unwrap();
        while wire.send([7; 64 * 1024]).is_ok() {
            theirs.fetch_add(64 * 1024, Ordering::SeqCst);
        }
        Next::Close
    });
    let (_haechi, http) = before(&origin, "timeouts = { send = \"60s\" }\n");
    let mut wire = connect(http);
    wire.send(get(1, "/")).unwrap();
    let mut received = 0;
    while received < 65_535 {
        received += read_until(&mut wire, DATA).unwrap().payload.len();
    }
    assert_eq!(received, 65_535, "the window of RFC 9113 §6.9.2 and no byte more");
    let mut before = usize::MAX;
    let stopped = eventually("the server stops", || {
        let now = written.load(Ordering::SeqCst);
        let stopped = now == before;
        before = now;
        stopped.then_some(now)
    });
    assert!(stopped < 24 << 20, "{stopped} bytes were taken for a client that takes none");
    wire.send([frame(WINDOW_UPDATE, 0, 0, [0, 1, 0, 0]), frame(WINDOW_UPDATE, 0, 1, [0, 1, 0, 0])].concat()).unwrap();
    assert!(!read_until(&mut wire, DATA).unwrap().payload.is_empty(), "it goes on when the window opens");
}

#[test]
fn an_upload_waits_for_the_server() {
    let (go, gone) = mpsc::channel();
    let gone = Mutex::new(gone);
    let origin = Origin::before_body(move |arrival, wire| {
        let _ = gone.lock().unwrap().recv();
        let length = arrival.head.field("content-length").unwrap().parse().unwrap();
        let _ = wire.read_exact(length).and_then(|body| wire.send(answer(200, body.len().to_string())));
        Next::Close
    });
    let (_haechi, http) = before(&origin, "");
    const LENGTH: usize = 100 << 20;
    h2::run(async {
        let mut client = h2::connect(http).await;
        let head = h2::request("POST", "/", &[("content-length", &LENGTH.to_string())]);
        let (response, mut out) = client.send_request(head, false).unwrap();
        let piece = vec![7; 64 * 1024];
        let mut sent = 0;
        // Past its windows the client can send nothing, however long it waits.
        while let Ok(done) = tokio::time::timeout(Duration::from_secs(1), h2::send(&mut out, &piece, false)).await {
            done.unwrap();
            sent += piece.len();
        }
        assert!(sent < 24 << 20, "{sent} bytes were taken for a server that takes none");
        go.send(()).unwrap();
        // The piece that waited was sent in part, and the rest never comes.
        drop(out);
        assert_eq!(response.await.unwrap().status(), 408);
    });
}

#[test]
fn a_websocket_runs_over_a_stream() {
    let origin = Origin::start(|arrival, wire| match arrival.target.as_str() {
        "/no" => wire.send(answer(403, "no")).map_or(Next::Close, |()| Next::Keep),
        "/ok" => wire.send(answer(200, "an ordinary page")).map_or(Next::Close, |()| Next::Keep),
        _ => websocket::serve(arrival, wire),
    });
    let (haechi, http) = before(&origin, "");
    h2::run(async {
        let client = h2::connect(http).await;
        let mut client = client.ready().await.unwrap();
        eventually_async(|| client.is_extended_connect_protocol_enabled()).await;
        let connect = |path: &str| {
            let mut request = h2::request("CONNECT", path, &[("sec-websocket-version", "13"), ("origin", "http://a")]);
            request.extensions_mut().insert(::h2::ext::Protocol::from("websocket"));
            request
        };
        let (response, mut out) = client.send_request(connect("/chat"), false).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(
            response.headers().get("upgrade").is_none() && response.headers().get("sec-websocket-accept").is_none()
        );
        let mut body = response.into_body();
        // A masked text frame of RFC 6455 §5.7, and what comes back without the mask.
        let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        for _ in 0..3 {
            h2::send(&mut out, &hello, false).await.unwrap();
            let mut came = Vec::new();
            while came.len() < 7 {
                came.extend_from_slice(&body.data().await.unwrap().unwrap());
            }
            assert_eq!(came, [0x81, 0x05, b'H', b'e', b'l', b'l', b'o']);
        }
        h2::send(&mut out, &[0x88, 0x80, 0, 0, 0, 0], true).await.unwrap();
        h2::read(&mut body).await.unwrap();
        for (path, status) in [("/no", 403), ("/ok", 502)] {
            let (response, _out) = client.send_request(connect(path), false).unwrap();
            assert_eq!(response.await.unwrap().status(), status, "{path}");
        }
    });
    let arrival = origin.arrival("/chat");
    assert_eq!((arrival.method.as_str(), arrival.head.field("connection")), ("GET", Some("upgrade")));
    assert_eq!(arrival.head.field("upgrade"), Some("websocket"));
    assert_eq!(arrival.head.field("sec-websocket-version"), Some("13"));
    assert_eq!(haechi.metric("haechi_upgrades_total", &[]), Some(1.0));
    assert_eq!(haechi.logged("/chat")["status"], 200);
}

async fn eventually_async(mut found: impl FnMut() -> bool) {
    while !found() {
        tokio::task::yield_now().await;
    }
}

#[test]
fn trailers_pass_both_ways() {
    let origin = Origin::start(|arrival, wire| {
        let sum = arrival.trailers.iter().find(|(name, _)| name == "x-sum").map(|(_, value)| value.clone());
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let said = format!("{head}2\r\nhi\r\n0\r\nX-Back: {}\r\n\r\n", sum.unwrap_or_default());
        wire.send(said).map_or(Next::Close, |()| Next::Keep)
    });
    let (_haechi, http) = before(&origin, "");
    h2::run(async {
        let mut client = h2::connect(http).await;
        let (response, mut out) = client.send_request(h2::request("POST", "/", &[("te", "trailers")]), false).unwrap();
        h2::send(&mut out, b"body", false).await.unwrap();
        out.send_trailers(
            [("x-sum", "42")]
                .into_iter()
                .map(|(n, v)| (n.parse::<http::HeaderName>().unwrap(), v.parse().unwrap()))
                .collect(),
        )
        .unwrap();
        let (body, trailers) = h2::read(response.await.unwrap().body_mut()).await.unwrap();
        assert_eq!(body, b"hi");
        assert_eq!(trailers.unwrap().get("x-back").unwrap(), "42");
    });
}

#[test]
fn a_drain_lets_streams_end_and_says_goodbye() {
    let (go, gone) = mpsc::channel();
    let gone = Mutex::new(gone);
    let origin = Origin::start(move |_, wire| {
        let _ = gone.lock().unwrap().recv();
        wire.send(answer(200, "late")).map_or(Next::Close, |()| Next::Keep)
    });
    let (mut haechi, http) = before(&origin, "");
    let mut wire = connect(http);
    wire.send(get(1, "/slow")).unwrap();
    eventually("it arrives", || (!origin.arrivals_for("/slow").is_empty()).then_some(()));
    haechi.signal(Signal::TERM);
    assert_eq!(read_until(&mut wire, GOAWAY).unwrap().code(), 0);
    go.send(()).unwrap();
    assert_eq!(read_until(&mut wire, DATA).unwrap().payload, b"late");
    drop(wire);
    assert!(haechi.ended(Duration::from_secs(10)).success());
}
