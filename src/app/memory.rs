//! What a worker tells the guard so that the next one does not start cold, and takes from it at its own
//! start.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::control::{self, KnownCertificate, Verdict};
use crate::snapshot::Snapshot;
use crate::upstream::Health;
use crate::upstream::discovery::Addresses;

/// The verdicts on all servers of a snapshot that have one.
pub(super) fn verdicts(snapshot: &Snapshot, now: Instant, wall: SystemTime) -> Vec<Verdict> {
    let servers =
        snapshot.upstreams.iter().flat_map(|upstream| upstream.servers.iter().map(move |one| (upstream, one)));
    servers
        .filter_map(|(upstream, server)| {
            let health = match server.state.health() {
                Health::Unknown => return None,
                Health::Up => control::Health::Up,
                Health::Down | Health::Kept => control::Health::Down,
            };
            let verdict = server.state.verdict();
            let since = wall.checked_sub(now.saturating_duration_since(verdict.since)).unwrap_or(UNIX_EPOCH);
            // Whole seconds: what is reckoned anew each time comes out the same.
            let since = since.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            Some(Verdict {
                upstream: upstream.name.to_string(),
                server: server.name.to_string(),
                address: server.address?,
                health,
                reason: verdict.reason.to_string(),
                since,
            })
        })
        .collect()
}

/// What is known of every certificate of a snapshot.
pub(super) fn certificates(snapshot: &Snapshot) -> Vec<KnownCertificate> {
    let stores = snapshot.listeners.iter().filter_map(|listener| Some(&listener.tls.as_ref()?.store));
    stores.flat_map(|store| store.certificates().iter().map(|certificate| certificate.known())).collect()
}

/// Lets the servers of a snapshot, of which nothing is known yet, be what they were.
pub(super) fn recall(snapshot: &Snapshot, verdicts: &[Verdict], now: Instant, wall: SystemTime) {
    let verdicts: HashMap<(&str, &str), &Verdict> =
        verdicts.iter().map(|verdict| ((&*verdict.upstream, &*verdict.server), verdict)).collect();
    for upstream in snapshot.upstreams.iter().filter(|upstream| upstream.check.is_some() && upstream.role.is_none()) {
        for server in &upstream.servers {
            let Some(verdict) = verdicts.get(&(&*upstream.name, &*server.name)) else { continue };
            if Some(verdict.address) != server.address {
                continue;
            }
            let health = match verdict.health {
                control::Health::Up => Health::Up,
                control::Health::Down => Health::Down,
            };
            let age = wall.duration_since(UNIX_EPOCH + Duration::from_secs(verdict.since)).unwrap_or_default();
            server.state.judge(health, verdict.reason.as_str(), now.checked_sub(age).unwrap_or(now));
        }
    }
}

/// The addresses of names, as they are told.
pub(super) fn names(addresses: &Addresses) -> Vec<(String, Vec<IpAddr>)> {
    let mut names: Vec<_> = addresses.iter().map(|(name, found)| (name.to_owned(), found.to_vec())).collect();
    names.sort_unstable();
    names
}

/// The same as they are used.
pub(super) fn addresses(names: &[(String, Vec<IpAddr>)]) -> Addresses {
    names.iter().map(|(name, found)| (name.as_str().into(), found.as_slice().into())).collect()
}
