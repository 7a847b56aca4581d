//! What the operator wrote: read from files, walked with spans, every fault at once.

mod model;

pub use model::*;
