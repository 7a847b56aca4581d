//! What haechi counts and writes down: counters, histograms, access log, diagnostics.
//!
//! The request path writes only into cells of its own thread (law 8); a scrape sums them.

mod access_format;
mod access_log;
mod access_record;
mod access_writer;
mod control;
mod counter;
pub mod diagnostics;
pub mod exposition;
mod histogram;
mod line_budget;
mod listener_cells;
mod named_counters;
pub mod names;
mod per_thread;
mod registry;
mod site_cells;
mod stamp;
mod udp_cells;

pub use access_format::Format;
pub use access_log::{AccessLog, LineCounts, OpenFault, Opened, ThreadLog, open_file};
pub use access_record::{Record, TlsPart, UpstreamPart};
pub use control::{Control, Expiry};
pub use counter::Counter;
pub use histogram::{Histogram, Totals};
pub use line_budget::LineBudget;
pub use listener_cells::{ListenerCells, Phase};
pub use named_counters::NamedCounters;
pub use per_thread::{PerThread, ThreadId};
pub use registry::{Registry, SiteKey};
pub use site_cells::{Outcome, SiteCells};
pub use stamp::{Stamp, rfc3339};
pub use udp_cells::UdpCells;
