//! What was decided, with what it was decided on.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::member::Member;

/// One decision.
#[derive(Clone, Debug)]
pub struct Decision {
    /// When.
    pub at: Instant,
    /// The epoch it led to or was made in.
    pub epoch: u64,
    /// What was decided.
    pub what: String,
    /// What was known of each server.
    pub servers: Vec<Known>,
}

/// A server as a decision saw it.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its name.
    pub server: Arc<str>,
    /// What it got.
    pub verdict: &'static str,
    /// Why.
    pub reason: String,
    /// What its newest check saw, or why it saw nothing.
    pub seen: String,
}

/// The newest decisions.
#[derive(Debug, Default)]
pub(super) struct History(VecDeque<Decision>);

impl History {
    /// So many are kept.
    const MOST: usize = 32;

    pub(super) fn note(&mut self, now: Instant, epoch: u64, what: String, members: &[Member]) {
        if self.0.len() == Self::MOST {
            self.0.pop_front();
        }
        let servers = members.iter().map(|member| Known {
            server: Arc::clone(&member.name),
            verdict: member.verdict.word(),
            reason: member.reason.to_string(),
            seen: member.told(),
        });
        self.0.push_back(Decision { at: now, epoch, what, servers: servers.collect() });
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Decision> {
        self.0.iter()
    }
}
