//! Protocol drivers: bytes of a client to exchanges, answers to bytes.
//!
//! In comes a connected stream, TLS already taken off; out go exchanges, each handed to
//! [`crate::serve::answer`], and its answer is written as the client's protocol wants it. Drivers
//! know framing, persistence and the time that a client may take; they know no route.

pub mod h1;
pub mod h2;

mod fields;
mod sent;
mod tunnel;

pub use crate::serve::Accepted;
pub use tunnel::TunnelBytes;
