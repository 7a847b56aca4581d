//! A pool as operators, hooks and the page of metrics are told it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;

use super::machine::Machine;
use super::memory::Why;
use super::pools::Changes;
use super::seen::{Following, Seen};
use super::settings::Role;
use super::verdict::Standing;
use crate::telemetry::rfc3339;

/// A pool, with all that its verdicts were made of.
#[derive(Clone, Debug, Serialize)]
pub struct PoolStatus {
    /// The upstream's name.
    pub upstream: String,
    /// `primary` or `replica`.
    pub role: &'static str,
    /// [`Standing::word`]
    pub standing: &'static str,
    /// More than one server takes writes.
    pub double_primary: bool,
    /// How often it was decided who the primary is.
    pub epoch: u64,
    /// The last confirmed primary; `None`: there was none.
    pub primary: Option<String>,
    /// What it was last seen to have executed.
    pub primary_gtids: Option<String>,
    /// Servers that get nothing until they are seen read-only.
    pub aside: Vec<AsideStatus>,
    /// Every server.
    pub servers: Vec<MemberStatus>,
    /// What was decided lately, the newest last.
    pub decisions: Vec<DecisionStatus>,
}

/// A server that is set aside.
#[derive(Clone, Debug, Serialize)]
pub struct AsideStatus {
    /// Its name.
    pub server: String,
    /// Which server it is, whatever its address.
    pub identity: String,
    /// `old primary` or `dismissed by the operator`.
    pub why: &'static str,
}

/// A server of a pool.
#[derive(Clone, Debug, Serialize)]
pub struct MemberStatus {
    /// Its name.
    pub server: String,
    /// Host and port as written.
    pub address: String,
    /// `serves`, `keeps` or `out`.
    pub verdict: &'static str,
    /// Why.
    pub reason: String,
    /// `writable`, `replica`, `read_only`, or `unknown` where it never answered.
    pub role: &'static str,
    /// Which server it is; empty: its product does not say.
    pub identity: String,
    /// Whether the newest check had an answer.
    pub answers: bool,
    /// Checks without an answer since the last one that had.
    pub failures: u32,
    /// What the newest check saw, or why it saw nothing.
    pub seen: String,
    /// How long ago the newest check was over.
    pub age: String,
    /// What it has executed.
    pub gtids: Option<String>,
    /// How far behind it is, where it says so.
    pub lag_seconds: Option<f64>,
    /// Transactions of its own that the primary has not.
    pub errant: Option<String>,
}

/// A decision.
#[derive(Clone, Debug, Serialize)]
pub struct DecisionStatus {
    /// RFC 3339, UTC.
    pub at: String,
    /// The epoch it led to or was made in.
    pub epoch: u64,
    /// What was decided.
    pub what: String,
    /// What was known of each server.
    pub servers: Vec<KnownStatus>,
}

/// A server as a decision saw it.
#[derive(Clone, Debug, Serialize)]
pub struct KnownStatus {
    /// Its name.
    pub server: String,
    /// What it got.
    pub verdict: &'static str,
    /// Why.
    pub reason: String,
    /// What its newest check saw.
    pub seen: String,
}

/// A pool in numbers.
#[derive(Clone, Debug)]
pub struct PoolCounts {
    /// The upstream's name.
    pub upstream: Arc<str>,
    /// How often it was decided who the primary is.
    pub epoch: u64,
    /// Servers that take writes as their newest check saw it.
    pub writable: u64,
    /// More than one server takes writes.
    pub double_primary: bool,
    /// The only writable server is not accepted.
    pub refused: bool,
    /// Changes by how they came about.
    pub changes: [(&'static str, u64); 3],
    /// Every server: its name, its role, how far behind, whether it has errant transactions.
    pub servers: Vec<MemberCounts>,
}

/// A server in numbers.
#[derive(Clone, Debug)]
pub struct MemberCounts {
    /// Its name.
    pub server: Arc<str>,
    /// What it was seen as: `writable`, `replica`, `read_only` or `unknown`.
    pub role: &'static str,
    /// How far behind it is, where it says so.
    pub lag: Option<Duration>,
    /// It has transactions that the primary has not.
    pub is_errant: bool,
}

impl PoolStatus {
    pub(super) fn of(upstream: &str, pool: &Machine, now: Instant, wall: SystemTime) -> Self {
        let at = |moment: Instant| {
            rfc3339(wall.checked_sub(now.saturating_duration_since(moment)).unwrap_or(SystemTime::UNIX_EPOCH))
        };
        let memory = pool.memory();
        let servers = pool.members.iter().map(|member| {
            let seen = member.last();
            let newest = if member.failures > 0 {
                member.failure.as_ref().map(|(at, _)| *at)
            } else {
                member.seen.as_ref().map(|(at, _)| *at)
            };
            let age = newest.map(|at| Duration::from_millis(millis(now.saturating_duration_since(at))));
            MemberStatus {
                server: member.name.to_string(),
                address: member.addresses.first().map(ToString::to_string).unwrap_or_default(),
                verdict: member.verdict.word(),
                reason: member.reason.to_string(),
                role: role(seen),
                identity: seen.map(|seen| seen.identity.to_string()).unwrap_or_default(),
                answers: member.fresh().is_some(),
                failures: member.failures,
                seen: member.told(),
                age: age.map_or_else(|| "never".to_owned(), |age| format!("{age:?}")),
                gtids: seen.and_then(|seen| seen.gtids.as_ref()).map(ToString::to_string),
                lag_seconds: lag(seen).map(|lag| lag.as_secs_f64()),
                errant: pool.errant(&member.name).map(ToString::to_string),
            }
        });
        Self {
            upstream: upstream.to_owned(),
            role: match pool.settings.role {
                Role::Primary => "primary",
                Role::Replica { .. } => "replica",
            },
            standing: pool.standing().word(),
            double_primary: matches!(pool.standing(), Standing::Double { .. }),
            epoch: memory.epoch,
            primary: memory.primary.as_ref().map(|known| known.server.to_string()),
            primary_gtids: memory.primary.as_ref().and_then(|known| known.gtids.as_ref()).map(ToString::to_string),
            aside: memory
                .aside
                .iter()
                .map(|aside| AsideStatus {
                    server: aside.server.to_string(),
                    identity: aside.identity.to_string(),
                    why: match aside.why {
                        Why::Deposed => "old primary",
                        Why::Dismissed => "dismissed by the operator",
                    },
                })
                .collect(),
            servers: servers.collect(),
            decisions: pool
                .decisions()
                .map(|decision| DecisionStatus {
                    at: at(decision.at),
                    epoch: decision.epoch,
                    what: decision.what.clone(),
                    servers: decision
                        .servers
                        .iter()
                        .map(|known| KnownStatus {
                            server: known.server.to_string(),
                            verdict: known.verdict,
                            reason: known.reason.clone(),
                            seen: known.seen.clone(),
                        })
                        .collect(),
                })
                .collect(),
        }
    }
}

impl PoolCounts {
    pub(super) fn of(upstream: &Arc<str>, pool: &Machine, changes: Changes) -> Self {
        Self {
            upstream: Arc::clone(upstream),
            epoch: pool.memory().epoch,
            writable: pool.members.iter().map(|member| u64::from(member.is_writable())).sum(),
            double_primary: matches!(pool.standing(), Standing::Double { .. }),
            refused: matches!(pool.standing(), Standing::Refused { .. }),
            changes: [("first", changes.first), ("followed", changes.followed), ("confirmed", changes.confirmed)],
            servers: pool
                .members
                .iter()
                .map(|member| MemberCounts {
                    server: Arc::clone(&member.name),
                    role: if member.fresh().is_some() { role(member.last()) } else { "unknown" },
                    lag: lag(member.fresh()),
                    is_errant: pool.errant(&member.name).is_some(),
                })
                .collect(),
        }
    }
}

fn role(seen: Option<&Seen>) -> &'static str {
    match seen {
        None => "unknown",
        Some(seen) if seen.writable => "writable",
        Some(Seen { following: Following::Nobody, .. }) => "read_only",
        Some(_) => "replica",
    }
}

fn lag(seen: Option<&Seen>) -> Option<Duration> {
    match seen?.following {
        Following::Running(lag) => lag,
        Following::Nobody | Following::Stopped(_) => None,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
