//! MariaDB's positions: for each domain and server the last number executed.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::GtidFault;

/// What `@@gtid_binlog_state` and `@@gtid_slave_pos` say together: `0-1-100,0-2-110`.
///
/// Within a domain numbers grow whoever writes them, so a number alone does not say whose
/// transaction it is: an old primary at 0-1-105 has five that a new one at 0-1-100,0-2-110 lacks.
/// That is why every server of a domain has its own entry here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MariaDbGtids {
    last: BTreeMap<(u32, u32), Run>,
}

/// The numbers after one and up to another; of a whole position `after` is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    after: u64,
    last: u64,
}

impl MariaDbGtids {
    /// Whether there is no transaction.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.last.is_empty()
    }

    /// What is here and not in `other`, printed as `0-1-101..105`. Numbers are those of the domain:
    /// not each between them need be a transaction of this server.
    ///
    /// `other` has a transaction where its entry for the same server is as far. It has it too where
    /// it stands at a later number of the domain that is known here: `other` came along this history,
    /// and what it knows by `gtid_slave_pos` alone is the last transaction of a domain.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let left = self.last.iter().filter_map(|(&(domain, server), here)| {
            let there = other.last.get(&(domain, server)).map_or(0, |run| run.last);
            let passed =
                other.of_domain(domain).any(|(witness, at)| at >= here.last && self.reaches(domain, witness, at));
            let after = here.after.max(there);
            (after < here.last && !passed).then_some(((domain, server), Run { after, last: here.last }))
        });
        Self { last: left.collect() }
    }

    /// Takes in what `other` has.
    pub fn unite(&mut self, other: &Self) {
        for (place, there) in &other.last {
            let here = self.last.entry(*place).or_insert(*there);
            *here = Run { after: here.after.min(there.after), last: here.last.max(there.last) };
        }
    }

    fn of_domain(&self, domain: u32) -> impl Iterator<Item = (u32, u64)> {
        self.last.range((domain, 0)..=(domain, u32::MAX)).map(|((_, server), run)| (*server, run.last))
    }

    fn reaches(&self, domain: u32, server: u32, number: u64) -> bool {
        self.last.get(&(domain, server)).is_some_and(|run| run.last >= number)
    }
}

impl FromStr for MariaDbGtids {
    type Err = GtidFault;

    /// Reads a list of `domain-server-sequence`; of one that stands twice the later number counts.
    fn from_str(text: &str) -> Result<Self, GtidFault> {
        let mut set = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let mut words = part.splitn(3, '-');
            let mut number = || words.next()?.parse::<u32>().ok();
            let (Some(domain), Some(server)) = (number(), number()) else { return Err(GtidFault::Position) };
            let sequence = words.next().ok_or(GtidFault::Position)?;
            // A domain in which nothing was written yet.
            if sequence == "0" {
                continue;
            }
            let run = run(sequence).ok_or(GtidFault::Position)?;
            set.unite(&Self { last: BTreeMap::from([((domain, server), run)]) });
        }
        Ok(set)
    }
}

/// `105`, or `101..105` of a difference.
fn run(text: &str) -> Option<Run> {
    let (first, last) = text.split_once("..").map_or((None, text), |(first, last)| (Some(first), last));
    let last = last.parse().ok()?;
    let after = match first {
        Some(first) => first.parse::<u64>().ok()?.checked_sub(1)?,
        None => 0,
    };
    (after < last).then_some(Run { after, last })
}

impl fmt::Display for MariaDbGtids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, ((domain, server), run)) in self.last.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{domain}-{server}-")?;
            match run.after {
                0 => write!(f, "{}", run.last)?,
                after => write!(f, "{}..{}", after + 1, run.last)?,
            }
        }
        Ok(())
    }
}
