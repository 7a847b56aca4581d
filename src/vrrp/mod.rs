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
//! What always holds here: the core does no I/O and reads no clock; a datagram never panics and takes
//! no memory; an advert that is refused moves no timer.

pub mod announce;
pub mod authentication;
pub mod checksum;
pub mod group;
pub mod interval;
pub mod machine;
pub mod packet;
pub mod peer;
pub mod priority;
pub mod refusal;
pub mod track;
pub mod wire;

#[cfg(test)]
mod tests;
