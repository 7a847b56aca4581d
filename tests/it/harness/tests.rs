//! The harness against itself, without the binary: a fault of a test's peer must not look like one of haechi.

use super::load::Load;
use super::page::Page;
use super::ports::free_port;
use super::websocket::{self, Socket};
use super::{Client, Next, Origin, Request, Wire, answer, get};
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::time::Duration;

#[test]
fn client_and_origin_understand_each_other() {
    let origin = Origin::start(|arrival, wire| match arrival.target.as_str() {
        "/socket" => websocket::serve(arrival, wire),
        "/chunked" => {
            let _ = wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n");
            Next::Keep
        }
        "/cut" => {
            let _ = wire.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
            Next::Close
        }
        _ => wire.send(answer(200, &arrival.body)).map_or(Next::Close, |()| Next::Keep),
    });
    let mut client = Client::connect(origin.address).unwrap();
    assert_eq!(client.send(&Request::post("/a", "body")).unwrap().text(), "body");
    let chunked = client.get("/chunked");
    assert_eq!((chunked.text().as_str(), chunked.trailers.len()), ("ok", 1));
    assert!(client.send(&Request::get("/cut")).is_err());
    assert_eq!(origin.arrival("/a").body, b"body");
    assert_eq!((origin.arrival("/cut").turn, origin.connections()), (3, 1));
    assert_eq!(Socket::connect(origin.address, "/socket").echo("hello").unwrap(), "hello");
    origin.stop();
    assert!(Wire::connect(origin.address).is_err());
    let again = Origin::named_at(origin.address, "again");
    assert_eq!(get(again.address, "/").text(), "again");
}

#[test]
fn a_load_reports_what_fails() {
    let origin = Origin::named("ok");
    let here = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));
    let load = Load::new().keep_alive(here, origin.address, "/", Duration::from_millis(1)).fresh(
        here,
        origin.address,
        "/",
        Duration::from_millis(1),
    );
    load.more(20);
    origin.stop();
    super::pace(Duration::from_millis(50));
    let (answered, faults) = load.end();
    assert!(answered >= 20 && faults.len() >= 2, "{answered} {faults:?}");
}

#[test]
fn ports_differ_and_are_free() {
    let ports: HashSet<u16> = (0..20).map(|_| free_port().port()).collect();
    assert_eq!(ports.len(), 20);
    for port in ports {
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    }
}

#[test]
fn samples_are_summed_by_name_and_labels() {
    let page = Page("# HELP a b\na_total{x=\"1\",y=\"2\"} 3\na_total{x=\"2\"} 4\na_total_more 9\nb 1.5\n".to_owned());
    assert_eq!(page.sum("a_total", &[]), Some(7.0));
    assert_eq!(page.sum("a_total", &[("x", "1")]), Some(3.0));
    assert_eq!(page.sum("a_total", &[("x", "3")]), None);
    assert_eq!(page.sum("b", &[]), Some(1.5));
}
