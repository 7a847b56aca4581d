//! Which server gets the next exchange.
//!
//! In come the servers of an upstream and the key of an exchange, out goes one server or none. All
//! of it is pure: no I/O, no clock, no allocation; the only things written are cells of the calling
//! thread, by plain loads and stores.

use std::net::IpAddr;
use std::sync::Arc;

use super::Server;
use crate::telemetry::ThreadId;

/// What an exchange is balanced by.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// The client's address, after PROXY header and trusted proxies.
    pub client: IpAddr,
    /// The value of the header or cookie that [`Balance::Hash`] names, where the request has it.
    pub hashed: Option<&'a [u8]>,
}

/// How an upstream chooses among its usable servers.
#[derive(Debug)]
pub enum Balance {}

impl Balance {
    /// Chooses a server as [`super::Upstream::pick`] tells.
    #[must_use]
    pub fn pick<'s>(
        &self,
        _servers: &'s [Arc<Server>],
        _thread: ThreadId,
        _key: &Key<'_>,
        _tried: &[u32],
    ) -> Option<&'s Arc<Server>> {
        match *self {}
    }
}
