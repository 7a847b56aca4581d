//! What operators and their tools ask: /metrics, /status, /healthz, on a listener of their own.
//!
//! It runs on the control side and only reads: what the data plane counts, what the app says of
//! itself. Nothing here can change what haechi does, and nothing waits for the data plane.

mod metrics_page;
mod pool_families;
mod server;
mod server_families;
mod status;

pub use pool_families::pool_families;
pub use server::{Sources, serve};
pub use server_families::{ServerCounts, server_families};
pub use status::{
    CertificateStatus, ConfigStatus, FlowsStatus, ListenerStatus, Phase, ServerStatus, SourcesStatus, Status,
    UpstreamStatus, WorkerStatus,
};
