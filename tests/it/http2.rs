//! HTTP/2 where clients behave as no library does: floods, broken heads, windows that stay shut.

use crate::harness::frames::*;
use crate::harness::haechi::{Haechi, PROXY};
use crate::harness::{Origin, Wire, eventually};
use std::net::SocketAddr;

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
