//! The process as its operator meets it: checks, start, stop, logs, metrics, status.

use crate::harness::client::{Request, send};
use crate::harness::frames;
use crate::harness::haechi::{PROXY, Signal, before};
use crate::harness::ports::free_port;
use crate::harness::tools::run;
use crate::harness::{Client, Haechi, Next, Origin, Wire, answer, eventually, get, pace, within};
use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn check_tells_every_fault_at_once() {
    let text = PROXY
        .replace("path = \"/\"", "path = \"/\"\npaths = 1")
        .replace("upstream = \"was\" }", "upstream = \"wos\" }")
        .replace(
            "servers = [\"@origin\"]",
            "servers = [\"@origin\"]\nbalance = \"fair\"\ntimeouts = { connect = \"soon\" }",
        )
        + "[listener.https]\nbind = [\"@https\"]\n[listener.https.tls]\ncertificates = [{ cert = \"none.crt\", key = \"none.key\" }]\n";
    let said = Haechi::plan(&text).check();
    assert_eq!(said.code, 1, "{said:?}");
    let text = said.out + &said.err;
    for fault in ["`paths`", "`wos`", "fair", "soon", "none.crt"] {
        assert!(text.contains(fault), "{fault} is not told: {text}");
    }
    for line in [10, 11, 15, 16] {
        assert!(text.contains(&format!("haechi.toml:{line}:")), "line {line} is not named: {text}");
    }
}

#[test]
fn check_reads_certificates_and_passes_what_is_right() {
    let tls = format!(
        "{PROXY}[listener.https]\nbind = [\"@https\"]\n[listener.https.tls]\ncertificates = [{{ cert = \"a.crt\", key = \"b.key\" }}]\n"
    );
    let authority = crate::harness::certs::Authority::new("test");
    let plan = |pair: &str| {
        let plan = Haechi::plan(&tls.replace("b.key", pair));
        authority.write(plan.dir(), "a", &["localhost"]);
        authority.write(plan.dir(), "b", &["localhost"]);
        plan
    };
    let right = plan("a.key").check();
    assert_eq!(right.code, 0, "{right:?}");
    let wrong = plan("b.key").check();
    assert_eq!(wrong.code, 1, "{wrong:?}");
    assert!((wrong.out + &wrong.err).contains("key"), "a key of another certificate");
    let missing = plan("c.key").check();
    assert_eq!(missing.code, 1);
    assert!((missing.out + &missing.err).contains("c.key"));
    assert_eq!(run(env!("CARGO_BIN_EXE_haechi"), ["check", "--config", "/nonexistent/haechi.toml"]).code, 1);
}

#[test]
fn check_tells_faults_of_texts_and_of_files_together() {
    let tls = format!(
        "{PROXY}[listener.https]\nbind = [\"@https\"]\n[listener.https.tls]\ncertificates = [{{ cert = \"no.crt\", key = \"no.key\" }}]\n"
    );
    let said = Haechi::plan(&tls.replace("upstream = \"was\" }", "upstream = \"wos\" }")).check();
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("`wos`") && said.err.contains("no.crt"), "{}", said.err);
}

#[test]
fn an_instance_is_asked_by_its_config() {
    let origin = Origin::named("hello");
    let (mut haechi, http) = before(&origin);
    let ask = |haechi: &Haechi, word: &str| {
        let arguments = [word.as_ref(), "--config".as_ref(), haechi.config().as_os_str()];
        run(env!("CARGO_BIN_EXE_haechi"), arguments)
    };
    let status: serde_json::Value = serde_json::from_str(&ask(&haechi, "status").out).unwrap();
    assert_eq!((status["phase"].as_str(), status["generation"].as_u64()), (Some("serving"), Some(1)), "{status}");
    assert_eq!(ask(&haechi, "reload").code, 0);
    haechi.write(&PROXY.replace("upstream = \"was\" }", "upstream = \"wos\" }"));
    let refused = ask(&haechi, "reload");
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("`wos`"), "{}", refused.err);
    assert_eq!(get(http, "/").status, 200, "the old config serves on");
    assert_eq!(run(env!("CARGO_BIN_EXE_haechi"), ["status", "--config", "/nonexistent/haechi.toml"]).code, 1);
}

#[test]
fn it_does_not_start_on_a_broken_config() {
    let mut haechi = Haechi::plan(&PROXY.replace("upstream = \"was\" }", "upstream = \"wos\" }")).spawn();
    assert!(!haechi.ended(Duration::from_secs(20)).success());
    eventually("the fault is told", || haechi.stderr().contains("haechi.toml:10:").then_some(()));
}

#[test]
fn it_does_not_share_a_port_with_another() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut haechi = Haechi::plan(&PROXY.replace("@http", &address)).spawn();
    assert!(!haechi.ended(Duration::from_secs(20)).success());
    eventually("the address is told", || haechi.stderr().contains(&address).then_some(()));
}

#[test]
fn a_second_one_of_the_same_config_is_refused() {
    let origin = Origin::named("first");
    let (haechi, http) = before(&origin);
    let said = haechi.twin();
    assert!(said.code > 0, "{said:?}");
    assert!(said.err.contains(&haechi.pid().to_string()), "it names the one that runs: {}", said.err);
    for _ in 0..20 {
        assert_eq!(get(http, "/").text(), "first");
    }
}

/// Answers `/hold` when the test says so, and the rest at once.
fn holding() -> (Origin, Sender<()>) {
    let (release, held) = channel::<()>();
    let held = Mutex::new(held);
    let origin = Origin::start(move |arrival, wire| {
        if arrival.target == "/hold" {
            let _ = held.lock().unwrap().recv();
        }
        wire.send(answer(200, "done")).map_or(Next::Close, |()| Next::Keep)
    });
    (origin, release)
}

#[test]
fn sigterm_lets_exchanges_end_and_takes_no_new_ones() {
    let (origin, release) = holding();
    let (mut haechi, http) = before(&origin);
    let mut idle = Client::connect(http).unwrap();
    assert_eq!(idle.get("/").status, 200);
    let busy = thread::spawn(move || send(http, &Request::get("/hold")));
    eventually("an exchange is under way", || (origin.arrivals_for("/hold").len() == 1).then_some(()));
    haechi.signal(Signal::TERM);
    within(Duration::from_secs(10), "nobody is let in", || Wire::connect(http).is_err().then_some(()));
    assert_eq!(get(haechi.admin(), "/healthz").status, 503, "who asks is sent elsewhere");
    assert_eq!(haechi.status()["phase"], "draining");
    assert!(idle.wire().is_closed(), "an idle connection is let go");
    assert!(haechi.runs(), "it waits for the exchange");
    release.send(()).unwrap();
    let response = busy.join().unwrap().expect("the exchange ends as if nothing had happened");
    assert_eq!((response.status, response.text().as_str()), (200, "done"));
    assert!(haechi.ended(Duration::from_secs(10)).success());
}

#[test]
fn a_second_sigterm_stops_at_once() {
    let (origin, _release) = holding();
    let (mut haechi, http) = before(&origin);
    let busy = thread::spawn(move || send(http, &Request::get("/hold")));
    eventually("an exchange is under way", || (origin.arrivals_for("/hold").len() == 1).then_some(()));
    haechi.signal(Signal::TERM);
    eventually("nobody is let in", || Wire::connect(http).is_err().then_some(()));
    assert!(haechi.runs());
    haechi.signal(Signal::TERM);
    haechi.ended(Duration::from_secs(3));
    assert!(busy.join().unwrap().is_err());
}

#[test]
fn a_drain_ends_when_its_grace_is_over() {
    let (origin, _release) = holding();
    let text = format!("{PROXY}[process]\nworkers = 2\nshutdown_grace = \"1s\"\nhandover_grace = \"100ms\"\n")
        .replace("bind = [\"@http\"]", "bind = [\"@http\"]\nprotocols = [\"http/1.1\", \"h2c\"]");
    let mut haechi = Haechi::plan(&text).with("origin", origin.address).start();
    let http = haechi.at("http");
    let busy = thread::spawn(move || send(http, &Request::get("/hold")));
    let mut stream = frames::connect(http);
    stream.send(frames::get(1, "/hold")).unwrap();
    eventually("exchanges are under way", || (origin.arrivals_for("/hold").len() == 2).then_some(()));
    let started = Instant::now();
    haechi.signal(Signal::INT);
    haechi.ended(Duration::from_secs(10));
    assert!(started.elapsed() > Duration::from_millis(900), "{:?}", started.elapsed());
    assert!(busy.join().unwrap().is_err());
    let cut = |line: &serde_json::Value| line["target"] == "/hold" && line["error"] == "cut" && line["status"] == 0;
    let lines = eventually("both are logged", || Some(haechi.access_log()).filter(|lines| lines.len() >= 2));
    assert!(lines.len() == 2 && lines.iter().all(cut), "{lines:?}");
}

#[test]
fn the_access_log_is_whole_lines_that_follow_a_rotation() {
    let origin = Origin::named("hello");
    let text = format!("{PROXY}[log]\nlevel = \"info\"\naccess = {{ to = \"access.log\", format = \"json\" }}\n");
    let haechi = Haechi::plan(&text).with("origin", origin.address).start();
    let (http, path) = (haechi.at("http"), haechi.dir().join("access.log"));
    let lines = |path: &std::path::Path| -> Vec<serde_json::Value> {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    };
    let request =
        Request::get("/\"quoted\"?%C3%BC").with("User-Agent", "a\"b\\c\u{1f409}").with("Referer", "http://r/");
    let mut client = Client::connect(http).unwrap();
    for at in 0..100 {
        client.send(&request).unwrap_or_else(|error| panic!("request {at}: {error}"));
    }
    eventually("every line is written", || (lines(&path).len() == 100).then_some(()));
    let line = lines(&path).remove(0);
    for (name, value) in [
        ("method", "GET"),
        ("listener", "http"),
        ("upstream", "was"),
        ("client", "127.0.0.1"),
        ("user_agent", "a\"b\\c\u{1f409}"),
        ("referer", "http://r/"),
        ("host", "test.example"),
    ] {
        assert_eq!(line[name], value, "{name}: {line}");
    }
    assert_eq!((line["status"].as_u64(), line["bytes_out"].as_u64()), (Some(200), Some(5)), "{line}");
    assert!(line["duration_seconds"].as_f64().is_some_and(|took| took > 0.0 && took < 10.0), "{line}");

    fs::rename(&path, haechi.dir().join("access.log.1")).unwrap();
    haechi.signal(Signal::USR1);
    eventually("a new file is there", || path.exists().then_some(()));
    eventually("it is the one that is written to", || haechi.stderr().contains("opened anew").then_some(()));
    client.get("/after");
    eventually("it is written to", || (lines(&path).len() == 1).then_some(()));
    assert_eq!(lines(&haechi.dir().join("access.log.1")).len(), 100, "the old file is left alone");
}

#[test]
fn the_combined_format_is_what_tools_expect() {
    let origin = Origin::named("hello");
    let text = format!("{PROXY}[log]\naccess = {{ to = \"stdout\", format = \"combined\" }}\n");
    let haechi = Haechi::plan(&text).with("origin", origin.address).start();
    send(haechi.at("http"), &Request::get("/a").with("User-Agent", "test")).unwrap();
    eventually("a line", || {
        let said = haechi.stdout();
        let line = said.lines().find(|line| line.contains("/a"))?;
        assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
        assert!(line.ends_with("] \"GET /a HTTP/1.1\" 200 5 \"-\" \"test\""), "{line}");
        Some(())
    });
}

#[test]
fn metrics_count_what_happened() {
    let origin = Origin::start(|arrival, wire| {
        let status = arrival.target.trim_start_matches('/').parse().unwrap_or(200);
        wire.send(answer(status, "12345")).map_or(Next::Close, |()| Next::Keep)
    });
    let (haechi, http) = before(&origin);
    let mut client = Client::connect(http).unwrap();
    let asked = "GET /200 HTTP/1.1\r\nHost: test.example\r\n\r\n".len() * 6;
    for target in ["/200", "/200", "/200", "/404", "/404", "/500"] {
        client.get(target);
    }
    let server = origin.address.to_string();
    for (name, labels, expected) in [
        ("haechi_exchanges_total", &[("listener", "http"), ("outcome", "2xx")][..], 3.0),
        ("haechi_exchanges_total", &[("outcome", "4xx")], 2.0),
        ("haechi_exchanges_total", &[("outcome", "5xx")], 1.0),
        ("haechi_exchange_duration_seconds_count", &[("listener", "http")], 6.0),
        ("haechi_response_body_bytes_total", &[("listener", "http")], 30.0),
        ("haechi_connections_accepted_total", &[("listener", "http")], 1.0),
        ("haechi_connections_open", &[("listener", "http")], 1.0),
        ("haechi_client_received_bytes_total", &[("listener", "http")], f64::from(u32::try_from(asked).unwrap())),
        ("haechi_server_requests_total", &[("upstream", "was"), ("server", &server)], 6.0),
        ("haechi_server_responses_total", &[("server", &server), ("status", "4xx")], 2.0),
        ("haechi_server_connects_total", &[("server", &server)], 1.0),
        ("haechi_server_reused_connections_total", &[("server", &server)], 5.0),
        ("haechi_server_up", &[("server", &server)], 1.0),
        ("haechi_config_generation", &[], 1.0),
        ("haechi_build_info", &[], 1.0),
    ] {
        eventually(&format!("{name} {labels:?} is {expected}, it is {:?}", haechi.metric(name, labels)), || {
            (haechi.metric(name, labels) == Some(expected)).then_some(())
        });
    }
    let sent = haechi.metric("haechi_client_sent_bytes_total", &[("listener", "http")]);
    assert!(sent.is_some_and(|sent| (6.0 * 50.0..6.0 * 300.0).contains(&sent)), "{sent:?}");
    drop(client);
    eventually("the connection is gone", || {
        (haechi.metric("haechi_connections_open", &[("listener", "http")]) == Some(0.0)).then_some(())
    });
}

#[test]
fn status_shows_listeners_servers_and_the_config() {
    let origin = Origin::named("hello");
    let (haechi, _) = before(&origin);
    let status = haechi.status();
    assert_eq!(status["generation"], 1);
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert!(status["config"]["path"].as_str().is_some_and(|path| path.ends_with("haechi.toml")), "{status}");
    assert_eq!(status["config"]["last_error"], serde_json::Value::Null);
    assert!(status["listeners"].to_string().contains("http"), "{status}");
    let server = &status["upstreams"][0]["servers"][0];
    assert_eq!(status["upstreams"][0]["name"], "was");
    assert_eq!(server["address"], origin.address.to_string());
    assert_eq!(server["weight"], 1);
}

#[test]
fn admin_answers_what_it_has_and_only_that() {
    let origin = Origin::named("hello");
    let (haechi, _) = before(&origin);
    let admin = haechi.admin();
    assert_eq!(get(admin, "/healthz").status, 200);
    assert_eq!(get(admin, "/nothing").status, 404);
    assert_eq!(send(admin, &Request::post("/metrics", "x")).unwrap().status, 405);
    let metrics = get(admin, "/metrics");
    assert!(metrics.field("content-type").is_some_and(|kind| kind.starts_with("text/plain")));
}

#[test]
fn systemd_is_told_when_it_is_ready_reloads_and_stops() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let told = |wanted: &str| {
        let mut datagram = [0; 4096];
        loop {
            let length = socket.recv(&mut datagram).unwrap_or_else(|error| panic!("{wanted}: {error}"));
            if String::from_utf8_lossy(&datagram[..length]).contains(wanted) {
                break;
            }
        }
    };
    let origin = Origin::named("hello");
    let plan = Haechi::plan(PROXY).with("origin", origin.address).variable("NOTIFY_SOCKET", &path);
    let mut haechi = plan.start();
    told("READY=1");
    haechi.signal(Signal::HUP);
    told("RELOADING=1");
    told("READY=1");
    haechi.signal(Signal::TERM);
    told("STOPPING=1");
    assert!(haechi.ended(Duration::from_secs(10)).success());
}

#[test]
fn names_of_servers_are_resolved_and_an_unknown_one_is_a_down_server() {
    let origin = Origin::named("hello");
    let port = origin.address.port();
    let text =
        PROXY.replace("\"@origin\"", &format!("\"localhost:{port}\", \"nowhere.invalid:{}\"", free_port().port()));
    let haechi = Haechi::plan(&text).start();
    let http = haechi.at("http");
    for _ in 0..10 {
        assert_eq!(get(http, "/").text(), "hello");
    }
    let down = haechi.status()["upstreams"][0]["servers"].to_string();
    assert!(down.contains("nowhere.invalid"), "{down}");
}

#[test]
fn version_is_the_package_s() {
    let said = run(env!("CARGO_BIN_EXE_haechi"), ["--version"]);
    assert!(said.out.contains(env!("CARGO_PKG_VERSION")), "{said:?}");
}

#[test]
fn a_connection_whose_download_outlasts_the_handover_ends_with_it() {
    let (release, held) = channel::<()>();
    let held = Mutex::new(held);
    let origin = Origin::start(move |_, wire| {
        let _ = wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst");
        let _ = held.lock().unwrap().recv();
        wire.send(" last").map_or(Next::Close, |()| Next::Keep)
    });
    let text = format!("{PROXY}[process]\nworkers = 2\nhandover_grace = \"100ms\"\n");
    let mut haechi = Haechi::plan(&text).with("origin", origin.address).start();
    let mut client = Wire::connect(haechi.at("http")).unwrap();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(!client.read_head().unwrap().unwrap().values("connection").contains(&"close"), "the drain is yet to come");
    assert_eq!(client.read_exact(5).unwrap(), b"first");
    haechi.signal(Signal::TERM);
    within(Duration::from_secs(10), "the handover is over", || {
        let said = haechi.stderr();
        (said.contains("draining") && Wire::connect(haechi.at("http")).is_err()).then_some(())
    });
    pace(Duration::from_millis(500));
    release.send(()).unwrap();
    assert_eq!(client.read_exact(5).unwrap(), b" last");
    // The client keeps its connection, as it was told that it may.
    assert!(haechi.ended(Duration::from_secs(10)).success());
}

#[test]
fn a_connection_that_has_said_nothing_does_not_hold_up_a_drain() {
    let origin = Origin::named("origin");
    let text = PROXY.replace("bind = [\"@http\"]", "bind = [\"@http\"]\nprotocols = [\"http/1.1\", \"h2c\"]");
    let mut haechi = Haechi::plan(&text).with("origin", origin.address).start();
    let _silent = Wire::connect(haechi.at("http")).unwrap();
    eventually("it is accepted", || {
        (haechi.metric("haechi_connections_open", &[("listener", "http")]) == Some(1.0)).then_some(())
    });
    haechi.signal(Signal::TERM);
    assert!(haechi.ended(Duration::from_secs(10)).success());
}
