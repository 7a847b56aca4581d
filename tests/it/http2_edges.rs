//! HTTP/2 frame by frame: what well-behaved clients never send, or never wait for.

use crate::harness::haechi::{PROXY, Signal};
use crate::harness::{Haechi, Next, Origin, Wire, answer, eventually, pace};
use std::io;
use std::time::Duration;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A frame as it came.
#[derive(Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    /// The status, where it is one of those that HPACK has a number for (RFC 7541, appendix A).
    fn status(&self) -> Option<u16> {
        let known = [(0x88, 200), (0x89, 204), (0x8b, 304), (0x8c, 400), (0x8d, 404), (0x8e, 500)];
        known.into_iter().find_map(|(byte, status)| (self.payload.first() == Some(&byte)).then_some(status))
    }
}

/// A client that sends the frames it is told to, and answers nothing of itself: no PING, no SETTINGS.
struct Frames(Wire);

impl Frames {
    fn connect(haechi: &Haechi) -> Self {
        let mut wire = Wire::connect(haechi.at("http")).unwrap();
        wire.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        let mut frames = Self(wire);
        frames.send(SETTINGS, 0, 0, &[]);
        frames.send(SETTINGS, ACK, 0, &[]);
        frames
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        self.0.send([head.as_slice(), payload].concat()).unwrap();
    }

    /// A request for `http://a/`, with these fields in HPACK.
    fn request(&mut self, stream: u32, method: u8, flags: u8, fields: &[u8]) {
        let block = [&[method, 0x86, 0x84, 0x41, 1, b'a'], fields].concat();
        self.send(HEADERS, END_HEADERS | flags, stream, &block);
    }

    fn get(&mut self, stream: u32) {
        self.request(stream, GET, END_STREAM, &[]);
    }

    fn next(&mut self) -> io::Result<Frame> {
        let head = self.0.read_exact(9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let payload = self.0.read_exact(length.try_into().unwrap())?;
        Ok(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// The next frame of this kind.
    fn next_of(&mut self, kind: u8) -> io::Result<Frame> {
        loop {
            let frame = self.next()?;
            if frame.kind == kind {
                return Ok(frame);
            }
        }
    }
}

const GET: u8 = 0x82;
const POST: u8 = 0x83;

/// haechi with a plain listener that speaks HTTP/2 too; `listener` goes into its table.
fn before(origin: &Origin, listener: &str, route: &str) -> Haechi {
    let text = PROXY
        .replace("bind = [\"@http\"]", &format!("bind = [\"@http\"]\nprotocols = [\"http/1.1\", \"h2c\"]\n{listener}"))
        .replace("proxy = { upstream = \"was\" }", route);
    Haechi::plan(&text).with("origin", origin.address).start()
}

const PROXIED: &str = "proxy = { upstream = \"was\" }";

#[test]
fn an_answer_before_the_end_of_the_request_reaches_the_client() {
    let origin = Origin::named("origin");
    let haechi = before(&origin, "", "respond = { status = 404, body = \"no\" }");
    for _ in 0..20 {
        let mut client = Frames::connect(&haechi);
        client.request(1, POST, 0, &[]);
        let head = client.next_of(HEADERS).expect("the head of the answer");
        assert_eq!(head.status(), Some(404), "{head:?}");
        let data = client.next_of(DATA).expect("the body of the answer");
        assert_eq!(data.payload, b"no");
        // RFC 9113 §8.1: the client may stop.
        let reset = client.next_of(RST_STREAM).expect("a word that the rest is not wanted");
        assert_eq!((reset.stream, reset.payload), (1, vec![0, 0, 0, 0]));
    }
}

#[test]
fn flags_of_a_whole_answer_end_its_stream() {
    let origin = Origin::named("");
    let haechi = before(&origin, "", PROXIED);
    let mut client = Frames::connect(&haechi);
    client.get(1);
    let head = client.next_of(HEADERS).unwrap();
    assert_eq!((head.status(), head.flags & END_STREAM), (Some(200), END_STREAM));
}

#[test]
fn the_last_piece_of_a_body_ends_its_stream() {
    let origin = Origin::named("hello");
    let haechi = before(&origin, "", PROXIED);
    let mut client = Frames::connect(&haechi);
    for stream in [1, 3] {
        client.get(stream);
        let piece = client.next_of(DATA).unwrap();
        assert_eq!((piece.stream, &piece.payload[..], piece.flags), (stream, &b"hello"[..], END_STREAM));
    }
}

#[test]
fn a_client_that_is_told_to_go_and_says_nothing_is_not_waited_for() {
    let origin = Origin::named("origin");
    let mut haechi = before(&origin, "", PROXIED);
    let mut silent = Frames::connect(&haechi);
    silent.get(1);
    assert_eq!(silent.next_of(HEADERS).unwrap().status(), Some(200));
    haechi.signal(Signal::TERM);
    silent.next_of(GOAWAY).unwrap();
    assert!(haechi.ended(Duration::from_secs(10)).success());
}

#[test]
fn a_request_that_crosses_the_goodbye_is_answered() {
    let origin = Origin::start(|_, wire| {
        pace(Duration::from_millis(3500));
        wire.send(answer(200, "late")).map_or(Next::Close, |()| Next::Keep)
    });
    let haechi = before(&origin, "timeouts = { idle = \"500ms\" }", PROXIED);
    let mut client = Frames::connect(&haechi);
    client.next_of(GOAWAY).unwrap();
    client.get(1);
    assert_eq!(client.next_of(HEADERS).expect("an answer").status(), Some(200));
}

#[test]
fn a_drain_tells_a_busy_client_with_its_next_answer() {
    let origin = Origin::named("origin");
    let text = format!("{PROXY}[process]\nworkers = 2\nhandover_grace = \"20s\"\n")
        .replace("bind = [\"@http\"]", "bind = [\"@http\"]\nprotocols = [\"http/1.1\", \"h2c\"]");
    let haechi = Haechi::plan(&text).with("origin", origin.address).start();
    let mut client = Frames::connect(&haechi);
    client.get(1);
    client.next_of(HEADERS).unwrap();
    haechi.signal(Signal::TERM);
    eventually("nobody is let in", || Wire::connect(haechi.at("http")).is_err().then_some(()));
    client.get(3);
    client.next_of(GOAWAY).expect("a goodbye long before the grace is over");
}

#[test]
fn what_is_no_http_2_is_no_timeout() {
    let origin = Origin::named("origin");
    let haechi = before(&origin, "", PROXIED);
    let mut wire = Wire::connect(haechi.at("http")).unwrap();
    wire.send("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n").unwrap();
    assert!(wire.read_to_end().is_ok());
    let closed = || haechi.metric("haechi_connections_open", &[("listener", "http")]) == Some(0.0);
    eventually("the connection is over", || closed().then_some(()));
    assert_eq!(haechi.metric("haechi_client_timeouts_total", &[("phase", "head")]), Some(0.0));
}

#[test]
fn fields_that_look_like_framing_are_refused() {
    let origin = Origin::named("origin");
    let haechi = before(&origin, "", PROXIED);
    for name in ["transfer_encoding", "content_length", "content.length"] {
        let mut client = Frames::connect(&haechi);
        let field = [&[0, u8::try_from(name.len()).unwrap()], name.as_bytes(), &[7], b"chunked"].concat();
        client.request(1, GET, END_STREAM, &field);
        assert_eq!(client.next_of(HEADERS).unwrap().status(), Some(400), "{name}");
    }
    assert!(origin.arrivals().is_empty(), "{:?}", origin.arrivals());
}

#[test]
fn a_connection_with_open_streams_is_not_at_rest() {
    let origin = Origin::start(|_, wire| {
        pace(Duration::from_secs(12));
        wire.send(answer(200, "late")).map_or(Next::Close, |()| Next::Keep)
    });
    let haechi = before(&origin, "limits = { connections = 8 }", PROXIED);
    let mut clients: Vec<_> = (0..8).map(|_| Frames::connect(&haechi)).collect();
    clients.iter_mut().for_each(|client| client.get(1));
    pace(Duration::from_millis(10_500));
    assert!(Wire::connect(haechi.at("http")).unwrap().is_closed(), "there is no place");
    assert_eq!(haechi.metric("haechi_connections_displaced_total", &[]), Some(0.0));
    for client in &mut clients {
        assert_eq!(client.next_of(HEADERS).expect("an answer").status(), Some(200));
    }
}
