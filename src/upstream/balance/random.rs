//! The less loaded of two random servers.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::dice::Dice;
use super::{Candidates, Server, less_loaded};
use crate::telemetry::ThreadId;

/// Draws two servers by weight and takes the one with fewer leases in use for its weight. Unlike
/// [`super::LeastConn`] many balancers that see the same loads do not all run to the same server.
#[derive(Debug)]
pub struct Random {
    dice: Dice,
}

impl Random {
    /// For `threads` data-plane threads.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self { dice: Dice::new(threads) }
    }

    pub(super) fn pick<'s>(&self, candidates: Candidates<'s, '_>, thread: ThreadId) -> Option<&'s Arc<Server>> {
        let roll = self.dice.roll(thread);
        let weight = |server: &Server| candidates.weight(server);
        let total = total_weight(candidates.iter(), weight);
        let first = at_weight(candidates.iter(), weight, scale(roll >> 32, total))?;
        let others = || candidates.iter().filter(|server| !Arc::ptr_eq(server, first));
        let Some(second) = at_weight(others(), weight, scale(roll & 0xffff_ffff, total_weight(others(), weight)))
        else {
            return Some(first);
        };
        let load = |server: &Server| (server.state.active.load(Relaxed), weight(server));
        if less_loaded(load(second), load(first)) == Some(true) { Some(second) } else { Some(first) }
    }
}

fn total_weight<'s>(servers: impl Iterator<Item = &'s Arc<Server>>, weight: impl Fn(&Server) -> u32) -> u64 {
    servers.map(|server| u64::from(weight(server))).sum()
}

/// The server that `point` falls on when each is as long as its weight. Health may change between
/// two passes over the candidates, so a point beyond the end falls on the last.
fn at_weight<'s>(
    servers: impl Iterator<Item = &'s Arc<Server>>,
    weight: impl Fn(&Server) -> u32,
    mut point: u64,
) -> Option<&'s Arc<Server>> {
    let mut last = None;
    for server in servers {
        last = Some(server);
        let Some(rest) = point.checked_sub(u64::from(weight(server))) else {
            break;
        };
        point = rest;
    }
    last
}

/// Maps a 32-bit number onto `0..range` without a division.
fn scale(number: u64, range: u64) -> u64 {
    number.wrapping_mul(range) >> 32
}
