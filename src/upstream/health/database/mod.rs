//! A login and one query, in the words of each kind of database.
//!
//! [`ask`] runs the conversation of one engine over a [`Line`]; what is said in it comes from
//! `codec`, what an answer means from `look`. Each probe logs in anew and says goodbye, so that no
//! server counts an aborted connection.

mod line;
mod look;
mod mysql;
mod postgres;
mod redis;

use std::fmt;
use std::sync::Arc;

use super::{Clock, Reason};
use crate::codec;
use crate::codec::gtid::GtidFault;
use crate::codec::mysql::ServerError;
use crate::upstream::Outbound;
use crate::upstream::role::Answer;
pub(super) use line::Line;

/// What a probe asks a database, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseQuestion {
    /// Whose protocol is spoken.
    pub engine: Engine,
    /// The account.
    pub user: Arc<str>,
    /// Its password; may be empty.
    pub password: Secret,
    /// TLS, which begins after a word in clear; `None`: plain.
    pub tls: Option<Outbound>,
    /// Whether the server's part in its group is looked at; else an answer is enough.
    pub observe: bool,
    /// Bytes that the server may send from the first to the last.
    pub max_answer: usize,
}

/// A kind of database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Engine {
    /// MySQL and MariaDB.
    MySql,
    /// PostgreSQL.
    Postgres {
        /// The database to log in to.
        database: Arc<str>,
    },
    /// Redis and Valkey.
    Redis,
}

/// A password, which no log shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Arc<[u8]>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Why a database did not pass.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseFault {
    /// MySQL's protocol, or its server, says no.
    #[error("mysql: {0}")]
    MySql(#[from] codec::mysql::Fault),
    /// PostgreSQL's protocol, or its server, says no.
    #[error("postgres: {0}")]
    Postgres(#[from] codec::postgres::Fault),
    /// Redis' protocol, or its server, says no.
    #[error("redis: {0}")]
    Redis(#[from] codec::redis::Fault),
    /// The login was refused, and what it needs.
    #[error("login refused: {0}; it needs {1}")]
    Login(ServerError, String),
    /// The login was refused, and what it needs.
    #[error("login refused: {0}; it needs {1}")]
    PostgresLogin(codec::postgres::Fault, String),
    /// The account may not see what it is to look at.
    #[error("a grant is missing: {0}")]
    Grant(String),
    /// An answer without something that every server of its kind has.
    #[error("the answer lacks {0}")]
    Lacks(&'static str),
    /// Transaction ids that cannot be read.
    #[error("its transaction ids: {0}")]
    Gtids(#[from] GtidFault),
}

impl DatabaseFault {
    /// Whether the server sent more than it may, in whatever protocol.
    fn is_too_much(&self) -> bool {
        matches!(
            self,
            Self::MySql(codec::mysql::Fault::TooMuch(_))
                | Self::Postgres(codec::postgres::Fault::TooMuch(_))
                | Self::Redis(codec::redis::Fault::TooMuch(_))
        )
    }
}

/// Asks over this line.
pub(super) async fn ask(
    question: &DatabaseQuestion,
    line: Line,
    written: &str,
    clock: &Clock,
) -> Result<Option<Answer>, Reason> {
    let answer = match &question.engine {
        Engine::MySql => mysql::ask(question, line, written, clock).await,
        Engine::Postgres { database } => postgres::ask(question, database, line, written, clock).await,
        Engine::Redis => redis::ask(question, line, written, clock).await,
    };
    answer.map_err(|reason| match reason {
        Reason::Database(fault) if fault.is_too_much() => Reason::TooLong(question.max_answer),
        reason => reason,
    })
}
