//! Datagrams through the binary: real sockets, a real name server, a real syslog client.

use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::datagrams::{Echo, Talker};
use crate::harness::haechi::{PROXY, Signal};
use crate::harness::ports::free_port;
use crate::harness::tools::run;
use crate::harness::{Haechi, Origin, eventually, get, pace};

const ONE: &str = r#"
[listener.dns]
bind = ["@dns"]
mode = "udp"
upstream = "dns"

[upstream.dns]
servers = ["@one"]
"#;

const TWO: &str = r#"
[listener.dns]
bind = ["@dns"]
mode = "udp"
upstream = "dns"

[upstream.dns]
servers = [{ address = "@one", name = "one" }, { address = "@two", name = "two" }]
"#;

/// haechi before these servers, `@one` and `@two`.
fn before(text: &str, servers: &[&Echo]) -> (Haechi, SocketAddr) {
    let named = ["one", "two"].into_iter().zip(servers);
    let plan = named.fold(Haechi::plan(text), |plan, (name, server)| plan.with(name, server.address));
    let haechi = plan.start();
    let at = haechi.at("dns");
    (haechi, at)
}

/// The number of this metric becomes what is wanted.
fn comes_to(haechi: &Haechi, name: &str, labels: &[(&str, &str)], wanted: f64) {
    eventually(&format!("{name} {labels:?} is {wanted}"), || {
        (haechi.metric(name, labels) == Some(wanted)).then_some(())
    });
}

#[test]
fn datagrams_go_both_ways_over_both_families() {
    let (v4, v6) = (Echo::start("127.0.0.1", "four"), Echo::start("::1", "six"));
    let port = free_port().port();
    let text = format!(
        "{ONE}[listener.dns6]\nbind = [\"[::1]:{port}\"]\nmode = \"udp\"\nupstream = \"dns6\"\n\
         [upstream.dns6]\nservers = [\"@six\"]\n"
    );
    let haechi = Haechi::plan(&text).with("one", v4.address).with("six", v6.address).start();
    assert_eq!(Talker::from("127.0.0.1").ask(haechi.at("dns"), "hello").as_deref(), Some("four"));
    let at: SocketAddr = format!("[::1]:{port}").parse().unwrap();
    assert_eq!(Talker::from("::1").ask(at, "hello").as_deref(), Some("six"));
    // From one family to the other, and nothing in it at all, and as much as there can be.
    let client = Talker::from("127.0.0.1");
    for length in [0, 1, 1472, 1473, 60_000] {
        let text = "x".repeat(length);
        assert_eq!(client.ask(haechi.at("dns"), &text).as_deref(), Some("four"), "{length}");
    }
    let udp = |name: &str| haechi.metric(name, &[("listener", "dns")]);
    assert_eq!(udp("haechi_udp_flows_total"), Some(2.0));
    assert_eq!(udp("haechi_udp_received_datagrams_total"), Some(6.0));
    assert_eq!(udp("haechi_udp_sent_datagrams_total"), Some(6.0));
    assert_eq!(udp("haechi_client_received_bytes_total"), Some(62_951.0));
    let status = haechi.status();
    let dns = status["listeners"].as_array().unwrap().iter().find(|listener| listener["name"] == "dns").unwrap();
    assert_eq!((dns["mode"].as_str(), dns["flows"]["open"].as_u64()), (Some("udp"), Some(2)));
}

#[test]
fn an_answer_comes_from_the_address_that_was_asked() {
    let server = Echo::start("127.0.0.1", "one");
    let port = free_port().port();
    let text = ONE.replace("[\"@dns\"]", &format!("[\"0.0.0.0:{port}\", \"[::]:{port}\"]"));
    let haechi = Haechi::plan(&text).with("one", server.address).start();
    for (client, at) in
        [("127.0.0.1", "127.0.0.1"), ("127.0.0.1", "127.0.0.2"), ("127.0.0.9", "127.0.0.3"), ("::1", "::1")]
    {
        let asked = SocketAddr::new(at.parse().unwrap(), port);
        let client = Talker::from(client);
        client.tell(asked, at);
        assert_eq!(client.hear(), Some((format!("one:{at}"), asked)));
    }
    // One socket that asks two addresses has two flows, and each answers for itself.
    let client = Talker::from("127.0.0.1");
    let asked = ["127.0.0.4", "127.0.0.5"].map(|at| SocketAddr::new(at.parse().unwrap(), port));
    for at in asked {
        client.tell(at, &at.to_string());
    }
    let mut heard = [client.hear().unwrap(), client.hear().unwrap()];
    heard.sort();
    assert_eq!(heard, asked.map(|at| (format!("one:{at}"), at)));
    drop(haechi);
}

#[test]
fn a_flow_lasts_as_long_as_somebody_speaks() {
    let server = Echo::start("127.0.0.1", "one");
    let text = ONE.replace("upstream = \"dns\"", "upstream = \"dns\"\ntimeouts = { idle = \"600ms\" }");
    let (haechi, at) = before(&text, &[&server]);
    let client = Talker::from("127.0.0.1");
    for number in 0..6 {
        assert!(client.ask(at, &format!("steady {number}")).is_some());
        pace(Duration::from_millis(200));
    }
    let sources: Vec<_> = (0..6).map(|number| server.source_of(&format!("steady {number}")).unwrap()).collect();
    assert_eq!(sources, [sources[0]; 6], "one flow, one socket to its server");
    comes_to(&haechi, "haechi_udp_flows_ended_total", &[("reason", "idle")], 1.0);
    comes_to(&haechi, "haechi_udp_flows_open", &[], 0.0);
    assert!(client.ask(at, "later").is_some());
    assert_ne!(server.source_of("later"), Some(sources[0]));
    assert_eq!(haechi.metric("haechi_udp_flows_total", &[]), Some(2.0));
}

#[test]
fn there_are_as_many_flows_as_there_may_be_and_those_in_use_stay() {
    let server = Echo::start("127.0.0.1", "one");
    let text = ONE.replace("upstream = \"dns\"", "upstream = \"dns\"\nlimits = { flows = 4 }")
        + "\n[process]\nworkers = 1\nlag = \"1m\"\n";
    let (haechi, at) = before(&text, &[&server]);
    assert_eq!(haechi.metric("haechi_udp_flows_limit", &[]), Some(4.0));
    let clients: Vec<_> = (0..4).map(|_| Talker::from("127.0.0.1")).collect();
    let started = Instant::now();
    for client in &clients {
        assert!(client.ask(at, "in use").is_some());
    }
    let late = Talker::from("127.0.0.1").patience(Duration::from_millis(50));
    let crowded = (0..1000).take_while(|_| late.ask(at, "no room").is_none()).count();
    assert!(crowded > 0 || started.elapsed() > Duration::from_secs(1), "it found room while all were in use");
    // After a second of silence the one that was silent for longest makes room.
    late.reaches(at, "one");
    assert_eq!(haechi.metric("haechi_udp_flows_open", &[]), Some(4.0));
    assert!(haechi.metric("haechi_udp_flows_ended_total", &[("reason", "displaced")]) >= Some(1.0));
    assert_eq!(
        haechi.metric("haechi_udp_dropped_datagrams_total", &[("reason", "flows_full")]) >= Some(1.0),
        crowded > 0
    );
}

#[test]
fn a_server_that_refuses_loses_its_flows_to_another_one() {
    let (one, two) = (Echo::start("127.0.0.1", "one"), Echo::start("127.0.0.1", "two"));
    let (haechi, at) = before(TWO, &[&one, &two]);
    let clients: Vec<_> = (0..8).map(|_| Talker::from("127.0.0.1")).collect();
    let of_one = clients.iter().filter(|client| client.ask(at, "who").as_deref() == Some("one")).count();
    assert!((1..8).contains(&of_one), "{of_one} of 8 on one of two");
    drop(one);
    for client in &clients {
        client.reaches(at, "two");
    }
    // New ones do not even lose what the server refuses that is tried again.
    let ends = Instant::now() + Duration::from_millis(1500);
    while Instant::now() < ends {
        assert_eq!(Talker::from("127.0.0.1").ask(at, "new").as_deref(), Some("two"));
        pace(Duration::from_millis(20));
    }
    let moved = haechi.metric("haechi_udp_flows_moved_total", &[]);
    assert!(moved >= Some(1.0), "{moved:?}");
    assert!(haechi.metric("haechi_server_failures_total", &[("server", "one"), ("reason", "connect")]) >= Some(1.0));
    assert!(haechi.stderr().contains("server refuses datagrams"), "it is told");
}

#[test]
fn a_server_that_is_alone_is_asked_again_when_it_is_back() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let one = Echo::at(socket, "one");
    let (haechi, at) = before(ONE, &[&one]);
    let client = Talker::from("127.0.0.1");
    assert!(client.ask(at, "before").is_some());
    drop(one);
    for number in 0..5 {
        assert_eq!(client.ask(at, &format!("meanwhile {number}")), None);
    }
    let _back = Echo::at(UdpSocket::bind(address).unwrap(), "one");
    client.reaches(at, "one");
    assert_eq!(haechi.metric("haechi_udp_flows_open", &[]), Some(1.0));
}

#[test]
fn a_check_on_another_port_moves_the_flows_of_a_server_that_is_down() {
    let port = free_port().port();
    let address = |last: u8| SocketAddr::from(([127, 0, 0, last], port));
    let (one, two) =
        (Echo::at(UdpSocket::bind(address(2)).unwrap(), "one"), Echo::at(UdpSocket::bind(address(3)).unwrap(), "two"));
    let health = free_port().port();
    let companions = [2, 3].map(|last| TcpListener::bind(SocketAddr::from(([127, 0, 0, last], health))).unwrap());
    let text = format!(
        "{TWO}balance = \"ip_hash\"\nhealth = {{ tcp = true, port = {health}, interval = \"50ms\", fall = 2 }}\n"
    );
    let (haechi, at) = before(&text, &[&one, &two]);
    haechi.becomes("dns", "one", "up");
    haechi.becomes("dns", "two", "up");
    let client = Talker::from("127.0.0.1");
    let first = client.ask(at, "first").unwrap();
    assert_eq!(client.ask(at, "second").as_ref(), Some(&first));
    let [companion_of_one, companion_of_two] = companions;
    let (other, _kept) = if first == "one" {
        drop(companion_of_one);
        ("two", companion_of_two)
    } else {
        drop(companion_of_two);
        ("one", companion_of_one)
    };
    haechi.becomes("dns", &first, "down");
    assert_eq!(
        client.ask(at, "third").as_deref(),
        Some(other),
        "with the next datagram, though the old one would answer"
    );
}

#[test]
fn flows_survive_a_reload_where_their_server_stays_and_move_where_it_goes() {
    let (one, two) = (Echo::start("127.0.0.1", "one"), Echo::start("127.0.0.1", "two"));
    let (mut haechi, at) = before(ONE, &[&one]);
    haechi.filled(TWO);
    let client = Talker::from("127.0.0.1");
    assert_eq!(client.ask(at, "before").as_deref(), Some("one"));
    let with_two = TWO.replace("@two", &two.address.to_string()).replace(", name = \"one\"", "");
    haechi.edit(&with_two);
    assert_eq!(client.ask(at, "after").as_deref(), Some("one"));
    assert_eq!(one.source_of("before"), one.source_of("after"), "the same flow");
    haechi.edit(&with_two.replace("{ address = \"@one\" }, ", ""));
    assert_eq!(client.ask(at, "moved").as_deref(), Some("two"));
    // A listener that is gone takes its flows along.
    haechi.edit(&with_two.replace("\"@dns\"", "\"@elsewhere\""));
    assert_eq!(client.ask(at, "nobody"), None);
    assert!(client.ask(haechi.at("elsewhere"), "there").is_some());
}

#[test]
fn a_worker_that_is_killed_keeps_nobody_waiting_for_long() {
    let server = Echo::start("127.0.0.1", "one");
    let (haechi, at) = before(ONE, &[&server]);
    let client = Talker::from("127.0.0.1");
    assert!(client.ask(at, "before").is_some());
    let worker = rustix::process::Pid::from_raw(i32::try_from(haechi.worker()).unwrap()).unwrap();
    rustix::process::kill_process(worker, Signal::KILL).unwrap();
    // What comes meanwhile waits in the sockets, which the guard has.
    let client = client.patience(Duration::from_secs(10));
    assert_eq!(client.ask(at, "meanwhile").as_deref(), Some("one"));
    comes_to(&haechi, "haechi_worker_restarts_total", &[], 1.0);
}

#[test]
fn an_upgrade_takes_the_sockets_along() {
    let server = Echo::start("127.0.0.1", "one");
    let (haechi, at) = before(ONE, &[&server]);
    let client = Talker::from("127.0.0.1");
    assert!(client.ask(at, "before").is_some());
    let first = haechi.worker();
    haechi.signal(Signal::USR2);
    eventually("another worker alone", || {
        let workers = haechi.workers();
        (workers.len() == 1 && workers != [first]).then_some(())
    });
    client.reaches(at, "one");
}

#[test]
fn a_crowd_of_clients_leaves_files_for_connections() {
    let (echo, origin) = (Echo::start("127.0.0.1", "one"), Origin::named("origin"));
    let text = format!("{ONE}{PROXY}[process]\nworkers = 1\nlag = \"1m\"\n");
    let plan = Haechi::plan(&text).with("one", echo.address).with("origin", origin.address).files(1024);
    let haechi = plan.start();
    assert_eq!(haechi.metric("haechi_udp_flows_limit", &[]), Some(256.0), "a quarter of them");
    assert_eq!(haechi.metric("haechi_process_connections_limit", &[]), Some(256.0));
    let mut clients: Vec<_> = (0..600).map(|_| Talker::from("127.0.0.1")).collect();
    eventually("more than there is room for", || {
        // What finds no room in the kernel's queue is lost, so all of them say it again, the last ones first.
        clients.iter().for_each(|client| client.tell(haechi.at("dns"), "one of a crowd"));
        clients.reverse();
        (haechi.metric("haechi_udp_dropped_datagrams_total", &[("reason", "flows_full")]) >= Some(1.0)).then_some(())
    });
    assert!(haechi.metric("haechi_udp_flows_open", &[]) <= Some(256.0));
    assert_eq!(haechi.metric("haechi_udp_dropped_datagrams_total", &[("reason", "no_socket")]), Some(0.0));
    for _ in 0..20 {
        assert_eq!(get(haechi.at("http"), "/").status, 200);
    }
}

/// A name server with one zone, on a port of its own.
struct NameServer {
    child: Child,
    address: SocketAddr,
}

impl NameServer {
    fn start(folder: &Path, says: &str) -> Self {
        let address = free_port();
        let folder = folder.join(says);
        fs::create_dir_all(&folder).unwrap();
        let zone =
            format!("$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\nwho TXT \"{says}\"\n");
        fs::write(folder.join("zone"), zone).unwrap();
        let mut text = "server:\n username: \"\"\n zonesdir: \".\"\n database: \"\"\n".to_owned();
        let _ = writeln!(text, " ip-address: 127.0.0.1@{}", address.port());
        for (key, file) in [("pidfile", "pid"), ("xfrdfile", "xfrd"), ("zonelistfile", "list"), ("zonesdir", "")] {
            let _ = writeln!(text, " {key}: \"{}\"", folder.join(file).display());
        }
        text += "remote-control:\n control-enable: no\nzone:\n name: example.test\n zonefile: zone\n";
        let config = folder.join("nsd.conf");
        fs::write(&config, text).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "nsd", "-d", "-c"]).arg(&config);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("nsd");
        let server = Self { child, address };
        eventually("nsd answers", || (dig(address) == format!("\"{says}\"")).then_some(()));
        server
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        // It has children of its own, which it ends itself.
        let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// What a name server says of who it is, nothing where none answers.
fn dig(at: SocketAddr) -> String {
    let (server, port) = (format!("@{}", at.ip()), at.port().to_string());
    let arguments = ["+notcp", "+short", "+tries=1", "+time=1", &server, "-p", &port, "TXT", "who.example.test"];
    run("dig", arguments).out.trim().to_owned()
}

#[test]
fn names_are_resolved_through_it_also_when_a_name_server_dies() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (NameServer::start(folder.path(), "one"), NameServer::start(folder.path(), "two"));
    let haechi = Haechi::plan(TWO).with("one", one.address).with("two", two.address).start();
    let at = haechi.at("dns");
    let said: std::collections::BTreeSet<_> = (0..6).map(|_| dig(at)).collect();
    assert_eq!(said.into_iter().collect::<Vec<_>>(), ["\"one\"", "\"two\""]);
    drop(one);
    // Also where it is tried again: a query that is refused goes on to the other one, and nobody waits.
    for _ in 0..8 {
        assert_eq!(dig(at), "\"two\"");
    }
}

#[test]
fn lines_of_syslog_reach_their_collector() {
    let collector = Echo::start("127.0.0.1", "collector");
    let (_haechi, at) = before(ONE, &[&collector]);
    for number in 0..20 {
        let line = format!("line {number} of a syslog client");
        let (server, port) = (at.ip().to_string(), at.port().to_string());
        let said = run("logger", ["--udp", "--server", &server, "--port", &port, "--tag", "haechi-test", &line]);
        assert_eq!(said.code, 0, "{}", said.err);
    }
    eventually("all lines", || {
        let lines: Vec<_> =
            collector.arrivals().into_iter().map(|(_, line)| String::from_utf8_lossy(&line).into_owned()).collect();
        let is_there = |number| lines.iter().any(|line| line.contains(&format!("line {number} of a syslog client")));
        (0..20).all(is_there).then_some(())
    });
}
