//! One address of an upstream, and what is remembered of it.

use std::net::SocketAddr;
use std::sync::atomic::{
    AtomicU8, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;

use super::News;
use super::gate::{Gate, Limit};
use crate::telemetry::{Counter, Histogram, NamedCounters, PerThread, ThreadId};

/// One address of an upstream, as a snapshot knows it.
#[derive(Debug)]
pub struct Server {
    /// What logs and metrics call it: `name` from the config, else the address as written.
    pub name: Arc<str>,
    /// `host:port` as written in the config, the default `Host` of its checks.
    pub written: Arc<str>,
    /// Where it is; `None`: its name does not resolve, so it is never chosen.
    pub address: Option<SocketAddr>,
    /// Its share of the work, 1 to [`Server::MAX_WEIGHT`].
    pub weight: u32,
    /// Chosen only when no primary server is usable.
    pub backup: bool,
    /// Gets no new sessions.
    pub drain: bool,
    /// Unseeded hash of its identity, the same on both hosts of a pair.
    pub identity: u64,
    /// The configured limit on exchanges at once; `None`: no limit.
    pub limit: Option<Limit>,
    /// Where exchanges wait for a free place; present with `limit`.
    pub gate: Option<Arc<Gate>>,
    /// What outlives a reload.
    pub state: Arc<ServerState>,
}

impl Server {
    /// Its host as written, without the port: the name for TLS where none is configured.
    #[must_use]
    pub fn host(&self) -> &str {
        let host = self.written.rsplit_once(':').map_or(&*self.written, |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The largest weight: weighted choices multiply it without overflow.
    pub const MAX_WEIGHT: u32 = 65_535;
}

/// What is remembered of a server for as long as its identity is in the config.
#[derive(Debug)]
pub struct ServerState {
    /// A small number of its own, never used again: the index of per-thread pools.
    pub id: u32,
    /// Leases in use over all threads, for `least_conn`, `random` and the metrics.
    pub active: CachePadded<AtomicU32>,
    /// What the request path counts, a cell for each thread.
    pub metrics: PerThread<ServerCells>,
    /// Checks that it failed, by [`super::health::Reason::word`]; written by the control thread.
    pub check_failures: NamedCounters,
    health: AtomicU8,
    /// How often it was judged down.
    falls: AtomicU64,
    /// When it came up after it had been down, in nanoseconds since `known_since`; 0: never.
    risen: AtomicU64,
    known_since: Instant,
    news: News,
    verdict: Mutex<Verdict>,
    gate: OnceLock<Arc<Gate>>,
}

impl ServerState {
    /// A state that knows nothing yet; `threads` data-plane threads will count in it, and `news` tells
    /// of its verdicts.
    #[must_use]
    pub fn new(id: u32, threads: usize, now: Instant, news: News) -> Self {
        Self {
            id,
            active: CachePadded::new(AtomicU32::new(0)),
            metrics: PerThread::new(threads),
            check_failures: NamedCounters::of(&super::health::Reason::WORDS),
            health: AtomicU8::new(Health::Unknown as u8),
            falls: AtomicU64::new(0),
            risen: AtomicU64::new(0),
            known_since: now,
            news,
            verdict: Mutex::new(Verdict { since: now, reason: "not checked yet".into(), last_probe: None }),
            gate: OnceLock::new(),
        }
    }

    /// Whether it lives, as far as the checks know.
    #[inline]
    #[must_use]
    pub fn health(&self) -> Health {
        Health::from_u8(self.health.load(Relaxed))
    }

    /// The cells of this thread.
    #[inline]
    #[must_use]
    pub fn cells(&self, thread: ThreadId) -> &ServerCells {
        self.metrics.of(thread)
    }

    /// Leases in use now, summed over the threads. Control side only.
    #[must_use]
    pub fn in_use(&self) -> u64 {
        let ended: u64 = self.metrics.iter().map(|cells| cells.leases_ended.value()).sum();
        let started: u64 = self.metrics.iter().map(|cells| cells.leases_started.value()).sum();
        started.saturating_sub(ended)
    }

    /// Why its health is what it is. Control side only.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.locked().clone()
    }

    /// Sets its health with the reason; the request path sees it at its next choice, and who waits for
    /// a change is woken. Control side only.
    pub fn judge(&self, health: Health, reason: impl Into<Arc<str>>, now: Instant) {
        let mut verdict = self.locked();
        let before = self.health();
        verdict.reason = reason.into();
        if before == health {
            return;
        }
        verdict.since = now;
        // First: who sees the fall counted sees why.
        self.health.store(health as u8, Relaxed);
        match (before, health) {
            (_, Health::Down) => _ = self.falls.fetch_add(1, Release),
            (Health::Down, _) => self.risen.store(self.age(now).max(1), Relaxed),
            _ => {}
        }
        drop(verdict);
        self.news.tell();
    }

    /// How often it was judged down: who noted it sees whether that has happened since.
    #[inline]
    #[must_use]
    pub fn falls(&self) -> u64 {
        self.falls.load(Acquire)
    }

    /// How long it is up again; `None` where it never was down.
    #[must_use]
    pub fn up_for(&self, now: Instant) -> Option<Duration> {
        let risen = self.risen.load(Relaxed);
        (risen > 0).then(|| Duration::from_nanos(self.age(now).saturating_sub(risen)))
    }

    /// Tells when it is judged otherwise, and when any other server is.
    #[must_use]
    pub fn news(&self) -> &News {
        &self.news
    }

    fn age(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.known_since).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Notes what the newest probe found. Control side only.
    pub fn note_probe(&self, probe: LastProbe) {
        self.locked().last_probe = Some(probe);
    }

    /// The gate that every snapshot's view of this server shares. It is made with `limit`; an
    /// older one keeps its limit until [`super::Upstream::apply_limits`].
    #[must_use]
    pub fn gate(&self, limit: Limit) -> Arc<Gate> {
        Arc::clone(self.gate.get_or_init(|| Arc::new(Gate::new(limit))))
    }

    fn locked(&self) -> MutexGuard<'_, Verdict> {
        self.verdict.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a server lives.
///
/// Servers start unknown and are used like those that are up until their first probe, which
/// follows at once; the first verdict needs one probe only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Health {
    /// Not checked yet, or not checked at all. Usable.
    Unknown = 0,
    /// Its checks pass.
    Up = 1,
    /// Its checks fail, or its name does not resolve.
    Down = 2,
    /// A database of which it is not certain that it is the primary: who is connected stays, nobody comes.
    Kept = 3,
}

impl Health {
    /// As it stands in logs, metrics and /status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
            Self::Kept => "kept",
        }
    }

    /// Whether it is chosen for anything new.
    #[inline]
    #[must_use]
    pub fn is_usable(self) -> bool {
        matches!(self, Self::Unknown | Self::Up)
    }

    fn from_u8(byte: u8) -> Self {
        match byte {
            1 => Self::Up,
            2 => Self::Down,
            3 => Self::Kept,
            _ => Self::Unknown,
        }
    }
}

/// Why a server's health is what it is, for /status.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// When the health changed last.
    pub since: Instant,
    /// Why it changed, as the log said it.
    pub reason: Arc<str>,
    /// What the newest probe found, where there was one.
    pub last_probe: Option<LastProbe>,
}

/// What one probe found.
#[derive(Clone, Debug)]
pub struct LastProbe {
    /// When it ended.
    pub at: Instant,
    /// How long it took, where it passed.
    pub took: Option<Duration>,
    /// Why it failed; `None`: it passed.
    pub failure: Option<Arc<str>>,
}

/// What one thread counts about one server.
#[derive(Debug, Default)]
pub struct ServerCells {
    /// Requests sent to it, retries included.
    pub requests: Counter,
    /// Responses by status class: 1xx at 0 to 5xx at 4.
    pub responses: [Counter; 5],
    /// Exchanges that it failed.
    pub failures: Failures,
    /// New connections made to it.
    pub connects: Counter,
    /// Requests sent on a connection that had served one before.
    pub reused: Counter,
    /// Requests that went elsewhere, or here once more, after a failure here.
    pub retries: Counter,
    /// Leases that were taken.
    pub leases_started: Counter,
    /// Leases that have ended; those in use are the ones taken without these.
    pub leases_ended: Counter,
    /// Bytes of bodies and heads sent to it.
    pub bytes_sent: Counter,
    /// Bytes of bodies and heads received from it.
    pub bytes_received: Counter,
    /// From the end of the request to the head of the response.
    pub first_byte: Histogram,
}

/// Failed exchanges by kind.
#[derive(Debug, Default)]
pub struct Failures {
    /// No connection could be made.
    pub connect: Counter,
    /// A phase took longer than its limit.
    pub timeout: Counter,
    /// The connection ended inside an exchange.
    pub reset: Counter,
    /// What it sent is not the agreed protocol.
    pub protocol: Counter,
    /// `max_connections` were in use and the queue was full or did not move.
    pub queue: Counter,
}
