//! Situations as operators meet them, and worlds that nobody would want to operate.

mod simulation;
mod situations;
mod word;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::codec::gtid::{Dialect, GtidSet};

const RISE: u32 = 2;
const FALL: u32 = 3;

/// A pool, its time, and what it said.
pub(super) struct Pool {
    pub(super) machine: Machine,
    pub(super) now: Instant,
    pub(super) events: Vec<Event>,
    /// Whether what is to be kept gets to the disk at once.
    pub(super) disk: bool,
    verdicts: Vec<Verdict>,
}

/// A server as a check finds it.
#[derive(Clone, Debug)]
pub(super) struct Server {
    id: u32,
    writable: bool,
    source: Option<(u32, bool, Option<Duration>)>,
    dialect: Dialect,
    gtids: String,
}

impl Server {
    /// A primary: writable, with so many transactions of its own.
    pub(super) fn primary(id: u32, gtids: &str) -> Self {
        Self { id, writable: true, source: None, dialect: Dialect::MariaDb, gtids: gtids.to_owned() }
    }

    /// A read-only server that follows another one closely.
    pub(super) fn replica(id: u32, of: u32, gtids: &str) -> Self {
        Self {
            id,
            writable: false,
            source: Some((of, true, Some(Duration::ZERO))),
            dialect: Dialect::MariaDb,
            gtids: gtids.to_owned(),
        }
    }

    pub(super) fn writable(self, writable: bool) -> Self {
        Self { writable, ..self }
    }

    pub(super) fn lag(self, lag: Option<Duration>) -> Self {
        Self { source: self.source.map(|(of, runs, _)| (of, runs, lag)), ..self }
    }

    pub(super) fn stopped(self) -> Self {
        Self { source: self.source.map(|(of, _, _)| (of, false, None)), ..self }
    }

    fn seen(&self) -> Seen {
        let following = match self.source {
            None => Following::Nobody,
            Some((_, true, lag)) => Following::Running(lag),
            Some((_, false, _)) => Following::Stopped("io stopped, sql stopped".into()),
        };
        let source =
            |of: u32| Source { address: "elsewhere:3306".into(), identity: Some(format!("server_id {of}").into()) };
        Seen {
            identity: format!("server_id {}", self.id).into(),
            writable: self.writable,
            sources: self.source.iter().filter(|(_, runs, _)| *runs).map(|(of, _, _)| source(*of)).collect(),
            following,
            gtids: Some(GtidSet::parse(self.dialect, &self.gtids).unwrap()),
            told: "".into(),
        }
    }
}

impl Pool {
    pub(super) fn of(role: Role, servers: usize, memory: Memory) -> Self {
        let machine = Machine::new(Settings { role, rise: RISE, fall: FALL }, named(servers), memory);
        let verdicts = vec![Verdict::Out; servers];
        Self { machine, now: Instant::now(), events: Vec::new(), disk: true, verdicts }
    }

    /// Three servers of which the first is the primary, confirmed, at 0-1-100.
    pub(super) fn served() -> Self {
        let mut pool = Self::of(Role::Primary, 3, Memory::default());
        for _ in 0..RISE {
            pool.healthy();
        }
        pool.expect("serves out out");
        pool.events.clear();
        pool
    }

    /// One look at a primary and two replicas.
    pub(super) fn healthy(&mut self) {
        self.see(0, &Server::primary(1, "0-1-100"));
        self.see(1, &Server::replica(2, 1, "0-1-100"));
        self.see(2, &Server::replica(3, 1, "0-1-100"));
    }

    pub(super) fn see(&mut self, server: usize, as_is: &Server) {
        self.handle(Input::Answered { server, seen: Box::new(as_is.seen()) });
    }

    pub(super) fn see_times(&mut self, times: u32, server: usize, as_is: &Server) {
        (0..times).for_each(|_| self.see(server, as_is));
    }

    pub(super) fn miss(&mut self, server: usize) {
        self.handle(Input::Failed { server, reason: "connect: connection refused".into() });
    }

    pub(super) fn miss_times(&mut self, times: u32, server: usize) {
        (0..times).for_each(|_| self.miss(server));
    }

    pub(super) fn handle(&mut self, input: Input) {
        self.now += Duration::from_millis(50);
        self.machine.handle(self.now, input);
        self.drain();
    }

    pub(super) fn confirm(&mut self, server: &str, accept_loss: bool) -> Result<Confirmed, ConfirmFault> {
        let said = self.machine.confirm(self.now, server, accept_loss);
        self.drain();
        said
    }

    pub(super) fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Judge { server, verdict, .. } => self.verdicts[server] = verdict,
                Output::Told(event) => self.events.push(event),
                Output::Remember if self.disk => {
                    let epoch = self.machine.memory().epoch;
                    self.machine.handle(self.now, Input::Kept { epoch });
                }
                Output::Remember => {}
            }
        }
    }

    /// The verdicts in their order, as `serves out out`.
    #[track_caller]
    pub(super) fn expect(&self, verdicts: &str) {
        let words: Vec<&str> = self.verdicts.iter().map(|verdict| verdict.word()).collect();
        assert_eq!(words.join(" "), verdicts, "{:#?}", self.machine);
    }

    pub(super) fn reason(&self, server: usize) -> String {
        self.machine.members[server].reason.to_string()
    }
}

fn named(servers: usize) -> Vec<Named> {
    (0..servers)
        .map(|at| Named { name: name(at), addresses: vec![format!("10.0.1.{}:3306", 21 + at).into()] })
        .collect()
}

fn name(at: usize) -> Arc<str> {
    ["a", "b", "c", "d", "e"][at].into()
}
