//! A socket of a udp listener on one thread, and the sockets of its flows: all of the I/O, none of the rules.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;

use super::flows::{Bounds, Flows, Way};
use super::link::{Link, Unanswered};
use super::refusals::Refusals;
use super::socket::{LARGEST, Socket, answered, receive};
use super::turn::{Course, Turn};
use crate::serve::Worker;
use crate::snapshot::{Listener, ListenerId, Serves, Snapshot, Udp};
use crate::telemetry::{LineBudget, ThreadId};
use crate::upstream::Server;

/// Datagrams that one socket takes in before others have their turn.
const BATCH: usize = 64;
/// How often is looked for flows that have ended, at least: a reload may shorten their time.
const LOOK: Duration = Duration::from_secs(1);

/// A socket that clients send to, and the flows that go through it on this thread.
#[derive(Debug)]
pub struct Port {
    pub(super) worker: Rc<Worker>,
    socket: Socket,
    /// Which listener the socket belongs to now: a reload may move an address to another one.
    listener: Rc<Cell<ListenerId>>,
    state: RefCell<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) flows: Flows<Link>,
    pub(super) refusals: Refusals,
    /// The snapshot that bounds and refusals were brought in line with.
    generation: u64,
    /// What the kernel counted when it was asked last.
    pub(super) lost: u32,
    /// Where datagrams are read into.
    datagram: Box<[u8]>,
    beside: Vec<u8>,
}

/// Passes on what clients send to this port and what servers answer, until the task is ended.
pub async fn serve(port: Rc<Port>) {
    let mut look = pin!(tokio::time::sleep(LOOK));
    let mut is_armed = false;
    loop {
        if !is_armed && let Some(due) = port.poll_timeout() {
            look.as_mut().reset(due.min(now() + LOOK).into());
            is_armed = true;
        }
        let ready = tokio::select! {
            biased;
            () = &mut look, if is_armed => {
                port.handle_timeout(now());
                is_armed = false;
                Ok(())
            }
            ready = port.socket.readable() => ready.map(|()| port.take_in(now())),
        };
        if let Err(error) = ready {
            tracing::error!(%error, "datagrams cannot be received");
            return;
        }
        // Whatever else became ready goes first, whoever sends here without a pause.
        tokio::task::yield_now().await;
    }
}

impl Port {
    /// A port on a socket that is bound. `listener` says which listener it belongs to now.
    ///
    /// # Errors
    /// Where the runtime cannot watch the socket.
    pub fn new(worker: Rc<Worker>, socket: std::net::UdpSocket, listener: Rc<Cell<ListenerId>>) -> io::Result<Self> {
        let state = State {
            // Until it is brought in line with the snapshot, before the first datagram is read.
            flows: Flows::new(Bounds { flows: 1, idle: LOOK }),
            refusals: Refusals::default(),
            generation: 0,
            lost: 0,
            datagram: vec![0; LARGEST].into(),
            beside: Socket::beside(),
        };
        Ok(Self { worker, socket: Socket::new(socket)?, listener, state: RefCell::new(state) })
    }

    /// Ends all flows.
    pub fn shut(&self) {
        self.state.borrow_mut().flows.shut();
        self.clear_up();
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.state.borrow().flows.poll_timeout()
    }

    fn handle_timeout(&self, now: Instant) {
        let snapshot = self.worker.snapshot();
        if let Some((_, udp)) = self.service(&snapshot) {
            self.state.borrow_mut().follow(udp, snapshot.generation);
        }
        self.state.borrow_mut().flows.handle_timeout(now);
        self.clear_up();
    }

    /// Lets go of flows that have ended.
    fn clear_up(&self) {
        let snapshot = self.worker.snapshot();
        let cells = snapshot.listener(self.listener.get()).map(|listener| listener.cells(self.worker.local.thread));
        loop {
            // One at a time, and outside of the borrow: with a link its task ends.
            let Some((link, end)) = self.state.borrow_mut().flows.poll_ended() else { return };
            if let Some(cells) = cells {
                cells.udp.ended.count(end.name());
            }
            drop(link);
        }
    }

    fn service<'s>(&self, snapshot: &'s Snapshot) -> Option<(&'s Listener, &'s Udp)> {
        let listener = snapshot.listener(self.listener.get())?;
        match &listener.serves {
            Serves::Udp(udp) => Some((listener, udp)),
            _ => None,
        }
    }

    /// Takes in what is there, a bounded number of datagrams.
    fn take_in(self: &Rc<Self>, now: Instant) {
        let snapshot = self.worker.snapshot();
        let Some((listener, udp)) = self.service(&snapshot) else { return self.pour_away() };
        let turn = Turn { port: self, listener, udp, generation: snapshot.generation, now };
        {
            let state = &mut *self.state.borrow_mut();
            state.follow(udp, snapshot.generation);
            let mut datagram = std::mem::take(&mut state.datagram);
            for _ in 0..BATCH {
                match self.socket.receive(&mut datagram, &mut state.beside) {
                    Ok(received) => turn.pass_on(state, &datagram, received),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // It was of one datagram; the next one is another.
                    Err(_) => turn.cells().udp.dropped.count("to_server"),
                }
            }
            state.datagram = datagram;
        }
        self.clear_up();
    }

    /// Nobody serves here; what came must not be found ready again and again.
    fn pour_away(&self) {
        let State { datagram, beside, .. } = &mut *self.state.borrow_mut();
        for _ in 0..BATCH {
            if self.socket.receive(datagram, beside).is_err() {
                return;
            }
        }
    }

    /// Passes the answers of one flow's server on to its client.
    pub(super) async fn answer(self: Rc<Self>, way: Way, socket: Rc<UdpSocket>, server: Arc<Server>) {
        loop {
            if answered(&socket).await.is_err() {
                return;
            }
            for _ in 0..BATCH {
                match self.answer_once(&way, &socket, &server) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => self.refused(&way, &socket, &server, &error),
                }
            }
            tokio::task::yield_now().await;
        }
    }

    fn answer_once(&self, way: &Way, socket: &Rc<UdpSocket>, server: &Server) -> io::Result<()> {
        let state = &mut *self.state.borrow_mut();
        let length = receive(socket, &mut state.datagram)?;
        let snapshot = self.worker.snapshot();
        let Some((listener, _)) = self.service(&snapshot) else { return Ok(()) };
        if let Some(id) = state.flows.find(way) {
            state.flows.touch(now(), id);
            if let Some(link) = state.flows.link(id) {
                link.unanswered = None;
            }
        }
        state.refusals.answered(server.state.id);
        let thread = self.worker.local.thread;
        server.state.cells(thread).bytes_received.add(length as u64);
        let cells = listener.cells(thread);
        // Whoever takes datagrams slower than they come loses some, here as on any link.
        match self.socket.answer(state.datagram.get(..length).unwrap_or_default(), way) {
            Ok(()) => {
                cells.udp.sent.add(1);
                cells.bytes_out.add(length as u64);
            }
            Err(_) => cells.udp.dropped.count("to_client"),
        }
        Ok(())
    }

    /// The server of a flow cannot be reached, or nobody listens there.
    fn refused(self: &Rc<Self>, way: &Way, socket: &Rc<UdpSocket>, server: &Server, error: &io::Error) {
        let now = now();
        let state = &mut *self.state.borrow_mut();
        state.refuse(now, self.worker.local.thread, server, error);
        let mut unanswered = None;
        if let Some(id) = state.flows.find(way)
            && let Some(link) = state.flows.link(id)
            && Rc::ptr_eq(&link.socket, socket)
        {
            link.refused = true;
            unanswered = link.unanswered.take();
        }
        let snapshot = self.worker.snapshot();
        if let Some(Unanswered { datagram, servers }) = unanswered
            && let Some((listener, udp)) = self.service(&snapshot)
        {
            let turn = Turn { port: self, listener, udp, generation: snapshot.generation, now };
            let course = Course { servers, not: Some(server.state.id) };
            if let Err(reason) = turn.begin(state, &datagram, *way, None, course) {
                listener.cells(self.worker.local.thread).udp.dropped.count(reason);
            }
        }
    }
}

impl State {
    /// Brings what lasts in line with what is served.
    fn follow(&mut self, udp: &Udp, generation: u64) {
        if self.generation == generation {
            return;
        }
        self.generation = generation;
        self.flows.set_bounds(Bounds { flows: udp.flows_of_socket, idle: udp.idle });
        self.refusals.keep(|server| udp.upstream.servers.iter().any(|one| one.state.id == server));
    }

    pub(super) fn refuse(&mut self, now: Instant, thread: ThreadId, server: &Server, error: &io::Error) {
        server.state.cells(thread).failures.connect.add(1);
        if self.refusals.refused(now, server.state.id) && LINES.with(|lines| lines.take(now)) {
            tracing::warn!(server = &*server.name, %error, "server refuses datagrams");
        }
    }
}

thread_local! {
    pub(super) static LINES: LineBudget = const { LineBudget::new(10) };
}

fn now() -> Instant {
    Instant::now()
}
