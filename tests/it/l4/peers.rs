//! PROXY headers of nginx and HAProxy, as they send them and as they read them.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};

use crate::harness::client::{Request, send};
use crate::harness::haechi::client_address;
use crate::harness::ports::free_port;
use crate::harness::programs::Program;
use crate::harness::{Haechi, Origin, Wire, answer, eventually};

/// Listeners of both modes that take PROXY headers of anybody here but the clients.
const TAKES: &str = r#"
[listener.db]
bind = ["@db"]
mode = "tcp"
upstream = "app"
proxy_protocol = true
trusted_proxies = ["127.0.0.1/32"]

[listener.http]
bind = ["@http"]
proxy_protocol = true
trusted_proxies = ["127.0.0.1/32"]

[[site]]
hosts = ["*"]
route = [{ path = "/", proxy = { upstream = "app" } }]

[upstream.app]
servers = ["@app"]
"#;

/// Sends a request as this client: its port, and what was answered.
fn ask(client: IpAddr, address: SocketAddr) -> (u16, String) {
    let mut wire = Wire::connect_from(client, address).unwrap();
    let port = wire.stream().local_addr().unwrap().port();
    wire.send("GET /told HTTP/1.1\r\nHost: test.example\r\nConnection: close\r\n\r\n").unwrap();
    (port, wire.read_response("GET").unwrap().text())
}

/// What of an access log's line tells who the client was.
fn client_in(haechi: &Haechi, listener: &str, port: u16) -> String {
    let line = eventually(&format!("a line of {listener} for port {port}"), || {
        haechi.access_log().into_iter().find(|line| line["listener"] == listener && line["client_port"] == port)
    });
    line["client"].as_str().unwrap().to_owned()
}

/// Sends through each pair of ways, to the tcp listener and to that of HTTP, as a client of its own.
fn sends_through(haechi: &Haechi, ways: &[[SocketAddr; 2]]) {
    let mut last = 20;
    for [to_tcp, to_http] in ways {
        last += 1;
        let client = client_address(last);
        let (port, forwarded) = ask(client, *to_tcp);
        assert_eq!((client_in(haechi, "db", port), &*forwarded), (client.to_string(), "none"));
        let (port, forwarded) = ask(client, *to_http);
        assert_eq!((client_in(haechi, "http", port), forwarded), (client.to_string(), client.to_string()));
    }
    // Nobody else is a proxy. It may be reset before its connection is even told to the client.
    let stranger = Wire::connect_from(client_address(20), haechi.at("http"));
    assert!(stranger.map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |mut wire| wire.is_closed()));
}

/// haechi that takes headers, before an origin that says which client it was told of.
fn takes() -> (Haechi, Origin) {
    let origin = Origin::start(|arrival, wire| {
        let told = arrival.head.field("x-forwarded-for").unwrap_or("none").to_owned();
        wire.send(answer(200, told)).map_or(crate::harness::Next::Close, |()| crate::harness::Next::Keep)
    });
    (Haechi::plan(TAKES).with("app", origin.address).start(), origin)
}

#[test]
fn clients_behind_nginx_are_known() {
    let (haechi, _origin) = takes();
    let ways = [free_port(), free_port()];
    let servers = ways.iter().zip(["db", "http"]).map(|(port, listener)| {
        format!("server {{ listen {port}; proxy_protocol on; proxy_pass {}; }}\n", haechi.at(listener))
    });
    let stream = format!("stream {{\n{}}}\n", servers.collect::<String>());
    let Some(_nginx) = Program::nginx(&stream, &ways) else { return };
    sends_through(&haechi, &[ways]);
}

#[test]
fn clients_behind_haproxy_are_known() {
    let (haechi, _origin) = takes();
    let ways = [[free_port(), free_port()], [free_port(), free_port()]];
    let mut text = String::new();
    for (pair, version) in ways.iter().zip(["send-proxy", "send-proxy-v2"]) {
        for (port, listener) in pair.iter().zip(["db", "http"]) {
            text += &format!("listen {version}-{listener}\n mode tcp\n bind {port}\n");
            text += &format!(" server haechi {} {version}\n", haechi.at(listener));
        }
    }
    let Some(_haproxy) = Program::haproxy(&text, &ways.concat()) else { return };
    sends_through(&haechi, &ways);
}

/// Listeners of both modes before a server that is sent headers of this version, its check's too.
const SENDS: &str = r#"
[listener.db]
bind = ["@db"]
mode = "tcp"
upstream = "app"

[listener.http]
bind = ["@http"]

[[site]]
hosts = ["*"]
route = [{ path = "/", proxy = { upstream = "app" } }]

[upstream.app]
servers = [{ address = "@app", name = "app" }]
send_proxy_protocol = "VERSION"
health = { http = "/", interval = "100ms" }
"#;

/// A server that answers with the address and port that it was told, and never without a header.
fn is_told(server: SocketAddr) {
    let plain = send(server, &Request::get("/"));
    assert!(plain.is_err() || plain.unwrap().status == 400, "a header is required");
    for (version, last) in [("v1", 31), ("v2", 32)] {
        let haechi = Haechi::plan(&SENDS.replace("VERSION", version)).with("app", server).start();
        haechi.becomes("app", "app", "up");
        let client = client_address(last);
        for listener in ["db", "http"] {
            let (port, told) = ask(client, haechi.at(listener));
            assert_eq!(told, format!("{client} {port}"), "{version}, {listener}");
        }
        assert_eq!(haechi.metric("haechi_server_check_failures_total", &[]), Some(0.0));
    }
}

#[test]
fn nginx_is_told_who_the_client_is() {
    let server = free_port();
    let http = format!(
        "http {{ server {{ listen {server} proxy_protocol; \
         location / {{ return 200 \"$proxy_protocol_addr $proxy_protocol_port\"; }} }} }}\n"
    );
    let Some(_nginx) = Program::nginx(&http, &[server]) else { return };
    is_told(server);
}

#[test]
fn haproxy_is_told_who_the_client_is() {
    let server = free_port();
    let text = format!(
        "frontend told\n mode http\n bind {server} accept-proxy\n \
         http-request return status 200 content-type text/plain lf-string \"%[src] %[src_port]\"\n"
    );
    let Some(_haproxy) = Program::haproxy(&text, &[server]) else { return };
    is_told(server);
}
