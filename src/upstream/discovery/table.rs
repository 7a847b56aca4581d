//! When a name is asked for, and how long its addresses are good. No I/O, no clock.
//!
//! A good answer is asked for again when its TTL ends (1 s at least, 5 min at most). A failed
//! lookup is repeated after 1 s, then 2 s and so on up to 30 s; meanwhile the last good addresses
//! stay, for 10 min after their TTL ended. "No such name" counts as a failure too: a zone that is
//! broken for a minute is more common than a server group that vanishes on purpose, and health
//! checks see the latter.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Addresses;

const LEAST_TTL: Duration = Duration::from_secs(1);
const MOST_TTL: Duration = Duration::from_secs(5 * 60);
const LEAST_RETRY: Duration = Duration::from_secs(1);
const MOST_RETRY: Duration = Duration::from_secs(30);
const KEPT: Duration = Duration::from_secs(10 * 60);
/// More addresses of one name are left out, the highest first.
const MOST_ADDRESSES: usize = 256;

/// The names that servers are written with, and their addresses.
#[derive(Debug, Default)]
pub struct Table {
    names: BTreeMap<Arc<str>, Entry>,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
struct Entry {
    addresses: Arc<[IpAddr]>,
    /// When the addresses are dropped unless a good answer comes.
    good_until: Instant,
    /// When it is asked for next; `None`: a lookup is under way.
    due: Option<Instant>,
    /// Failed lookups since the last good one.
    failures: u32,
    /// Whether a first lookup has ended.
    answered: bool,
}

/// How a lookup went.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The name has these addresses for so long; none counts as a failure.
    Found {
        /// In any order, doubles allowed.
        addresses: Vec<IpAddr>,
        /// How long the answer is good.
        ttl: Duration,
    },
    /// Why there is no answer.
    Failed(String),
}

/// What the shell has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Look this name up and say how it went.
    Resolve(Arc<str>),
    /// Some name has other addresses now.
    Changed,
    /// Say once that lookups of this name fail.
    Failing {
        /// The name.
        name: Arc<str>,
        /// Why.
        reason: String,
        /// Whether its last good addresses are still used.
        kept: bool,
    },
    /// Say once that this name resolves again.
    Recovered(Arc<str>),
    /// Say once that the last good addresses of this name were dropped.
    Dropped(Arc<str>),
}

impl Table {
    /// Takes names for resolved that were when somebody asked before: nobody waits for their answers.
    pub fn recall(&mut self, now: Instant, known: &Addresses) {
        for (name, addresses) in known.iter().filter(|(_, addresses)| !addresses.is_empty()) {
            let entry = Entry {
                addresses: addresses.into(),
                good_until: now + KEPT,
                due: Some(now),
                failures: 0,
                answered: true,
            };
            self.names.insert(name.into(), entry);
        }
    }

    /// Keeps these names and no others; all are due now, and those that stay keep their addresses.
    pub fn follow(&mut self, now: Instant, names: impl IntoIterator<Item = Arc<str>>) {
        let wanted: HashSet<Arc<str>> = names.into_iter().collect();
        self.names.retain(|name, _| wanted.contains(name));
        for entry in self.names.values_mut() {
            entry.due = entry.due.map(|_| now);
        }
        for name in wanted {
            self.names.entry(name).or_insert_with(|| Entry {
                addresses: [].into(),
                good_until: now,
                due: Some(now),
                failures: 0,
                answered: false,
            });
        }
    }

    /// Takes the end of a lookup in. One that nobody waits for changes nothing.
    pub fn handle(&mut self, now: Instant, name: &Arc<str>, answer: Answer) {
        let Some(entry) = self.names.get_mut(name).filter(|entry| entry.due.is_none()) else {
            return;
        };
        entry.answered = true;
        match answer {
            Answer::Found { mut addresses, ttl } if !addresses.is_empty() => {
                addresses.sort_unstable();
                addresses.dedup();
                addresses.truncate(MOST_ADDRESSES);
                let ttl = ttl.clamp(LEAST_TTL, MOST_TTL);
                entry.due = Some(now + ttl);
                entry.good_until = now + ttl + KEPT;
                if std::mem::take(&mut entry.failures) > 0 {
                    self.outputs.push_back(Output::Recovered(Arc::clone(name)));
                }
                if *entry.addresses != *addresses {
                    entry.addresses = addresses.into();
                    self.outputs.push_back(Output::Changed);
                }
            }
            Answer::Found { .. } => entry.fail(now, name, "no addresses".into(), &mut self.outputs),
            Answer::Failed(reason) => entry.fail(now, name, reason, &mut self.outputs),
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        for (name, entry) in &mut self.names {
            if entry.due.is_some_and(|due| due <= now) {
                entry.due = None;
                self.outputs.push_back(Output::Resolve(Arc::clone(name)));
            }
            if !entry.addresses.is_empty() && entry.good_until <= now {
                entry.addresses = [].into();
                self.outputs.push_back(Output::Dropped(Arc::clone(name)));
                self.outputs.push_back(Output::Changed);
            }
        }
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let drops = self.names.values().filter(|entry| !entry.addresses.is_empty()).map(|entry| entry.good_until);
        self.names.values().filter_map(|entry| entry.due).chain(drops).min()
    }

    /// The next thing to do; to be drained after every call.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether a first lookup of each name has ended, well or not.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.names.values().all(|entry| entry.answered)
    }

    /// The addresses that each name has now.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.names.iter().map(|(name, entry)| (Arc::clone(name), Arc::clone(&entry.addresses))).collect()
    }
}

impl Entry {
    fn fail(&mut self, now: Instant, name: &Arc<str>, reason: String, outputs: &mut VecDeque<Output>) {
        if self.failures == 0 {
            let kept = !self.addresses.is_empty();
            outputs.push_back(Output::Failing { name: Arc::clone(name), reason, kept });
        }
        let wait = LEAST_RETRY.saturating_mul(1 << self.failures.min(5)).min(MOST_RETRY);
        self.failures = self.failures.saturating_add(1);
        self.due = Some(now + wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_known_before_is_used_at_once_and_asked_for_again() {
        let now = Instant::now();
        let address: IpAddr = [10, 0, 0, 1].into();
        let known: Addresses =
            [("was".into(), [address].into()), ("gone".into(), [address].into())].into_iter().collect();
        let mut table = Table::default();
        table.recall(now, &known);
        table.follow(now, ["was".into()]);
        assert!(table.is_settled());
        assert_eq!(table.addresses().iter().collect::<Vec<_>>(), [("was", &[address][..])]);
        table.handle_timeout(now);
        assert_eq!(table.poll_output(), Some(Output::Resolve("was".into())));
        table.handle(now, &"was".into(), Answer::Failed("no answer".into()));
        assert_eq!(table.addresses().of("was"), [address]);
    }

    const SEC: Duration = Duration::from_secs(1);

    struct Bench {
        table: Table,
        name: Arc<str>,
        now: Instant,
    }

    impl Bench {
        fn new() -> Self {
            let (mut table, name, now) = (Table::default(), Arc::from("was.test"), Instant::now());
            table.follow(now, [Arc::clone(&name)]);
            Self { table, name, now }
        }

        /// Goes on to the next lookup and answers it: how long that took to come, and what followed.
        fn answer(&mut self, answer: Answer) -> (Duration, Vec<Output>) {
            let (before, mut outputs) = (self.now, Vec::new());
            while self.table.names[&self.name].due.is_some() {
                self.now = self.now.max(self.table.poll_timeout().expect("a lookup is due some day"));
                self.table.handle_timeout(self.now);
            }
            self.table.handle(self.now, &Arc::clone(&self.name), answer);
            while let Some(output) = self.table.poll_output() {
                if output != Output::Resolve(Arc::clone(&self.name)) {
                    outputs.push(output);
                }
            }
            (self.now - before, outputs)
        }

        fn addresses(&self) -> Vec<IpAddr> {
            self.table.addresses().of(&self.name).to_vec()
        }
    }

    fn ip(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    fn found(last: &[u8], ttl: Duration) -> Answer {
        Answer::Found { addresses: last.iter().map(|last| ip(*last)).collect(), ttl }
    }

    fn failed() -> Answer {
        Answer::Failed("no answer".into())
    }

    #[test]
    fn answers_are_asked_for_again_by_their_ttl_within_bounds() {
        let mut bench = Bench::new();
        assert!(!bench.table.is_settled());
        assert_eq!(bench.answer(found(&[2, 1, 2], 60 * SEC)), (Duration::ZERO, vec![Output::Changed]));
        assert!(bench.table.is_settled());
        assert_eq!(bench.addresses(), [ip(1), ip(2)]);
        assert_eq!(bench.answer(found(&[1, 2], Duration::ZERO)), (60 * SEC, vec![]));
        assert_eq!(bench.answer(found(&[1], 3600 * SEC)), (SEC, vec![Output::Changed]));
        assert_eq!(bench.answer(found(&[1], SEC)), (300 * SEC, vec![]));
    }

    #[test]
    fn the_first_failure_is_an_unresolved_name_and_said_once() {
        let mut bench = Bench::new();
        let failing = Output::Failing { name: Arc::clone(&bench.name), reason: "no answer".into(), kept: false };
        assert_eq!(bench.answer(failed()), (Duration::ZERO, vec![failing]));
        assert!(bench.table.is_settled() && bench.addresses().is_empty());
        let waits: Vec<_> = (0..7).map(|_| bench.answer(failed())).collect();
        assert!(waits.iter().all(|(_, outputs)| outputs.is_empty()));
        let waits: Vec<_> = waits.iter().map(|(wait, _)| wait.as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        let (_, outputs) = bench.answer(found(&[1], SEC));
        assert_eq!(outputs, [Output::Recovered(Arc::clone(&bench.name)), Output::Changed]);
    }

    #[test]
    fn good_addresses_outlive_failures_for_a_while() {
        let mut bench = Bench::new();
        bench.answer(found(&[1], 60 * SEC));
        let start = bench.now;
        let (_, outputs) = bench.answer(Answer::Found { addresses: Vec::new(), ttl: SEC });
        assert!(matches!(&*outputs, [Output::Failing { kept: true, .. }]));
        while !bench.addresses().is_empty() {
            assert!(bench.now - start < 60 * SEC + KEPT);
            bench.answer(failed());
        }
        assert!(bench.now - start >= 60 * SEC + KEPT);
    }

    #[test]
    fn a_name_that_nobody_follows_is_forgotten_with_its_lookup() {
        let mut bench = Bench::new();
        bench.table.handle_timeout(bench.now);
        bench.table.follow(bench.now, []);
        bench.table.handle(bench.now, &Arc::clone(&bench.name), found(&[1], SEC));
        assert_eq!(bench.table.poll_timeout(), None);
        assert_eq!(bench.table.addresses(), Addresses::default());
    }
}
