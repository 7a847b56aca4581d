//! Sets of global transaction ids, in the two dialects of the MySQL family.
//!
//! *In and out*: the text of `@@gtid_executed` (MySQL) or `@@gtid_binlog_state` and
//! `@@gtid_slave_pos` (MariaDB) comes in; a [`GtidSet`] goes out, which says whether one server has
//! all that another has, and what it lacks.
//!
//! *What always holds*: a set is in normal form, so equal sets are equal values and print alike. A
//! text of any length that is no set is refused, and no set is larger than its text.

mod mariadb;
mod mysql;
#[cfg(test)]
mod tests;
mod uuid;

use std::fmt;

pub use mariadb::MariaDbGtids;
pub use mysql::{MySqlGtids, Tag};
use serde::{Deserialize, Serialize};
pub use uuid::Uuid;

/// Which of the two families a server is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// MySQL and its close relatives (Percona Server).
    MySql,
    /// MariaDB, whose transaction ids are of another kind.
    MariaDb,
}

/// What a server has executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GtidSet {
    /// `uuid:1-77`
    MySql(MySqlGtids),
    /// `0-1-77`
    MariaDb(MariaDbGtids),
}

/// Why a text is no set of transaction ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GtidFault {
    /// Not a UUID where one should stand.
    #[error("not a server's uuid")]
    Uuid,
    /// Neither a number above zero nor a range of them.
    #[error("not an interval of transaction numbers")]
    Interval,
    /// A tag is a letter or `_`, then up to 31 letters, digits or `_`.
    #[error("not a tag")]
    Tag,
    /// A UUID without a single interval.
    #[error("a uuid without an interval")]
    Empty,
    /// Not `domain-server-sequence`.
    #[error("not domain-server-sequence")]
    Position,
}

/// Sets of two dialects cannot become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("transaction ids of MySQL and of MariaDB do not mix")]
pub struct DialectsDiffer;

impl GtidSet {
    /// Nothing executed.
    #[must_use]
    pub fn empty(dialect: Dialect) -> Self {
        match dialect {
            Dialect::MySql => Self::MySql(MySqlGtids::default()),
            Dialect::MariaDb => Self::MariaDb(MariaDbGtids::default()),
        }
    }

    /// Reads a set as a server of this dialect prints it. Blanks and line ends around its parts are
    /// skipped, an empty text is an empty set.
    ///
    /// # Errors
    /// [`GtidFault`] for any other text.
    pub fn parse(dialect: Dialect, text: &str) -> Result<Self, GtidFault> {
        match dialect {
            Dialect::MySql => text.parse().map(Self::MySql),
            Dialect::MariaDb => text.parse().map(Self::MariaDb),
        }
    }

    /// Whose ids these are.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::MySql(_) => Dialect::MySql,
            Self::MariaDb(_) => Dialect::MariaDb,
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::MySql(set) => set.is_empty(),
            Self::MariaDb(set) => set.is_empty(),
        }
    }

    /// Whether every transaction of `other` is here too; of another dialect only an empty set is.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        other.difference(self).is_empty()
    }

    /// What is here and not in `other`. With the primary's set as `self` and a candidate's as `other`
    /// these are the transactions that the candidate is *missing*; the other way round, those of a
    /// returned server that are *errant*. Of another dialect everything is.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::MySql(here), Self::MySql(there)) => Self::MySql(here.difference(there)),
            (Self::MariaDb(here), Self::MariaDb(there)) => Self::MariaDb(here.difference(there)),
            (Self::MySql(_), Self::MariaDb(_)) | (Self::MariaDb(_), Self::MySql(_)) => self.clone(),
        }
    }

    /// Takes in what `other` has.
    ///
    /// # Errors
    /// [`DialectsDiffer`]; nothing is taken in then.
    pub fn unite(&mut self, other: &Self) -> Result<(), DialectsDiffer> {
        match (self, other) {
            (Self::MySql(here), Self::MySql(there)) => here.unite(there),
            (Self::MariaDb(here), Self::MariaDb(there)) => here.unite(there),
            (Self::MySql(_), Self::MariaDb(_)) | (Self::MariaDb(_), Self::MySql(_)) => return Err(DialectsDiffer),
        }
        Ok(())
    }
}

/// As a server prints it: what [`Self::parse`] reads.
impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MySql(set) => set.fmt(f),
            Self::MariaDb(set) => set.fmt(f),
        }
    }
}
