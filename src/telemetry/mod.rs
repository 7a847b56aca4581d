//! What haechi counts and writes down: counters, histograms, access log, diagnostics.
//!
//! The request path writes only into cells of its own thread (law 8); a scrape sums them.

mod counter;
mod histogram;
mod per_thread;

pub use counter::Counter;
pub use histogram::{Histogram, Totals};
pub use per_thread::{PerThread, ThreadId};
