//! What becomes of each datagram that a client sent.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::net::UdpSocket;

use super::flows::{End, Way};
use super::link::{Answers, Link, Unanswered};
use super::port::{LINES, Port, State};
use super::socket::{Received, connect, is_servers, send};
use crate::limits::{SourceSeat, Unwelcome};
use crate::snapshot::{Listener, Udp};
use crate::telemetry::ListenerCells;
use crate::upstream::{Health, Key, Server, Session};

/// Servers that are tried for one datagram.
pub(super) const TRIES: usize = 3;

/// How far a datagram has come.
#[derive(Clone, Copy, Default)]
pub(super) struct Course {
    /// Servers that were sent it.
    pub(super) servers: usize,
    /// One that refused it.
    pub(super) not: Option<u32>,
}

/// What is the same for all datagrams of one turn.
pub(super) struct Turn<'t> {
    pub(super) port: &'t Rc<Port>,
    pub(super) listener: &'t Listener,
    pub(super) udp: &'t Udp,
    pub(super) generation: u64,
    pub(super) now: Instant,
}

impl Turn<'_> {
    pub(super) fn cells(&self) -> &ListenerCells {
        self.listener.cells(self.port.worker.local.thread)
    }

    /// Passes one datagram of a client on, or drops it and says why.
    pub(super) fn pass_on(&self, state: &mut State, datagram: &[u8], received: Received) {
        let cells = self.cells();
        cells.udp.received.add(1);
        cells.bytes_in.add(received.length as u64);
        self.note_lost(state, received.lost);
        let datagram = datagram.get(..received.length).unwrap_or_default();
        if let Err(reason) = self.send(state, datagram, received.way) {
            cells.udp.dropped.count(reason);
        }
    }

    /// Counts the datagrams that found no room in the kernel's queue.
    fn note_lost(&self, state: &mut State, lost: Option<u32>) {
        if let Some(lost) = lost.filter(|lost| *lost != state.lost) {
            let more = lost.wrapping_sub(state.lost);
            state.lost = lost;
            self.cells().udp.dropped.count_many("queue_full", more.into());
        }
    }

    fn send(&self, state: &mut State, datagram: &[u8], way: Way) -> Result<(), &'static str> {
        let Some(id) = state.flows.find(&way) else {
            let welcome = self.listener.welcome(self.now, way.client.ip());
            let seat = welcome.map_err(|unwelcome| self.turn_away(&way, unwelcome))?.map(Box::new);
            state.flows.make_room(self.now).map_err(|_| "flows_full")?;
            return self.begin(state, datagram, way, seat, Course::default());
        };
        let Some(link) = state.flows.link(id) else { return Err("no_server") };
        // What is allowed may be something else since it began.
        if link.generation != self.generation && !self.listener.access.let_in(way.client.ip()) {
            state.flows.end(id, End::Denied);
            return Err(self.turn_away(&way, Unwelcome::Denied));
        }
        let server = Arc::clone(&link.session.server);
        if self.may_go_on(link) && !state.refusals.avoids(self.now, server.state.id) {
            match send(&link.socket, datagram) {
                Ok(()) => {
                    // Which of several was refused would not be known.
                    link.unanswered = None;
                    state.flows.touch(self.now, id);
                    return self.sent(&server, datagram.len());
                }
                // That message came after an earlier datagram; this one is sent elsewhere.
                Err(error) if is_servers(&error) => {
                    link.refused = true;
                    state.refuse(self.now, self.port.worker.local.thread, &server, &error);
                }
                Err(_) => return Err("to_server"),
            }
        }
        state.flows.touch(self.now, id);
        self.begin(state, datagram, way, None, Course::default())
    }

    /// Whether a flow may go on to its server.
    fn may_go_on(&self, link: &mut Link) -> bool {
        let server = &link.session.server;
        if link.refused || server.state.health() == Health::Down {
            return false;
        }
        if link.generation != self.generation {
            let mut servers = self.udp.upstream.servers.iter();
            if !servers.any(|one| one.state.id == server.state.id && one.address == server.address) {
                return false;
            }
            link.generation = self.generation;
        }
        true
    }

    /// Sends a datagram to a server that is chosen for it, from a new socket; the flow goes on there.
    pub(super) fn begin(
        &self,
        state: &mut State,
        datagram: &[u8],
        way: Way,
        seat: Option<Box<SourceSeat>>,
        course: Course,
    ) -> Result<(), &'static str> {
        let thread = self.port.worker.local.thread;
        let upstream = &self.udp.upstream;
        let key = Key { client: way.client.ip(), hashed: None };
        let mut tried: Vec<u32> = state.refusals.avoided(self.now).collect();
        let mut reason = "no_server";
        tried.extend(course.not);
        for attempt in course.servers..TRIES {
            let mut picked = upstream.pick(thread, &key, &tried, self.now);
            if picked.is_none() && attempt == course.servers {
                // Who refused lately is better than nobody, but not who refused this very datagram.
                tried.clear();
                tried.extend(course.not);
                picked = upstream.pick(thread, &key, &tried, self.now);
            }
            let Some(server) = picked else { break };
            tried.push(server.state.id);
            let (Some(session), Some(address)) = (upstream.begin_session(server, thread), server.address) else {
                continue;
            };
            server.state.cells(thread).connects.add(1);
            match connect(address, datagram) {
                Ok(socket) => {
                    let unanswered = Unanswered::new(datagram, attempt + 1);
                    self.link(state, way, session, socket, seat, unanswered);
                    return self.sent(server, datagram.len());
                }
                Err(error) if is_servers(&error) => {
                    reason = "to_server";
                    state.refuse(self.now, thread, server, &error);
                }
                Err(_) => return Err("no_socket"),
            }
        }
        Err(reason)
    }

    /// Makes a flow that goes this way, or has the one that does go on from another socket.
    fn link(
        &self,
        state: &mut State,
        way: Way,
        session: Session,
        socket: UdpSocket,
        seat: Option<Box<SourceSeat>>,
        unanswered: Option<Unanswered>,
    ) {
        let socket = Rc::new(socket);
        let (port, server) = (Rc::clone(self.port), Arc::clone(&session.server));
        let task = tokio::task::spawn_local(port.answer(way, Rc::clone(&socket), server));
        let answers = Answers(task.abort_handle());
        let cells = self.cells();
        if let Some(id) = state.flows.find(&way)
            && let Some(link) = state.flows.link(id)
        {
            if link.session.server.state.id != session.server.state.id {
                cells.udp.moved.add(1);
            }
            link.session = session;
            link.socket = socket;
            link.answers = answers;
            link.refused = false;
            link.unanswered = unanswered;
            link.generation = self.generation;
            return;
        }
        cells.udp.flows.add(1);
        let link = Link {
            session,
            socket,
            generation: self.generation,
            refused: false,
            unanswered,
            answers,
            seat,
            open: self.port.worker.open(),
        };
        state.flows.open(self.now, way, link);
    }

    fn sent(&self, server: &Server, length: usize) -> Result<(), &'static str> {
        let cells = server.state.cells(self.port.worker.local.thread);
        cells.requests.add(1);
        cells.bytes_sent.add(length as u64);
        Ok(())
    }

    fn turn_away(&self, way: &Way, unwelcome: Unwelcome) -> &'static str {
        let reason = unwelcome.name();
        self.cells().unwelcome.count(reason);
        if LINES.with(|lines| lines.take(self.now)) {
            tracing::info!(listener = &*self.listener.name, client = %way.client, reason, "datagram refused: {unwelcome}");
        }
        "unwelcome"
    }
}
