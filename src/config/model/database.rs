//! `health.mysql`, `health.postgres` and `health.redis`

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::UpstreamTls;
use crate::diagnostic::Spanned;

/// A check that logs in to a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseCheck {
    /// Which kind of database.
    pub engine: DatabaseEngine,
    /// The account.
    pub user: String,
    /// Its password; `None`: an empty one.
    pub password: Option<Password>,
    /// The part that a server needs to be used; `None`: any.
    pub role: Option<Spanned<DatabaseRole>>,
    /// How far behind a replica may be; `None`: any.
    pub max_lag: Option<Spanned<Duration>>,
    /// Who serves readers where no replica can.
    pub fallback: Fallback,
    /// Bytes that a server may send in one check.
    pub max_answer: usize,
    /// TLS for the check; `None`: plain.
    pub tls: Option<UpstreamTls>,
}

/// A kind of database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseEngine {
    /// MySQL and MariaDB.
    MySql,
    /// PostgreSQL.
    Postgres {
        /// The database to log in to.
        database: String,
    },
    /// Redis and Valkey.
    Redis,
}

/// The part of a server in its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseRole {
    /// The one that takes writes.
    Primary,
    /// One that follows it.
    Replica,
}

/// Who serves readers where no replica can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// The primary.
    Primary,
    /// Nobody.
    None,
}

/// Where a password is; no log shows it.
#[derive(Clone, PartialEq, Eq)]
pub enum Password {
    /// In the config.
    Written(String),
    /// In a file of its own.
    File(Spanned<PathBuf>),
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Written(_) => f.write_str("Written"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}
