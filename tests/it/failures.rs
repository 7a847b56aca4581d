//! Servers that fail: who is asked instead, what the client is told, and when nothing is asked twice.

use crate::harness::client::{Request, send};
use crate::harness::haechi::PROXY;
use crate::harness::ports::free_port;
use crate::harness::tools::curl;
use crate::harness::{Client, Haechi, Next, Origin, Wire, answer, eventually, get, pace};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Closes each connection on its second request without a byte of answer, as a server does whose keep-alive
/// time is over.
fn forgetful() -> Origin {
    Origin::start(
        |arrival, wire| {
            if arrival.turn == 1 && wire.send(answer(200, "ok")).is_ok() { Next::Keep } else { Next::Close }
        },
    )
}

#[test]
fn a_get_survives_a_kept_connection_that_dies() {
    let origin = forgetful();
    let haechi = Haechi::plan(PROXY).with("origin", origin.address).start();
    let mut client = Client::connect(haechi.at("http")).unwrap();
    for at in 0..50 {
        let response = client.get(&format!("/{at}"));
        assert_eq!(response.status, 200, "request {at}");
    }
    let retries = haechi.metric("haechi_server_retries_total", &[("upstream", "was")]);
    assert!(retries.is_some_and(|retries| retries >= 40.0), "{retries:?} retries");
}

#[test]
fn a_post_is_never_sent_twice() {
    let origin = forgetful();
    let haechi = Haechi::plan(PROXY).with("origin", origin.address).start();
    let mut client = Client::connect(haechi.at("http")).unwrap();
    for at in 0..50 {
        let target = format!("/{at}");
        let response = client.send(&Request::post(&target, "pay 100")).unwrap();
        assert!(matches!(response.status, 200 | 502), "{}", response.status);
        assert_eq!(origin.arrivals_for(&target).len(), 1, "{target}");
    }
}

#[test]
fn a_server_that_keeps_dying_costs_one_retry_and_then_a_502() {
    let origin = Origin::start(|_, _| Next::Close);
    let haechi = Haechi::plan(PROXY).with("origin", origin.address).start();
    let response = get(haechi.at("http"), "/a");
    assert_eq!(response.status, 502);
    assert!(origin.arrivals_for("/a").len() <= 2, "{}", origin.arrivals_for("/a").len());
    assert!(haechi.logged("/a")["error"].is_string());
}

#[test]
fn what_came_of_a_small_answer_goes_out_before_it_breaks() {
    let origin = Origin::start(|_, wire| {
        let whole = answer(200, "1234567890");
        let _ = wire.send(&whole[..whole.len() - 3]);
        Next::Close
    });
    let haechi = Haechi::plan(PROXY).with("origin", origin.address).start();
    for at in 0..50 {
        let mut wire = Wire::connect(haechi.at("http")).unwrap();
        wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let heard = wire.read_to_end().unwrap();
        // Who hears nothing at all may send the request again.
        assert!(heard.ends_with(b"\r\n\r\n1234567"), "answer {at}: {:?}", String::from_utf8_lossy(&heard));
    }
}

const PAIR: &str = r#"
[listener.http]
bind = ["@http"]

[[site]]
hosts = ["*"]

[[site.route]]
path = "/"
proxy = { upstream = "was" }

[upstream.was]
servers = ["@one", "@two"]
timeouts = { connect = "500ms", response = "1s" }
"#;

#[test]
fn a_refused_connection_goes_to_another_server_for_every_method() {
    let origin = Origin::named("two");
    let haechi = Haechi::plan(PAIR).with("one", free_port()).with("two", origin.address).start();
    let http = haechi.at("http");
    for _ in 0..20 {
        assert_eq!(get(http, "/").text(), "two");
        assert_eq!(send(http, &Request::post("/", "body")).unwrap().text(), "two");
    }
}

#[test]
fn no_answer_in_time_is_a_504() {
    let origin = Origin::start(|_, wire| {
        // Silent until the proxy gives up.
        let _ = wire.is_closed();
        Next::Close
    });
    let text = PROXY.to_owned() + "timeouts = { response = \"500ms\" }\n";
    let haechi = Haechi::plan(&text).with("origin", origin.address).start();
    let started = Instant::now();
    let response = get(haechi.at("http"), "/a");
    assert_eq!(response.status, 504);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    eventually("the origin is let go", || (origin.open_connections() == 0).then_some(()));
    assert!(haechi.logged("/a")["error"].is_string());
}

const CHECKED: &str = r#"
[listener.http]
bind = ["@http"]

[[site]]
hosts = ["*"]
error_pages = { 503 = "errors/503.html", 502 = "errors/502.html" }

[[site.route]]
path = "/"
proxy = { upstream = "was" }

[upstream.was]
servers = ["@one", "@two"]
[upstream.was.health]
http = "/health"
interval = "100ms"
timeout = "500ms"
rise = 2
fall = 2
"#;

fn checked(one: &Origin, two: &Origin) -> Haechi {
    Haechi::plan(CHECKED)
        .with("one", one.address)
        .with("two", two.address)
        .file("errors/503.html", "<h1>back soon</h1>")
        .file("errors/502.html", "<h1>broken</h1>")
        .start()
}

#[test]
fn checks_take_a_server_out_and_back() {
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let haechi = checked(&one, &two);
    let (first, http) = (one.address, haechi.at("http"));
    haechi.becomes("was", &first.to_string(), "up");
    one.stop();
    haechi.becomes("was", &first.to_string(), "down");
    assert_eq!(haechi.metric("haechi_server_up", &[("server", &first.to_string())]), Some(0.0));
    for _ in 0..10 {
        assert_eq!(get(http, "/").text(), "two");
    }
    let _again = Origin::named_at(first, "one");
    haechi.becomes("was", &first.to_string(), "up");
    eventually("it is asked again", || (get(http, "/").text() == "one").then_some(()));
    let said = haechi.stderr();
    let changes = said.lines().filter(|line| line.contains(&first.to_string()) && line.contains("down")).count();
    assert_eq!(changes, 1, "a change of state is logged once:\n{said}");
}

#[test]
fn without_any_server_503_comes_at_once_with_its_page() {
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let haechi = checked(&one, &two);
    let http = haechi.at("http");
    one.stop();
    two.stop();
    haechi.becomes("was", &one.address.to_string(), "down");
    haechi.becomes("was", &two.address.to_string(), "down");
    let started = Instant::now();
    let response = get(http, "/a");
    assert_eq!((response.status, response.text().as_str()), (503, "<h1>back soon</h1>"));
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    let wait = response.field("retry-after").expect("Retry-After");
    assert!(wait.parse::<u32>().is_ok(), "{wait}");
    assert!(response.field("content-type").is_some_and(|kind| kind.starts_with("text/html")));
    let head = send(http, &Request::new("HEAD", "/")).unwrap();
    assert_eq!((head.status, head.body.len()), (503, 0));
    let _again = Origin::named_at(one.address, "one");
    eventually("it serves again", || (get(http, "/").status == 200).then_some(()));
}

#[test]
fn a_failing_health_page_is_enough_to_be_taken_out() {
    static SICK: AtomicUsize = AtomicUsize::new(0);
    let sick = Origin::start(|arrival, wire| {
        let status = if arrival.target == "/health" && SICK.load(Ordering::SeqCst) == 1 { 503 } else { 200 };
        wire.send(answer(status, "sick")).map_or(Next::Close, |()| Next::Keep)
    });
    let well = Origin::named("well");
    let haechi = checked(&sick, &well);
    let server = sick.address.to_string();
    haechi.becomes("was", &server, "up");
    SICK.store(1, Ordering::SeqCst);
    haechi.becomes("was", &server, "down");
    for _ in 0..10 {
        assert_eq!(get(haechi.at("http"), "/").text(), "well");
    }
    assert!(haechi.stderr().contains("503"), "the reason is logged");
    SICK.store(0, Ordering::SeqCst);
    haechi.becomes("was", &server, "up");
}

#[test]
fn an_answer_of_the_origin_is_not_replaced_by_a_page_of_ours() {
    let origin = Origin::start(|_, wire| wire.send(answer(503, "mine")).map_or(Next::Close, |()| Next::Keep));
    let text = PROXY.replace("hosts = [\"*\"]", "hosts = [\"*\"]\nerror_pages = { 503 = \"503.html\" }");
    let haechi = Haechi::plan(&text).with("origin", origin.address).file("503.html", "ours").start();
    let response = get(haechi.at("http"), "/");
    assert_eq!((response.status, response.text().as_str()), (503, "mine"));
}

#[test]
fn a_backup_is_asked_when_nobody_else_is_left() {
    let (one, spare) = (Origin::named("one"), Origin::named("spare"));
    let text = PAIR.replace("\"@two\"", "{ address = \"@two\", backup = true }");
    let haechi = Haechi::plan(&text).with("one", one.address).with("two", spare.address).start();
    let http = haechi.at("http");
    for _ in 0..10 {
        assert_eq!(get(http, "/").text(), "one");
    }
    one.stop();
    for _ in 0..10 {
        assert_eq!(get(http, "/").text(), "spare");
    }
}

#[test]
fn more_than_max_connections_wait_in_a_bounded_queue() {
    let origin = Origin::start(|arrival, wire| {
        if arrival.target == "/hold" {
            // Until the client goes.
            let _ = wire.is_closed();
            return Next::Close;
        }
        wire.send(answer(200, "ok")).map_or(Next::Close, |()| Next::Keep)
    });
    let text =
        PROXY.to_owned() + "max_connections = 2\nmax_queue = 1\ntimeouts = { queue = \"1s\", response = \"20s\" }\n";
    let haechi = Haechi::plan(&text).with("origin", origin.address).start();
    let http = haechi.at("http");
    let held: Vec<Wire> = (0..2)
        .map(|_| {
            let mut wire = Wire::connect(http).unwrap();
            wire.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            wire
        })
        .collect();
    eventually("both places are taken", || (origin.arrivals_for("/hold").len() == 2).then_some(()));
    let response = get(http, "/late");
    assert_eq!(response.status, 503, "its time in the queue is over");
    assert!(response.field("retry-after").is_some());
    assert_eq!(origin.connections(), 2);
    drop(held);
    eventually("a place is free", || (get(http, "/").status == 200).then_some(()));
}

#[test]
fn weights_are_kept_by_round_robin() {
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let text = PAIR.replace("\"@two\"", "{ address = \"@two\", weight = 3 }");
    let haechi = Haechi::plan(&text).with("one", one.address).with("two", two.address).start();
    let mut client = Client::connect(haechi.at("http")).unwrap();
    for _ in 0..400 {
        client.get("/");
    }
    let asked = one.arrivals().len();
    assert!((95..=105).contains(&asked), "{asked} of 400 for a weight of 1 in 4");
}

#[test]
fn a_server_that_takes_no_body_is_given_up() {
    // Frozen: its kernel takes what fits, and nobody reads it.
    let origin = Origin::before_body(|_, wire| {
        let _ = wire.stream().set_read_timeout(None);
        while wire.stream().peek(&mut [0]).is_ok_and(|length| length > 0)
            && wire.stream().take_error().ok().flatten().is_none()
        {
            pace(Duration::from_millis(20));
        }
        Next::Close
    });
    let text = PROXY.to_owned() + "timeouts = { response = \"1s\" }\n";
    let haechi = Haechi::plan(&text).with("origin", origin.address).start();
    for framing in ["Content-Length: 100000000", "Transfer-Encoding: chunked"] {
        let mut wire = Wire::connect(haechi.at("http")).unwrap();
        wire.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n")).unwrap();
        let mut sending = Wire::of(wire.stream().try_clone().unwrap()).unwrap();
        let upload = thread::spawn(move || {
            let piece = [b"10000\r\n".as_slice(), &[b'x'; 0x1_0000], b"\r\n"].concat();
            while sending.send(&piece).is_ok() {}
        });
        assert_eq!(wire.read_response("POST").expect(framing).status, 504, "{framing}");
        drop(wire);
        upload.join().unwrap();
    }
}

#[test]
fn a_server_that_takes_a_body_slowly_has_its_time_for_each_piece() {
    let origin = Origin::before_body(|_, wire| {
        let mut step = vec![0; 1 << 20];
        let mut last = Vec::new();
        while !last.ends_with(b"0\r\n\r\n") {
            let Ok(length @ 1..) = std::io::Read::read(&mut wire.stream(), &mut step) else { return Next::Close };
            last = step[length.saturating_sub(5)..length].to_vec();
            pace(Duration::from_millis(100));
        }
        let _ = wire.send(answer(200, "slow"));
        Next::Close
    });
    let text = PROXY.to_owned() + "timeouts = { response = \"1s\" }\n";
    let haechi = Haechi::plan(&text).with("origin", origin.address).start();
    let mut wire = Wire::connect(haechi.at("http")).unwrap();
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    let mut sending = Wire::of(wire.stream().try_clone().unwrap()).unwrap();
    let upload = thread::spawn(move || {
        let piece = [b"100000\r\n".as_slice(), &vec![b'x'; 0x10_0000], b"\r\n"].concat();
        for _ in 0..40 {
            sending.send(&piece)?;
        }
        sending.send("0\r\n\r\n")
    });
    let response = wire.read_response("POST").unwrap();
    assert_eq!((response.status, response.text().as_str()), (200, "slow"));
    upload.join().unwrap().unwrap();
}

#[test]
fn a_client_that_leaves_the_queue_makes_room_in_it() {
    let origin = Origin::start(|_, wire| {
        // Until the client goes.
        let _ = wire.is_closed();
        Next::Close
    });
    let text =
        PROXY.to_owned() + "max_connections = 1\nmax_queue = 1\ntimeouts = { queue = \"60s\", response = \"60s\" }\n";
    let haechi = Haechi::plan(&text).with("origin", origin.address).start();
    let asks = || {
        let mut wire = Wire::connect(haechi.at("http")).unwrap();
        wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        wire.patience(Duration::from_millis(500));
        wire
    };
    let _served = asks();
    eventually("the only place is taken", || (origin.arrivals().len() == 1).then_some(()));
    let mut waits = asks();
    assert!(waits.read_head().is_err(), "it waits");
    assert_eq!(asks().read_response("GET").unwrap().status, 503, "nobody else may wait");
    drop(waits);
    eventually("its place in the queue is free", || asks().read_head().is_err().then_some(()));
}

#[test]
fn the_rules_of_a_route_hold_for_its_error_pages() {
    let rules = "response_headers = { set = { Strict-Transport-Security = \"max-age=9\", Cache-Control = \"max-age=9\", \
                 Content-Encoding = \"gzip\", ETag = '\"1\"' }, add = { X-Seen = \"1\" } }";
    let text = PROXY.replace("path = \"/\"", &format!("path = \"/app\"\n{rules}\nlimits = {{ body = 10 }}"))
        + "\n[[site.route]]\npath = \"/files\"\nfiles = { root = \"@dir\" }\n"
        + rules;
    let text = text.replace("bind = [\"@http\"]", "bind = [\"@http\"]\nprotocols = [\"http/1.1\", \"h2c\"]");
    let nobody = free_port();
    let haechi = Haechi::plan(&text).with("origin", nobody).start();
    let http = haechi.at("http");
    for (request, status) in [
        (Request::get("/app"), 502),
        (Request::post("/app", "more than ten bytes"), 413),
        (Request::get("/files/none"), 404),
    ] {
        let response = send(http, &request).unwrap();
        assert_eq!(response.status, status);
        let head = &response.head;
        assert_eq!(head.field("Strict-Transport-Security"), Some("max-age=9"), "{status}");
        assert_eq!(head.field("X-Seen"), Some("1"), "{status}");
        assert_eq!(head.field("Cache-Control"), Some("no-store"), "an error page is not the route's contents");
        assert_eq!(head.field("Content-Type"), Some("text/plain; charset=utf-8"));
        assert_eq!((head.field("Content-Encoding"), head.field("ETag")), (None, None));
    }
    let said = curl(["--http2-prior-knowledge", "-i", &format!("http://{http}/app")]);
    assert!(said.contains("strict-transport-security: max-age=9"), "{said}");
    let unmatched = get(http, "/elsewhere");
    assert_eq!((unmatched.status, unmatched.field("X-Seen")), (404, None), "no route, no rules");
}
