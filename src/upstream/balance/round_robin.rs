//! In turn, smoothly by weight.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use crossbeam_utils::CachePadded;

use super::{Candidates, Server};
use crate::telemetry::ThreadId;

/// Smooth weighted round robin, as nginx does it: each candidate gains its weight in credit, the
/// one with the most credit is chosen and pays the weight of all. So with weights 5, 1, 1 the heavy
/// one is not chosen five times in a row.
///
/// Each thread has its own credits and starts at another place of the cycle, so that threads which
/// take one connection each do not all go to the first server.
#[derive(Debug)]
pub struct RoundRobin {
    threads: usize,
    blocks_per_thread: usize,
    blocks: Box<[Block]>,
}

/// Credits of sixteen neighbours; no two threads share a block.
type Block = CachePadded<[AtomicI64; BLOCK]>;
const BLOCK: usize = 16;

impl RoundRobin {
    /// Turns among these servers on `threads` data-plane threads.
    #[must_use]
    pub fn new(servers: &[Arc<Server>], threads: usize) -> Self {
        let threads = threads.max(1);
        let blocks_per_thread = servers.len().div_ceil(BLOCK);
        let blocks = (0..threads * blocks_per_thread).map(|_| Block::default()).collect();
        let turns = Self { threads, blocks_per_thread, blocks };
        for thread in 0..threads {
            for _ in 0..thread {
                let primaries = servers.iter().enumerate().filter(|(_, server)| !server.backup && !server.drain);
                take_turn(turns.credits(ThreadId(thread)), primaries, |server| server.weight);
            }
        }
        turns
    }

    pub(super) fn pick<'s>(&self, candidates: Candidates<'s, '_>, thread: ThreadId) -> Option<&'s Arc<Server>> {
        take_turn(self.credits(thread), candidates.positions(), |server| candidates.weight(server))
    }

    fn credits(&self, thread: ThreadId) -> &[Block] {
        let start = thread.0.min(self.threads - 1) * self.blocks_per_thread;
        &self.blocks[start..start + self.blocks_per_thread]
    }
}

fn take_turn<'s>(
    credits: &[Block],
    candidates: impl Iterator<Item = (usize, &'s Arc<Server>)>,
    weight: impl Fn(&Server) -> u32,
) -> Option<&'s Arc<Server>> {
    let mut total = 0;
    let mut best: Option<(i64, &AtomicI64, &Arc<Server>)> = None;
    for (position, server) in candidates {
        let cell = credits.get(position / BLOCK)?.get(position % BLOCK)?;
        let weight = i64::from(weight(server));
        let credit = cell.load(Relaxed) + weight;
        cell.store(credit, Relaxed);
        total += weight;
        if best.is_none_or(|(most, _, _)| credit > most) {
            best = Some((credit, cell, server));
        }
    }
    let (credit, cell, server) = best?;
    cell.store(credit - total, Relaxed);
    Some(server)
}
