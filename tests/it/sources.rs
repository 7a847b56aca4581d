//! Who is let in, and how much one source may have: of connections, of flows and of requests.

use std::io::{ErrorKind, Read};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::datagrams::{Echo, Talker};
use crate::harness::haechi::{PROXY, client_address};
use crate::harness::{Client, Haechi, Origin, Request, Wire, eventually};

/// haechi before an origin, its plain listener with these lines more.
fn with(lines: &str) -> (Haechi, Origin, SocketAddr) {
    let origin = Origin::named("origin");
    let text = PROXY.replace("bind = [\"@http\"]", &format!("bind = [\"@http\"]\n{lines}"));
    let haechi = Haechi::plan(&text).with("origin", origin.address).start();
    let at = haechi.at("http");
    (haechi, origin, at)
}

fn get_from(source: u8, at: SocketAddr) -> std::io::Result<u16> {
    Client::connect_from(client_address(source), at)?.send(&Request::get("/")).map(|response| response.status)
}

fn refused(haechi: &Haechi, reason: &str) -> Option<f64> {
    haechi.metric("haechi_sources_refused_total", &[("reason", reason)])
}

#[test]
fn who_is_not_allowed_is_reset_before_anything_is_read() {
    let (haechi, origin, at) = with("access = { allow = [\"127.0.0.0/8\"], deny = [\"127.0.0.8/30\"] }");
    assert_eq!(get_from(1, at).unwrap(), 200);
    for source in [9, 11] {
        // The reset may come before the connection is known to be made.
        let ended = Wire::connect_from(client_address(source), at).and_then(|wire| {
            wire.stream().set_read_timeout(Some(Duration::from_secs(5)))?;
            wire.stream().read(&mut [0; 64])
        });
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
    assert_eq!(get_from(12, at).unwrap(), 200, "the network ends there");
    assert_eq!(refused(&haechi, "access"), Some(2.0));
    assert_eq!(origin.arrivals().len(), 2);
    eventually("a line", || haechi.stderr().contains("connection refused: the address is not allowed").then_some(()));
}

#[test]
fn what_is_allowed_may_change_and_holds_for_kept_connections_too() {
    let (mut haechi, origin, at) = with("");
    let mut kept = Client::connect_from(client_address(5), at).unwrap();
    assert_eq!(kept.get("/").status, 200);
    let text = PROXY.replace("bind = [\"@http\"]", "bind = [\"@http\"]\naccess = { deny = [\"127.0.0.5\"] }");
    haechi.edit(&text.replace("@origin", &origin.address.to_string()));
    assert_eq!(kept.get("/").status, 403);
    assert!(get_from(5, at).is_err());
    assert_eq!(get_from(6, at).unwrap(), 200);
}

#[test]
fn one_source_with_a_thousand_connections_is_bounded_while_others_are_served() {
    let (haechi, _origin, at) = with("limits = { source_connections = 10 }");
    let source = client_address(7);
    let mut taken: Vec<Wire> = Vec::new();
    for _ in 0..1000 {
        // A reset may come before the connection is made.
        if let Ok(wire) = Wire::connect_from(source, at) {
            taken.push(wire);
        }
    }
    eventually("all but ten are refused", || (refused(&haechi, "source_connections") == Some(990.0)).then_some(()));
    assert_eq!(get_from(1, at).unwrap(), 200, "another one is served");
    let mut open: Vec<Wire> = taken
        .into_iter()
        .filter_map(|mut wire| {
            wire.stream().set_nonblocking(true).unwrap();
            let error = wire.stream().read(&mut [0; 1]).err();
            wire.stream().set_nonblocking(false).unwrap();
            error.is_some_and(|error| error.kind() == ErrorKind::WouldBlock).then(|| {
                wire.patience(Duration::from_secs(5));
                wire
            })
        })
        .collect();
    assert_eq!(open.len(), 10);
    for wire in &mut open {
        wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!(wire.read_response("GET").unwrap().status, 200);
    }
    // Whoever ends one may have another one.
    drop(open.pop());
    eventually("a place again", || get_from(7, at).ok().filter(|status| *status == 200));
    assert_eq!(haechi.status()["listeners"][0]["sources"]["known"].as_u64(), Some(2));
}

#[test]
fn one_source_opens_so_many_a_second() {
    let (haechi, _origin, at) = with("limits = { source_connection_rate = { rate = \"1/h\", burst = 3 } }");
    let served = (0..8).filter(|_| get_from(8, at).is_ok()).count();
    assert_eq!(served, 3);
    assert_eq!(refused(&haechi, "source_connection_rate"), Some(5.0));
    assert_eq!(get_from(9, at).unwrap(), 200);
}

#[test]
fn too_many_requests_of_one_source_are_429_and_say_when_to_come_back() {
    let (haechi, origin, at) = with("limits = { source_request_rate = { rate = \"60/m\", burst = 5 } }");
    let mut client = Client::connect_from(client_address(7), at).unwrap();
    let started = Instant::now();
    let answers: Vec<_> = (0..8).map(|_| client.get("/")).collect();
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(&statuses[..5], [200; 5]);
    if started.elapsed() < Duration::from_secs(1) {
        assert_eq!(&statuses[5..], [429; 3]);
        assert_eq!(answers[7].field("Retry-After"), Some("1"));
        assert_eq!(refused(&haechi, "source_request_rate"), Some(3.0));
        assert_eq!(origin.arrivals().len(), 5);
    }
    assert_eq!(get_from(8, at).unwrap(), 200, "another source has its own");
    eventually("it may again", || (client.get("/").status == 200).then_some(()));
}

#[test]
fn behind_a_trusted_proxy_its_clients_are_judged_and_not_the_proxy() {
    let (haechi, _origin, at) = with(
        "trusted_proxies = [\"127.0.0.1\"]\n\
         access = { deny = [\"198.51.100.0/24\", \"127.0.0.1\"] }\n\
         limits = { source_connections = 1, source_request_rate = { rate = \"1/h\", burst = 2 } }",
    );
    let ask = |client: &str| {
        let mut connection = Client::connect(at).unwrap();
        let status = connection.send(&Request::get("/").with("X-Forwarded-For", client)).unwrap().status;
        (status, connection)
    };
    let kept: Vec<_> = ["203.0.113.1", "203.0.113.1", "203.0.113.1", "203.0.113.2", "198.51.100.7"].map(ask).into();
    assert_eq!(kept.iter().map(|(status, _)| *status).collect::<Vec<_>>(), [200, 200, 429, 200, 403]);
    assert_eq!(Client::connect(at).unwrap().get("/").status, 403, "the proxy itself is not allowed to ask");
    assert_eq!(refused(&haechi, "source_connections"), Some(0.0));
}

/// An echo of connections, `@echo`, behind a tcp listener with these lines more.
fn passed_on(lines: &str) -> (Haechi, SocketAddr) {
    let echo = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = echo.local_addr().unwrap();
    // It ends with the test's process.
    thread::spawn(move || {
        for stream in echo.incoming().flatten() {
            thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
        }
    });
    let text = format!(
        "[listener.tcp]\nbind = [\"@tcp\"]\nmode = \"tcp\"\nupstream = \"echo\"\n{lines}\n\
         [upstream.echo]\nservers = [\"@echo\"]\n"
    );
    let haechi = Haechi::plan(&text).with("echo", address).start();
    let at = haechi.at("tcp");
    (haechi, at)
}

/// Whether what is said comes back; `first` is said before.
fn echoes(wire: &mut Wire, first: &str) -> bool {
    wire.patience(Duration::from_secs(5));
    wire.send(format!("{first}hello")).is_ok() && wire.read_exact(5).is_ok_and(|echo| echo == b"hello")
}

#[test]
fn sources_of_connections_that_are_passed_on_are_judged_at_accept() {
    let (haechi, at) = passed_on("access = { deny = [\"127.0.0.9\"] }\nlimits = { source_connections = 2 }");
    let connect = |source: u8| Wire::connect_from(client_address(source), at);
    let mut two = [connect(1).unwrap(), connect(1).unwrap()];
    assert!(two.iter_mut().all(|wire| echoes(wire, "")));
    assert!(!connect(1).is_ok_and(|mut wire| echoes(&mut wire, "")), "the third");
    assert!(!connect(9).is_ok_and(|mut wire| echoes(&mut wire, "")), "denied");
    assert!(echoes(&mut connect(2).unwrap(), ""));
    assert_eq!((refused(&haechi, "access"), refused(&haechi, "source_connections")), (Some(1.0), Some(1.0)));
    // A session that is over has given its seat back.
    drop(two);
    eventually("a seat again", || connect(1).is_ok_and(|mut wire| echoes(&mut wire, "")).then_some(()));
}

#[test]
fn whom_a_proxy_introduces_is_judged_by_its_own_address() {
    let (haechi, at) = passed_on(
        "proxy_protocol = true\ntrusted_proxies = [\"127.0.0.1\"]\n\
         access = { allow = [\"203.0.113.0/24\"] }\nlimits = { source_connections = 2 }",
    );
    let header = |client: &str| format!("PROXY TCP4 {client} 192.0.2.1 4000 443\r\n");
    let mut kept = Vec::new();
    let mut ask = |client: &str| {
        let mut wire = Wire::connect(at).unwrap();
        let is_served = echoes(&mut wire, &header(client));
        kept.push(wire);
        is_served
    };
    let clients = ["203.0.113.1", "203.0.113.1", "203.0.113.1", "203.0.113.2", "198.51.100.1"];
    assert_eq!(clients.map(&mut ask), [true, true, false, true, false]);
    assert_eq!((refused(&haechi, "access"), refused(&haechi, "source_connections")), (Some(1.0), Some(1.0)));
    // The proxy's own look, whether we live, is for nobody.
    let mut own = Wire::connect(at).unwrap();
    assert!(echoes(&mut own, "PROXY UNKNOWN\r\n"));
}

#[test]
fn a_route_may_be_for_some_alone() {
    let origin = Origin::named("origin");
    let text = PROXY.replace(
        "[[site.route]]",
        "[[site.route]]\npath = \"/admin/\"\nrespond = { body = \"in\" }\naccess = { allow = [\"127.0.0.1\"] }\n\n[[site.route]]",
    );
    let haechi = Haechi::plan(&text).with("origin", origin.address).start();
    let at = haechi.at("http");
    let status = |source: u8, path: &str| Client::connect_from(client_address(source), at).unwrap().get(path).status;
    assert_eq!([status(1, "/admin/"), status(2, "/admin/"), status(2, "/")], [200, 403, 200]);
}

#[test]
fn datagrams_of_who_is_not_allowed_and_of_who_has_enough_flows_go_nowhere() {
    let echo = Echo::start("127.0.0.1", "echo");
    let text = "[listener.log]\nbind = [\"@log\"]\nmode = \"udp\"\nupstream = \"log\"\n\
                access = { deny = [\"127.0.0.66\"] }\nlimits = { source_connections = 2 }\n\
                [upstream.log]\nservers = [\"@echo\"]\n";
    let mut haechi = Haechi::plan(text).with("echo", echo.address).start();
    let at = haechi.at("log");
    let talker = |source: &str| Talker::from(source).patience(Duration::from_millis(100));
    assert_eq!(talker("127.0.0.66").ask(at, "denied"), None);
    let two = [talker("127.0.0.1"), talker("127.0.0.1")];
    for talker in &two {
        talker.reaches(at, "echo");
    }
    assert_eq!(talker("127.0.0.1").ask(at, "one too many"), None);
    talker("127.0.0.2").reaches(at, "echo");
    assert_eq!((refused(&haechi, "access"), refused(&haechi, "source_connections")), (Some(1.0), Some(1.0)));
    assert_eq!(haechi.metric("haechi_udp_dropped_datagrams_total", &[("reason", "unwelcome")]), Some(2.0));
    assert!(echo.arrivals().iter().all(|(_, text)| text != b"denied" && text != b"one too many"));
    // Whoever sends without a pause is stopped by an edit.
    haechi.edit(&text.replace("127.0.0.66", "127.0.0.1"));
    assert_eq!(two[0].ask(at, "stopped"), None);
    talker("127.0.0.2").reaches(at, "echo");
    let ended = haechi.metric("haechi_udp_flows_ended_total", &[("reason", "denied")]);
    assert_eq!(ended, Some(1.0));
}

#[test]
fn many_sources_are_remembered_up_to_a_bound() {
    let (haechi, _origin, at) = with("limits = { source_connections = 5, sources = 64 }");
    for last in 1..=250 {
        let source: IpAddr = [127, 0, 1, last].into();
        assert_eq!(Client::connect_from(source, at).unwrap().get("/").status, 200);
    }
    let known = haechi.metric("haechi_sources_known", &[]).unwrap();
    assert!((32.0..=64.0).contains(&known), "{known}");
}
