//! Whether servers live: a pure machine, its probes, and the tasks that run them.

/// How a server is checked.
#[derive(Debug)]
pub struct Check {}
