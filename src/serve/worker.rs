//! One data-plane thread: what it holds, and what it writes down when an exchange is over.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;

use super::load::{Load, Overload};
use crate::handler::Local;
use crate::handler::static_files::Disk;
use crate::head::{Known, RequestHead};
use crate::message::{Exchange, InFlight};
use crate::net::{Tag, fire_idle};
use crate::snapshot::{Listener, ListenerId, Snapshot};
use crate::telemetry::{Outcome, Phase, Record, ThreadId, ThreadLog, TlsPart, UpstreamPart};

/// What one data-plane thread works with.
#[derive(Debug)]
#[expect(
    clippy::redundant_allocation,
    reason = "the inner count is shared with other cores, the outer one is the thread's own and written for each exchange"
)]
pub struct Worker {
    /// What handlers keep.
    pub local: Local,
    snapshot: RefCell<Rc<Arc<Snapshot>>>,
    log: RefCell<ThreadLog>,
    draining: Cell<bool>,
    /// Whether connections that come to rest are ended.
    restless: Cell<bool>,
    open: Rc<Open>,
    load: Load,
}

#[derive(Debug, Default)]
struct Open {
    connections: Cell<usize>,
    none: Notify,
}

/// A connection that a drain waits for; over when dropped.
#[derive(Debug)]
pub struct OpenConnection(Rc<Open>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let left = self.0.connections.get() - 1;
        self.0.connections.set(left);
        if left == 0 {
            self.0.none.notify_waiters();
        }
    }
}

impl Worker {
    /// A thread that serves by `snapshot`.
    #[must_use]
    pub fn new(thread: ThreadId, snapshot: Arc<Snapshot>, disk: Disk, log: ThreadLog, now: Instant) -> Self {
        Self {
            local: Local::new(thread, disk, now),
            snapshot: RefCell::new(Rc::new(snapshot)),
            log: RefCell::new(log),
            draining: Cell::new(false),
            restless: Cell::new(false),
            open: Rc::default(),
            load: Load::default(),
        }
    }

    /// A place for one more exchange, where the thread can take it on.
    pub(super) fn admit(&self, snapshot: &Snapshot) -> Result<InFlight<'_>, Overload> {
        self.load.admit(snapshot.capacity)
    }

    /// Moves the thread's coarse clock on. To be called `every` so often: how late it is called
    /// tells how much the thread has to do.
    pub fn turned(&self, now: Instant, every: Duration) {
        self.local.now.set(now);
        self.load.turned(now, every, self.snapshot.borrow().capacity);
    }

    /// One more connection.
    #[must_use]
    pub fn open(&self) -> OpenConnection {
        self.open.connections.set(self.open.connections.get() + 1);
        OpenConnection(Rc::clone(&self.open))
    }

    /// Waits until there is no connection.
    pub async fn all_closed(&self) {
        loop {
            let none = self.open.none.notified();
            if self.open.connections.get() == 0 {
                return;
            }
            none.await;
        }
    }

    /// What runs now. The handle is the thread's own: taking one writes nothing that another core
    /// writes. It is to be held for one exchange at most.
    #[must_use]
    pub fn snapshot(&self) -> Rc<Arc<Snapshot>> {
        Rc::clone(&self.snapshot.borrow())
    }

    /// From now on exchanges are served by `snapshot`. Connections that rest and whose listener is
    /// gone are ended; those in an exchange finish it.
    pub fn commit(&self, snapshot: Arc<Snapshot>) {
        let current = Rc::new(snapshot);
        *self.snapshot.borrow_mut() = Rc::clone(&current);
        fire_idle(|Tag(id)| current.listener(ListenerId(id)).is_none());
    }

    /// From now on each answer says that it is the last of its connection.
    pub fn wind_down(&self) {
        self.draining.set(true);
    }

    /// From now on connections are kept again, but for those that were told otherwise.
    pub fn keep_alive(&self) {
        self.draining.set(false);
    }

    /// Ends the connections that rest, and from now on those that come to rest.
    pub fn end_idle(&self) {
        self.restless.set(true);
        fire_idle(|_| true);
    }

    /// How long a connection may rest now where the listener allows `idle`.
    #[must_use]
    pub fn rest(&self, idle: Duration) -> Duration {
        if self.restless.get() { Duration::ZERO } else { idle }
    }

    /// Whether connections of this listener are to end with their exchange.
    #[must_use]
    pub fn is_leaving(&self, listener: ListenerId) -> bool {
        self.draining.get() || self.snapshot.borrow().listener(listener).is_none()
    }

    /// Whether the thread is being drained.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Writes a line of the access log, where there is one.
    pub fn log<'a>(&self, record: impl FnOnce() -> Record<'a>) {
        let mut log = self.log.borrow_mut();
        if log.is_on() {
            log.record(&record());
        }
    }

    /// Hands on what the log holds. To be called several times a second.
    pub fn flush_log(&self) {
        self.log.borrow_mut().flush();
    }
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ended {
    /// The status that was sent; 0: none.
    pub status: u16,
    /// Payload bytes of the request's body.
    pub bytes_in: u64,
    /// Payload bytes of the answer's body.
    pub bytes_out: u64,
    /// Why the answer is not whole, where it is not.
    pub fault: Option<&'static str>,
    /// Whether that is the client's doing.
    pub client_gone: bool,
}

/// An exchange on its way. Where it is dropped before it is over, at the end of a drain, that is
/// counted and logged too.
#[derive(Debug)]
pub struct Underway<'h, 's> {
    /// What becomes known of it.
    pub exchange: Exchange<'s>,
    /// The status that is being sent; 0: none yet.
    pub status: u16,
    worker: &'s Worker,
    listener: &'s Listener,
    head: &'h RequestHead,
    over: bool,
}

impl<'h, 's> Underway<'h, 's> {
    /// One that has begun with this head.
    #[must_use]
    pub fn new(worker: &'s Worker, listener: &'s Listener, exchange: Exchange<'s>, head: &'h RequestHead) -> Self {
        Self { exchange, status: 0, worker, listener, head, over: false }
    }

    /// Counts and logs it; it is over.
    pub fn finish(&mut self, ended: &Ended) {
        self.over = true;
        finish(self.worker, self.listener, &self.exchange, self.head, ended);
    }
}

impl Drop for Underway<'_, '_> {
    fn drop(&mut self) {
        if !self.over {
            self.finish(&Ended { status: self.status, fault: Some("cut"), ..Ended::default() });
        }
    }
}

/// Counts and logs an exchange that is over.
fn finish(worker: &Worker, listener: &Listener, exchange: &Exchange<'_>, head: &RequestHead, ended: &Ended) {
    let took = exchange.started.elapsed();
    if let Some((_, cells)) = exchange.site {
        let outcome = if ended.client_gone { Outcome::ClientGone } else { Outcome::of_status(ended.status) };
        cells.end(outcome, took);
        cells.bytes_in.add(ended.bytes_in);
        cells.bytes_out.add(ended.bytes_out);
        if let Some(first_byte) = exchange.first_byte {
            cells.upstream_first_byte.record(first_byte);
        }
    }
    match exchange.refusal.or(ended.fault) {
        Some("request_body_timeout") => listener.cells(worker.local.thread).timed_out(Phase::Body),
        Some("send_timeout") => listener.cells(worker.local.thread).timed_out(Phase::Send),
        _ => {}
    }
    let mut log = worker.log.borrow_mut();
    if !log.is_on() {
        return;
    }
    let upstream = exchange.upstream.map(|upstream| UpstreamPart {
        upstream,
        server: exchange.server.unwrap_or_default(),
        connect: exchange.connect,
        first_byte: exchange.first_byte,
        attempts: exchange.attempts,
    });
    let tls = exchange.client.tls.as_deref().map(|tls| TlsPart {
        version: tls.version,
        cipher: tls.cipher,
        sni: tls.server_name.as_deref().unwrap_or_default(),
        client_subject: tls.client_subject.as_deref().unwrap_or_default(),
    });
    let now = SystemTime::now();
    let field = |known| head.fields.first(known).unwrap_or_default();
    log.record(&Record {
        time: now.checked_sub(took).unwrap_or(now),
        took,
        mode: "",
        listener: &listener.name,
        site: exchange.site.map_or("", |(name, _)| name),
        client: exchange.client_address(),
        request_id: exchange.request_id.as_ref().map_or(&[][..], |id| id.as_bytes()),
        method: head.method_name(),
        target: &head.target,
        version: head.version.as_str(),
        host: field(Known::Host),
        status: ended.status,
        bytes_in: ended.bytes_in,
        bytes_out: ended.bytes_out,
        upstream,
        tls,
        referer: field(Known::Referer),
        user_agent: field(Known::UserAgent),
        error: exchange.refusal.or(ended.fault),
    });
}
