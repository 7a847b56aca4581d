//! Whether servers live.
//!
//! In come upstreams with a [`Check`], out go verdicts in their [`super::ServerState`]s and one log
//! line for each change. [`Machine`] decides, [`probe`] asks a server once, [`Checks`] runs both on
//! the control thread.
//!
//! What always holds: each probe is on a connection of its own; a server without a verdict is
//! [`super::Health::Unknown`] and used like one that is up; its first probe starts at once and
//! alone decides the first verdict.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls_pki_types::ServerName;

use super::Protocol;
use crate::codec::proxy;

mod database;
mod machine;
mod probe;
mod task;
#[cfg(test)]
mod tests;

pub use database::{DatabaseFault, DatabaseQuestion, Engine, Secret};
pub use machine::{Change, Input, Machine, Output};
use probe::Clock;
pub use probe::{Passed, probe};
pub use task::{Checks, Report};

/// How the servers of an upstream are checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// What is asked.
    pub question: Question,
    /// TLS around it; `None`: plain. A database has its own.
    pub tls: Option<CheckTls>,
    /// The PROXY header that each connection begins with: the probe's own, which tells of no client.
    pub proxy_header: Option<proxy::Version>,
    /// How often, and how many answers make a verdict.
    pub pace: Pace,
    /// The port that is asked; `None`: the server's own.
    pub port: Option<u16>,
}

impl Check {
    /// Where a server at this address is asked.
    #[must_use]
    pub fn address(&self, server: SocketAddr) -> SocketAddr {
        SocketAddr::new(server.ip(), self.port.unwrap_or(server.port()))
    }
}

/// What a probe asks a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Does a connection come about, with its TLS handshake where there is TLS?
    Tcp,
    /// Does a GET by HTTP/1.1 get the expected answer?
    Http(HttpQuestion),
    /// Does a login to a database come about, and a query get its answer?
    Database(DatabaseQuestion),
}

impl Question {
    /// Whether the answer says what part a server has in its group, so that others judge it.
    #[must_use]
    pub fn is_observed(&self) -> bool {
        matches!(self, Self::Database(question) if question.observe)
    }
}

/// A GET and the answer that it should get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpQuestion {
    /// What the server is asked in; its exchanges are in the same.
    pub protocol: Protocol,
    /// Path and query.
    pub path: Arc<str>,
    /// The `Host` field; `None`: the server's address as written.
    pub host: Option<Arc<str>>,
    /// The statuses that pass.
    pub expect: Expect,
    /// What must stand in the first 64 KiB of the body; `None`: the body is not read.
    pub body: Option<Arc<str>>,
}

/// A set of expected statuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expect(pub Vec<RangeInclusive<u16>>);

impl Default for Expect {
    /// 200 to 399.
    fn default() -> Self {
        Self(vec![200..=399])
    }
}

impl Expect {
    /// Whether this status passes.
    #[must_use]
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, range) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{}", range.start())?;
            if range.start() != range.end() {
                write!(f, "-{}", range.end())?;
            }
        }
        Ok(())
    }
}

/// TLS as a client: what is trusted, and which name the certificate must bear.
#[derive(Clone, Debug)]
pub struct CheckTls {
    /// Trust, client certificate and ALPN, which offers what the check speaks and no other.
    pub config: Arc<ClientConfig>,
    /// The name for SNI and for the certificate; `None`: each server's own host.
    pub server_name: Option<ServerName<'static>>,
}

impl CheckTls {
    /// The name to ask the server at `written` for.
    fn server_name(&self, written: &str) -> Result<ServerName<'static>, rustls_pki_types::InvalidDnsNameError> {
        match &self.server_name {
            Some(name) => Ok(name.clone()),
            None => {
                let host = written.rsplit_once(':').map_or(written, |(host, _)| host);
                ServerName::try_from(host.trim_start_matches('[').trim_end_matches(']').to_owned())
            }
        }
    }
}

impl PartialEq for CheckTls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.config, &other.config) && self.server_name == other.server_name
    }
}

/// How often a server is asked, and how many answers make a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// From the start of a probe to the start of the next, give or take 10 %; what is outside
    /// [`Self::LEAST_INTERVAL`] and [`Self::MOST_INTERVAL`] counts as the nearer of them.
    pub interval: Duration,
    /// How long a whole probe may take.
    pub timeout: Duration,
    /// Passed probes in a row that bring a server back up.
    pub rise: u32,
    /// Failed probes in a row that take a server down.
    pub fall: u32,
}

impl Pace {
    /// No server is asked more often.
    pub const LEAST_INTERVAL: Duration = Duration::from_millis(10);
    /// No server is asked less often.
    pub const MOST_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
}

impl Default for Pace {
    fn default() -> Self {
        Self { interval: Duration::from_secs(2), timeout: Duration::from_secs(1), rise: 2, fall: 3 }
    }
}

/// Why a probe failed, in the words of log and /status.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// The connection did not come about.
    #[error("connect: {}", plain(.0))]
    Connect(#[source] io::Error),
    /// The TLS handshake failed.
    #[error("tls: {}", plain(.0))]
    Tls(#[source] io::Error),
    /// The probe took too long.
    #[error("timed out after {after:?} in {phase}")]
    TimedOut {
        /// The timeout of the check.
        after: Duration,
        /// What it was waiting for.
        phase: Phase,
    },
    /// The path or the host cannot stand in a request.
    #[error("request: {0}")]
    Request(#[source] http::Error),
    /// The answer is not whole or not HTTP.
    #[error("response: {0}")]
    Response(#[source] hyper::Error),
    /// The answer has a status that does not pass.
    #[error("status {status}, expected {expected}")]
    Status {
        /// What came.
        status: u16,
        /// What passes.
        expected: Expect,
    },
    /// The body has not what it should.
    #[error("body lacks `{0}`")]
    Body(Arc<str>),
    /// A database sent more than a check takes in.
    #[error("the server sent more than {0} bytes; `max_answer` says how many a check takes")]
    TooLong(usize),
    /// The connection broke in the middle of a conversation.
    #[error("connection: {}", plain(.0))]
    Lost(#[source] io::Error),
    /// The database says no, or is none.
    #[error(transparent)]
    Database(#[from] DatabaseFault),
}

impl Reason {
    /// The words of all reasons: on the page from the start.
    pub const WORDS: [&'static str; 10] =
        ["connect", "tls", "timeout", "request", "response", "status", "body", "lost", "database", "answer_too_long"];

    /// Its word in the metrics.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Tls(_) => "tls",
            Self::TimedOut { .. } => "timeout",
            Self::Request(_) => "request",
            Self::Response(_) => "response",
            Self::Status { .. } => "status",
            Self::Body(_) => "body",
            Self::Lost(_) => "lost",
            Self::Database(_) => "database",
            Self::TooLong(_) => "answer_too_long",
        }
    }
}

/// What a probe was waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The TCP handshake.
    Connect,
    /// The TLS handshake.
    Tls,
    /// The login to a database.
    Login,
    /// The answer.
    Response,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Login => "login",
            Self::Response => "response",
        })
    }
}

/// The kind of an error of the system ("connection refused"), without its number.
fn plain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(_) => error.kind().to_string(),
        None => error.to_string(),
    }
}
