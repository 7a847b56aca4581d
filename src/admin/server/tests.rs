use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Instant, SystemTime};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::admin::{
    CertificateStatus, ConfigStatus, ListenerStatus, ServerCounts, ServerStatus, UpstreamStatus, WorkerStatus,
    server_families,
};
use crate::telemetry::exposition::parse;
use crate::telemetry::{Expiry, Outcome, Phase as TimeoutPhase, ThreadId, names};

const LIMITS: Limits = Limits { connections: 64, head: Duration::from_secs(20), exchange: Duration::from_secs(60) };

fn sources(phase: impl Fn() -> Phase + Send + Sync + 'static) -> Arc<Sources> {
    Arc::new(Sources {
        control: Arc::new(Control::new(SystemTime::UNIX_EPOCH, 2)),
        registry: Arc::new(Registry::new(2)),
        access_log: Arc::new(AccessLog::start(2).unwrap()),
        phase: Box::new(phase),
        status: Box::new(status),
        servers: Box::new(|page| {
            let server = |server| ServerCounts { upstream: "was", server, up: true, requests: 9, ..Default::default() };
            let failed = ServerCounts {
                failures: vec![("timeout", 2)],
                check_failures: vec![("answer_too_long", 4)],
                ..server("was2")
            };
            server_families(page, [failed, server("was1"), server("was1")]);
        }),
    })
}

fn status() -> Status {
    Status {
        version: "1.2.3",
        phase: Phase::Serving,
        uptime_seconds: 77,
        generation: 4,
        connections_limit: 4_096,
        worker: WorkerStatus { pid: 7, restarts: 1 },
        config: ConfigStatus {
            path: "/etc/haechi/haechi.toml".into(),
            loaded_at: SystemTime::UNIX_EPOCH + Duration::from_secs(951_782_400),
            last_error: Some("error: upstream `api` is not defined".into()),
        },
        listeners: vec![ListenerStatus {
            mode: "http",
            name: "https".into(),
            bind: vec!["0.0.0.0:443".into()],
            connections_limit: 20_000,
            flows: None,
            sources: None,
        }],
        databases: Vec::new(),
        upstreams: vec![UpstreamStatus {
            held: 3,
            name: "was".into(),
            servers: vec![ServerStatus {
                name: "was1".into(),
                address: None,
                health: "down",
                since: SystemTime::UNIX_EPOCH,
                reason: "connect: connection refused".into(),
                active: 3,
                weight: 1,
                backup: false,
                drain: false,
            }],
        }],
        certificates: vec![CertificateStatus {
            listener: "https".into(),
            names: vec!["shop.example".into()],
            expires_at: SystemTime::UNIX_EPOCH,
        }],
        vrrp: None,
    }
}

async fn started(sources: Arc<Sources>, limits: Limits) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(accept(listener, sources, limits));
    address
}

/// Sends these bytes and reads to the end.
async fn ask(address: SocketAddr, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), body.to_owned())
}

async fn fetch(address: SocketAddr, path: &str) -> (String, String) {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: admin\r\n\r\n")).await
}

#[tokio::test]
async fn healthz_follows_the_phase() {
    let phase = Arc::new(Mutex::new(Phase::Starting));
    let seen = Arc::clone(&phase);
    let address = started(sources(move || *seen.lock().unwrap()), LIMITS).await;
    for (now, code, text) in
        [(Phase::Starting, 503, "starting\n"), (Phase::Serving, 200, "ok\n"), (Phase::Draining, 503, "draining\n")]
    {
        *phase.lock().unwrap() = now;
        let (head, body) = fetch(address, "/healthz").await;
        assert!(head.starts_with(&format!("http/1.1 {code} ")), "{head}");
        assert_eq!(body, text);
    }
}

#[tokio::test]
async fn the_metrics_page_parses_and_keeps_to_the_table() {
    let sources = sources(|| Phase::Serving);
    let listener = sources.registry.listener("https");
    let site = sources.registry.site("https", "*.shop \"quoted\"\n");
    for thread in [ThreadId(0), ThreadId(1)] {
        let cells = listener.of(thread);
        cells.accepted.add(5);
        cells.closed.add(2);
        cells.handshake_failures.count("not_tls");
        cells.refused_heads.count("two_lengths");
        cells.timed_out(TimeoutPhase::Idle);
        cells.handshake_time.record(Duration::from_millis(2));
        let cells = site.of(thread);
        cells.start();
        cells.start();
        cells.end(Outcome::of_status(502), Duration::from_millis(7));
    }
    sources.control.serves(4);
    sources.control.config_taken(SystemTime::UNIX_EPOCH);
    sources
        .control
        .set_certificates([("https".into(), vec![Expiry { name: "shop.example".into(), at_seconds: 1_800_000_000 }])]);
    let address = started(sources, LIMITS).await;
    let (head, body) = fetch(address, "/metrics").await;
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");

    let samples = parse(&body).unwrap();
    let value = |name: &str, labels: &[&str]| {
        let mut found = samples.iter().filter(|sample| {
            sample.name == name && labels.iter().all(|label| sample.labels.iter().any(|(_, value)| value == label))
        });
        let first = found.next().unwrap_or_else(|| panic!("no {name} {labels:?}"));
        assert!(found.next().is_none(), "{name} {labels:?} twice");
        first.value
    };
    assert_eq!(value("haechi_connections_accepted_total", &["https"]), 10.0);
    assert_eq!(value("haechi_connections_open", &["https"]), 6.0);
    assert_eq!(value("haechi_connections_limit", &["https"]), 20_000.0);
    assert_eq!(value("haechi_tls_handshake_failures_total", &["https", "not_tls"]), 2.0);
    assert_eq!(value("haechi_tls_handshake_failures_total", &["https", "unknown_ca"]), 0.0);
    assert_eq!(value("haechi_refused_heads_total", &["two_lengths"]), 2.0);
    assert_eq!(value("haechi_client_timeouts_total", &["idle"]), 2.0);
    assert_eq!(value("haechi_tls_handshake_duration_seconds_count", &["https"]), 2.0);
    assert_eq!(value("haechi_exchanges_total", &["*.shop \"quoted\"\n", "5xx"]), 2.0);
    assert_eq!(value("haechi_exchanges_open", &["https"]), 2.0);
    assert_eq!(value("haechi_exchange_duration_seconds_sum", &["https"]), 0.014);
    assert_eq!(value("haechi_server_up", &["was", "was1"]), 1.0);
    assert_eq!(value("haechi_server_failures_total", &["was2", "timeout"]), 2.0);
    assert_eq!(value("haechi_server_check_failures_total", &["was2", "answer_too_long"]), 4.0);
    assert_eq!(value("haechi_upstream_held_sessions", &["was"]), 3.0);
    assert_eq!(value("haechi_certificate_earliest_expiry_timestamp_seconds", &["https"]), 1_800_000_000.0);
    assert_eq!(value("haechi_config_generation", &[]), 4.0);
    assert_eq!(value("haechi_access_log_dropped_lines_total", &["queue_full"]), 0.0);

    // Each family of the table stands on the page, once, with its kind; and no other does. Those of VRRP
    // are written by the host that speaks it.
    let shown: Vec<_> = body.lines().filter_map(|line| line.strip_prefix("# TYPE ")).map(str::to_owned).collect();
    let here = names::ALL.iter().filter(|family| !family.name.starts_with("haechi_vrrp_"));
    // Written by what the app knows of pools.
    let here = here.filter(|family| !family.name.starts_with("haechi_db_"));
    let mut known: Vec<_> = here.map(|f| format!("{} {}", f.name, f.kind.as_str())).collect();
    let mut sorted = shown.clone();
    sorted.sort_unstable();
    known.sort_unstable();
    assert_eq!(sorted, known);
    // A sample belongs to the family above it and has the labels of the table.
    for sample in &samples {
        let family = names::ALL.iter().rfind(|family| sample.name.starts_with(family.name)).unwrap();
        let labels: Vec<_> = sample.labels.iter().map(|(label, _)| label.as_str()).filter(|l| *l != "le").collect();
        assert_eq!(labels, family.labels, "{}", sample.name);
    }
}

#[tokio::test]
async fn counts_of_what_is_gone_leave_the_page() {
    let sources = sources(|| Phase::Serving);
    let held = sources.registry.listener("https");
    let address = started(sources, LIMITS).await;
    let sample = "haechi_connections_accepted_total{listener=\"https\"} 0";
    assert!(fetch(address, "/metrics").await.1.contains(sample));
    drop(held);
    assert!(!fetch(address, "/metrics").await.1.contains(sample));
}

#[tokio::test]
async fn status_is_json() {
    let address = started(sources(|| Phase::Serving), LIMITS).await;
    let (head, body) = fetch(address, "/status").await;
    assert!(head.contains("content-type: application/json"), "{head}");
    let status: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status["phase"], "serving");
    assert_eq!(status["generation"], 4);
    assert_eq!(status["config"]["loaded_at"], "2000-02-29T00:00:00Z");
    assert_eq!(status["config"]["last_error"], "error: upstream `api` is not defined");
    assert_eq!(status["upstreams"][0]["servers"][0]["health"], "down");
    assert_eq!(status["upstreams"][0]["servers"][0]["address"], serde_json::Value::Null);
    assert_eq!(status["certificates"][0]["names"][0], "shop.example");
}

#[tokio::test]
async fn only_what_exists_is_answered_and_only_reads() {
    let address = started(sources(|| Phase::Serving), LIMITS).await;
    assert!(fetch(address, "/").await.1.contains("/metrics"));
    assert!(fetch(address, "/nothing").await.0.starts_with("http/1.1 404"));
    let (head, _) = ask(address, "POST /metrics HTTP/1.1\r\nHost: admin\r\nContent-Length: 0\r\n\r\n").await;
    assert!(head.starts_with("http/1.1 405") && head.contains("allow: get, head"), "{head}");
    let (head, body) = ask(address, "HEAD /healthz HTTP/1.1\r\nHost: admin\r\n\r\n").await;
    assert!(head.starts_with("http/1.1 200") && head.contains("content-length: 3"), "{head}");
    assert_eq!(body, "");
}

#[tokio::test]
async fn a_client_that_says_nothing_gives_its_place_back() {
    let limits = Limits { connections: 1, head: Duration::from_millis(50), ..LIMITS };
    let address = started(sources(|| Phase::Serving), limits).await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    silent.write_all(b"GET /").await.unwrap();
    let asked = Instant::now();
    assert!(fetch(address, "/healthz").await.0.starts_with("http/1.1 200"));
    assert!(asked.elapsed() < LIMITS.head);
    let mut rest = Vec::new();
    silent.read_to_end(&mut rest).await.unwrap();
}

#[tokio::test]
async fn it_ends_when_it_is_told_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(serve(listener, sources(|| Phase::Serving), async { _ = stopped.await }));
    assert!(fetch(address, "/").await.0.starts_with("http/1.1 200"));
    stop.send(()).unwrap();
    serving.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
