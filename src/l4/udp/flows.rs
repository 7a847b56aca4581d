//! Which datagrams belong together: the flows of one socket, pure.
//!
//! UDP knows no connections. A *flow* is what comes from one client to one address, and what goes back
//! that way, for as long as either side says something. What always holds: there are at most as many
//! flows as [`Bounds`] allow; one that was silent for `idle` ends; where there is no room for another
//! one, the flow that has been silent for longest makes it, unless even that one is in use.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::limits::aged::{Aged, EntryId};

/// How many flows there may be, and how long they last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Flows at once; at least one.
    pub flows: usize,
    /// A flow ends after so long a silence of both sides.
    pub idle: Duration,
}

impl Bounds {
    /// A flow that was silent for less is in use: an answer may be on its way. It makes room for nobody.
    pub const IN_USE: Duration = Duration::from_secs(1);

    /// Flows that end in one turn: each closes a socket, and other clients wait meanwhile.
    const ENDED_A_TURN: usize = 256;
}

/// The way that the datagrams of a flow go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Way {
    /// Where they come from.
    pub client: SocketAddr,
    /// The address of ours that they are sent to, which answers must come from.
    pub at: IpAddr,
    /// The number of the interface that they come in by where `at` is a link-local address, else 0.
    pub interface: u32,
}

/// Tells a flow from all others of its table, those that have ended among them.
pub type FlowId = EntryId;

/// Why a flow has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Both sides were silent for `idle`.
    Idle,
    /// It made room for another one.
    Displaced,
    /// Its client is not allowed any more.
    Denied,
    /// Its listener or its thread serves no longer.
    Shut,
}

impl End {
    /// Its name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Displaced => "displaced",
            Self::Denied => "denied",
            Self::Shut => "shut",
        }
    }
}

/// There are as many flows as there may be, and all of them are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("every flow is in use")]
pub struct Full;

/// The flows of one socket. `L` is what whoever owns the sockets keeps of each.
#[derive(Debug)]
pub struct Flows<L> {
    bounds: Bounds,
    open: Aged<Way, L>,
    ended: VecDeque<(L, End)>,
}

impl<L> Flows<L> {
    /// No flows yet.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, open: Aged::default(), ended: VecDeque::new() }
    }

    /// Other bounds from now on. Flows beyond them are not ended: they end by their age.
    pub fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// The flow that goes this way, where there is one.
    #[must_use]
    pub fn find(&self, way: &Way) -> Option<FlowId> {
        self.open.find(way)
    }

    /// What is kept of a flow, where it has not ended.
    pub fn link(&mut self, id: FlowId) -> Option<&mut L> {
        self.open.value(id)
    }

    /// One side of the flow said something.
    pub fn touch(&mut self, now: Instant, id: FlowId) {
        self.open.touch(now, id);
    }

    /// Makes room for one more flow; one that makes room comes out of [`Self::poll_ended`].
    ///
    /// # Errors
    /// [`Full`]
    pub fn make_room(&mut self, now: Instant) -> Result<(), Full> {
        if self.open.len() < self.bounds.flows.max(1) {
            return Ok(());
        }
        match self.open.oldest() {
            Some((oldest, heard)) if now.saturating_duration_since(heard) >= Bounds::IN_USE => {
                self.end(oldest, End::Displaced);
                Ok(())
            }
            _ => Err(Full),
        }
    }

    /// A new flow that goes this way, in the place of one that did. To be called when
    /// [`Self::make_room`] has made room.
    pub fn open(&mut self, now: Instant, way: Way, link: L) -> FlowId {
        let (id, before) = self.open.insert(now, way, link);
        self.ended.extend(before.map(|link| (link, End::Displaced)));
        id
    }

    /// When the next flow ends by its silence, if nobody breaks it.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let (_, heard) = self.open.oldest()?;
        heard.checked_add(self.bounds.idle)
    }

    /// Ends flows that were silent for too long, a bounded number at a time.
    pub fn handle_timeout(&mut self, now: Instant) {
        for _ in 0..Bounds::ENDED_A_TURN {
            match (self.open.oldest(), self.poll_timeout()) {
                (Some((oldest, _)), Some(due)) if due <= now => self.end(oldest, End::Idle),
                _ => return,
            }
        }
    }

    /// Ends all of them.
    pub fn shut(&mut self) {
        while let Some((oldest, _)) = self.open.oldest() {
            self.end(oldest, End::Shut);
        }
    }

    /// What was kept of the next flow that has ended, and why it has.
    pub fn poll_ended(&mut self) -> Option<(L, End)> {
        self.ended.pop_front()
    }

    /// Ends one of them.
    pub fn end(&mut self, id: FlowId, end: End) {
        self.ended.extend(self.open.remove(id).map(|link| (link, end)));
    }
}

#[cfg(test)]
mod tests;
