//! Connections passed on byte by byte, with real sockets on both sides.

mod crowd;
mod failures;
mod introduction;
mod names;
mod peers;
mod relay;

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use crate::harness::eventually;
use crate::harness::haechi::Plan;
use crate::harness::{Haechi, within};

const SILENCE: Duration = Duration::from_secs(10);

/// A tcp listener, `@db`, before one server, `@server`; `more` are further keys of the upstream.
fn before(server: &TcpListener, more: &str) -> Plan {
    let text = format!(
        "[listener.db]\nbind = [\"@db\"]\nmode = \"tcp\"\nupstream = \"db\"\n\n\
         [upstream.db]\nservers = [\"@server\"]\n{more}\n"
    );
    Haechi::plan(&text).with("server", server.local_addr().unwrap())
}

/// A server that nobody has connected to yet.
fn server() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    stream.set_write_timeout(Some(SILENCE)).unwrap();
    stream
}

fn connect(address: SocketAddr) -> TcpStream {
    patient(TcpStream::connect(address).unwrap())
}

/// A client with an address of its own.
fn connect_from(client: IpAddr, address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(client, 0).into()).unwrap();
    socket.connect(&address.into()).unwrap();
    patient(socket.into())
}

/// The next connection to a server that says something: a check says nothing.
fn accept(server: &TcpListener) -> TcpStream {
    patient(server.accept().unwrap().0)
}

/// Both ends of a session through haechi, over which one byte has gone.
fn session(haechi: &Haechi, server: &TcpListener) -> (TcpStream, TcpStream) {
    let mut client = connect(haechi.at("db"));
    client.write_all(b"!").unwrap();
    loop {
        let mut far = accept(server);
        let mut byte = [0];
        // A check connects and leaves.
        if far.read_exact(&mut byte).is_ok() {
            return (client, far);
        }
    }
}

/// Breaks the connection off.
fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

/// Reads until the connection was broken off; an end in good order fails the test.
fn is_reset(stream: &mut TcpStream) {
    let error = stream.read_to_end(&mut Vec::new()).expect_err("a reset, and no end");
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
}

/// Sends a text and gets it at the other end.
fn passes(from: &mut TcpStream, to: &mut TcpStream, text: &[u8]) {
    from.write_all(text).unwrap();
    let mut got = vec![0; text.len()];
    to.read_exact(&mut got).unwrap();
    assert_eq!(got, text);
}

/// Waits until so many sessions have ended so.
fn ended(haechi: &Haechi, outcome: &str, count: u32) {
    eventually(&format!("{count} sessions with outcome {outcome}"), || {
        let ended = haechi.metric("haechi_sessions_total", &[("listener", "db"), ("outcome", outcome)]);
        (ended == Some(count.into())).then_some(())
    });
}

/// The access log's line of a session that ended so.
fn logged(haechi: &Haechi, error: Option<&str>) -> serde_json::Value {
    within(SILENCE, "a line of the session", || {
        let wanted = |line: &serde_json::Value| line["mode"] == "tcp" && line["error"].as_str() == error;
        haechi.access_log().into_iter().find(wanted)
    })
}
