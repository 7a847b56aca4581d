//! Bodies and what surrounds them: both directions at once, interim answers, ends that come too soon.

use crate::harness::client::{self, Request};
use crate::harness::haechi::{PROXY, before};
use crate::harness::{Client, Haechi, Next, Origin, Wire, answer, eventually, get, pace};
use std::net::{SocketAddr, TcpListener};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

fn wire(http: SocketAddr) -> Wire {
    Wire::connect(http).unwrap()
}

fn echo() -> Origin {
    Origin::start(|arrival, wire| wire.send(answer(200, &arrival.body)).map_or(Next::Close, |()| Next::Keep))
}

#[test]
fn a_body_waits_for_100_continue() {
    let origin = echo();
    let (_haechi, http) = before(&origin);
    let mut wire = wire(http);
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").unwrap();
    let interim = wire.read_head().unwrap().unwrap();
    assert!(interim.line.starts_with("HTTP/1.1 100"), "{}", interim.line);
    wire.send("hello").unwrap();
    let response = wire.read_response("POST").unwrap();
    assert_eq!((response.status, response.text().as_str()), (200, "hello"));
    assert!(response.interim.is_empty(), "one 100 is enough: {:?}", response.interim);
}

#[test]
fn a_refused_body_is_not_asked_for() {
    let origin = echo();
    let text = PROXY.replace("proxy = {", "limits = { body = 10 }\nproxy = {");
    let haechi = Haechi::plan(&text).with("origin", origin.address).start();
    let mut wire = wire(haechi.at("http"));
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n").unwrap();
    let response = wire.read_response("POST").unwrap();
    assert_eq!(response.status, 413);
    assert!(response.interim.is_empty(), "{:?}", response.interim);
}

#[test]
fn an_answer_before_the_body_reaches_a_client_that_still_sends() {
    let origin = Origin::before_body(|_, wire| {
        let _ = wire.send(answer(413, "too much"));
        Next::Close
    });
    let (_haechi, http) = before(&origin);
    for _ in 0..20 {
        let mut wire = wire(http);
        wire.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n").unwrap();
        let mut sending = Wire::of(wire.stream().try_clone().unwrap()).unwrap();
        let upload = thread::spawn(move || {
            let step = [b'x'; 64 * 1024];
            // It ends by an error: nobody takes 50 MB.
            while sending.send(step).is_ok() {}
        });
        let response = wire.read_response("POST").expect("an answer in spite of the upload");
        assert_eq!((response.status, response.text().as_str()), (413, "too much"));
        drop(wire);
        upload.join().unwrap();
    }
}

#[test]
fn an_answer_before_a_small_body_keeps_the_connection_as_it_says() {
    let origin = Origin::before_body(|_, wire| {
        let _ = wire.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        Next::Close
    });
    let (_haechi, http) = before(&origin);
    let mut wire = wire(http);
    for _ in 0..20 {
        wire.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n").unwrap();
        let response = wire.read_response("POST").unwrap();
        assert_eq!((response.status, response.field("connection")), (200, None));
        wire.send([b'x'; 3000]).unwrap();
    }
}

#[test]
fn both_directions_run_at_once() {
    // The origin sends each piece back before the next one is on its way.
    let origin = Origin::before_body(|_, wire| {
        let _ = wire.send("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n");
        for _ in 0..10 {
            let piece = wire.read_exact(5).unwrap_or_default();
            let _ = wire.send(piece);
        }
        Next::Keep
    });
    let (_haechi, http) = before(&origin);
    let mut wire = wire(http);
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n").unwrap();
    assert_eq!(wire.read_head().unwrap().unwrap().line, "HTTP/1.1 200 OK");
    for at in 0..10 {
        let piece = format!("piec{at}");
        wire.send(&piece).unwrap();
        assert_eq!(wire.read_exact(5).unwrap(), piece.as_bytes());
    }
}

#[test]
fn head_has_a_length_and_no_body() {
    let origin = Origin::named("hello");
    let (_haechi, http) = before(&origin);
    let mut client = Client::connect(http).unwrap();
    for _ in 0..3 {
        let response = client.send(&Request::new("HEAD", "/")).unwrap();
        assert_eq!((response.status, response.field("content-length")), (200, Some("5")));
        assert_eq!(client.get("/").text(), "hello");
    }
    assert_eq!((client.opened, origin.connections()), (1, 1));
}

#[test]
fn an_answer_to_head_before_the_body_is_there_names_no_length_of_its_own() {
    let origin = Origin::before_body(|arrival, wire| {
        let _ = match arrival.method.as_str() {
            "HEAD" => wire.send("HTTP/1.1 200 X\r\nContent-Length: 5\r\n\r\n"),
            _ => wire.send("HTTP/1.1 304 X\r\nETag: \"a\"\r\n\r\n"),
        };
        let _ = wire.read_exact(6);
        Next::Close
    });
    let (_haechi, http) = before(&origin);
    for method in ["HEAD", "GET"] {
        let mut wire = Wire::connect(http).unwrap();
        wire.send(format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc")).unwrap();
        let head = wire.read_head().unwrap().unwrap();
        assert!(!head.values("Content-Length").contains(&"0"), "{method}: {head:?}");
        wire.send("def").unwrap();
    }
}

#[test]
fn statuses_without_a_body_keep_the_connection() {
    let origin = Origin::start(|arrival, wire| {
        let status = arrival.target.trim_start_matches('/');
        wire.send(format!("HTTP/1.1 {status} X\r\nETag: \"a\"\r\n\r\n")).map_or(Next::Close, |()| Next::Keep)
    });
    let (_haechi, http) = before(&origin);
    let mut client = Client::connect(http).unwrap();
    for _ in 0..2 {
        for status in [204, 304] {
            let response = client.get(&format!("/{status}"));
            assert_eq!((response.status, response.body.len()), (status, 0));
            assert_eq!(response.field("transfer-encoding"), None);
        }
    }
    assert_eq!(client.opened, 1);
}

#[test]
fn http_1_0_is_closed_unless_it_asks_to_stay() {
    let origin = Origin::named("hello");
    let (_haechi, http) = before(&origin);
    let mut short = wire(http);
    short.send("GET / HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(short.read_response("GET").unwrap().text(), "hello");
    assert!(short.is_closed());

    let mut long = wire(http);
    for _ in 0..2 {
        long.send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n").unwrap();
        let response = long.read_response("GET").unwrap();
        assert_eq!(response.text(), "hello");
        assert!(response.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("keep-alive")));
    }
}

#[test]
fn a_chunked_answer_is_not_chunked_for_http_1_0() {
    let origin = Origin::start(|_, wire| {
        let sent = wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        sent.map_or(Next::Close, |()| Next::Keep)
    });
    let (_haechi, http) = before(&origin);
    let mut wire = wire(http);
    wire.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n").unwrap();
    let response = wire.read_response("GET").unwrap();
    assert_eq!(response.field("transfer-encoding"), None);
    assert_eq!(response.text(), "hello");
}

#[test]
fn chunks_go_both_ways() {
    let origin = Origin::start(|arrival, wire| {
        let body = String::from_utf8_lossy(&arrival.body).into_owned();
        let size = body.len();
        let sent = wire
            .send(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{size:x};a=b\r\n{body}\r\n0\r\n\r\n"));
        sent.map_or(Next::Close, |()| Next::Keep)
    });
    let (_haechi, http) = before(&origin);
    let mut wire = wire(http);
    for _ in 0..2 {
        wire.send(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x\r\n world\r\n0\r\n\r\n",
        )
        .unwrap();
        let response = wire.read_response("POST").unwrap();
        assert_eq!(response.text(), "hello world");
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn an_answer_that_ends_with_its_connection_is_whole() {
    let origin = Origin::start(|_, wire| {
        let _ = wire.send("HTTP/1.1 200 OK\r\n\r\nall of it");
        Next::Close
    });
    let (_haechi, http) = before(&origin);
    let mut client = Client::connect(http).unwrap();
    assert_eq!(client.get("/").text(), "all of it");
    assert_eq!(client.get("/").text(), "all of it");
    assert_eq!(client.opened, 1, "the client's connection stays");
}

#[test]
fn trailers_pass_and_never_become_fields() {
    let origin = Origin::start(|_, wire| {
        let sent = wire.send(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 42\r\nContent-Length: 9\r\n\r\n",
        );
        sent.map_or(Next::Close, |()| Next::Keep)
    });
    let (_haechi, http) = before(&origin);
    let mut wire = wire(http);
    wire.send("POST /t HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX-Check: 7\r\nHost: evil\r\nContent-Length: 1\r\n\r\n")
        .unwrap();
    let response = wire.read_response("POST").unwrap();
    assert_eq!(response.text(), "ok");
    assert_eq!(response.trailers, [("X-Sum".to_owned(), "42".to_owned())]);
    let arrival = origin.arrival("/t");
    assert_eq!(arrival.head.field("host"), Some("a"));
    assert_eq!(arrival.head.field("content-length"), None);
    let smuggled =
        arrival.trailers.iter().find(|(name, _)| ["host", "content-length"].contains(&&*name.to_lowercase()));
    assert_eq!(smuggled, None);
}

/// A hint that came in one piece with the switch was lost, and half a hint would have stood in the tunnel.
#[test]
fn early_hints_pass_before_a_switch_of_protocols() {
    let origin = Origin::start(|_, wire| {
        let _ = wire.send(
            "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\nhello",
        );
        let _ = wire.is_closed();
        Next::Close
    });
    let (_haechi, http) = before(&origin);
    let mut wire = wire(http);
    wire.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n").unwrap();
    assert!(wire.read_head().unwrap().unwrap().line.starts_with("HTTP/1.1 103"));
    assert!(wire.read_head().unwrap().unwrap().line.starts_with("HTTP/1.1 101"));
    assert_eq!(wire.read_exact(5).unwrap(), b"hello");
}

#[test]
fn early_hints_pass() {
    let origin = Origin::start(|_, wire| {
        let _ = wire.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n");
        wire.send(answer(200, "late")).map_or(Next::Close, |()| Next::Keep)
    });
    let (_haechi, http) = before(&origin);
    let mut client = Client::connect(http).unwrap();
    for _ in 0..2 {
        let response = client.get("/");
        assert_eq!(response.text(), "late");
        assert_eq!(response.interim.len(), 1, "{:?}", response.interim);
        assert_eq!(response.interim[0].field("link"), Some("</a.css>; rel=preload"));
    }
    // An HTTP/1.0 client knows no 1xx.
    let mut old = wire(http);
    old.send("GET / HTTP/1.0\r\n\r\n").unwrap();
    assert!(old.read_response("GET").unwrap().interim.is_empty());
}

#[test]
fn an_answer_cut_short_is_never_taken_for_whole() {
    let origin = Origin::start(|arrival, wire| {
        let _ = wire.send(match arrival.target.as_str() {
            "/length" => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it",
            "/chunked" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhalf of it\r\n",
            "/chunk" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf of it",
            _ => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhalf of it\r\n0\r\n",
        });
        Next::Close
    });
    let (haechi, http) = before(&origin);
    for target in ["/length", "/chunked", "/chunk", "/end"] {
        let result = client::send(http, &Request::get(target));
        assert!(result.is_err(), "{target}: {result:?}");
        assert!(haechi.logged(target)["error"].is_string(), "{target}: no reason in the log");
    }
}

#[test]
fn a_connection_with_surplus_bytes_is_not_used_again() {
    let origin = Origin::start(|_, wire| {
        let surplus = answer(200, "evil");
        wire.send([answer(200, "good"), surplus].concat()).map_or(Next::Close, |()| Next::Keep)
    });
    let (_haechi, http) = before(&origin);
    let mut client = Client::connect(http).unwrap();
    for turn in 1..=5 {
        assert_eq!(client.get("/").text(), "good");
        assert_eq!(origin.connections(), turn);
    }
}

#[test]
fn bytes_on_an_idle_connection_answer_nobody() {
    let (send, late) = channel::<()>();
    let late = Mutex::new(late);
    let origin = Origin::start(move |arrival, wire| {
        let _ = wire.send(answer(200, "good"));
        if arrival.connection == 1 {
            // The answer is at the client when the test says so.
            let _ = late.lock().unwrap().recv();
            let _ = wire.send(answer(200, "evil"));
        }
        Next::Keep
    });
    let (_haechi, http) = before(&origin);
    let mut client = Client::connect(http).unwrap();
    assert_eq!(client.get("/").text(), "good");
    send.send(()).unwrap();
    eventually("the connection is thrown away", || (origin.open_connections() == 0).then_some(()));
    assert_eq!(client.get("/").text(), "good");
    assert_eq!(origin.connections(), 2);
}

#[test]
fn the_client_that_goes_takes_its_exchange_along() {
    let origin = Origin::start(|_, wire| {
        let _ = wire.send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
        while wire.send([b'x'; 65536]).is_ok() {}
        Next::Close
    });
    let (_haechi, http) = before(&origin);
    let mut wire = wire(http);
    wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    wire.read_exact(100_000).unwrap();
    drop(wire);
    eventually("the origin is let go", || (origin.open_connections() == 0).then_some(()));
}

#[test]
fn large_bodies_arrive_as_they_were_sent() {
    let origin = echo();
    let (_haechi, http) = before(&origin);
    let body: Vec<u8> = (0..8_000_000_u32).map(|at| (at % 251) as u8).collect();
    let mut client = Client::connect(http).unwrap();
    client.wire().patience(Duration::from_secs(30));
    let response = client.send(&Request::post("/", &body)).unwrap();
    assert!(response.body == body, "{} bytes came back", response.body.len());
    assert_eq!(get(http, "/").status, 200);
}

#[test]
fn an_answer_that_was_reset_while_it_was_read_ahead_is_never_taken_for_whole() {
    // Not an `Origin`, which says goodbye before it closes.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let origin = thread::spawn(move || {
        let mut wire = Wire::of(listener.accept().unwrap().0).unwrap();
        wire.read_head().unwrap();
        // No length: only the way the connection ends tells whether this was all.
        wire.send("HTTP/1.1 200 OK\r\n\r\n").unwrap();
        wire.send(vec![b'x'; 6_000_000]).unwrap();
        // It has gone out, and the proxy waits for more.
        pace(Duration::from_millis(500));
        socket2::SockRef::from(wire.stream()).set_linger(Some(Duration::ZERO)).unwrap();
    });
    let text = PROXY.replace("upstream = \"was\" }", "upstream = \"was\", read_ahead = \"8MiB\" }");
    let haechi = Haechi::plan(&text).with("origin", address).start();
    let mut slow = Wire::connect_narrow(haechi.at("http")).unwrap();
    slow.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    origin.join().unwrap();
    pace(Duration::from_millis(100));
    let response = slow.read_response("GET").map(|response| response.body.len());
    assert!(response.is_err(), "{response:?} bytes as if they were all");
    assert_eq!(haechi.logged("/")["error"], "body_truncated");
}

#[test]
fn an_early_answer_that_was_reset_is_never_taken_for_whole() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut wire = Wire::of(stream.unwrap()).unwrap();
            wire.read_head().unwrap();
            wire.send("HTTP/1.1 413 X\r\n\r\nnot all").unwrap();
            socket2::SockRef::from(wire.stream()).set_linger(Some(Duration::ZERO)).unwrap();
        }
    });
    let haechi = Haechi::plan(PROXY).with("origin", address).start();
    for _ in 0..20 {
        let mut wire = wire(haechi.at("http"));
        wire.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n").unwrap();
        let mut sending = Wire::of(wire.stream().try_clone().unwrap()).unwrap();
        let upload = thread::spawn(move || while sending.send([b'x'; 64 * 1024]).is_ok() {});
        let response = wire.read_response("POST");
        // The reset may also come before the answer has.
        assert!(response.as_ref().map_or(true, |response| response.status == 502), "{response:?} as if it were all");
        drop(wire);
        upload.join().unwrap();
    }
}
