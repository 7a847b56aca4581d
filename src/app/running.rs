//! What the process is and serves, as admin and the control socket tell it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;

use crate::admin::{
    CertificateStatus, ConfigStatus, FlowsStatus, ListenerStatus, Phase, ServerCounts, SourcesStatus, Status,
    UpstreamStatus, WorkerStatus, pool_families, server_families,
};
use crate::snapshot::{Listener, Serves, Snapshot};
use crate::telemetry::Expiry;
use crate::telemetry::exposition::Page;
use crate::upstream::role::Pools;

/// The state of the process, for whoever asks.
#[derive(Debug)]
pub struct Running {
    /// The config's path.
    pub config: PathBuf,
    /// What is served.
    pub snapshot: ArcSwap<Snapshot>,
    started: Instant,
    restarts: u64,
    phase: AtomicU8,
    taken: Mutex<Taken>,
    vrrp: Mutex<Vrrp>,
    pools: Mutex<Pools>,
}

/// What the guard says of the instances of VRRP.
#[derive(Debug, Default)]
struct Vrrp {
    metrics: String,
    status: Option<serde_json::Value>,
}

/// How the newest config fared.
#[derive(Clone, Debug)]
struct Taken {
    at: SystemTime,
    last_error: Option<String>,
}

impl Running {
    /// A process that begins to serve by `snapshot`, the successor of `restarts` others.
    #[must_use]
    pub fn new(config: PathBuf, snapshot: Arc<Snapshot>, started: Instant, at: SystemTime, restarts: u64) -> Self {
        Self {
            config,
            snapshot: ArcSwap::new(snapshot),
            started,
            restarts,
            phase: AtomicU8::new(0),
            taken: Mutex::new(Taken { at, last_error: None }),
            vrrp: Mutex::default(),
            pools: Mutex::default(),
        }
    }

    /// From now on this is served.
    pub fn serve(&self, snapshot: Arc<Snapshot>) {
        self.snapshot.store(snapshot);
    }

    /// The newest config is what is served.
    pub fn take(&self, at: SystemTime) {
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = Taken { at, last_error: None };
    }

    /// The newest config was refused; what was served before goes on.
    pub fn refuse(&self, why: String) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).last_error = Some(why);
    }

    /// So the instances of VRRP are now: families of metrics, and JSON.
    pub fn tell_of_vrrp(&self, metrics: String, status: &str) {
        let status = serde_json::from_str(status).ok();
        *self.vrrp.lock().unwrap_or_else(PoisonError::into_inner) = Vrrp { metrics, status };
    }

    /// The pools of database servers. Never held across an await.
    pub fn pools(&self) -> MutexGuard<'_, Pools> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the families of VRRP.
    pub fn write_vrrp(&self, page: &mut Page) {
        page.append(&self.vrrp.lock().unwrap_or_else(PoisonError::into_inner).metrics);
    }

    /// The process enters another phase of its life.
    pub fn enter(&self, phase: Phase) {
        let code = match phase {
            Phase::Starting => 0,
            Phase::Serving => 1,
            Phase::Draining => 2,
        };
        self.phase.store(code, Relaxed);
    }

    /// Where the process is in its life.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Starting,
            1 => Phase::Serving,
            _ => Phase::Draining,
        }
    }

    /// Everything that /status tells.
    #[must_use]
    pub fn status(&self) -> Status {
        let (now, wall) = now();
        let snapshot = self.snapshot.load();
        let Taken { at, last_error } = self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Status {
            version: env!("CARGO_PKG_VERSION"),
            phase: self.phase(),
            uptime_seconds: now.saturating_duration_since(self.started).as_secs(),
            generation: snapshot.generation,
            connections_limit: snapshot.listeners.first().map_or(0, |listener| listener.process_limit.into()),
            worker: WorkerStatus { pid: std::process::id(), restarts: self.restarts },
            config: ConfigStatus { path: self.config.display().to_string(), loaded_at: at, last_error },
            listeners: snapshot.listeners.iter().map(listener_status).collect(),
            upstreams: snapshot.upstreams.iter().map(|upstream| UpstreamStatus::of(upstream, now, wall)).collect(),
            databases: self.pools().statuses(now, wall),
            certificates: certificates(&snapshot),
            vrrp: self.vrrp.lock().unwrap_or_else(PoisonError::into_inner).status.clone(),
        }
    }

    /// Writes the families of the servers in use.
    pub fn write_servers(&self, page: &mut Page) {
        let snapshot = self.snapshot.load();
        let servers = snapshot
            .upstreams
            .iter()
            .flat_map(|upstream| upstream.servers.iter().map(|server| ServerCounts::of(upstream, server)));
        server_families(page, servers);
        pool_families(page, self.pools().counts());
    }
}

fn listener_status(listener: &Listener) -> ListenerStatus {
    let open = || {
        let ended: u64 = listener.cells.iter().flat_map(|cells| cells.udp.ended.iter()).map(|(_, count)| count).sum();
        let begun: u64 = listener.cells.iter().map(|cells| cells.udp.flows.value()).sum();
        begun.saturating_sub(ended)
    };
    ListenerStatus {
        name: listener.name.to_string(),
        bind: listener.binds.iter().map(ToString::to_string).collect(),
        mode: listener.serves.mode(),
        connections_limit: listener.connection_limit.into(),
        flows: match &listener.serves {
            Serves::Udp(udp) => Some(FlowsStatus { open: open(), limit: udp.flows as u64 }),
            _ => None,
        },
        sources: listener.source_limits.are_any().then(|| {
            let (known, forgotten) = listener.sources.counts();
            SourcesStatus { known: known as u64, forgotten }
        }),
    }
}

/// When each listener's certificates end.
pub(super) fn expiries(snapshot: &Snapshot) -> Vec<(Arc<str>, Vec<Expiry>)> {
    let seconds = |time: SystemTime| {
        time.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
    };
    snapshot
        .listeners
        .iter()
        .filter_map(|listener| {
            let store = &listener.tls.as_ref()?.store;
            let expiries = store.certificates().iter().map(|certificate| Expiry {
                name: certificate.names().first().cloned().unwrap_or_default(),
                at_seconds: seconds(certificate.not_after()),
            });
            Some((Arc::clone(&listener.name), expiries.collect()))
        })
        .collect()
}

/// Certificates that /status lists; more are in the metrics' minimum.
const LISTED: usize = 1000;

fn certificates(snapshot: &Snapshot) -> Vec<CertificateStatus> {
    let secure = snapshot.listeners.iter().filter_map(|listener| Some((listener, listener.tls.as_ref()?)));
    secure
        .flat_map(|(listener, secure)| secure.store.certificates().iter().map(move |found| (listener, found)))
        .take(LISTED)
        .map(|(listener, found)| CertificateStatus {
            listener: listener.name.to_string(),
            names: found.names().to_vec(),
            expires_at: found.not_after(),
        })
        .collect()
}

fn now() -> (Instant, SystemTime) {
    (Instant::now(), SystemTime::now())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::handler::error_page::ErrorPages;
    use crate::snapshot::Capacity;

    fn snapshot(generation: u64) -> Arc<Snapshot> {
        let error_pages = ErrorPages::default();
        let capacity = Capacity { exchanges: 1, lag: Duration::ZERO };
        Arc::new(Snapshot {
            generation,
            capacity,
            listeners: vec![],
            upstreams: vec![],
            tells_addresses: false,
            warnings: vec![],
            error_pages,
        })
    }

    #[test]
    fn new_addresses_of_servers_do_not_hide_that_the_newest_config_was_refused() {
        let (now, wall) = now();
        let running = Running::new("haechi.toml".into(), snapshot(1), now, wall, 0);
        running.refuse("broken".to_owned());
        running.serve(snapshot(2));
        let status = running.status();
        assert_eq!((status.generation, status.config.last_error.as_deref()), (2, Some("broken")));
        running.take(wall);
        assert_eq!(running.status().config.last_error, None);
    }
}
