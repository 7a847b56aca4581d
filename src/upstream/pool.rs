//! Kept-alive connections of one thread, by server.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::lines::Lines;
use crate::net::{Buffer, Deadline, Stream};

/// A connection to a server, with what was read from it and not yet used.
#[derive(Debug)]
pub struct Connection {
    /// The stream.
    pub stream: Stream,
    /// Where it leads: a server keeps its identity when its name gets another address.
    pub address: SocketAddr,
    /// What was read ahead; without a block while the connection rests.
    pub input: Buffer,
    /// Bounds the phase that the exchange on it is in.
    pub deadline: Deadline,
    /// Whether it has served an exchange before.
    pub reused: bool,
}

impl Connection {
    /// A connection that has served nobody yet.
    #[must_use]
    pub fn new(stream: Stream, address: SocketAddr) -> Self {
        Self { stream, address, input: Buffer::none(), deadline: Deadline::default(), reused: false }
    }
}

/// The resting connections of one thread.
///
/// What always holds: a connection here has no exchange in it, nothing unread, and no block.
#[derive(Debug, Default)]
pub struct Pools {
    servers: RefCell<Vec<(u32, Vec<Resting>)>>,
    /// HTTP/2 connections, which never rest as a whole.
    pub(super) lines: Lines,
}

#[derive(Debug)]
struct Resting {
    connection: Box<Connection>,
    /// The settings that it was made with: TLS names and trust may change under a server's identity.
    recipe: u64,
    until: Instant,
}

impl Pools {
    /// Connections to one server that may rest on one thread; the oldest goes first.
    pub const MOST_RESTING: usize = 512;

    /// The connection to server `id` at `address` that was used last, if one still lives.
    ///
    /// A server that closed, or that sent something unasked, has told so by now: the reactor knows
    /// without a system call.
    #[must_use]
    pub fn take(&self, id: u32, address: SocketAddr, recipe: u64, now: Instant) -> Option<Box<Connection>> {
        let mut servers = self.servers.borrow_mut();
        let at = servers.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        let resting = &mut servers.get_mut(at)?.1;
        while let Some(candidate) = resting.pop() {
            if candidate.lives(now) && candidate.recipe == recipe && candidate.connection.address == address {
                let mut connection = candidate.connection;
                connection.reused = true;
                return Some(connection);
            }
        }
        None
    }

    /// Lets a connection rest for at most `rest`.
    pub fn put(&self, id: u32, recipe: u64, mut connection: Box<Connection>, now: Instant, rest: Duration) {
        connection.input = Buffer::none();
        connection.deadline.clear();
        let mut servers = self.servers.borrow_mut();
        let at = match servers.binary_search_by_key(&id, |(id, _)| *id) {
            Ok(at) => at,
            Err(at) => {
                servers.insert(at, (id, Vec::new()));
                at
            }
        };
        let Some((_, resting)) = servers.get_mut(at) else { return };
        if resting.len() >= Self::MOST_RESTING {
            resting.remove(0);
        }
        resting.push(Resting { connection, recipe, until: now + rest });
    }

    /// Closes what has rested long enough or was closed by the server. To be called about once a
    /// second: a connection that nobody takes would otherwise stay half closed.
    pub fn sweep(&self, now: Instant) {
        self.lines.sweep(now);
        let mut servers = self.servers.borrow_mut();
        for (_, resting) in servers.iter_mut() {
            resting.retain(|candidate| candidate.lives(now));
        }
        servers.retain(|(_, resting)| !resting.is_empty());
    }

    /// How many connections rest here; shared ones count whether they rest or not.
    #[must_use]
    pub fn resting(&self) -> usize {
        self.servers.borrow().iter().map(|(_, resting)| resting.len()).sum::<usize>() + self.lines.count()
    }
}

impl Resting {
    fn lives(&self, now: Instant) -> bool {
        now < self.until && !self.connection.stream.has_news()
    }
}
