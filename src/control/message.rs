//! The messages.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::net::Endpoint;
use crate::reading::Index;

/// What the guard wants of a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Order {
    /// The first one: what a worker before has left.
    Begin(Seed),
    /// Serve by this config, or say why not; answered by [`Report::Loaded`] or [`Report::Refused`].
    Load(Load),
    /// The access log's file, which was opened anew; it comes along.
    Log,
    /// A config was refused before it came here; it is to be told to who asks.
    Tell {
        /// Every fault, as the operator reads it.
        faults: String,
    },
    /// Say how it is; answered by [`Report::Status`].
    Status {
        /// Comes back with the answer.
        number: u64,
    },
    /// Serve as ever, but let each connection end with its exchange: the virtual addresses go.
    WindDown,
    /// Keep connections again: the virtual addresses stay, or come back.
    KeepAlive,
    /// How the instances of VRRP are, for whoever asks this process.
    Vrrp {
        /// Whole families, in the form of the page of metrics.
        metrics: String,
        /// JSON.
        status: String,
    },
    /// What was told of pools by [`Report::Pools`] is on the disk: upstreams with their epochs.
    Kept(Vec<(String, u64)>),
    /// The operator says who a pool's primary is; answered by [`Report::Said`].
    Confirm {
        /// Comes back with the answer.
        number: u64,
        /// The upstream's name.
        upstream: String,
        /// The server's.
        server: String,
        /// Transactions that it lacks are given up.
        accept_loss: bool,
    },
    /// Say how pools of database servers are and why; answered by [`Report::Said`].
    Explain {
        /// Comes back with the answer.
        number: u64,
        /// One upstream's name; `None`: all of them.
        upstream: Option<String>,
    },
    /// Accept no more, let exchanges end, and end.
    Drain {
        /// Another worker serves already: operators are its matter.
        replaced: bool,
    },
    /// End now.
    Stop,
}

/// What a worker starts with. An upgrade passes it on too: a change of its form is one of `guard::upgrade`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seed {
    /// Data-plane threads.
    pub threads: usize,
    /// The generation of the last snapshot that was served.
    pub generation: u64,
    /// Workers that died or hung before this one.
    pub restarts: u64,
    /// How the servers were.
    pub verdicts: Vec<Verdict>,
    /// The addresses that names had.
    pub names: Vec<(String, Vec<IpAddr>)>,
    /// The keys of session tickets, the newest first.
    pub ticket_keys: Vec<TicketKey>,
    /// Certificates that were checked.
    pub certificates: Vec<KnownCertificate>,
    /// What was kept of pools of database servers.
    pub pools: Pools,
}

/// What was kept of all pools of database servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pools {
    /// Each one of which something is known.
    pub known: Vec<PoolMemory>,
    /// What was kept cannot be read: of a pool that is not listed nothing can be said.
    pub unreadable: bool,
}

/// A config to serve by. Its descriptors come in the order of the fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Comes back with the answer.
    pub number: u64,
    /// The config's path.
    pub config: OsString,
    /// Every file of the config and every one that it names; the memory in which they lie comes along.
    pub files: Arc<Index>,
    /// Endpoints that the worker has no sockets of; for each a socket a thread.
    pub sockets: Vec<Endpoint>,
    /// Whether the admin listener's socket comes along.
    pub admin: bool,
    /// Whether the access log's file comes along.
    pub log: bool,
}

/// What a worker has to say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Report {
    /// The config of this number is served.
    Loaded {
        /// Of the order.
        number: u64,
        /// The snapshot's.
        generation: u64,
    },
    /// It is not served; what was served before is.
    Refused {
        /// Of the order.
        number: u64,
        /// Every fault, as the operator reads it.
        faults: String,
    },
    /// How the worker is.
    Status {
        /// Of the order.
        number: u64,
        /// A JSON object.
        json: String,
    },
    /// The threads that are to tick: the control thread, then those of the data plane, by their
    /// numbers in the system.
    Threads(Vec<u32>),
    /// The control thread has come round, and each thread of the data plane so often.
    Tick {
        /// A count for each.
        turns: Vec<u64>,
    },
    /// What a worker after this one is to know of servers.
    Servers {
        /// The generation that is served.
        generation: u64,
        /// One for each server that has a verdict.
        verdicts: Vec<Verdict>,
        /// The addresses of names.
        names: Vec<(String, Vec<IpAddr>)>,
    },
    /// The keys of session tickets, the newest first.
    TicketKeys(Vec<TicketKey>),
    /// What is to be kept of pools of database servers; where an epoch is another, answered by [`Order::Kept`].
    Pools(Vec<PoolMemory>),
    /// Something happened in a pool that hooks may be told.
    Pool(PoolEvent),
    /// The answer to the operator.
    Said {
        /// Of the order.
        number: u64,
        /// A JSON object; with `error` where the order was not obeyed.
        json: String,
    },
    /// Every certificate of the config that is served: it was checked.
    Certificates(Vec<KnownCertificate>),
}

/// Something that hooks may be told of a pool of database servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolEvent {
    /// The upstream's name.
    pub upstream: String,
    /// What happened.
    pub kind: PoolEventKind,
    /// The primary that is lost, or the new one.
    pub server: String,
    /// The number of the decision in which it happened.
    pub epoch: u64,
    /// All that is known of the pool, a JSON object.
    pub json: String,
}

/// What happened in a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PoolEventKind {
    /// The primary is dead and no other takes writes.
    Lost,
    /// A primary that was lost is back: a hook that waits to be run has nothing to do any more.
    Found,
    /// Another server is the primary.
    Changed,
}

/// What is kept of a pool of database servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolMemory {
    /// The upstream's name.
    pub upstream: String,
    /// How often it was decided who the primary is.
    pub epoch: u64,
    /// The last confirmed primary, where there was one.
    pub primary: Option<KnownPrimary>,
    /// Servers that get nothing until they are seen read-only.
    pub aside: Vec<SetAside>,
    /// What was kept before cannot be read.
    pub doubtful: bool,
}

/// The last confirmed primary of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownPrimary {
    /// Its name in the pool.
    pub server: String,
    /// Which server it is, whatever its address.
    pub identity: String,
    /// Whose transaction ids these are; `None`: it has none.
    pub dialect: Option<GtidDialect>,
    /// What it was last seen to have executed.
    pub gtids: String,
}

/// Whose transaction ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GtidDialect {
    /// MySQL's.
    MySql,
    /// MariaDB's.
    MariaDb,
}

/// A server that is passed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    /// Its name in the pool.
    pub server: String,
    /// Which server it is, whatever its address.
    pub identity: String,
    /// By the operator; else as an old primary.
    pub dismissed: bool,
}

/// How a server was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The upstream's name.
    pub upstream: String,
    /// The server's name.
    pub server: String,
    /// Where it is.
    pub address: SocketAddr,
    /// Whether it lives.
    pub health: Health,
    /// Why.
    pub reason: String,
    /// Since when, in seconds since 1970.
    pub since: u64,
}

/// Whether a server lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Health {
    /// Its checks pass.
    Up,
    /// They fail.
    Down,
}

/// What is known of a certificate that was checked with its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownCertificate {
    /// Its file.
    pub cert: OsString,
    /// Its key's.
    pub key: OsString,
    /// Of what both hold.
    pub hash: u128,
    /// The names that it is for.
    pub names: Vec<String>,
    /// When it begins, in seconds since 1970.
    pub not_before: u64,
    /// When it ends, in seconds since 1970.
    pub not_after: u64,
    /// Whether its key is one of RSA.
    pub is_rsa: bool,
}

/// A key that seals session tickets. Whoever has it can open them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketKey {
    /// When it was made, in seconds since 1970.
    pub made: u64,
    /// For AES-256-GCM.
    pub secret: [u8; 32],
}

impl std::fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TicketKey").field("made", &self.made).finish_non_exhaustive()
    }
}
