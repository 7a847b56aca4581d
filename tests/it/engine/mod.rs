//! The engine in this process: the driver of HTTP/1 over a pipe to a scripted client, and a pooled
//! connection that is a pipe to a scripted origin. No socket and no thread but those of the test.

pub mod messages;

use std::cell::Cell;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use haechi::config;
use haechi::diagnostic::SourceFile;
use haechi::handler::static_files::Disk;
use haechi::http::{Accepted, h1};
use haechi::net::{Client, Stream, run_deadlines};
use haechi::serve::Worker;
use haechi::snapshot::{Lasting, ListenerId, Snapshot, compile};
use haechi::telemetry::{AccessLog, ThreadId};
use haechi::tls::Tickets;
use haechi::upstream::Connection;
use haechi::upstream::discovery::Addresses;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

/// Longer than anything that makes progress takes.
const HANG: Duration = Duration::from_secs(20);
/// Bytes that a pipe holds.
const PIPE: usize = 256 * 1024;

/// One listener before one upstream of one server; answers and requests bear no id, so that two runs
/// are alike. `@` stands for the server.
pub const PLAIN: &str = r#"
[listener.http]
bind = ["127.0.0.1:1"]
request_id = false

[[site]]
hosts = ["*"]

[[site.route]]
path = "/"
proxy = { upstream = "was" }

[upstream.was]
servers = ["@"]
"#;

/// The engine with what it needs around it.
pub struct Engine {
    runtime: tokio::runtime::Runtime,
    tasks: LocalSet,
    worker: Rc<Worker>,
    snapshot: Arc<Snapshot>,
    /// Keeps the server's port from anybody else: nobody listens there.
    _nobody: socket2::Socket,
}

impl Engine {
    /// The engine under this config. Its only server is reached by [`Engine::with_origin`] alone.
    pub fn new(text: &str) -> Self {
        let nobody = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        nobody.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let server = nobody.local_addr().unwrap().as_socket().unwrap();
        Self::before(text, server, nobody)
    }

    /// The same before a server that listens.
    pub fn before_server(text: &str, server: SocketAddr) -> Self {
        let nobody = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        Self::before(text, server, nobody)
    }

    fn before(text: &str, server: SocketAddr, nobody: socket2::Socket) -> Self {
        static LOG: OnceLock<AccessLog> = OnceLock::new();
        let text = text.replace('@', &server.to_string());
        let written = config::parse(vec![SourceFile::new("haechi.toml", &text)]).unwrap();
        let lasting = Lasting::new(1, 1024, Tickets::new(&[], std::time::SystemTime::now()).unwrap(), 0);
        let snapshot = Arc::new(
            compile(
                &written,
                &lasting,
                &Addresses::default(),
                None,
                &haechi::reading::Reading::of_disk(),
                Instant::now(),
            )
            .unwrap(),
        );
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let log = LOG.get_or_init(|| AccessLog::start(1).unwrap()).thread(ThreadId(0));
        let worker = Worker::new(ThreadId(0), Arc::clone(&snapshot), Disk::new(1), log, Instant::now());
        let tasks = LocalSet::new();
        tasks.spawn_local(run_deadlines());
        Self { runtime, tasks, worker: Rc::new(worker), snapshot, _nobody: nobody }
    }

    /// The two ends of a socket.
    pub fn sockets(&self) -> (TcpStream, TcpStream) {
        self.runtime.block_on(async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
            (near.unwrap(), far.unwrap().0)
        })
    }

    /// Serves a connection while `client` runs, and gives what that came to. The driver must have
    /// ended too.
    pub fn run<C: Future>(&self, stream: Stream, client: C) -> C::Output {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 4711));
        let listener = self.snapshot.listener(ListenerId(0)).unwrap();
        let accepted = Accepted {
            worker: Rc::clone(&self.worker),
            listener: ListenerId(0),
            stream,
            client: Client { peer: address, local: address, tls: None },
            place: listener.admit().unwrap(),
        };
        let served = async move { h1::Connection::new(accepted).serve().await };
        let both = async { tokio::join!(client, served).0 };
        let ended = self.tasks.block_on(&self.runtime, async { tokio::time::timeout(HANG, both).await });
        ended.expect("the engine hangs")
    }

    /// The same with a pipe for the client, and one to `origin` for the exchanges with the server.
    pub fn with_origin<C: Future, O: Future>(
        &self,
        client: impl FnOnce(DuplexStream) -> C,
        origin: impl FnOnce(DuplexStream) -> O,
    ) -> (C::Output, O::Output) {
        let (near, far) = tokio::io::duplex(PIPE);
        self.with_origin_over(Stream::Memory(near), client(far), origin)
    }

    /// The same with any stream for the client.
    pub fn with_origin_over<C: Future, O: Future>(
        &self,
        stream: Stream,
        client: C,
        origin: impl FnOnce(DuplexStream) -> O,
    ) -> (C::Output, O::Output) {
        let (near, far) = tokio::io::duplex(PIPE);
        let upstream = &self.snapshot.upstreams[0];
        let server = &upstream.servers[0];
        let connection = Connection::new(Stream::Memory(near), server.address.unwrap());
        let pools = &self.worker.local.pools;
        let (now, later) = (self.worker.local.now.get(), Duration::from_secs(86_400));
        pools.put(server.state.id, upstream.recipe, Box::new(connection), now, later);
        let client = async {
            let said = client.await;
            // The origin's connection may rest by now: it ends with the client's.
            settle().await;
            pools.sweep(now + later);
            said
        };
        self.run(stream, async { tokio::join!(client, origin(far)) })
    }
}

/// Lets everybody else do what there is to do: nothing here waits for a network.
pub async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// Sends the pieces, each when the one before it was dealt with, and reads until the end.
pub async fn talk(stream: DuplexStream, pieces: &[&[u8]], finish: bool) -> Vec<u8> {
    let (mut read, mut write) = tokio::io::split(stream);
    let mut heard = Vec::new();
    let speak = async {
        for piece in pieces {
            if write.write_all(piece).await.is_err() {
                break;
            }
            settle().await;
        }
        if finish {
            let _ = write.shutdown().await;
        }
        write
    };
    let listen = async { read.read_to_end(&mut heard).await };
    let (_write, _) = tokio::join!(speak, listen);
    heard
}

/// An origin that answers each whole request with the next of `answers`, cut in two at the place
/// `cut` of all of them, and closes behind the last; what it was asked.
pub async fn answer_all(mut stream: DuplexStream, answers: &[&[u8]], cut: usize) -> Vec<u8> {
    let mut asked = Vec::new();
    let place = Cell::new(0);
    for (at, answer) in answers.iter().enumerate() {
        while messages::requests(&asked).unwrap().iter().filter(|one| one.end == messages::End::Whole).count() <= at {
            if stream.read_buf(&mut asked).await.unwrap_or(0) == 0 {
                return asked;
            }
        }
        let (first, second) = answer.split_at(cut.saturating_sub(place.get()).min(answer.len()));
        place.set(place.get() + answer.len());
        for piece in [first, second] {
            if stream.write_all(piece).await.is_err() {
                return asked;
            }
            settle().await;
        }
    }
    let _ = stream.shutdown().await;
    let _ = stream.read_to_end(&mut asked).await;
    asked
}
