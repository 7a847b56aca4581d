//! What each source has open and has asked lately: the one table that all threads share.
//!
//! The connections of one source come to whichever thread the kernel chooses, so a limit on them is shared by
//! its meaning. The table is looked at only where such a limit is configured: once when a connection
//! comes and once when it goes, and for `source_request_rate` once a request. It has many parts, each with
//! a lock of its own that is held for as long as a look takes.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;

use super::aged::{Aged, EntryId};
use super::rate::{Bucket, Rate};

/// What one source may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceLimits {
    /// Connections open at once; of a udp listener flows. `None`: any number.
    pub connections: Option<u32>,
    /// New connections, or flows. `None`: as often as it likes.
    pub connection_rate: Option<Rate>,
    /// Requests. `None`: as often as it likes.
    pub request_rate: Option<Rate>,
    /// Leading bits of an IPv4 address that make a source.
    pub prefix_v4: u8,
    /// Leading bits of an IPv6 address that make a source: whoever has one address mostly has its /64.
    pub prefix_v6: u8,
    /// Sources that are remembered at once.
    pub sources: usize,
}

impl SourceLimits {
    /// Whether anything is limited.
    #[must_use]
    pub fn are_any(&self) -> bool {
        self.of_connections() || self.request_rate.is_some()
    }

    /// Whether connections are limited.
    #[must_use]
    pub fn of_connections(&self) -> bool {
        self.connections.is_some() || self.connection_rate.is_some()
    }

    /// The source that an address belongs to.
    #[must_use]
    pub fn source(&self, address: IpAddr) -> IpAddr {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix_v4.min(32))).unwrap_or(0);
                Ipv4Addr::from_bits(address.to_bits() & mask).into()
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix_v6.min(128))).unwrap_or(0);
                Ipv6Addr::from_bits(address.to_bits() & mask).into()
            }
        }
    }
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwelcome {
    /// `access` does not let the address in.
    #[error("the address is not allowed")]
    Denied,
    /// `source_connections` are open.
    #[error("the source has as many connections as it may")]
    Connections,
    /// `source_connection_rate` is used up.
    #[error("the source opens connections faster than it may")]
    ConnectionRate,
    /// `source_request_rate` is used up.
    #[error("the source asks faster than it may")]
    RequestRate {
        /// Until it may again.
        wait: Duration,
    },
}

impl Unwelcome {
    /// The key that says so, which is its name in metrics and logs too.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Denied => "access",
            Self::Connections => "source_connections",
            Self::ConnectionRate => "source_connection_rate",
            Self::RequestRate { .. } => "source_request_rate",
        }
    }
}

/// What is known of one source.
#[derive(Debug, Default)]
struct Source {
    open: u32,
    connections: Bucket,
    requests: Bucket,
}

impl Source {
    /// Whether it may be forgotten and nothing be lost.
    fn is_blank(&self, now: Instant) -> bool {
        self.open == 0 && self.connections.is_full(now) && self.requests.is_full(now)
    }
}

/// A part of the table, pure.
#[derive(Debug, Default)]
struct Part {
    sources: Aged<IpAddr, Source>,
    /// Sources that were forgotten, or could not be remembered, though something was known of them.
    forgotten: u64,
}

/// Sources that are looked at for one to forget.
const LOOKED_AT: usize = 8;

impl Part {
    fn enter(&mut self, now: Instant, source: IpAddr, limits: &SourceLimits, most: usize) -> Result<bool, Unwelcome> {
        let Some(id) = self.known(now, source, most) else { return Ok(false) };
        let Some(known) = self.sources.value(id) else { return Ok(false) };
        if limits.connections.is_some_and(|most| known.open >= most) {
            return Err(Unwelcome::Connections);
        }
        if let Some(rate) = &limits.connection_rate {
            known.connections.take(rate, now).map_err(|_| Unwelcome::ConnectionRate)?;
        }
        known.open += 1;
        Ok(true)
    }

    fn leave(&mut self, source: IpAddr) {
        if let Some(known) = self.sources.find(&source).and_then(|id| self.sources.value(id)) {
            known.open = known.open.saturating_sub(1);
        }
    }

    fn ask(&mut self, now: Instant, source: IpAddr, rate: &Rate, most: usize) -> Result<(), Unwelcome> {
        let Some(known) = self.known(now, source, most).and_then(|id| self.sources.value(id)) else { return Ok(()) };
        known.requests.take(rate, now).map_err(|wait| Unwelcome::RequestRate { wait })
    }

    /// The entry of a source, a new one where there is none; none where there is no room.
    fn known(&mut self, now: Instant, source: IpAddr, most: usize) -> Option<EntryId> {
        if let Some(id) = self.sources.find(&source) {
            self.sources.touch(now, id);
            return Some(id);
        }
        if self.sources.len() >= most.max(1) && !self.make_room(now) {
            self.forgotten += 1;
            return None;
        }
        Some(self.sources.insert(now, source, Source::default()).0)
    }

    /// Forgets the oldest source of which nothing is known any more; where the oldest few are all known for
    /// something, the first of them that has nothing open. Who has something open is passed over and
    /// counts as young again, so that a crowd of them does not stand in the way for ever.
    fn make_room(&mut self, now: Instant) -> bool {
        let mut spare = None;
        for _ in 0..LOOKED_AT {
            let Some((id, _)) = self.sources.oldest() else { break };
            let Some(known) = self.sources.value(id) else { break };
            if known.is_blank(now) {
                self.sources.remove(id);
                return true;
            }
            if known.open == 0 && spare.is_none() {
                spare = Some(id);
            }
            self.sources.touch(now, id);
        }
        let Some(id) = spare else { return false };
        self.sources.remove(id);
        self.forgotten += 1;
        true
    }
}

/// Parts of the table: more than there are threads on most machines, so that two seldom meet.
const PARTS: usize = 64;

/// What is known of the sources of one listener, over all threads. It outlives reloads.
#[derive(Debug)]
pub struct Sources {
    parts: Box<[CachePadded<Mutex<Part>>]>,
    hasher: RandomState,
}

impl Default for Sources {
    fn default() -> Self {
        Self { parts: (0..PARTS).map(|_| CachePadded::default()).collect(), hasher: RandomState::new() }
    }
}

impl Sources {
    /// Lets a connection, or a flow, of this address in where its source may have one more. `None`: nothing
    /// is limited, or the table is full of sources that have something open, and this one is not counted.
    ///
    /// # Errors
    /// [`Unwelcome::Connections`] or [`Unwelcome::ConnectionRate`].
    pub fn enter(
        self: &Arc<Self>,
        now: Instant,
        address: IpAddr,
        limits: &SourceLimits,
    ) -> Result<Option<SourceSeat>, Unwelcome> {
        if !limits.of_connections() {
            return Ok(None);
        }
        let source = limits.source(address);
        let counted = self.part(source).enter(now, source, limits, limits.sources.div_ceil(PARTS))?;
        Ok(counted.then(|| SourceSeat { sources: Arc::clone(self), source }))
    }

    /// Lets a request of this address in.
    ///
    /// # Errors
    /// [`Unwelcome::RequestRate`]
    pub fn ask(&self, now: Instant, address: IpAddr, limits: &SourceLimits) -> Result<(), Unwelcome> {
        let Some(rate) = &limits.request_rate else { return Ok(()) };
        let source = limits.source(address);
        self.part(source).ask(now, source, rate, limits.sources.div_ceil(PARTS))
    }

    /// Sources that are known now, and how many were forgotten, or not taken in, though they counted.
    /// Control side only.
    #[must_use]
    pub fn counts(&self) -> (usize, u64) {
        self.parts
            .iter()
            .map(|part| lock(part))
            .fold((0, 0), |(known, forgotten), part| (known + part.sources.len(), forgotten + part.forgotten))
    }

    fn part(&self, source: IpAddr) -> MutexGuard<'_, Part> {
        let at = usize::try_from(self.hasher.hash_one(source) % PARTS as u64).unwrap_or(0);
        lock(&self.parts[at])
    }
}

fn lock(part: &Mutex<Part>) -> MutexGuard<'_, Part> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection that counts for its source, until it is dropped.
#[derive(Debug)]
pub struct SourceSeat {
    sources: Arc<Sources>,
    source: IpAddr,
}

impl Drop for SourceSeat {
    fn drop(&mut self) {
        self.sources.part(self.source).leave(self.source);
    }
}

#[cfg(test)]
mod tests;
