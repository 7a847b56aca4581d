//! What is known of a session: for the metrics, the access log and its server.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::Ending;
use crate::codec::proxy::Addresses;
use crate::net::{Client, Stream};
use crate::serve::Worker;
use crate::snapshot::Listener;
use crate::telemetry::{LineBudget, ListenerCells, PerThread, Phase, Record, TlsPart, UpstreamPart};
use crate::upstream::{Server, Upstream};

/// A session on its way. Where it is dropped before it is over, at the end of a drain, that is counted
/// and logged too.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) worker: Rc<Worker>,
    listener: Arc<str>,
    cells: Arc<PerThread<ListenerCells>>,
    client: Client,
    server_name: Option<Box<str>>,
    started: Instant,
    upstream: Option<Arc<str>>,
    server: Option<Arc<Server>>,
    attempts: u32,
    connect: Option<Duration>,
    up: u64,
    down: u64,
    over: bool,
}

impl Session {
    /// One that begins.
    pub(super) fn new(worker: &Rc<Worker>, listener: &Listener, client: Client) -> Self {
        Self {
            worker: Rc::clone(worker),
            listener: Arc::clone(&listener.name),
            cells: Arc::clone(&listener.cells),
            client,
            server_name: None,
            started: Instant::now(),
            upstream: None,
            server: None,
            attempts: 0,
            connect: None,
            up: 0,
            down: 0,
            over: false,
        }
    }

    /// The client's address, for balancing.
    pub(super) fn address(&self) -> IpAddr {
        self.client.peer.ip().to_canonical()
    }

    /// What a PROXY header tells the server.
    pub(super) fn addresses(&self) -> Addresses {
        Addresses { source: self.client.peer, destination: self.client.local }
    }

    /// The client named this host.
    pub(super) fn server_name(&mut self, name: Option<&str>) {
        self.server_name = name.map(Box::from);
    }

    /// A server of this upstream is looked for.
    pub(super) fn wants(&mut self, upstream: &Upstream) {
        self.upstream = Some(Arc::clone(&upstream.name));
    }

    /// This server is asked.
    pub(super) fn asks(&mut self, server: &Arc<Server>) {
        self.server = Some(Arc::clone(server));
        self.attempts += 1;
    }

    /// It took the connection.
    pub(super) fn connected(&mut self) {
        self.connect = Some(self.started.elapsed());
    }

    /// The upstream as it is now, where it still is.
    pub(super) fn newest(&self, upstream: &Arc<Upstream>) -> Arc<Upstream> {
        let snapshot = self.worker.snapshot();
        snapshot.upstreams.iter().find(|newest| newest.name == upstream.name).unwrap_or(upstream).clone()
    }

    /// So much has gone through in all; whether that is more than before.
    pub(super) fn moved(&mut self, up: u64, down: u64) -> bool {
        let (more_up, more_down) = (up - self.up, down - self.down);
        if more_up == 0 && more_down == 0 {
            return false;
        }
        (self.up, self.down) = (up, down);
        let thread = self.worker.local.thread;
        let cells = self.cells.of(thread);
        cells.bytes_in.add(more_up);
        cells.bytes_out.add(more_down);
        if let Some(server) = &self.server {
            let cells = server.state.cells(thread);
            cells.bytes_sent.add(more_up);
            cells.bytes_received.add(more_down);
        }
        true
    }

    /// Counts a phase that took too long.
    pub(super) fn timed_out(&self, phase: Phase) {
        self.cells.of(self.worker.local.thread).timed_out(phase);
    }

    /// Ends it without a server: what the client gets is no end of anything, but a reset.
    pub(super) fn refuse(&mut self, stream: &Stream, ending: Ending) {
        stream.reset_on_close();
        if ending.is_want_of_server() && LINES.with(|lines| lines.take(self.started)) {
            let upstream = self.upstream.as_deref().unwrap_or_default();
            let (listener, client) = (&*self.listener, self.client.peer);
            tracing::warn!(listener, %client, upstream, reason = ending.name(), "session refused");
        }
        self.end(ending);
    }

    /// Counts and logs it; it is over.
    pub(super) fn end(&mut self, ending: Ending) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        let took = self.started.elapsed();
        let cells = self.cells.of(self.worker.local.thread);
        cells.sessions.count(ending.name());
        cells.session_time.record(took);
        self.worker.log(|| {
            let now = SystemTime::now();
            self.record(ending, took, now.checked_sub(took).unwrap_or(now))
        });
    }

    fn record(&self, ending: Ending, took: Duration, time: SystemTime) -> Record<'_> {
        let upstream = self.upstream.as_deref().map(|upstream| UpstreamPart {
            upstream,
            server: self.server.as_ref().map_or("", |server| &server.name),
            connect: self.connect,
            first_byte: None,
            attempts: self.attempts,
        });
        let tls = self.client.tls.as_deref().map(|tls| TlsPart {
            version: tls.version,
            cipher: tls.cipher,
            sni: tls.server_name.as_deref().unwrap_or_default(),
            client_subject: tls.client_subject.as_deref().unwrap_or_default(),
        });
        // Of TLS that passes through nothing is known but the name.
        let passing = self.server_name.as_deref();
        let passing = passing.map(|sni| TlsPart { version: "", cipher: "", sni, client_subject: "" });
        let client = SocketAddr::new(self.address(), self.client.peer.port());
        Record {
            error: (ending != Ending::Whole).then_some(ending.name()),
            upstream,
            tls: tls.or(passing),
            ..Record::of_session(time, took, &self.listener, client, self.up, self.down)
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end(Ending::Cut);
    }
}

thread_local! {
    static LINES: LineBudget = const { LineBudget::new(10) };
}
