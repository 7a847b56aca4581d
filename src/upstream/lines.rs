//! Lines: HTTP/2 connections of one thread to servers, each shared by many exchanges.
//!
//! A line is dialled when no other has a free stream, one at a time for each server. A task drives
//! it; exchanges hold a [`StreamLease`] on it. A line on which a fault was met takes no new
//! exchange; it closes when its last one is over.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::sync::Mutex;

use super::dial::{DialFault, dial};
use super::lease::Busy;
use super::{LeaseFault, Pools, Server, Upstream};
use crate::net::{Deadline, Gather, Stream};
use crate::telemetry::ThreadId;

/// Streams on one line at once, where the server does not allow fewer.
const MOST_STREAMS: usize = 100;
/// Bytes that a server may send ahead on one stream; the client's pace holds it there.
const STREAM_WINDOW: u32 = 128 * 1024;
/// Bytes that a server may send ahead on all streams of a line: no stream takes another's share.
const LINE_WINDOW: u32 = STREAM_WINDOW * MOST_STREAMS as u32;
/// Bytes of fields in a server's answer.
const MOST_FIELDS: u32 = 64 * 1024;

/// A stream of a line that one exchange may open. Dropped, it frees its place on the line.
#[derive(Debug)]
pub struct StreamLease<'s> {
    /// Who is at the other end.
    pub server: &'s Arc<Server>,
    /// Opens the stream.
    pub sender: SendRequest<Bytes>,
    /// Bounds the phase that the exchange is in.
    pub deadline: Deadline,
    /// Whether the line was there before.
    pub reused: bool,
    line: Rc<Line>,
    upstream: &'s Upstream,
    _busy: Busy<'s>,
}

impl StreamLease<'_> {
    /// How long the server may take to answer, and between two bytes of its answer.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.upstream.timeouts.response
    }

    /// No new exchange gets the line any more.
    pub fn retire(&self) {
        self.line.retired.set(true);
    }
}

impl Drop for StreamLease<'_> {
    fn drop(&mut self) {
        self.line.open.set(self.line.open.get() - 1);
    }
}

/// The lines of one thread.
#[derive(Debug, Default)]
pub(super) struct Lines {
    servers: RefCell<Vec<(u32, Rc<ServerLines>)>>,
}

#[derive(Debug, Default)]
struct ServerLines {
    lines: RefCell<Vec<Rc<Line>>>,
    /// Held by who dials: others wait for the line instead of dialling too.
    dialling: Mutex<()>,
    /// Dials that failed.
    failures: Cell<u64>,
}

#[derive(Debug)]
struct Line {
    sender: SendRequest<Bytes>,
    address: SocketAddr,
    recipe: u64,
    open: Cell<usize>,
    rest: Duration,
    /// Since when there is no exchange, as the last sweep found it.
    idle_since: Cell<Option<Instant>>,
    retired: Cell<bool>,
}

impl Lines {
    fn of(&self, id: u32) -> Rc<ServerLines> {
        let mut servers = self.servers.borrow_mut();
        let at = servers.binary_search_by_key(&id, |(id, _)| *id).unwrap_or_else(|at| {
            servers.insert(at, (id, Rc::default()));
            at
        });
        servers.get(at).map(|(_, lines)| Rc::clone(lines)).unwrap_or_default()
    }

    /// Closes what has rested long enough. To be called about once a second.
    pub(super) fn sweep(&self, now: Instant) {
        let mut servers = self.servers.borrow_mut();
        servers.retain(|(_, server)| {
            let mut lines = server.lines.borrow_mut();
            lines.retain(|line| !line.retired.get() && !line.has_rested(now));
            !lines.is_empty() || Rc::strong_count(server) > 1
        });
    }

    /// How many lines there are.
    pub(super) fn count(&self) -> usize {
        self.servers.borrow().iter().map(|(_, server)| server.lines.borrow().len()).sum()
    }
}

impl ServerLines {
    /// A place on a line that was made alike, where one is free.
    fn place(&self, address: SocketAddr, recipe: u64) -> Option<Rc<Line>> {
        let mut lines = self.lines.borrow_mut();
        lines.retain(|line| line.lives());
        let line = lines.iter().find(|line| line.address == address && line.recipe == recipe && line.has_room())?;
        line.take();
        Some(Rc::clone(line))
    }
}

impl Line {
    fn take(&self) {
        self.open.set(self.open.get() + 1);
        self.idle_since.set(None);
    }

    fn has_room(&self) -> bool {
        self.open.get() < MOST_STREAMS.min(self.sender.current_max_send_streams())
    }

    /// Whether new streams may be opened. A server that said goodbye (RFC 9113 §6.8) takes none.
    fn lives(&self) -> bool {
        let failed =
            self.sender.clone().poll_ready(&mut Context::from_waker(Waker::noop())).map(|ready| ready.is_err());
        !self.retired.get() && failed != Poll::Ready(true)
    }

    fn has_rested(&self, now: Instant) -> bool {
        if self.open.get() > 0 {
            return false;
        }
        let since = self.idle_since.get().unwrap_or(now);
        self.idle_since.set(Some(since));
        now.saturating_duration_since(since) >= self.rest
    }
}

impl Upstream {
    /// A stream to `server`, on a line of this thread or a new one.
    ///
    /// # Errors
    /// [`LeaseFault`]; another server may be tried.
    pub async fn lease_stream<'s>(
        &'s self,
        server: &'s Arc<Server>,
        pools: &Pools,
        thread: ThreadId,
    ) -> Result<StreamLease<'s>, LeaseFault> {
        let address = server.address.ok_or(LeaseFault::NoAddress)?;
        let busy = self.enter(server, thread).await?;
        let cells = server.state.cells(thread);
        let lines = pools.lines.of(server.state.id);
        let lease = |line: Rc<Line>, busy, reused| {
            let (sender, deadline) = (line.sender.clone(), Deadline::default());
            StreamLease { server, sender, deadline, reused, line, upstream: self, _busy: busy }
        };
        if let Some(line) = lines.place(address, self.recipe) {
            cells.reused.add(1);
            return Ok(lease(line, busy, true));
        }
        let failures = lines.failures.get();
        let _turn = lines.dialling.lock().await;
        if let Some(line) = lines.place(address, self.recipe) {
            cells.reused.add(1);
            return Ok(lease(line, busy, true));
        }
        if lines.failures.get() != failures {
            return Err(DialFault::Joined.into());
        }
        cells.connects.add(1);
        // Boxed: it is rare, and every exchange would have to keep its place.
        let line = match Box::pin(self.dial_line(server, address)).await {
            Ok(line) => Rc::new(line),
            Err(fault) => {
                lines.failures.set(failures + 1);
                return Err(fault.into());
            }
        };
        line.take();
        lines.lines.borrow_mut().push(Rc::clone(&line));
        Ok(lease(line, busy, false))
    }

    async fn dial_line(&self, server: &Server, address: SocketAddr) -> Result<Line, DialFault> {
        let stream = dial(address, self.outbound_to(server), self.timeouts.connect, &[]).await?.stream;
        if let Stream::Tls(session) = &stream
            && session.get_ref().1.alpn_protocol() != Some(b"h2")
        {
            // RFC 9113 §3.2: over TLS it is agreed on by ALPN.
            return Err(DialFault::NotAgreed);
        }
        let gather = Gather::new(stream);
        let mut builder = h2::client::Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(LINE_WINDOW)
            .max_header_list_size(MOST_FIELDS);
        let (sender, connection) = builder.handshake(gather.clone()).await.map_err(DialFault::Preface)?;
        let line = Line {
            sender,
            address,
            recipe: self.recipe,
            open: Cell::new(0),
            rest: self.timeouts.idle,
            idle_since: Cell::new(None),
            retired: Cell::new(false),
        };
        tokio::task::spawn_local(drive(connection, gather));
        Ok(line)
    }
}

/// Reads and writes frames until the line is over: its server ended it, or nobody holds it any more.
async fn drive(connection: h2::client::Connection<Gather, Bytes>, gather: Gather) {
    let mut connection = pin!(connection);
    poll_fn(|cx| {
        if connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        match gather.poll_turn(cx) {
            Poll::Ready(Err(_)) => Poll::Ready(()),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    })
    .await;
}
