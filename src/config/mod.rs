//! What the operator wrote: read from files, walked with spans, every fault at once.
//!
//! Texts go in, a [`Config`] or all its [`Faults`](crate::diagnostic::Faults) come out. Only `include`
//! reads files; everything else is pure. A `Config` that came out names no upstream and no listener
//! that it does not define, and each number in it is within its range.

mod check;
mod defaults;
mod include;
mod key;
mod keys;
mod model;
mod node;
mod parse;
mod schema;
mod value;

pub use include::{load, scan};
pub use model::*;
pub use parse::parse;
pub use schema::schema;

#[cfg(test)]
mod tests;
