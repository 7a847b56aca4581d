//! Virtual addresses shared with another host: VRRP version 3 (RFC 9568) and 2 (RFC 3768).
//!
//! What comes in: adverts of other hosts, what is known of our own links and services, the time.
//! What goes out: adverts, and orders to claim, announce, probe and release the virtual addresses.
//!
//! ```text
//!   datagram ─► Wire::receive ─► Received ─► Machine ─► Output::Send ─► Wire::encode ─► datagram
//!                                              ▲  └──► Claim, Release, Announce, Probe, Event
//!                        Tracker (own facts) ──┘
//! ```
//!
//! [`plan`] makes of a config what this runs by, and a [`host`] is all of it, on threads of its own.
//!
//! What always holds: what decides does no I/O and reads no clock; a datagram never panics and takes
//! no memory; an advert that is refused moves no timer; nothing that the VRRP thread calls waits: what
//! may take time has a thread of its own ([`network`], [`probe`]) and reports by a [`mailbox`].

// What decides, and the wire: pure.
pub mod announce;
pub mod authentication;
pub mod checksum;
pub mod group;
pub mod interval;
pub mod machine;
pub mod neighbour;
pub mod packet;
pub mod peer;
pub mod priority;
pub mod refusal;
pub mod track;
pub mod wire;

// What was written, ready to run; and what is said about it.
mod line;
pub mod plan;

// What owns sockets and speaks with the kernel.
mod failure;
pub mod frame_socket;
pub mod mailbox;
pub mod netlink;
pub mod network;
pub mod probe;
pub mod socket;
pub mod virtual_mac;

// What is run outside, and the host that all this is.
mod check;
mod herald;
mod hook;
pub mod host;

pub use failure::NetworkError;

#[cfg(test)]
mod tests;
