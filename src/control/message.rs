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
    /// Every certificate of the config that is served: it was checked.
    Certificates(Vec<KnownCertificate>),
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
