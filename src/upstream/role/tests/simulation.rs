//! Worlds by seeds: servers are promoted, demoted, killed and restored, replication runs or not, checks get
//! lost, the operator speaks, haechi restarts. Whatever happens, writes go to one server at most, to none
//! that lacks what is known, and to no old primary by itself.

use std::collections::{BTreeMap, BTreeSet};

use super::{Pool, Server};
use crate::codec::gtid::Dialect;
use crate::upstream::role::*;

const SERVERS: usize = 3;

/// What is true, whether or not anybody looks.
struct World {
    seed: u64,
    dice: fastrand::Rng,
    servers: Vec<Truth>,
    pool: Pool,
    /// The disk: what a restart finds.
    kept: Memory,
    /// What was known as that was kept.
    kept_known: BTreeMap<u32, u64>,
    /// Servers that were primaries and were not seen read-only since.
    old: BTreeSet<usize>,
    /// What the serving primary was seen to have.
    known: BTreeMap<u32, u64>,
    serving: Option<usize>,
    /// What each server was last seen to have.
    seen: Vec<BTreeMap<u32, u64>>,
}

#[derive(Clone)]
struct Truth {
    up: bool,
    writable: bool,
    source: Option<usize>,
    executed: BTreeMap<u32, u64>,
}

impl World {
    fn new(seed: u64) -> Self {
        let truth = |at| Truth {
            up: true,
            writable: at == 0,
            source: (at > 0).then_some(0),
            executed: BTreeMap::from([(1, 10)]),
        };
        Self {
            seed,
            dice: fastrand::Rng::with_seed(seed),
            servers: (0..SERVERS).map(truth).collect(),
            pool: Pool::of(Role::Primary, SERVERS, Memory::default()),
            kept: Memory::default(),
            kept_known: BTreeMap::new(),
            old: BTreeSet::new(),
            known: BTreeMap::new(),
            serving: None,
            seen: vec![BTreeMap::new(); SERVERS],
        }
    }

    fn turn(&mut self) {
        let at = self.dice.usize(..SERVERS);
        match self.dice.u32(..100) {
            // Checks are what happens most.
            0..60 => self.look(at),
            60..72 => self.write(at),
            72..82 => self.replicate(at),
            82..85 => self.servers[at].writable ^= true,
            85..88 => self.servers[at].up ^= true,
            88..91 => {
                let source = self.dice.usize(..SERVERS);
                self.servers[at].source = (source != at && self.dice.bool()).then_some(source);
            }
            // An old backup is put in.
            91 => {
                for number in self.servers[at].executed.values_mut() {
                    *number = number.saturating_sub(self.dice.u64(..5)).max(1);
                }
            }
            92..94 => self.speak(at),
            94..97 => self.pool.disk ^= true,
            97 => self.restart(),
            _ => self.look_at_all(),
        }
        self.settle();
    }

    fn look(&mut self, at: usize) {
        let truth = &self.servers[at];
        if !truth.up || self.dice.u32(..10) == 0 {
            return self.pool.miss(at);
        }
        let id = |at: usize| u32::try_from(at).unwrap() + 1;
        let text: Vec<String> = truth.executed.iter().map(|(server, last)| uuid_set(*server, *last)).collect();
        let source = truth.source.map(|of| (id(of), true, Some(std::time::Duration::ZERO)));
        let server =
            Server { id: id(at), writable: truth.writable, source, dialect: Dialect::MySql, gtids: text.join(",") };
        self.seen[at] = truth.executed.clone();
        if !truth.writable {
            self.old.remove(&at);
        }
        self.pool.see(at, &server);
        if self.serving == Some(at) && self.pool.machine.members[at].holds_sessions() {
            self.known = self.seen[at].clone();
        }
    }

    fn look_at_all(&mut self) {
        for _ in 0..3 {
            for at in 0..SERVERS {
                self.look(at);
                self.settle();
            }
        }
    }

    fn write(&mut self, at: usize) {
        if self.servers[at].up && self.servers[at].writable {
            *self.servers[at].executed.entry(u32::try_from(at).unwrap() + 1).or_default() += 1;
        }
    }

    fn replicate(&mut self, at: usize) {
        if let Some(source) = self.servers[at].source.filter(|source| self.servers[*source].up && self.servers[at].up) {
            for (server, last) in self.servers[source].executed.clone() {
                let entry = self.servers[at].executed.entry(server).or_default();
                *entry = last.max(*entry);
            }
        }
    }

    fn speak(&mut self, at: usize) {
        // A word that a crash overtakes on its way to the disk was not said.
        if !self.pool.disk {
            return;
        }
        let accept_loss = self.dice.bool();
        let name = super::name(at);
        if self.pool.confirm(&name, accept_loss).is_ok() {
            // By the operator's word: what it has is what is known from now on.
            let before = self.serving.replace(at);
            self.old.extend(before.filter(|before| *before != at));
            self.old.remove(&at);
            self.known = self.seen[at].clone();
        }
    }

    fn restart(&mut self) {
        let disk = self.pool.disk;
        self.pool = Pool::of(Role::Primary, SERVERS, self.kept.clone());
        self.known = self.kept_known.clone();
        self.pool.disk = disk;
    }

    /// Holds what happened to what must hold.
    fn settle(&mut self) {
        if self.pool.disk {
            let epoch = self.pool.machine.memory().epoch;
            self.pool.machine.handle(self.pool.now, Input::Kept { epoch });
            self.pool.drain();
            self.kept = self.pool.machine.memory().clone();
            self.kept_known = self.known.clone();
        }
        let serve: Vec<usize> = (0..SERVERS).filter(|at| self.pool.verdicts[*at] == Verdict::Serves).collect();
        let hold = (0..SERVERS).filter(|at| self.pool.machine.members[*at].holds_sessions()).count();
        assert!(hold <= 1, "seed {}: sessions on {hold} servers", self.seed);
        let Some(&now) = serve.first() else { return };
        if self.serving != Some(now) {
            // It took over by the rules.
            let before = self.serving.replace(now);
            assert!(!self.old.contains(&now), "seed {}: {now}, an old primary, came back by itself", self.seed);
            self.lacks_nothing(now);
            if let Some(before) = before {
                let was_read_only = self.pool.machine.members[before].last().is_some_and(|seen| !seen.writable);
                if !was_read_only {
                    self.old.insert(before);
                }
            }
            self.known = self.seen[now].clone();
        }
        self.lacks_nothing(now);
        assert!(self.pool.machine.members[now].last().is_some_and(|seen| seen.writable));
        assert_eq!(
            self.kept.epoch,
            self.pool.machine.memory().epoch,
            "seed {}: writes before the epoch is on the disk",
            self.seed
        );
    }

    fn lacks_nothing(&self, at: usize) {
        for (server, last) in &self.known {
            let has = self.seen[at].get(server).copied().unwrap_or_default();
            assert!(has >= *last, "seed {}: {at} lacks {server}:{last}", self.seed);
        }
    }
}

fn uuid_set(server: u32, last: u64) -> String {
    format!("00000000-0000-0000-0000-{server:012}:1-{last}")
}

#[test]
fn whatever_happens_writes_go_to_one_server_that_has_all_that_is_known() {
    let mut changes = 0;
    for seed in 0..400 {
        let mut world = World::new(seed);
        for _ in 0..400 {
            world.turn();
        }
        changes += world.pool.machine.memory().epoch;
    }
    assert!(changes > 400, "nothing happened: {changes}");
}
