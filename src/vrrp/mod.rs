//! A virtual address that two hosts share (RFC 9568): the system's side of it.
//!
//! What decides is pure and stands elsewhere; here is what owns sockets and speaks with the kernel.
//! In come orders: hold this address, announce it, ask who has it. Out go adverts as they came, the
//! state of interfaces, and how an order went. Nothing that the VRRP thread calls waits: what may take
//! time has a thread of its own ([`network`], [`probe`]) and reports by a [`mailbox`] that can be polled.

mod failure;
pub mod frame_socket;
pub mod mailbox;
pub mod neighbour;
pub mod netlink;
pub mod network;
pub mod probe;
pub mod socket;
pub mod virtual_mac;

pub use failure::NetworkError;
