//! What a pool of database servers is for.

use std::time::Duration;

/// How the role of a pool's servers is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What its servers are wanted for.
    pub role: Role,
    /// Checks in a row that must see a server in its role before it gets anybody; at least one.
    pub rise: u32,
    /// Checks in a row without an answer that make a server a dead one; at least one.
    pub fall: u32,
}

/// What the servers of a pool are wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The one that takes writes.
    Primary,
    /// Those that follow it closely enough to read from.
    Replica {
        /// One that is further behind gets nobody.
        max_lag: Duration,
        /// Who serves where no replica can.
        fallback: Fallback,
    },
}

/// Who serves readers where no replica can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// The one writable server of the pool.
    Primary,
    /// Nobody.
    None,
}
