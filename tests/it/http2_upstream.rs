//! Servers that speak HTTP/2: gRPC, shared connections, goodbyes and refusals.

use crate::harness::certs::Authority;
use crate::harness::h2::{self, Connection};
use crate::harness::haechi::{Haechi, PROXY};
use crate::harness::{Client, Request, eventually};
use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const SERVERS: &str = "servers = [\"@origin\"]";

/// haechi with a plain listener of both protocols, before an h2c server.
fn before(origin: SocketAddr, more: &str) -> (Haechi, SocketAddr) {
    let text = PROXY
        .replace("bind = [\"@http\"]", "bind = [\"@http\"]\nprotocols = [\"http/1.1\", \"h2c\"]")
        .replace(SERVERS, &format!("{SERVERS}\nprotocol = \"h2c\"\n{more}"));
    let haechi = Haechi::plan(&text).with("origin", origin).start();
    let http = haechi.at("http");
    (haechi, http)
}

/// Echoes every body as gRPC does: each piece at once, then the status in the trailers.
async fn echo(mut connection: Connection) {
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        tokio::task::spawn_local(async move {
            let (parts, mut body) = request.into_parts();
            let said = |name: &str| parts.headers.get(name).cloned().unwrap_or(http::HeaderValue::from_static("-"));
            let head = http::Response::builder()
                .header("x-te", said("te"))
                .header("x-cookie", said("cookie"))
                .header("x-path", parts.uri.to_string())
                .header("x-for", said("x-forwarded-for"));
            let mut out = respond.send_response(head.body(()).unwrap(), false).unwrap();
            while let Some(Ok(piece)) = body.data().await {
                body.flow_control().release_capacity(piece.len()).unwrap();
                if h2::send(&mut out, &piece, false).await.is_err() {
                    return;
                }
            }
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
            trailers.insert("grpc-message", said("x-message"));
            let _ = out.send_trailers(trailers);
        });
    }
}

#[test]
fn grpc_talks_both_ways_and_ends_with_its_status() {
    let (haechi, http) = before(h2::listen(echo), "");
    h2::run(async {
        let mut client = h2::connect(http).await;
        let fields = [("te", "trailers"), ("content-type", "application/grpc"), ("cookie", "a=1"), ("cookie", "b=2")];
        let (response, mut out) =
            client.send_request(h2::request("POST", "/pkg.Svc/Chat?x=y", &fields), false).unwrap();
        h2::send(&mut out, b"one", false).await.unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.headers()["x-te"], "trailers");
        assert_eq!(response.headers()["x-cookie"], "a=1; b=2");
        assert_eq!(response.headers()["x-path"], "http://a/pkg.Svc/Chat?x=y");
        assert_eq!(response.headers()["x-for"], "127.0.0.1");
        let mut body = response.into_body();
        for piece in ["one", "two", "three"] {
            let came = body.data().await.unwrap().unwrap();
            body.flow_control().release_capacity(came.len()).unwrap();
            assert_eq!(came, piece, "each message comes back before the next is sent");
            let next = match piece {
                "one" => "two",
                "two" => "three",
                _ => break,
            };
            h2::send(&mut out, next.as_bytes(), false).await.unwrap();
        }
        out.send_data(Bytes::new(), true).unwrap();
        let (rest, trailers) = h2::read(&mut body).await.unwrap();
        assert!(rest.is_empty());
        assert_eq!(trailers.unwrap()["grpc-status"], "0");
    });
    assert_eq!(haechi.metric("haechi_server_connects_total", &[]), Some(1.0));
}

#[test]
fn http_1_clients_use_it_too_and_share_a_connection() {
    let (haechi, http) = before(h2::listen(echo), "");
    for _ in 0..5 {
        let response = crate::harness::client::send(http, &Request::post("/a", vec![7; 300_000])).unwrap();
        assert_eq!((response.status, response.body.len()), (200, 300_000));
        assert!(response.trailers.iter().any(|(name, value)| name == "grpc-status" && value == "0"), "{response:?}");
    }
    let connects = haechi.metric("haechi_server_connects_total", &[]).unwrap();
    assert!(connects <= 2.0, "one for each thread at most: {connects}");
    let mut client = Client::connect(http).unwrap();
    assert_eq!(client.get("/kept").body, b"");
    assert_eq!(client.send(&Request::new("HEAD", "/head")).unwrap().status, 200);
    assert_eq!(client.get("/again").status, 200);
}

#[test]
fn h2load_finds_no_fault() {
    let (haechi, http) = before(h2::listen(echo), "");
    for flags in [&["-n3000", "-c8", "-m40"][..], &["-n1000", "-c8", "--h1"]] {
        let url = format!("http://{http}/");
        let said = crate::harness::tools::run("h2load", flags.iter().copied().chain([url.as_str()]));
        assert!(said.out.contains(" 0 failed, 0 errored, 0 timeout"), "{}{}", said.out, said.err);
        assert!(said.out.contains(" 0 3xx, 0 4xx, 0 5xx"), "{}", said.out);
    }
    let connects = haechi.metric("haechi_server_connects_total", &[]).unwrap();
    assert!(connects <= 16.0, "320 streams at once need few connections: {connects}");
}

#[test]
fn a_goodbye_and_a_refused_stream_lose_nothing() {
    let seen = Arc::new(AtomicUsize::new(0));
    let theirs = Arc::clone(&seen);
    let origin = h2::listen(move |mut connection: Connection| {
        let seen = Arc::clone(&theirs);
        async move {
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                match seen.fetch_add(1, Ordering::SeqCst) % 3 {
                    // Not taken: it may come again, a POST too.
                    0 => respond.send_reset(::h2::Reason::REFUSED_STREAM),
                    _ => {
                        let _ = respond.send_response(http::Response::new(()), true);
                        connection.graceful_shutdown();
                    }
                }
            }
        }
    });
    let (haechi, http) = before(origin, "");
    for _ in 0..12 {
        let response = crate::harness::client::send(http, &Request::new("POST", "/")).unwrap();
        assert_eq!(response.status, 200);
    }
    assert!(haechi.metric("haechi_server_retries_total", &[]).unwrap() >= 4.0);
}

#[test]
fn a_post_that_was_taken_is_not_sent_again() {
    let seen = Arc::new(AtomicUsize::new(0));
    let theirs = Arc::clone(&seen);
    let origin = h2::listen(move |mut connection: Connection| {
        let seen = Arc::clone(&theirs);
        async move {
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                seen.fetch_add(1, Ordering::SeqCst);
                respond.send_reset(::h2::Reason::INTERNAL_ERROR);
            }
        }
    });
    let (_haechi, http) = before(origin, "");
    let response = crate::harness::client::send(http, &Request::new("POST", "/")).unwrap();
    assert_eq!((response.status, seen.load(Ordering::SeqCst)), (502, 1));
    let response = crate::harness::client::send(http, &Request::get("/")).unwrap();
    assert_eq!((response.status, seen.load(Ordering::SeqCst)), (502, 3), "a GET is tried once more");
}

#[test]
fn a_slow_reader_stops_its_own_stream_alone() {
    let written = Arc::new(AtomicUsize::new(0));
    let theirs = Arc::clone(&written);
    let origin = h2::listen(move |mut connection: Connection| {
        let written = Arc::clone(&theirs);
        async move {
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let Ok(mut out) = respond.send_response(http::Response::new(()), false) else { continue };
                let (endless, written) = (request.uri().path() == "/endless", Arc::clone(&written));
                tokio::task::spawn_local(async move {
                    while endless && h2::send(&mut out, &[7; 16_384], false).await.is_ok() {
                        written.fetch_add(16_384, Ordering::SeqCst);
                    }
                    let _ = h2::send(&mut out, b"quick", true).await;
                });
            }
        }
    });
    let (_haechi, http) = before(origin, "timeouts = { idle = \"1s\" }");
    h2::run(async {
        let mut client = h2::connect(http).await;
        let (response, _) = client.send_request(h2::request("GET", "/endless", &[]), true).unwrap();
        let held = response.await.unwrap();
        // It stands still where nothing more is taken while fifty others are served.
        let (mut taken, mut served) = (0, 0);
        while taken == 0 || served < 50 {
            let (response, _) = client.send_request(h2::request("GET", "/quick", &[]), true).unwrap();
            assert_eq!(h2::read(response.await.unwrap().body_mut()).await.unwrap().0, b"quick");
            let now = written.load(Ordering::SeqCst);
            served = if now == taken { served + 1 } else { 0 };
            taken = now;
            assert!(taken < 4 << 20, "{taken} bytes were taken for a client that takes none");
        }
        drop(held);
    });
}

#[test]
fn checks_ask_in_the_same_protocol_and_rest_ends() {
    let open = Arc::new(AtomicUsize::new(0));
    let theirs = Arc::clone(&open);
    let origin = h2::listen(move |connection| {
        let open = Arc::clone(&theirs);
        async move {
            open.fetch_add(1, Ordering::SeqCst);
            echo(connection).await;
            open.fetch_sub(1, Ordering::SeqCst);
        }
    });
    let (haechi, http) =
        before(origin, "timeouts = { idle = \"1s\" }\nhealth = { http = \"/up\", interval = \"200ms\" }");
    haechi.becomes("was", &origin.to_string(), "up");
    assert_eq!(crate::harness::get(http, "/").status, 200);
    eventually("the connection is closed after its rest", || (open.load(Ordering::SeqCst) == 0).then_some(()));
    assert_eq!(crate::harness::get(http, "/").status, 200);
}

#[test]
fn over_tls_it_is_agreed_on() {
    let authority = Authority::new("servers");
    let text = "[listener.front]\nbind = [\"@front\"]\n[listener.secure]\nbind = [\"@secure\"]\n[listener.secure.tls]\ndirectory = \"certs\"\n\
                [listener.old]\nbind = [\"@old\"]\nprotocols = [\"http/1.1\"]\n[listener.old.tls]\ndirectory = \"certs\"\n\
                [[site]]\nhosts = [\"*\"]\nlisteners = [\"front\"]\n[[site.route]]\npath = \"/\"\nproxy = { upstream = \"new\" }\n\
                [[site.route]]\npath = \"/old\"\nproxy = { upstream = \"old\" }\n\
                [[site]]\nhosts = [\"*\"]\nlisteners = [\"secure\", \"old\"]\n[[site.route]]\npath = \"/\"\nrespond = { body = \"hello\" }\n\
                [upstream.new]\nservers = [\"@secure\"]\nprotocol = \"h2\"\ntls = { ca = \"ca.pem\", server_name = \"a.example\" }\n\
                [upstream.old]\nservers = [\"@old\"]\nprotocol = \"h2\"\ntls = { ca = \"ca.pem\", server_name = \"a.example\" }\n";
    let plan = Haechi::plan(text).file("ca.pem", &authority.pem);
    authority.write(&plan.dir().join("certs"), "a", &["a.example"]);
    let haechi = plan.start();
    assert_eq!(crate::harness::get(haechi.at("front"), "/").body, b"hello");
    assert_eq!(haechi.metric("haechi_http2_streams_total", &[("listener", "secure")]), Some(1.0));
    assert_eq!(crate::harness::get(haechi.at("front"), "/old").status, 502, "RFC 9113 §3.2");
}
