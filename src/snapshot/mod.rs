//! What runs now: immutable, compiled from what was written.
//!
//! In comes a checked [`crate::config::Config`], out goes a [`Snapshot`] without an `Option` that
//! means "default", a string that means an address, or a name that means an object. [`compile`] is
//! the only translator; a start is a reload from nothing. What must outlive a snapshot (counters,
//! health, ticket keys, numbers of listeners) lives beside it in [`Lasting`].

mod capacity;
mod certificates;
mod compile;
mod lasting;
mod listener;
mod site;
mod upstreams;

pub use capacity::Capacity;
pub use certificates::Secure;
pub use compile::compile;
pub use lasting::Lasting;
pub use listener::{Listener, ListenerId, ListenerTimeouts, Names, Place, ServerField, Serves, Tcp, Udp, Via};
pub use site::{Route, Site, TooLarge};
pub use upstreams::names_of;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::handler::error_page::ErrorPages;
use crate::net::Endpoint;
use crate::upstream::Upstream;

/// Everything that serving needs to know.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts up with each snapshot that was taken into use; 1 is the first.
    pub generation: u64,
    /// Ordered by id.
    pub listeners: Vec<Listener>,
    /// In file order.
    pub upstreams: Vec<Arc<Upstream>>,
    /// Whether a server is told whose connections it gets (`send_proxy_protocol`).
    pub tells_addresses: bool,
    /// What the operator should know though it is no fault: certificates that have ended.
    pub warnings: Vec<Diagnostic>,
    /// For every site without a page of its own.
    pub error_pages: ErrorPages,
    /// What each thread may take on.
    pub capacity: Capacity,
}

impl Snapshot {
    /// The listener of this number, where there still is one.
    #[must_use]
    pub fn listener(&self, id: ListenerId) -> Option<&Listener> {
        let at = self.listeners.binary_search_by_key(&id, |listener| listener.id).ok()?;
        self.listeners.get(at)
    }

    /// Every endpoint that is listened on, with the number of its listener.
    #[must_use]
    pub fn endpoints(&self) -> BTreeSet<(Endpoint, ListenerId)> {
        let endpoints = |listener: &Listener| {
            let (transport, id) = (listener.transport(), listener.id);
            listener.binds.iter().map(|bind| (Endpoint { transport, address: *bind }, id)).collect::<Vec<_>>()
        };
        self.listeners.iter().flat_map(endpoints).collect()
    }
}
