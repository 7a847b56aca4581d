//! From servers as written to addresses.
//!
//! In come [`ServerSpec`]s, whose hosts may be names, out go [`Server`]s with addresses. A
//! [`Table`] decides when a name is asked for and how long an answer is good; [`Names`] asks on the
//! control thread and tells when an address changed, so that the snapshot is compiled anew.
//!
//! What always holds: a name that does not resolve is one server without an address, never a failed
//! start. Addresses are sorted, so both hosts of a pair see the same servers whatever the order of
//! the answer.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use xxhash_rust::xxh3::xxh3_64;

use super::{Limit, Registry, Server};

mod names;
mod table;
#[cfg(test)]
mod tests;

pub use names::{Names, NamesError};
pub use table::{Answer, Output, Table};

/// A server as the config names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSpec {
    /// Where it is.
    pub host: Host,
    /// Its port.
    pub port: u16,
    /// What logs and metrics call it; `None`: the address as written.
    pub label: Option<Arc<str>>,
    /// Its share of the work; what is outside 1 to [`Server::MAX_WEIGHT`] counts as the nearer.
    pub weight: u32,
    /// Chosen only when no primary server is usable.
    pub backup: bool,
    /// Gets no new sessions.
    pub drain: bool,
    /// The limit on exchanges at once.
    pub limit: Option<Limit>,
}

/// The host part of a server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// An address.
    Address(IpAddr),
    /// A name that is asked for by its TTL.
    Name(Arc<str>),
}

/// The addresses that each name has now, sorted; a name without any does not resolve.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses(HashMap<Arc<str>, Arc<[IpAddr]>>);

impl Addresses {
    /// The addresses of this name; empty where it does not resolve.
    #[must_use]
    pub fn of(&self, name: &str) -> &[IpAddr] {
        self.0.get(name).map_or(&[], |addresses| addresses)
    }

    /// Every name with its addresses, in any order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[IpAddr])> {
        self.0.iter().map(|(name, addresses)| (&**name, &**addresses))
    }
}

impl FromIterator<(Arc<str>, Arc<[IpAddr]>)> for Addresses {
    fn from_iter<T: IntoIterator<Item = (Arc<str>, Arc<[IpAddr]>)>>(names: T) -> Self {
        Self(names.into_iter().collect())
    }
}

/// The names among these servers.
pub fn names(specs: &[ServerSpec]) -> impl Iterator<Item = &Arc<str>> {
    specs.iter().filter_map(|spec| match &spec.host {
        Host::Name(name) => Some(name),
        Host::Address(_) => None,
    })
}

/// The servers of an upstream, one for each address.
///
/// The identity of a server is its address as written. So a name with one address stays the same
/// server for hashes, health and counters when the address changes. A name with several addresses
/// is several servers; each has its address appended, in identity and label (`was:8080@10.0.0.1`).
pub fn expand(
    upstream: &Arc<str>,
    specs: &[ServerSpec],
    addresses: &Addresses,
    registry: &Registry,
    now: Instant,
) -> Vec<Arc<Server>> {
    let mut servers = Vec::with_capacity(specs.len());
    for spec in specs {
        let mut add = |address, suffix: &str| {
            servers.push(Arc::new(spec.server(upstream, address, suffix, registry, now)));
        };
        match &spec.host {
            Host::Address(address) => add(Some(*address), ""),
            Host::Name(name) => match addresses.of(name) {
                [] => add(None, ""),
                [address] => add(Some(*address), ""),
                several => several.iter().for_each(|address| add(Some(*address), &format!("@{address}"))),
            },
        }
    }
    servers
}

impl ServerSpec {
    fn server(
        &self,
        upstream: &Arc<str>,
        address: Option<IpAddr>,
        suffix: &str,
        registry: &Registry,
        now: Instant,
    ) -> Server {
        let written: Arc<str> = match &self.host {
            Host::Address(address) => SocketAddr::new(*address, self.port).to_string().into(),
            Host::Name(name) => format!("{name}:{}", self.port).into(),
        };
        let identity: Arc<str> = format!("{written}{suffix}").into();
        let name = match &self.label {
            Some(label) => format!("{label}{suffix}").into(),
            None => Arc::clone(&identity),
        };
        let state = registry.state(upstream, &identity, now);
        Server {
            name,
            written,
            address: address.map(|address| SocketAddr::new(address, self.port)),
            weight: self.weight.clamp(1, Server::MAX_WEIGHT),
            backup: self.backup,
            drain: self.drain,
            identity: xxh3_64(identity.as_bytes()),
            limit: self.limit,
            gate: self.limit.map(|limit| state.gate(limit)),
            state,
        }
    }
}
