//! The origins as a client meets them, over real sockets.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::*;

struct Demo {
    nodes: Vec<SocketAddr>,
    switch: SocketAddr,
}

impl Demo {
    fn start() -> Self {
        let mut nodes = start_origins([local(0); 3], local(0)).unwrap();
        let switch = nodes.pop().unwrap();
        Self { nodes, switch }
    }

    fn switch(&self, path: &str) -> String {
        get(self.switch, path, "").unwrap()
    }
}

/// The whole answer to a GET on a connection of its own.
fn get(address: SocketAddr, path: &str, headers: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n{headers}\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn json(answer: &str) -> serde_json::Value {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

fn cookie(answer: &str) -> Option<&str> {
    answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).map(|cookie| cookie.split(';').next().unwrap())
}

#[test]
fn a_session_begins_once_and_counts_on_its_node_alone() {
    let demo = Demo::start();
    let first = get(demo.nodes[0], "/app/", "").unwrap();
    assert_eq!(json(&first)["node"], "node1");
    assert!(first.contains("; Path=/app; HttpOnly"), "{first}");
    let cookie = cookie(&first).unwrap();
    assert!(cookie.ends_with(".node1"), "{cookie}");

    let again = get(demo.nodes[0], "/app/", &format!("Cookie: a=b; {cookie}\r\n")).unwrap();
    assert_eq!(json(&again)["visits"], 2);
    assert_eq!(self::cookie(&again), None);

    let elsewhere = get(demo.nodes[1], "/app/", &format!("Cookie: {cookie}\r\n")).unwrap();
    assert_eq!(json(&elsewhere)["visits"], 1);
    assert!(self::cookie(&elsewhere).unwrap().ends_with(".node2"));
}

#[test]
fn a_browser_gets_a_page_with_everything_received_made_harmless() {
    let demo = Demo::start();
    let page = get(demo.nodes[2], "/app", "Accept: text/html\r\nX-Note: <script>\r\n").unwrap();
    assert!(page.contains("content-type: text/html"), "{page}");
    assert!(page.contains("<th>x-note</th><td>&lt;script&gt;</td>"), "{page}");
}

#[test]
fn health_slow_and_big_do_as_they_say() {
    let demo = Demo::start();
    assert!(get(demo.nodes[0], "/health", "").unwrap().starts_with("HTTP/1.1 200 "));
    let before = std::time::Instant::now();
    assert!(get(demo.nodes[0], "/app/slow?ms=50", "").unwrap().ends_with("after 50 ms\n"));
    assert!(before.elapsed() >= Duration::from_millis(50));
    let big = get(demo.nodes[0], "/app/big?bytes=200000", "").unwrap();
    assert!(big.contains("content-length: 200000\r\n"));
    assert_eq!(big.split_once("\r\n\r\n").unwrap().1.len(), 200_000);
}

#[test]
fn a_node_is_stopped_with_its_connections_and_started_without_its_sessions() {
    let demo = Demo::start();
    let first = get(demo.nodes[0], "/app", "").unwrap();
    let mut open = TcpStream::connect(demo.nodes[0]).unwrap();
    open.write_all(b"GET /health HTTP/1.1\r\nHost: demo\r\n\r\n").unwrap();
    assert_eq!(open.read(&mut [0]).unwrap(), 1);

    assert!(demo.switch("/stop/1").ends_with("\r\n\r\nnode1 stopped\nnode2 running\nnode3 running\n"));
    get(demo.nodes[0], "/health", "").unwrap_err();
    assert!(open.read_to_end(&mut Vec::new()).is_ok_and(|n| n > 0), "the rest of the answer, then the end");
    assert!(demo.switch("/stop/1").contains("node1 stopped"), "stopped twice is stopped");

    assert!(demo.switch("/start/1").contains("node1 running"));
    let again = get(demo.nodes[0], "/app", &format!("Cookie: {}\r\n", cookie(&first).unwrap())).unwrap();
    assert_eq!(json(&again)["new_session"], true);
}

#[test]
fn the_switch_knows_three_nodes() {
    let demo = Demo::start();
    assert!(demo.switch("/").contains("node1 running\nnode2 running\nnode3 running\n"));
    for wrong in ["/stop/4", "/stop/", "/stop", "/halt/1", "/stop/x"] {
        assert!(demo.switch(wrong).starts_with("HTTP/1.1 404 "), "{wrong}");
    }
}

#[test]
fn a_taken_port_is_named() {
    let demo = Demo::start();
    let fault = start_origins([demo.nodes[0]; 3], local(0)).unwrap_err();
    assert_eq!(fault.to_string(), format!("{} cannot be listened on", demo.nodes[0]));
}

#[test]
fn a_config_that_is_not_there_is_named_with_a_way_out() {
    let fault = prepare(Path::new("no/such.toml")).unwrap_err();
    assert!(fault.to_string().starts_with("no/such.toml cannot be read; start the demo in the root"), "{fault}");
}
