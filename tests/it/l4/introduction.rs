//! PROXY headers, taken and sent.

use std::io::{Read, Write};
use std::net::SocketAddr;

use super::{accept, before, connect, connect_from, ended, is_reset, passes, server};
use crate::harness::haechi::client_address;
use crate::harness::{Haechi, eventually};

/// A listener that takes PROXY headers, `@db`, and sends them on as VERSION.
const CHAIN: &str = r#"
[listener.first]
bind = ["@first"]
mode = "tcp"
upstream = "second"

[upstream.second]
servers = ["@db"]
send_proxy_protocol = "VERSION"

[listener.db]
bind = ["@db"]
mode = "tcp"
upstream = "db"
proxy_protocol = true
trusted_proxies = ["127.0.0.1/32"]
timeouts = { handshake = "500ms" }

[upstream.db]
servers = ["@server"]
send_proxy_protocol = "v1"
"#;

/// The line that a version 1 header is.
fn line(stream: &mut impl Read) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap()
}

#[test]
fn a_client_is_known_behind_two_proxies() {
    for version in ["v1", "v2"] {
        let server = server();
        let haechi =
            Haechi::plan(&CHAIN.replace("VERSION", version)).with("server", server.local_addr().unwrap()).start();
        let mut client = connect_from(client_address(7), haechi.at("first"));
        client.write_all(b"behind it").unwrap();
        let mut far = accept(&server);
        let (from, to) = (client.local_addr().unwrap(), haechi.at("first"));
        let expected = format!("PROXY TCP4 127.0.0.7 127.0.0.1 {} {}\r\n", from.port(), to.port());
        assert_eq!(line(&mut far), expected);
        let mut got = [0; 9];
        far.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"behind it");
        drop((client, far));
        ended(&haechi, "ended", 1);
        let of_db = eventually("a line of the second listener", || {
            haechi.access_log().into_iter().find(|line| line["listener"] == "db")
        });
        assert_eq!((&of_db["client"], &of_db["client_port"]), (&"127.0.0.7".into(), &from.port().into()));
    }
}

#[test]
fn a_header_is_refused_by_what_is_wrong_with_it() {
    let server = server();
    let haechi = Haechi::plan(&CHAIN.replace("VERSION", "v1")).with("server", server.local_addr().unwrap()).start();
    let refused = |reason: &str| {
        eventually(&format!("one is refused for {reason}"), || {
            let labels = [("listener", "db"), ("reason", reason)];
            (haechi.metric("haechi_proxy_header_failures_total", &labels) == Some(1.0)).then_some(())
        });
    };
    let db: SocketAddr = haechi.at("db");
    let mut stranger = connect_from(client_address(9), db);
    is_reset(&mut stranger);
    refused("untrusted");
    let mut plain = connect(db);
    plain.write_all(b"SELECT 1").unwrap();
    is_reset(&mut plain);
    refused("missing");
    // One that never ends, and one that leaves.
    let mut slow = connect(db);
    slow.write_all(b"PROXY TCP4 1").unwrap();
    is_reset(&mut slow);
    refused("timeout");
    let mut gone = connect(db);
    gone.write_all(b"PROXY").unwrap();
    drop(gone);
    refused("client_closed");
    // Byte by byte it is as good as at once.
    let mut pieces = connect(db);
    for byte in b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" {
        pieces.write_all(&[*byte]).unwrap();
    }
    let mut far = accept(&server);
    assert_eq!(line(&mut far), "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n");
    passes(&mut pieces, &mut far, b"and on");
}

#[test]
fn a_check_begins_with_a_header_too_that_tells_of_no_client() {
    for (version, header) in [("v1", &b"PROXY UNKNOWN\r\n"[..]), ("v2", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0")] {
        let server = server();
        let more = format!("send_proxy_protocol = \"{version}\"\nhealth = {{ tcp = true, interval = \"100ms\" }}");
        let haechi = before(&server, &more).start();
        let mut got = Vec::new();
        accept(&server).read_to_end(&mut got).unwrap();
        assert_eq!(got, header);
        haechi.becomes("db", &server.local_addr().unwrap().to_string(), "up");
    }
}

/// HTTP behind a tcp listener, with PROXY headers on each way.
const WEB: &str = r#"
[listener.first]
bind = ["@first"]
mode = "tcp"
upstream = "web"

[upstream.web]
servers = ["@http"]
send_proxy_protocol = "v2"

[listener.http]
bind = ["@http"]
proxy_protocol = true
trusted_proxies = ["127.0.0.1/32"]

[[site]]
hosts = ["*"]
route = [{ path = "/", proxy = { upstream = "app" } }]

[upstream.app]
servers = ["@app"]
send_proxy_protocol = "v1"
"#;

#[test]
fn http_knows_the_client_and_tells_it_on_a_connection_of_its_own() {
    let origin = server();
    let haechi = Haechi::plan(WEB).with("app", origin.local_addr().unwrap()).start();
    let mut connections = Vec::new();
    for last in [5, 6] {
        let mut client = connect_from(client_address(last), haechi.at("first"));
        for _ in 0..2 {
            client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            let mut far = accept(&origin);
            let told = line(&mut far);
            assert!(told.starts_with(&format!("PROXY TCP4 127.0.0.{last} 127.0.0.1 ")), "{told}");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                far.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap();
            assert!(head.contains(&format!("X-Forwarded-For: 127.0.0.{last}\r\n")), "{head}");
            far.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\nok") {
                let mut byte = [0];
                client.read_exact(&mut byte).unwrap();
                answer.push(byte[0]);
            }
            connections.push(far);
        }
    }
    assert_eq!(connections.len(), 4);
}
