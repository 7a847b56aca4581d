//! The server with the fewest leases in use for its weight.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::dice::Dice;
use super::{Candidates, Server, less_loaded, mix};
use crate::telemetry::ThreadId;

/// Weighted least connections over all threads. Among equals a random one, so that an idle group
/// does not send everything to its first server.
#[derive(Debug)]
pub struct LeastConn {
    dice: Dice,
}

impl LeastConn {
    /// For `threads` data-plane threads.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self { dice: Dice::new(threads) }
    }

    pub(super) fn pick<'s>(&self, candidates: Candidates<'s, '_>, thread: ThreadId) -> Option<&'s Arc<Server>> {
        let roll = self.dice.roll(thread);
        let lot = |server: &Server| mix(roll ^ server.identity);
        let mut best: Option<(u32, &Arc<Server>)> = None;
        for server in candidates.iter() {
            let active = server.state.active.load(Relaxed);
            let better = best.is_none_or(|(least, chosen)| {
                less_loaded((active, candidates.weight(server)), (least, candidates.weight(chosen)))
                    .unwrap_or_else(|| lot(server) < lot(chosen))
            });
            if better {
                best = Some((active, server));
            }
        }
        best.map(|(_, server)| server)
    }
}
