//! `[upstream.NAME]`

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::{CertificatePair, DatabaseCheck, PoolHooks};
use crate::diagnostic::Spanned;

/// `[upstream.NAME]`: a named group of servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Its name in the file, in logs and in metrics.
    pub name: Spanned<String>,
    /// How a server is chosen.
    pub balance: Balance,
    /// The servers in file order; never empty, never all backup.
    pub servers: Vec<Server>,
    /// TLS to the servers; `None`: plain.
    pub tls: Option<UpstreamTls>,
    /// The servers speak HTTP/2; else HTTP/1.1.
    pub http2: bool,
    /// How long a server may take.
    pub timeouts: UpstreamTimeouts,
    /// Connections open at once to one server; `None`: no limit.
    pub max_connections: Option<u32>,
    /// Exchanges that may wait for a connection to one server.
    pub max_queue: u32,
    /// What becomes of L4 sessions on a server that is judged down.
    pub on_down: OnDown,
    /// How long a new L4 session waits where no server is up.
    pub hold: Duration,
    /// How long a server that comes up again takes to its whole share; `None`: it has it at once.
    pub slow_start: Option<Spanned<Duration>>,
    /// The PROXY header that connections to the servers begin with; `None`: none.
    pub proxy_header: Option<Spanned<ProxyVersion>>,
    /// The active check; `None`: none is made.
    pub health: Option<Health>,
    /// What is run when the primary is another one.
    pub hooks: PoolHooks,
}

/// A version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// What becomes of L4 sessions on a server that is judged down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDown {
    /// They go on as long as they can.
    #[default]
    Keep,
    /// They are cut at once.
    Close,
}

/// How a server is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Balance {
    /// In turn, smoothly weighted.
    RoundRobin,
    /// The fewest exchanges for its weight.
    LeastConn,
    /// The less busy of two at random.
    Random,
    /// By the client's address.
    IpHash {
        /// Leading bits of an IPv4 address that count, 1 to 32.
        prefix: u8,
        /// Leading bits of an IPv6 address that count, 1 to 128.
        prefix_v6: u8,
    },
    /// By something in the request.
    Hash(HashKey),
}

/// What of a request is hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashKey {
    /// The value of this field.
    Header(String),
    /// The value of this cookie.
    Cookie(String),
}

/// One server of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Where it listens.
    pub address: Spanned<HostPort>,
    /// Its share, 1 to 256.
    pub weight: u16,
    /// Its name in logs and metrics; `None`: the address.
    pub name: Option<Spanned<String>>,
    /// Used only where no other server is up.
    pub backup: bool,
    /// Gets no new sessions.
    pub drain: bool,
}

/// An address that needs no resolver, or a name that does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPort {
    /// A literal address.
    Ip(SocketAddr),
    /// A DNS name in lower case.
    Name {
        /// The name.
        host: String,
        /// The port.
        port: u16,
    },
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// `upstream.NAME.tls`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTls {
    /// The CAs that are believed; `None`: those of the system.
    pub ca: Option<Spanned<PathBuf>>,
    /// The name that is asked for and checked; `None`: the server's host.
    pub server_name: Option<Spanned<String>>,
    /// The certificate that haechi shows.
    pub certificate: Option<Spanned<CertificatePair>>,
}

/// `upstream.NAME.timeouts`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamTimeouts {
    /// Connecting, TLS included.
    pub connect: Duration,
    /// Until the first byte of an answer, and between two bytes of it.
    pub response: Duration,
    /// A pooled connection without an exchange.
    pub idle: Duration,
    /// Waiting for a connection where `max_connections` is reached.
    pub queue: Duration,
}

/// `[upstream.NAME.health]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// What is asked.
    pub kind: HealthKind,
    /// The port that is asked; `None`: the server's own.
    pub port: Option<u16>,
    /// The `Host` of the request; `None`: the server's address.
    pub host: Option<String>,
    /// The statuses that mean healthy.
    pub expect: Vec<RangeInclusive<u16>>,
    /// Text that a healthy answer holds.
    pub body: Option<String>,
    /// From one check to the next.
    pub interval: Duration,
    /// How long one check may take.
    pub timeout: Duration,
    /// Checks in a row that must pass before a server is up.
    pub rise: u32,
    /// Checks in a row that must fail before a server is down.
    pub fall: u32,
}

/// What a health check asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthKind {
    /// A GET of this path.
    Http {
        /// Path and query.
        path: String,
    },
    /// A connection, closed at once.
    Tcp,
    /// A login to a database, and a query.
    Database(Box<DatabaseCheck>),
}

impl Upstream {
    /// Its check, where that is of a database.
    #[must_use]
    pub fn database_check(&self) -> Option<&DatabaseCheck> {
        match &self.health.as_ref()?.kind {
            HealthKind::Database(check) => Some(check),
            HealthKind::Http { .. } | HealthKind::Tcp => None,
        }
    }
}
