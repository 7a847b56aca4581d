//! Who may come, how often, and how much of it at once: by the address that it comes from.
//!
//! [`Networks`] says who is let in at all, [`Sources`] how much each source may have open and how
//! often it may come. Nothing here does I/O or reads a clock. What always holds: everything that a
//! source leaves behind is bounded, and where the bound is reached it is forgotten, never refused for it.

pub mod aged;

mod networks;
mod rate;
mod sources;

pub use networks::Networks;
pub use rate::Rate;
pub use sources::{SourceLimits, SourceSeat, Sources, Unwelcome};
