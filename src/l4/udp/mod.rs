//! Datagrams: each flow of a client's to a server of its own, and answers back the way they came.
//!
//! In comes a socket of the listener, out go a socket for each flow, connected to the server that was chosen
//! for it. [`flows::Flows`] and [`refusals::Refusals`] decide; the [`Port`] owns the sockets. What always
//! holds: a datagram is passed on as it is, at once or never; nothing waits for one that is slow; who sends
//! much gets a bounded part of each turn; an answer leaves from the address that was asked.

pub mod flows;
pub mod refusals;

mod link;
mod port;
mod socket;
mod turn;

pub use port::{Port, serve};
