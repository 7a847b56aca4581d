//! Bytes come in: sockets are bound, connections accepted, PROXY header and TLS taken off, the protocol chosen.
//!
//! Binding is the control side's ([`bind`]); the data plane is handed sockets and calls [`accept`]
//! on each. What always holds: an accept that fails backs off and never spins; a connection has a
//! place among the listener's before anything of it is read.

pub mod bind;

mod accept;
mod choose;
mod handshake;
mod introduction;

pub use accept::accept;
