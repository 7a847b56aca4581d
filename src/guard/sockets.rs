//! The sockets that clients connect to: bound here, shared with whichever worker serves.
//!
//! The guard accepts on none of them. As long as it holds them their queues are open, worker or not.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use crate::config::{self, Config};
use crate::diagnostic::Diagnostic;
use crate::listener::bind::{BindFault, Cause, bind, join};
use crate::net::{Endpoint, Listening};

/// Every socket that is listened on.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// For each endpoint a socket a thread.
    listeners: BTreeMap<Endpoint, Vec<Listening>>,
    admin: Option<(SocketAddr, Listening)>,
}

/// Sockets of endpoints that were not held yet.
#[derive(Debug, Default)]
pub(super) struct Bound {
    listeners: BTreeMap<Endpoint, Vec<Listening>>,
    admin: Option<(SocketAddr, Listening)>,
}

/// What cannot be bound.
#[derive(Debug)]
pub(super) struct Unbound {
    /// Where it is written, and why.
    pub(super) faults: Vec<Diagnostic>,
    /// Whether it is only that somebody listens there now.
    pub(super) in_use: bool,
}

impl Held {
    /// Binds what `config` asks for and is not held yet, all or nothing.
    pub(super) fn bind(&self, config: &Config, threads: usize) -> Result<Bound, Unbound> {
        let mut new = Bound::default();
        let mut unbound = Unbound { faults: Vec::new(), in_use: true };
        let admin_at = self.admin.as_ref().map(|(address, _)| *address);
        let ours = || self.listeners.keys().copied().chain(admin_at.map(Endpoint::tcp));
        for written in config.listeners.iter().flat_map(config::Listener::endpoints) {
            if self.listeners.contains_key(&written.value) {
                continue;
            }
            match bind(written.value, threads, ours()) {
                Ok(sockets) => _ = new.listeners.insert(written.value, sockets),
                Err(fault) => unbound.add(Diagnostic::error(written.span, fault.to_string()), fault.cause),
            }
        }
        let written = &config.admin.bind;
        if admin_at != Some(written.value) {
            match bind(Endpoint::tcp(written.value), 1, ours()) {
                Ok(mut sockets) => new.admin = sockets.pop().map(|socket| (written.value, socket)),
                Err(fault) => unbound.add(Diagnostic::error(written.span, fault.to_string()), fault.cause),
            }
        }
        if unbound.faults.is_empty() { Ok(new) } else { Err(unbound) }
    }

    /// Holds what was bound, and lets go of what `config` does not ask for.
    pub(super) fn take(&mut self, config: &Config, bound: Bound) {
        self.listeners.extend(bound.listeners);
        self.listeners.retain(|held, _| {
            config.listeners.iter().flat_map(config::Listener::endpoints).any(|written| written.value == *held)
        });
        if bound.admin.is_some() {
            self.admin = bound.admin;
        }
    }

    /// Holds sockets that were bound by the program before.
    pub(super) fn adopt(&mut self, endpoint: Endpoint, sockets: Vec<Listening>) {
        self.listeners.insert(endpoint, sockets);
    }

    /// Holds the admin listener of the program before.
    pub(super) fn adopt_admin(&mut self, address: SocketAddr, socket: Listening) {
        self.admin = Some((address, socket));
    }

    /// Has a socket a thread of each endpoint, for another number of threads than before. What is closed
    /// is closed here alone: who serves has its own.
    pub(super) fn resize(&mut self, threads: usize) -> Result<(), BindFault> {
        for (endpoint, sockets) in &mut self.listeners {
            if let Some(more) = threads.checked_sub(sockets.len()).filter(|more| *more > 0) {
                let address = sockets.first().and_then(|socket| socket.address().ok()).unwrap_or(endpoint.address);
                sockets.extend(join(Endpoint { address, ..*endpoint }, more)?);
            }
            sockets.truncate(threads);
        }
        Ok(())
    }

    /// Endpoints, and how many sockets there are of each.
    pub(super) fn counts(&self) -> Vec<(Endpoint, usize)> {
        self.listeners.iter().map(|(endpoint, sockets)| (*endpoint, sockets.len())).collect()
    }

    /// The admin listener's address.
    pub(super) fn admin(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|(address, _)| *address)
    }

    /// Whether there are sockets of this endpoint.
    pub(super) fn has(&self, endpoint: Endpoint) -> bool {
        self.listeners.contains_key(&endpoint)
    }

    /// Lets go of everything but the admin listener.
    pub(super) fn close_listeners(&mut self) {
        self.listeners.clear();
    }

    /// All of them, for a worker that has none.
    pub(super) fn share(&self) -> io::Result<Shared> {
        Shared::of(&self.listeners, self.admin.as_ref())
    }
}

impl Bound {
    /// All of them, for a worker that has the others.
    pub(super) fn share(&self) -> io::Result<Shared> {
        Shared::of(&self.listeners, self.admin.as_ref())
    }
}

impl Unbound {
    fn add(&mut self, fault: Diagnostic, cause: Cause) {
        self.faults.push(fault);
        self.in_use &= cause == Cause::InUse;
    }
}

/// Sockets on their way to a worker, in the order in which they go.
#[derive(Debug)]
pub(super) struct Shared {
    /// For each endpoint a socket a thread.
    pub(super) endpoints: Vec<Endpoint>,
    /// Whether the last one is the admin listener's.
    pub(super) admin: bool,
    /// The sockets.
    pub(super) descriptors: Vec<OwnedFd>,
}

impl Shared {
    fn of(listeners: &BTreeMap<Endpoint, Vec<Listening>>, admin: Option<&(SocketAddr, Listening)>) -> io::Result<Self> {
        let sockets = listeners.values().flatten().chain(admin.map(|(_, socket)| socket));
        Ok(Self {
            endpoints: listeners.keys().copied().collect(),
            admin: admin.is_some(),
            descriptors: sockets.map(|socket| socket.as_fd().try_clone_to_owned()).collect::<io::Result<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::diagnostic::SourceFile;

    fn config(admin: SocketAddr, listeners: &[SocketAddr]) -> Config {
        let mut text = format!("[admin]\nbind = \"{admin}\"\n");
        for (number, address) in listeners.iter().enumerate() {
            text += &format!("[listener.l{number}]\nbind = [\"{address}\"]\n");
        }
        config::parse(vec![SourceFile::new("haechi.toml", text)]).unwrap()
    }

    /// Addresses that were free a moment ago, on an address of loopback that this process has for itself.
    fn free<const N: usize>() -> [SocketAddr; N] {
        let [high, low, ..] = std::process::id().to_ne_bytes();
        let own = (std::net::Ipv4Addr::new(127, 1, high, low), 0);
        let sockets: Vec<_> = (0..N).map(|_| TcpListener::bind(own).unwrap()).collect();
        std::array::from_fn(|at| sockets[at].local_addr().unwrap())
    }

    fn is_open(address: SocketAddr) -> bool {
        std::net::TcpStream::connect(address).is_ok()
    }

    #[test]
    fn what_stays_is_kept_what_is_new_is_shared_and_what_is_gone_is_closed() {
        let [admin, one, two, three] = free();
        let mut held = Held::default();
        let before = config(admin, &[one, two]);
        held.take(&before, held.bind(&before, 2).unwrap());

        let after = config(admin, &[two, three]);
        let bound = held.bind(&after, 2).unwrap();
        let shared = bound.share().unwrap();
        assert_eq!((shared.endpoints, shared.admin, shared.descriptors.len()), (vec![Endpoint::tcp(three)], false, 2));
        drop(shared.descriptors);
        held.take(&after, bound);
        let all = held.share().unwrap();
        let mut expected = [two, three].map(Endpoint::tcp).to_vec();
        expected.sort_unstable();
        assert_eq!((all.endpoints, all.admin, all.descriptors.len()), (expected, true, 5));
        drop(all.descriptors);
        assert_eq!([one, two, three, admin].map(is_open), [false, true, true, true]);
        held.close_listeners();
        assert_eq!([two, three, admin].map(is_open), [false, false, true]);
    }

    #[test]
    fn of_a_config_that_cannot_be_bound_nothing_is() {
        let [admin, one] = free();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let unbound = Held::default().bind(&config(admin, &[one, taken.local_addr().unwrap()]), 2).unwrap_err();
        assert!(unbound.in_use && unbound.faults.len() == 1, "{unbound:?}");
        assert_eq!([one, admin].map(is_open), [false, false]);
    }

    #[test]
    fn there_are_as_many_sockets_as_threads_also_when_their_number_changes() {
        let [admin, one] = free();
        let config = config(admin, &[one]);
        let mut held = Held::default();
        held.take(&config, held.bind(&config, 2).unwrap());
        for threads in [4, 1] {
            held.resize(threads).unwrap();
            assert_eq!(held.counts(), [(Endpoint::tcp(one), threads)]);
            assert!(is_open(one));
        }
    }
}
