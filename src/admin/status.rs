//! What /status says, as JSON.

use std::time::{Instant, SystemTime};

use serde::{Serialize, Serializer};

use crate::telemetry;
use crate::upstream::role::PoolStatus;
use crate::upstream::{Server, Upstream};

/// The state of the whole process at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The version that runs.
    pub version: &'static str,
    /// Where the process is in its life.
    pub phase: Phase,
    /// How long it runs.
    pub uptime_seconds: u64,
    /// The generation of the config that is served.
    pub generation: u64,
    /// How many connections all listeners may have open together.
    pub connections_limit: u64,
    /// The process that serves.
    pub worker: WorkerStatus,
    /// The config that is served.
    pub config: ConfigStatus,
    /// Every listener.
    pub listeners: Vec<ListenerStatus>,
    /// Every upstream.
    pub upstreams: Vec<UpstreamStatus>,
    /// Every pool of database servers: who is the primary, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<PoolStatus>,
    /// Every certificate that is known.
    pub certificates: Vec<CertificateStatus>,
    /// The instances of VRRP, as the guard told last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vrrp: Option<serde_json::Value>,
}

/// Where the process is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Not every listener accepts yet.
    Starting,
    /// Clients are served.
    Serving,
    /// Clients are served to their end; new ones should go elsewhere.
    Draining,
}

/// The process that serves.
#[derive(Clone, Debug, Serialize)]
pub struct WorkerStatus {
    /// Its number in the system.
    pub pid: u32,
    /// How many before it died or hung.
    pub restarts: u64,
}

/// Where the config came from and how its newest edit fared.
#[derive(Clone, Debug, Serialize)]
pub struct ConfigStatus {
    /// The main file.
    pub path: String,
    /// When the config was taken that is served.
    #[serde(serialize_with = "rfc3339")]
    pub loaded_at: SystemTime,
    /// Why the newest config was refused, as the log said it; `None`: it is served.
    pub last_error: Option<String>,
}

/// A listener.
#[derive(Clone, Debug, Serialize)]
pub struct ListenerStatus {
    /// Its name.
    pub name: String,
    /// The addresses it is bound to.
    pub bind: Vec<String>,
    /// What it serves: `http`, `tcp` or `udp`.
    pub mode: &'static str,
    /// How many connections it may have open.
    pub connections_limit: u64,
    /// The flows of a udp listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flows: Option<FlowsStatus>,
    /// What is known of sources, where there is a limit on them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sources: Option<SourcesStatus>,
}

/// The flows of a udp listener.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct FlowsStatus {
    /// How many there are.
    pub open: u64,
    /// How many there may be.
    pub limit: u64,
}

/// What is known of the sources of a listener.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SourcesStatus {
    /// How many are remembered.
    pub known: u64,
    /// How many were forgotten, or not remembered, before their time.
    pub forgotten: u64,
}

/// An upstream.
#[derive(Clone, Debug, Serialize)]
pub struct UpstreamStatus {
    /// Its name.
    pub name: String,
    /// Sessions that wait for one of its servers to come up.
    pub held: u32,
    /// Its servers, in the config's order.
    pub servers: Vec<ServerStatus>,
}

impl UpstreamStatus {
    /// The status of this upstream; `now` and `wall` are the same moment on both clocks.
    #[must_use]
    pub fn of(upstream: &Upstream, now: Instant, wall: SystemTime) -> Self {
        let servers = upstream.servers.iter().map(|server| ServerStatus::of(server, now, wall)).collect();
        Self { name: upstream.name.to_string(), held: upstream.sessions.hold.waiting(), servers }
    }
}

/// One server of an upstream.
#[derive(Clone, Debug, Serialize)]
pub struct ServerStatus {
    /// Its name.
    pub name: String,
    /// Where it is; `None`: its name does not resolve.
    pub address: Option<String>,
    /// `up`, `down` or `unknown`.
    pub health: &'static str,
    /// Since when.
    #[serde(serialize_with = "rfc3339")]
    pub since: SystemTime,
    /// Why.
    pub reason: String,
    /// Exchanges under way on it.
    pub active: u64,
    /// Its share of the work.
    pub weight: u32,
    /// Whether it is used only when no other is left.
    pub backup: bool,
    /// Whether it gets no new sessions.
    pub drain: bool,
}

impl ServerStatus {
    fn of(server: &Server, now: Instant, wall: SystemTime) -> Self {
        let verdict = server.state.verdict();
        let since = wall.checked_sub(now.saturating_duration_since(verdict.since)).unwrap_or(SystemTime::UNIX_EPOCH);
        Self {
            name: server.name.to_string(),
            address: server.address.map(|address| address.to_string()),
            health: server.state.health().as_str(),
            since,
            reason: verdict.reason.to_string(),
            active: server.state.in_use(),
            weight: server.weight,
            backup: server.backup,
            drain: server.drain,
        }
    }
}

/// A certificate.
#[derive(Clone, Debug, Serialize)]
pub struct CertificateStatus {
    /// The listener that shows it.
    pub listener: String,
    /// The names it stands for.
    pub names: Vec<String>,
    /// Its last moment.
    #[serde(serialize_with = "rfc3339")]
    pub expires_at: SystemTime,
}

fn rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&telemetry::rfc3339(*time))
}
