//! What an origin is told, and what a client is told of its answer.

use crate::harness::client::{Request, send};
use crate::harness::haechi::{PROXY, before, client_address};
use crate::harness::{Client, Haechi, Next, Origin, Wire, answer, eventually, get};
use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::mpsc::channel;

#[test]
fn the_origin_learns_who_asked_for_what() {
    let origin = Origin::named("origin");
    let (_haechi, http) = before(&origin);
    let host = format!("Shop.Example:{}", http.port());
    let request = Request::get("/a/%2e/b;c=d//e?f=%20&g").with("Host", &host).with("Accept", "*/*");
    Client::connect_from(client_address(7), http).unwrap().send(&request).unwrap();
    let arrival = origin.arrival("/a/%2e/b;c=d//e?f=%20&g");
    let told = |name| arrival.head.field(name).map(str::to_owned);
    assert_eq!(told("host").as_ref(), Some(&host), "the client's own");
    assert_eq!(told("x-forwarded-for").as_deref(), Some("127.0.0.7"));
    assert_eq!(told("x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(told("x-forwarded-host").as_ref(), Some(&host));
    assert_eq!(told("x-forwarded-port"), Some(http.port().to_string()));
    assert_eq!(told("accept").as_deref(), Some("*/*"));
    assert!(told("x-request-id").is_some_and(|id| id.len() == 32));
}

/// Fields by which a client could pass for another.
const CLAIMS: [(&str, &str); 7] = [
    ("X-Forwarded-For", "10.9.9.9"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "evil"),
    ("X-Forwarded-Port", "1"),
    ("X-Forwarded-By", "evil"),
    ("X-Real-IP", "10.9.9.9"),
    ("Forwarded", "for=10.9.9.9"),
];

#[test]
fn a_stranger_cannot_say_who_it_is() {
    let origin = Origin::named("origin");
    let (_haechi, http) = before(&origin);
    let request = CLAIMS.iter().fold(Request::get("/"), |request, (name, value)| request.with(name, value));
    send(http, &request).unwrap();
    let head = origin.arrival("/").head;
    for (name, value) in CLAIMS {
        assert!(!head.values(name).contains(&value), "{name}: {:?}", head.values(name));
    }
    assert_eq!(head.field("x-forwarded-for"), Some("127.0.0.1"));
}

#[test]
fn a_trusted_proxy_is_believed_as_far_as_trust_goes() {
    let origin = Origin::named("origin");
    let text =
        PROXY.replace("bind = [\"@http\"]", "bind = [\"@http\"]\ntrusted_proxies = [\"127.0.0.9/32\", \"10.0.0.0/8\"]");
    let haechi = Haechi::plan(&text).with("origin", origin.address).start();
    let http = haechi.at("http");
    let request = |target: &str| {
        Request::get(target)
            .with("X-Forwarded-For", "1.2.3.4, 203.0.113.7, 10.0.0.1")
            .with("X-Forwarded-Proto", "https")
    };
    Client::connect_from(client_address(9), http).unwrap().send(&request("/trusted")).unwrap();
    Client::connect_from(client_address(8), http).unwrap().send(&request("/stranger")).unwrap();
    let trusted = origin.arrival("/trusted").head;
    assert_eq!(trusted.field("x-forwarded-for"), Some("1.2.3.4, 203.0.113.7, 10.0.0.1, 127.0.0.9"));
    assert_eq!(trusted.field("x-forwarded-proto"), Some("https"));
    assert_eq!(origin.arrival("/stranger").head.field("x-forwarded-for"), Some("127.0.0.8"));
    let client = |target| haechi.logged(target)["client"].as_str().unwrap_or_default().to_owned();
    assert!(client("/trusted").starts_with("203.0.113.7"), "right-most untrusted: {}", client("/trusted"));
    assert!(client("/stranger").starts_with("127.0.0.8"), "{}", client("/stranger"));
}

#[test]
fn fields_of_one_hop_stay_on_it() {
    let origin = Origin::start(|_, wire| {
        let sent = wire.send(
            "HTTP/1.1 200 OK\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=20\r\nProxy-Connection: a\r\nX-End: 2\r\nContent-Length: 0\r\n\r\n",
        );
        sent.map_or(Next::Close, |()| Next::Keep)
    });
    let (_haechi, http) = before(&origin);
    let request = Request::get("/")
        .with("Connection", "X-Mine, Cookie, X-Forwarded-For")
        .with("X-Mine", "1")
        .with("Cookie", "a=b")
        .with("Keep-Alive", "timeout=5")
        .with("Proxy-Connection", "keep-alive")
        .with("TE", "gzip")
        .with("X-Theirs", "2");
    let response = send(http, &request).unwrap();
    for name in ["x-hop", "keep-alive", "proxy-connection"] {
        assert_eq!(response.field(name), None, "{name} reached the client");
    }
    assert_eq!(response.field("x-end"), Some("2"));
    let head = origin.arrival("/").head;
    for name in ["x-mine", "keep-alive", "proxy-connection", "te"] {
        assert_eq!(head.values(name), [""; 0], "{name} reached the origin");
    }
    assert_eq!(head.field("x-theirs"), Some("2"));
    assert_eq!(head.field("cookie"), Some("a=b"), "Connection may not take away what matters end to end");
    assert_eq!(head.field("x-forwarded-for"), Some("127.0.0.1"));
}

const RULES: &str = r#"
[listener.http]
bind = ["@http"]
server_header = "haechi"
request_id = "X-Trace"

[[site]]
hosts = ["*"]

[[site.route]]
path = "/"
proxy = { upstream = "was" }
request_headers = { set = { X-Site = "shop" }, add = { X-Many = "2" }, remove = ["X-Debug"] }
response_headers = { set = { Strict-Transport-Security = "max-age=1" }, remove = ["X-Powered-By"] }

[[site.route]]
path = "/strip/"
proxy = { upstream = "was", strip_prefix = true, host = "was.internal" }

[[site.route]]
path = "/old/"
proxy = { upstream = "was", rewrite = "/new/${path_rest}" }

[[site.route]]
path_regex = '^/user/(\d+)\.do$'
proxy = { upstream = "was", rewrite = "/u/${1}" }

[[site.route]]
path = "/moved/"
redirect = { to = "https://new.example${path}?${query}", status = 308 }

[[site.route]]
path_exact = "/ping"
respond = { status = 200, body = "pong\n" }

[upstream.was]
servers = ["@origin"]
"#;

#[test]
fn routes_change_what_they_say_they_change() {
    let origin = Origin::start(|_, wire| {
        let sent = wire.send("HTTP/1.1 200 OK\r\nServer: Tomcat\r\nX-Powered-By: x\r\nContent-Length: 2\r\n\r\nok");
        sent.map_or(Next::Close, |()| Next::Keep)
    });
    let haechi = Haechi::plan(RULES).with("origin", origin.address).start();
    let http = haechi.at("http");
    let request = Request::get("/plain").with("X-Site", "forged").with("X-Many", "1").with("X-Debug", "1");
    let response = send(http, &request).unwrap();
    assert_eq!(response.field("strict-transport-security"), Some("max-age=1"));
    assert_eq!(response.field("x-powered-by"), None);
    assert_eq!(response.field("server"), Some("haechi"));
    assert!(response.field("date").is_some(), "an answer without Date gets one");
    let head = origin.arrival("/plain").head;
    assert_eq!(head.field("x-site"), Some("shop"));
    assert_eq!(head.values("x-many").join(", "), "1, 2");
    assert_eq!(head.field("x-debug"), None);
    assert!(head.field("x-trace").is_some());

    get(http, "/strip/a%2Fb?c=d");
    assert_eq!(origin.arrival("/a%2Fb?c=d").head.field("host"), Some("was.internal"));
    get(http, "/old/a/b?c=d");
    origin.arrival("/new/a/b?c=d");
    get(http, "/user/42.do");
    origin.arrival("/u/42");

    let moved = get(http, "/moved/a?b=c");
    assert_eq!((moved.status, moved.field("location")), (308, Some("https://new.example/moved/a?b=c")));
    assert_eq!(get(http, "/ping").text(), "pong\n");
    assert_eq!(get(http, "/ping/").text(), "ok", "exact is exact");
}

#[test]
fn each_request_has_an_id_that_both_sides_and_the_log_know() {
    let origin = Origin::named("origin");
    let (haechi, http) = before(&origin);
    let mut ids = HashSet::new();
    for at in 0..10 {
        let target = format!("/{at}");
        let response = send(http, &Request::get(&target).with("X-Request-Id", "forged")).unwrap();
        let id = response.field("x-request-id").expect("an id").to_owned();
        assert_eq!(origin.arrival(&target).head.field("x-request-id"), Some(id.as_str()));
        assert_eq!(haechi.logged(&target)["request_id"], id.as_str());
        ids.insert(id);
    }
    assert_eq!(ids.len(), 10);
    assert!(!ids.contains("forged"));
}

#[test]
fn hosts_and_paths_choose_the_most_specific_route() {
    let respond = |matcher: &str, body: &str| {
        format!("[[site.route]]\n{matcher}\nrespond = {{ status = 200, body = \"{body}\" }}\n")
    };
    let site = |hosts: &str, routes: &[(&str, &str)]| {
        let routes: String = routes.iter().map(|(matcher, body)| respond(matcher, body)).collect();
        format!("[[site]]\nhosts = [{hosts}]\n{routes}")
    };
    let text = [
        "[listener.http]\nbind = [\"@http\"]\n".to_owned(),
        site("\"*\"", &[("path = \"/\"", "any")]),
        site("\"*.example\"", &[("path = \"/\"", "wild")]),
        site("\"*.shop.example\"", &[("path = \"/\"", "wilder")]),
        site(
            "\"shop.example\"",
            &[
                ("path = \"/\"", "root"),
                ("path = \"/a/\"", "a"),
                ("path = \"/a/b\"", "ab"),
                ("path_exact = \"/a/b\"", "exact"),
                ("path_regex = '\\.do$'", "regex"),
            ],
        ),
    ]
    .concat();
    let haechi = Haechi::plan(&text).start();
    let http = haechi.at("http");
    for (host, path, expected) in [
        ("other", "/", "any"),
        ("127.0.0.1", "/", "any"),
        ("x.example", "/", "wild"),
        ("x.y.example", "/", "wild"),
        ("x.shop.example", "/", "wilder"),
        ("shop.example", "/", "root"),
        ("SHOP.example.:80", "/", "root"),
        ("shop.example", "/ab", "root"),
        ("shop.example", "/a/", "a"),
        ("shop.example", "/a/b", "exact"),
        ("shop.example", "/a/bc", "ab"),
        ("shop.example", "/a/b.do", "regex"),
        ("shop.example", "/x/../a/", "a"),
        ("shop.example", "/%61/;x=y", "a"),
        ("shop.example", "//a//", "a"),
    ] {
        let response = send(http, &Request::get(path).with("Host", host)).unwrap();
        assert_eq!(response.text(), expected, "{host}{path}");
    }
}

#[test]
fn reading_ahead_frees_the_origin_from_a_slow_client() {
    let (done, freed) = channel();
    let done = Mutex::new(done);
    let origin = Origin::start(move |_, wire| {
        let sent = wire.send(answer(200, vec![b'x'; 3_000_000]));
        let _ = done.lock().unwrap().send(());
        sent.map_or(Next::Close, |()| Next::Keep)
    });
    let text = PROXY.replace("upstream = \"was\" }", "upstream = \"was\", read_ahead = \"4MiB\" }");
    let haechi = Haechi::plan(&text).with("origin", origin.address).start();
    let mut slow = Wire::connect_narrow(haechi.at("http")).unwrap();
    slow.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    freed.recv_timeout(std::time::Duration::from_secs(10)).expect("the origin is done before the client has read");
    eventually("its connection is used for another", || {
        let mut other = Wire::connect_narrow(haechi.at("http")).ok()?;
        other.send("GET /other HTTP/1.1\r\nHost: a\r\n\r\n").ok()?;
        freed.recv_timeout(std::time::Duration::from_secs(10)).ok()?;
        origin.arrivals().iter().any(|arrival| arrival.turn > 1).then_some(())
    });
    assert_eq!(slow.read_response("GET").unwrap().body.len(), 3_000_000, "and the slow one misses nothing");
}

#[test]
fn an_upgrade_becomes_a_tunnel() {
    let origin = Origin::start(|arrival, wire| {
        if arrival.head.field("upgrade") != Some("chat") {
            let _ = wire.send(answer(400, ""));
            return Next::Close;
        }
        let _ = wire.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\nhello ");
        while let Ok(word) = wire.read_exact(4) {
            let _ = wire.send(word);
        }
        Next::Close
    });
    let (_haechi, http) = before(&origin);
    let mut wire = Wire::connect(http).unwrap();
    wire.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\nping").unwrap();
    let response = wire.read_response("GET").unwrap();
    assert_eq!((response.status, response.field("upgrade")), (101, Some("chat")));
    assert_eq!(wire.read_exact(10).unwrap(), b"hello ping");
    wire.send("pong").unwrap();
    assert_eq!(wire.read_exact(4).unwrap(), b"pong");
    wire.finish().unwrap();
    assert!(wire.is_closed(), "the end passes through");
}

#[test]
fn a_refused_upgrade_is_an_ordinary_answer() {
    let origin = Origin::named("no");
    let (_haechi, http) = before(&origin);
    let mut client = Client::connect(http).unwrap();
    let response = client.send(&Request::get("/").with("Connection", "Upgrade").with("Upgrade", "chat")).unwrap();
    assert_eq!((response.status, response.text().as_str()), (200, "no"));
    assert_eq!(client.get("/").text(), "no");
    assert_eq!(get(http, "/").text(), "no");
}
