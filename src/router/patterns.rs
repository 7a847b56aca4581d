//! The regexes of all sites, compiled once each.
//!
//! A compiled regex keeps scratch memory that its users take turns with. So each thread has
//! handles of its own: the program is shared, the scratch is not, and no two threads meet.

use std::collections::HashMap;

use regex::bytes::{Captures, Regex, RegexBuilder};

use super::RouterFault;
use crate::telemetry::ThreadId;

/// The compiled form of one regex, in bytes: far above what path rules need, and it bounds what a
/// config of thousands of sites can take.
const PROGRAM_LIMIT_BYTES: usize = 1 << 20;
/// Scratch of one regex on one thread, in bytes; with less the engine is slower, not wrong.
const SCRATCH_LIMIT_BYTES: usize = 256 << 10;

/// Every pattern, for every thread.
#[derive(Debug)]
pub(super) struct Patterns {
    by_thread: Box<[Box<[Regex]>]>,
}

/// Collects patterns; the same text is compiled once, however many sites use it.
#[derive(Debug, Default)]
pub(super) struct Builder {
    regexes: Vec<Regex>,
    numbers: HashMap<String, u32>,
}

impl Patterns {
    pub(super) fn is_match(&self, thread: ThreadId, pattern: u32, path: &[u8]) -> bool {
        self.regex(thread, pattern).is_some_and(|regex| regex.is_match(path))
    }

    pub(super) fn captures<'p>(&self, thread: ThreadId, pattern: u32, path: &'p [u8]) -> Option<Captures<'p>> {
        self.regex(thread, pattern)?.captures(path)
    }

    fn regex(&self, thread: ThreadId, pattern: u32) -> Option<&Regex> {
        let last = self.by_thread.len().checked_sub(1)?;
        self.by_thread.get(thread.0.min(last))?.get(pattern as usize)
    }
}

impl Builder {
    pub(super) fn add(&mut self, pattern: &str) -> Result<u32, RouterFault> {
        if let Some(number) = self.numbers.get(pattern) {
            return Ok(*number);
        }
        let regex = RegexBuilder::new(pattern)
            .size_limit(PROGRAM_LIMIT_BYTES)
            .dfa_size_limit(SCRATCH_LIMIT_BYTES)
            .build()
            .map_err(|source| RouterFault::Regex { pattern: pattern.to_owned(), source: Box::new(source) })?;
        let number = u32::try_from(self.regexes.len()).unwrap_or(u32::MAX);
        self.regexes.push(regex);
        self.numbers.insert(pattern.to_owned(), number);
        Ok(number)
    }

    pub(super) fn build(self, threads: usize) -> Patterns {
        Patterns { by_thread: (0..threads.max(1)).map(|_| self.regexes.iter().cloned().collect()).collect() }
    }
}
