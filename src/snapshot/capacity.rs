//! What one thread may take on.

use std::time::Duration;

/// What one thread may take on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Exchanges under way at once.
    pub exchanges: u32,
    /// How late it may come round.
    pub lag: Duration,
}
