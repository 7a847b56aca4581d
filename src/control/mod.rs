//! What guard and worker say to each other, over one Unix socket.
//!
//! The guard sends [`Order`]s, with sockets and files beside them; the worker sends [`Report`]s. One
//! letter travels as one packet or several ([`packet`], pure), and descriptors travel with its first
//! ones (SCM_RIGHTS, unix(7)). What always holds: a letter has a bound, a queue of letters too, and a
//! side that does not read holds nobody up who uses [`Outbox::offer`].

mod message;
pub mod packet;
mod wire;

pub use message::{
    GtidDialect, Health, KnownCertificate, KnownPrimary, Load, Order, PoolEvent, PoolEventKind, PoolMemory, Pools,
    Report, Seed, SetAside, TicketKey, Verdict,
};
pub use wire::{
    GuardSide, Inbox, LinkFault, Outbox, WorkerSide, guard_side, leave_letter, pair, take_letter, worker_side,
};
