//! Three real Tomcats behind ip_hash: sessions stay, and what happens to one of them no client feels.

use crate::harness::client::Request;
use crate::harness::haechi::{Haechi, client_address};
use crate::harness::load::Load;
use crate::harness::tomcat::{KeepAlive, Tomcat, trio};
use crate::harness::websocket::Socket;
use crate::harness::{Client, Response, eventually, pace, within};
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::Duration;

const TIER: &str = r#"
[listener.http]
bind = ["@http"]

[[site]]
hosts = ["*"]

[[site.route]]
path = "/"
proxy = { upstream = "was" }
limits = { body = "100MiB" }

[upstream.was]
balance = "ip_hash"
servers = ["@was1", "@was2", "@was3"]
timeouts = { connect = "1s", response = "30s" }

[upstream.was.health]
http = "/health"
interval = "200ms"
timeout = "1s"
rise = 2
fall = 2
"#;

fn before(trio: &[Tomcat], balance: &str) -> (Haechi, SocketAddr) {
    let plan = Haechi::plan(&TIER.replace("ip_hash", balance));
    let plan = trio.iter().fold(plan, |plan, tomcat| plan.with(&tomcat.node, tomcat.address));
    let haechi = plan.start();
    for tomcat in trio {
        haechi.becomes("was", &tomcat.address.to_string(), "up");
    }
    let http = haechi.at("http");
    (haechi, http)
}

/// A browser: an address, a connection, a cookie.
struct Browser {
    client: Client,
    cookie: Option<String>,
}

impl Browser {
    fn open(source: IpAddr, http: SocketAddr) -> Self {
        Self { client: Client::connect_from(source, http).unwrap(), cookie: None }
    }

    /// Asks for the page and gives node and counter.
    fn visit(&mut self) -> (String, u64) {
        let mut request = Request::get("/");
        if let Some(cookie) = &self.cookie {
            request = request.with("Cookie", cookie);
        }
        let response = self.client.send(&request).unwrap();
        assert_eq!(response.status, 200, "{}", response.text());
        if let Some(cookie) = response.field("set-cookie") {
            self.cookie = cookie.split(';').next().map(str::to_owned);
        }
        let page: serde_json::Value = serde_json::from_slice(&response.body).expect("the app's JSON");
        (page["node"].as_str().expect("a node").to_owned(), page["counter"].as_u64().expect("a counter"))
    }
}

fn node(response: &Response) -> &str {
    response.field("x-node").expect("the node that answered")
}

#[test]
fn the_app_is_what_the_tests_take_it_for() {
    let trio = trio(KeepAlive { requests: 3, ..KeepAlive::default() });
    let mut browser = Browser::open(client_address(2), trio[0].address);
    assert_eq!(browser.visit(), ("was1".to_owned(), 1));
    assert_eq!(browser.visit(), ("was1".to_owned(), 2));
    let mut other = Browser::open(client_address(2), trio[1].address);
    other.cookie.clone_from(&browser.cookie);
    assert_eq!(other.visit(), ("was2".to_owned(), 1), "a session is its node's own");
    let mut client = Client::connect(trio[2].address).unwrap();
    let bytes: Vec<u8> = (0..100_000_u32).map(|at| (at % 251) as u8).collect();
    assert!(client.get("/big?bytes=100000").body == bytes);
    let response = client.send(&Request::post("/digest", &bytes).with("X-Tag", "a")).unwrap();
    assert_eq!((response.text().as_str(), node(&response)), ("100000 right\n", "was3"));
    assert_eq!((trio[2].seen("a"), trio[1].seen("a")), (1, 0));
    assert!(client.get("/health").closes(), "the third and last of its connection");
    assert_eq!(Socket::connect(trio[0].address, "/socket").echo("hello").unwrap(), "hello");
    trio[0].redeploy();
    within(Duration::from_secs(30), "the context is there again", || (trio[0].redeployed() > 0).then_some(()));
}

#[test]
fn sessions_stay_where_they_are_for_many_clients() {
    let trio = trio(KeepAlive::default());
    let (mut haechi, http) = before(&trio, "ip_hash");
    let mut browsers: Vec<Browser> = (2..60).map(|x| Browser::open(client_address(x), http)).collect();
    let nodes: Vec<String> = browsers.iter_mut().map(|browser| browser.visit().0).collect();
    let used: HashSet<&String> = nodes.iter().collect();
    assert_eq!(used.len(), 3, "58 clients use every server");
    for counter in 2..=10 {
        for (browser, node) in browsers.iter_mut().zip(&nodes) {
            assert_eq!(browser.visit(), (node.clone(), counter));
        }
    }
    // A reload and a new connection change nothing of it.
    haechi.edit(&format!(
        "{TIER}\n[[site]]\nhosts = [\"other.example\"]\n[[site.route]]\npath = \"/\"\nrespond = {{ status = 204 }}\n"
    ));
    for (at, (browser, node)) in browsers.iter_mut().zip(&nodes).enumerate() {
        browser.client = Client::connect_from(client_address(u8::try_from(at + 2).unwrap()), http).unwrap();
        assert_eq!(browser.visit(), (node.clone(), 11));
    }
}

#[test]
fn one_killed_under_load_fails_no_get_and_moves_only_its_own_clients() {
    let mut trio = trio(KeepAlive::default());
    let (haechi, http) = before(&trio, "ip_hash");
    let home = |x: u8| {
        let response = Client::connect_from(client_address(x), http).unwrap().send(&Request::get("/health")).unwrap();
        node(&response).to_owned()
    };
    let homes: HashMap<u8, String> = (2..40).map(|x| (x, home(x))).collect();
    let lost = trio[1].address.to_string();

    let mut load = Load::new();
    for x in 2..8 {
        load = load.keep_alive(client_address(x), http, "/slow?ms=5", Duration::from_millis(5));
    }
    for x in 8..12 {
        load = load.fresh(client_address(x), http, "/", Duration::from_millis(10));
    }
    load.more(200);
    trio[1].kill();
    load.more(200);
    haechi.becomes("was", &lost, "down");
    assert_eq!(haechi.metric("haechi_server_up", &[("server", &lost)]), Some(0.0));
    load.more(100);
    for (x, node) in &homes {
        let now = home(*x);
        if node == "was2" {
            assert_ne!(&now, "was2");
        } else {
            assert_eq!(&now, node, "client {x} was of another server");
        }
    }
    trio[1].restart();
    haechi.becomes("was", &lost, "up");
    assert_eq!(haechi.metric("haechi_server_up", &[("server", &lost)]), Some(1.0));
    load.more(200);
    eventually("its clients come back", || homes.iter().all(|(x, node)| home(*x) == *node).then_some(()));
    let (answered, faults) = load.end();
    assert!(faults.is_empty(), "{} of {answered} failed: {faults:?}", faults.len());
}

/// A context that is deployed anew is missing for a moment, and Tomcat then says so itself: that is its
/// answer, and haechi passes it on. Nothing else may go wrong.
#[test]
fn a_context_deployed_anew_fails_no_get_of_haechis() {
    let trio = trio(KeepAlive::default());
    let (_haechi, http) = before(&trio, "round_robin");
    let mut load = Load::new();
    for x in 2..8 {
        load = load.keep_alive(client_address(x), http, "/", Duration::from_millis(10));
    }
    load.more(100);
    for tomcat in &trio {
        tomcat.redeploy();
        within(Duration::from_secs(30), "the context is there again", || (tomcat.redeployed() > 0).then_some(()));
        load.more(100);
    }
    let (answered, faults) = load.end();
    let theirs = |fault: &&String| fault.contains("status 404") && fault.contains("Apache Tomcat");
    let (missing, faults): (Vec<_>, Vec<_>) = faults.iter().partition(theirs);
    assert!(faults.is_empty(), "{} of {answered} failed: {faults:?}", faults.len());
    assert!(missing.len() * 100 < answered, "{} of {answered} found no context", missing.len());
}

#[test]
fn a_keep_alive_time_of_one_second_fails_no_get() {
    let trio = trio(KeepAlive { timeout: Duration::from_secs(1), requests: 7 });
    let (_haechi, http) = before(&trio, "round_robin");
    // Pauses around the second at which Tomcat closes, a few milliseconds apart.
    let clients: Vec<_> = (0..24_u8)
        .map(|at| {
            thread::spawn(move || {
                let mut client = Client::connect_from(client_address(at + 2), http).unwrap();
                let pause = Duration::from_millis(990 + 2 * u64::from(at));
                let mut faults = Vec::new();
                for turn in 0..12 {
                    match client.send(&Request::get("/health")) {
                        Ok(response) if response.status == 200 => {}
                        other => faults.push(format!("client {at}, turn {turn}: {other:?}")),
                    }
                    pace(pause);
                }
                faults
            })
        })
        .collect();
    let faults: Vec<String> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    assert!(faults.is_empty(), "{} of 288 failed: {faults:?}", faults.len());
}

#[test]
fn a_post_is_never_carried_out_twice() {
    let mut trio = trio(KeepAlive { timeout: Duration::from_secs(1), requests: 5 });
    let (_haechi, http) = before(&trio, "round_robin");
    let victim = trio.remove(2);
    let killer = thread::spawn(move || {
        pace(Duration::from_millis(700));
        drop(victim);
    });
    let clients: Vec<_> = (0..6_u8)
        .map(|at| {
            thread::spawn(move || {
                let mut outcomes = Vec::new();
                let mut client = Client::connect_from(client_address(at + 2), http).unwrap();
                for turn in 0..60 {
                    let tag = format!("{at}-{turn}");
                    let answered = match client.send(&Request::post("/echo", "pay 100").with("X-Tag", &tag)) {
                        Ok(response) => response.status == 200,
                        Err(error) => panic!("{tag}: {error}"),
                    };
                    outcomes.push((tag, answered));
                    pace(Duration::from_millis(20));
                }
                outcomes
            })
        })
        .collect();
    let outcomes: Vec<(String, bool)> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    killer.join().unwrap();
    for (tag, answered) in &outcomes {
        // What the killed one had seen is gone with it, so that the survivors may know nothing of a tag.
        let seen: u32 = trio.iter().map(|tomcat| tomcat.seen(tag)).sum();
        assert!(seen <= 1, "{tag} was carried out {seen} times (answered: {answered})");
    }
    let failed = outcomes.iter().filter(|(_, answered)| !answered).count();
    assert!(failed <= 6, "{failed} of {} failed: at most what was in flight to the killed one", outcomes.len());
}

#[test]
fn large_bodies_streams_and_sockets_pass_both_ways() {
    let trio = trio(KeepAlive::default());
    let (_haechi, http) = before(&trio, "ip_hash");
    let mut client = Client::connect(http).unwrap();
    client.wire().patience(Duration::from_secs(60));
    let bytes: Vec<u8> = (0..30_000_000_u32).map(|at| (at % 251) as u8).collect();
    let down = client.get("/big?bytes=30000000");
    assert!(down.body == bytes, "{} bytes came", down.body.len());
    assert_eq!(client.send(&Request::post("/digest", &bytes)).unwrap().text(), "30000000 right\n");
    let part = &bytes[..5_000_000];
    assert!(client.send(&Request::post("/echo", part)).unwrap().body == part, "both directions at once");
    assert_eq!(client.get("/chunked?pieces=3").text(), "piece 0\npiece 1\npiece 2\n");

    let events = client.get("/sse?count=5&ms=20");
    assert_eq!(events.text().matches("data:").count(), 5);
    let mut socket = Socket::connect(http, "/socket");
    for turn in 0..50 {
        let text = format!("message {turn}");
        assert_eq!(socket.echo(&text).unwrap(), text);
    }
    let large = &bytes[..500_000];
    assert!(socket.echo_bytes(large).unwrap() == large);
}

#[test]
fn an_event_is_not_held_back() {
    let trio = trio(KeepAlive::default());
    let (_haechi, http) = before(&trio, "ip_hash");
    let mut client = Client::connect(http).unwrap();
    let wire = client.wire();
    wire.send("GET /sse?count=2&ms=8000 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    wire.patience(Duration::from_secs(5)).read_head().unwrap().expect("a head");
    // The second event is 8 s away, so that the first one must come by itself.
    assert_eq!(wire.read_exact(14).unwrap(), b"9\r\ndata: 0\n\n\r\n");
}
