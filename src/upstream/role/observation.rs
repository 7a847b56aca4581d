//! What a database server says of itself, as plain data: nothing here is judged.

use std::fmt;
use std::time::Duration;

use crate::codec::gtid::{Dialect, GtidSet, Uuid};

/// What a check learned beyond "it answers".
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// MySQL or MariaDB.
    MySql(Box<Observation>),
    /// PostgreSQL.
    Postgres(PostgresAnswer),
    /// Redis or Valkey.
    Redis(RedisAnswer),
}

/// One look at a MySQL or MariaDB server, all of it within one check.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// Which server it is, whatever address it has.
    pub identity: Identity,
    /// Whether it takes writes.
    pub writable: Writable,
    /// From whom it replicates; empty: from nobody.
    pub replication: Vec<Channel>,
    /// All that it has executed. MariaDB: `gtid_binlog_state` and `gtid_slave_pos` together.
    pub gtids: GtidSet,
}

/// Who a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The family.
    pub dialect: Dialect,
    /// As the server says it, as in `8.4.2` or `10.11.6-MariaDB`.
    pub version: String,
    /// `@@server_id`; 0 where none was given.
    pub server_id: u32,
    /// `@@server_uuid`; MariaDB has none.
    pub uuid: Option<Uuid>,
    /// `@@gtid_domain_id` of MariaDB.
    pub domain: Option<u32>,
}

/// Whether a server takes writes, as its variables say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Writable {
    /// `@@read_only`: clients without a privilege for it cannot write.
    pub read_only: bool,
    /// `@@super_read_only`: nobody can. MariaDB has none: false.
    pub super_read_only: bool,
    /// `@@offline_mode`: clients are thrown out. MariaDB has none: false.
    pub offline_mode: bool,
}

impl Writable {
    /// Whether an ordinary client can write. Who may write although `read_only` is set is not a
    /// client of a load balancer, so that flag alone makes a server one that takes no writes.
    #[must_use]
    pub fn is_writable(self) -> bool {
        !self.read_only && !self.super_read_only && !self.offline_mode
    }
}

/// One source that a server replicates from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// The channel's name (MariaDB: the connection's); empty for the one that has none.
    pub name: String,
    /// The source's host as configured on the server: its name or address, not resolved.
    pub source_host: String,
    /// The source's port.
    pub source_port: u16,
    /// The source's `server_id`; `None`: not connected yet.
    pub source_server_id: Option<u32>,
    /// The source's `server_uuid`; `None`: not connected yet, or MariaDB.
    pub source_uuid: Option<Uuid>,
    /// The thread that fetches.
    pub io: Thread,
    /// The thread that applies.
    pub sql: Thread,
    /// How far it is behind; `None`: the server does not know, which is never "not at all".
    pub lag: Option<Duration>,
    /// What stopped fetching, in the server's words; empty: nothing.
    pub io_error: String,
    /// What stopped applying, in the server's words; empty: nothing.
    pub sql_error: String,
}

impl Channel {
    /// Whether transactions come in and are applied.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.io == Thread::Running && self.sql == Thread::Running
    }
}

/// The state of one thread of replication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thread {
    /// It works.
    Running,
    /// It tries to reach its source.
    Connecting,
    /// It was stopped, or stopped at an error.
    Stopped,
}

impl fmt::Display for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Connecting => "connecting",
            Self::Stopped => "stopped",
        })
    }
}

/// One look at a PostgreSQL server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresAnswer {
    /// `server_version`
    pub version: String,
    /// `pg_is_in_recovery()`: a standby, which takes no writes.
    pub in_recovery: bool,
    /// `default_transaction_read_only`: a primary that an operator closed for writes.
    pub read_only: bool,
    /// A standby's: whether its WAL receiver is connected; `None`: the account may not see it, or a primary.
    pub streaming: Option<bool>,
    /// A standby's: time since the last transaction that it replayed, zero where it has replayed
    /// everything it got; `None`: nothing replayed yet, or a primary.
    pub lag: Option<Duration>,
}

/// One look at a Redis or Valkey server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisAnswer {
    /// What part it takes.
    pub role: RedisRole,
    /// `master_repl_offset` of a primary, `slave_repl_offset` of a replica: bytes of the stream of changes.
    pub offset: u64,
    /// `master_replid`: the history that `offset` counts in.
    pub history: String,
}

/// `role` of `INFO replication`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisRole {
    /// It takes writes.
    Primary,
    /// It follows another.
    Replica {
        /// Its source's host as configured on the server.
        source_host: String,
        /// Its source's port.
        source_port: u16,
        /// `master_link_status:up`
        connected: bool,
        /// Since the last word from its source; `None`: not connected.
        last_heard: Option<Duration>,
        /// `slave_read_only`; a replica that is not takes writes that are lost.
        read_only: bool,
    },
}
