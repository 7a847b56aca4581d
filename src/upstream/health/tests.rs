use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::upstream::balance::{Balance, IpHash};
use crate::upstream::discovery::{Addresses, Host, ServerSpec, expand};
use crate::upstream::role::{Answer, RedisRole};
use crate::upstream::{Health, Registry, Timeouts, Upstream};

/// An origin that gives every request the same bytes and closes; without bytes it never answers.
struct Origin {
    address: SocketAddr,
    answer: Mutex<Option<Vec<u8>>>,
    asked: Mutex<Vec<String>>,
    connections: AtomicUsize,
}

impl Origin {
    async fn serve(answer: impl AsRef<[u8]>) -> Arc<Self> {
        Self::start(Some(answer.as_ref().to_vec()), None).await
    }

    async fn start(answer: Option<Vec<u8>>, tls: Option<TlsAcceptor>) -> Arc<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (answer, asked) = (Mutex::new(answer), Mutex::default());
        let origin = Arc::new(Self { address, answer, asked, connections: AtomicUsize::new(0) });
        tokio::spawn(Arc::clone(&origin).accept(listener, tls));
        origin
    }

    async fn accept(self: Arc<Self>, listener: TcpListener, tls: Option<TlsAcceptor>) {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            self.connections.fetch_add(1, Relaxed);
            let (origin, tls) = (Arc::clone(&self), tls.clone());
            tokio::spawn(async move {
                match tls {
                    None => origin.answer(stream).await,
                    Some(tls) => match tls.accept(stream).await {
                        Ok(stream) => origin.answer(stream).await,
                        Err(_) => Ok(()),
                    },
                }
            });
        }
    }

    async fn answer(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        self.asked.lock().unwrap().push(String::from_utf8(head).unwrap());
        let answer = self.answer.lock().unwrap().clone();
        match answer {
            Some(answer) => {
                stream.write_all(&answer).await?;
                stream.shutdown().await
            }
            // Until the probe gives up.
            None => stream.read_to_end(&mut Vec::new()).await.map(drop),
        }
    }

    fn set(&self, answer: &str) {
        *self.answer.lock().unwrap() = Some(answer.into());
    }

    fn asked(&self) -> MutexGuard<'_, Vec<String>> {
        self.asked.lock().unwrap()
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nstatus=UP";
const BROKEN: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";

fn http_check(body: Option<&str>) -> Check {
    let question = HttpQuestion {
        protocol: Protocol::Http1,
        path: "/health?deep".into(),
        host: None,
        expect: Expect::default(),
        body: body.map(Into::into),
    };
    let pace = Pace { timeout: Duration::from_secs(10), ..Pace::default() };
    Check { question: Question::Http(question), tls: None, proxy_header: None, pace, port: None }
}

fn tcp_check() -> Check {
    Check { question: Question::Tcp, ..http_check(None) }
}

async fn failure(check: &Check, address: SocketAddr) -> String {
    probe(check, address, "was1:8080").await.expect_err("it should fail").to_string()
}

/// An address that nobody listens on.
async fn nobody() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn a_good_answer_passes_and_the_question_is_as_told() {
    let origin = Origin::serve(OK).await;
    probe(&http_check(Some("UP")), origin.address, "was1:8080").await.unwrap();
    let asked = origin.asked()[0].to_ascii_lowercase();
    assert!(asked.starts_with("get /health?deep http/1.1\r\n"), "{asked}");
    for field in ["host: was1:8080", "user-agent: haechi-check", "connection: close"] {
        assert!(asked.contains(&format!("\r\n{field}\r\n")), "{asked}");
    }
    probe(&tcp_check(), origin.address, "was1:8080").await.unwrap();
}

#[tokio::test]
async fn the_host_may_be_another() {
    let origin = Origin::serve(OK).await;
    let mut check = http_check(None);
    if let Question::Http(http) = &mut check.question {
        http.host = Some("shop.example".into());
    }
    probe(&check, origin.address, "was1:8080").await.unwrap();
    assert!(origin.asked()[0].to_ascii_lowercase().contains("\r\nhost: shop.example\r\n"));
}

#[tokio::test]
async fn failures_say_why() {
    let origin = Origin::serve(BROKEN).await;
    let check = http_check(Some("UP"));
    assert_eq!(failure(&check, origin.address).await, "status 503, expected 200-399");
    origin.set("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nDOWN");
    assert_eq!(failure(&check, origin.address).await, "body lacks `UP`");
    origin.set("HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\nhalf");
    assert!(failure(&check, origin.address).await.starts_with("response: "));
    origin.set("SSH-2.0-OpenSSH\r\n");
    assert!(failure(&check, origin.address).await.starts_with("response: "));
    assert_eq!(failure(&tcp_check(), nobody().await).await, "connect: connection refused");
}

#[tokio::test]
async fn no_more_than_64_kib_of_a_body_are_read() {
    let body = |before: usize| format!("HTTP/1.1 200 OK\r\n\r\n{}UP", "-".repeat(before));
    let origin = Origin::serve(body(64 * 1024 - 2)).await;
    probe(&http_check(Some("UP")), origin.address, "was1:8080").await.unwrap();
    origin.set(&body(64 * 1024 - 1));
    assert_eq!(failure(&http_check(Some("UP")), origin.address).await, "body lacks `UP`");
}

#[tokio::test]
async fn silence_times_out_in_its_phase() {
    let origin = Origin::start(None, None).await;
    let mut check = http_check(None);
    check.pace.timeout = Duration::from_millis(50);
    assert_eq!(failure(&check, origin.address).await, "timed out after 50ms in response");
    check.tls = Some(check_tls(&rcgen::generate_simple_self_signed(["was.test".into()]).unwrap(), "was.test"));
    assert_eq!(failure(&check, origin.address).await, "timed out after 50ms in tls");
}

#[tokio::test]
async fn tls_is_checked_by_name() {
    let minted = rcgen::generate_simple_self_signed(["was.test".into()]).unwrap();
    let key = rustls_pki_types::PrivatePkcs8KeyDer::from(minted.signing_key.serialize_der()).into();
    let config = rustls::ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![minted.cert.der().clone()], key).unwrap();
    let origin = Origin::start(Some(OK.into()), Some(TlsAcceptor::from(Arc::new(config)))).await;
    let mut check = http_check(Some("UP"));
    check.tls = Some(check_tls(&minted, "was.test"));
    probe(&check, origin.address, "was1:8080").await.unwrap();
    check.tls = Some(check_tls(&minted, "other.test"));
    let reason = failure(&check, origin.address).await;
    assert!(reason.starts_with("tls: "), "{reason}");
}

fn check_tls(trusted: &rcgen::CertifiedKey<rcgen::KeyPair>, name: &'static str) -> CheckTls {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted.cert.der().clone()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    CheckTls { config: Arc::new(config), server_name: Some(ServerName::try_from(name).unwrap()) }
}

fn upstream(registry: &Registry, host: Host, port: u16, check: Option<Check>) -> Arc<Upstream> {
    let name: Arc<str> = "was".into();
    let spec = ServerSpec { host, port, label: None, weight: 1, backup: false, drain: false, limit: None };
    let second = Duration::from_secs(1);
    Arc::new(Upstream {
        protocol: Protocol::Http1,
        outbound: None,
        recipe: 0,
        servers: expand(&name, &[spec], &Addresses::default(), registry, Instant::now()),
        name,
        balance: Balance::IpHash(IpHash::default()),
        timeouts: Timeouts { connect: second, response: second, idle: second, queue: second },
        check: check.map(Arc::new),
        role: None,
        slow_start: None,
        sessions: crate::upstream::SessionRules::default(),
        proxy_header: None,
    })
}

async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what} did not come");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn verdicts_follow_the_server() {
    let origin = Origin::serve(OK).await;
    let registry = Registry::new(1);
    let mut check = http_check(None);
    check.pace.interval = Duration::from_millis(10);
    let host = Host::Address(origin.address.ip());
    let checked = upstream(&registry, host.clone(), origin.address.port(), Some(check));
    let state = &checked.servers[0].state;
    assert_eq!(state.health(), Health::Unknown);

    let mut checks = Checks::new();
    checks.apply([&checked]);
    eventually("up", || state.health() == Health::Up).await;
    assert!(state.verdict().last_probe.is_some_and(|probe| probe.took.is_some()));
    origin.set(BROKEN);
    eventually("down", || state.health() == Health::Down).await;
    assert_eq!(&*state.verdict().reason, "status 503, expected 200-399");
    origin.set(OK);
    eventually("up again", || state.health() == Health::Up).await;

    checks.apply([&upstream(&registry, host, origin.address.port(), None)]);
    assert_eq!(state.health(), Health::Unknown, "nobody checks it any more");
}

#[tokio::test]
async fn a_reload_asks_anew_only_where_the_check_is_another() {
    let origin = Origin::serve(OK).await;
    let registry = Registry::new(1);
    let mut check = http_check(None);
    check.pace.interval = Duration::from_secs(3600);
    let (host, port) = (Host::Address(origin.address.ip()), origin.address.port());
    let at = |check: &Check| upstream(&registry, host.clone(), port, Some(check.clone()));
    let first = at(&check);
    let state = &first.servers[0].state;

    let mut checks = Checks::new();
    checks.apply([&first]);
    eventually("up", || state.health() == Health::Up).await;
    checks.apply([&at(&check)]);
    // A probe by hand: one of the task's would have started before it.
    probe(&check, origin.address, "was1:8080").await.unwrap();
    assert_eq!(origin.connections.load(Relaxed), 2, "the reload without a change asked nothing");
    check.pace.rise = 5;
    checks.apply([&at(&check)]);
    eventually("the probe of the changed check", || origin.asked().len() == 3).await;
    assert_eq!(state.health(), Health::Up);
}

#[tokio::test]
async fn a_server_without_an_address_is_down() {
    let registry = Registry::new(1);
    let lost = upstream(&registry, Host::Name("was.test".into()), 80, Some(tcp_check()));
    Checks::new().apply([&lost]);
    let state = &lost.servers[0].state;
    assert_eq!(state.health(), Health::Down);
    assert_eq!(&*state.verdict().reason, "its name does not resolve");
}

#[tokio::test]
async fn an_ended_check_ends_its_probe() {
    let origin = Origin::start(None, None).await;
    let registry = Registry::new(1);
    let host = Host::Address(origin.address.ip());
    let checked = upstream(&registry, host, origin.address.port(), Some(http_check(None)));
    let mut checks = Checks::new();
    checks.apply([&checked]);
    eventually("the question", || !origin.asked().is_empty()).await;
    checks.apply([]);
    assert_eq!(checked.servers[0].state.health(), Health::Unknown);
    // The registry and the server hold it; the task did too.
    eventually("the end of the task", || Arc::strong_count(&checked.servers[0].state) == 2).await;
}

/// Answers every connection with these words, whatever it asks.
async fn chatter(words: &'static str) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ended = stream.write_all(words.as_bytes()).await;
            let _ended = stream.read_to_end(&mut Vec::new()).await;
        }
    });
    address
}

fn redis_check() -> Check {
    let question = DatabaseQuestion {
        engine: Engine::Redis,
        user: "default".into(),
        password: Secret(Arc::default()),
        tls: None,
        observe: true,
        max_answer: 1024,
    };
    let pace = Pace { interval: Duration::from_millis(10), ..Pace::default() };
    Check { question: Question::Database(question), port: None, proxy_header: None, tls: None, pace }
}

#[tokio::test]
async fn what_a_database_says_of_itself_is_reported() {
    let registry = Registry::new(1);
    for (words, said) in [
        ("$13\r\nrole:master\r\n\r\n", Ok(RedisRole::Primary)),
        ("-LOADING not yet\r\n", Err("redis: LOADING not yet")),
        ("$4\r\nrole\r\n", Err("the answer lacks role")),
        ("$1025\r\n", Err("the server sent more than 1024 bytes; `max_answer` says how many a check takes")),
        ("*1\r\n", Err("redis: not an answer of Redis")),
        ("HTTP/1.1 400 Bad Request\r\n", Err("redis: not an answer of Redis")),
    ] {
        let address = chatter(words).await;
        let checked = upstream(&registry, Host::Address(address.ip()), address.port(), Some(redis_check()));
        let (sender, mut reports) = tokio::sync::mpsc::channel(1);
        let mut checks = Checks::reporting(sender);
        checks.apply([&checked]);
        for _ in 0..3 {
            let report = reports.recv().await.unwrap();
            assert_eq!((&*report.upstream, report.id), ("was", checked.servers[0].state.id));
            match (report.outcome, &said) {
                (Ok(Answer::Redis(seen)), Ok(role)) => assert_eq!(seen.role, *role),
                (Err(reason), Err(wanted)) => assert_eq!(&*reason, *wanted),
                (outcome, _) => panic!("{words}: {outcome:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_database_that_is_silent_has_its_time() {
    let address = chatter("").await;
    for (engine, phase) in [
        (Engine::MySql, "login"),
        (Engine::Postgres { database: "postgres".into() }, "login"),
        (Engine::Redis, "response"),
    ] {
        let mut check = redis_check();
        check.pace.timeout = Duration::from_millis(50);
        if let Question::Database(question) = &mut check.question {
            question.engine = engine;
        }
        let reason = probe(&check, address, "db:1").await.unwrap_err();
        assert_eq!(reason.to_string(), format!("timed out after 50ms in {phase}"));
    }
}
