//! A limit on exchanges at one server, with a bounded queue before it.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use tokio::time::Instant;

/// How many may be in, and how many may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Exchanges at once at this server.
    pub connections: u32,
    /// Exchanges that may wait for one of them to end.
    pub waiting: u32,
}

/// Lets a limited number in; a bounded number may wait, first come first served.
///
/// The limit may change while passes are out. A lowered limit takes effect as passes come back.
#[derive(Debug)]
pub struct Gate {
    seats: Semaphore,
    /// Seats to be taken away when their passes come back.
    owed: AtomicU32,
    waiting: AtomicU32,
    most_waiting: AtomicU32,
    connections: Mutex<u32>,
}

/// Why an exchange was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// As many wait as may wait.
    #[error("queue full")]
    Full,
    /// No place came free before the deadline.
    #[error("timed out in the queue")]
    TimedOut,
}

/// The right to use the server, given back when dropped.
#[derive(Debug)]
pub struct Pass(Arc<Gate>);

impl Gate {
    /// A gate with every seat free.
    #[must_use]
    pub fn new(limit: Limit) -> Self {
        Self {
            seats: Semaphore::new(limit.connections as usize),
            owed: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            most_waiting: AtomicU32::new(limit.waiting),
            connections: Mutex::new(limit.connections),
        }
    }

    /// Lets one in if there is a free seat and nobody waits for it.
    #[must_use]
    pub fn try_enter(self: &Arc<Self>) -> Option<Pass> {
        // `forget`, because the pass and not the permit gives the seat back.
        self.seats.try_acquire().ok()?.forget();
        Some(Pass(Arc::clone(self)))
    }

    /// Lets one in, after a wait of its turn where there is no free seat.
    ///
    /// # Errors
    ///
    /// [`GateError::Full`] at once where too many wait; [`GateError::TimedOut`] at the deadline.
    pub async fn enter(self: &Arc<Self>, deadline: Instant) -> Result<Pass, GateError> {
        if let Some(pass) = self.try_enter() {
            return Ok(pass);
        }
        let _place = Place::take(self).ok_or(GateError::Full)?;
        match tokio::time::timeout_at(deadline, self.seats.acquire()).await {
            Ok(Ok(seat)) => {
                seat.forget();
                Ok(Pass(Arc::clone(self)))
            }
            // The semaphore is never closed, so an error of it is as good as no seat.
            Ok(Err(_)) | Err(_) => Err(GateError::TimedOut),
        }
    }

    /// How many wait now.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        self.waiting.load(Relaxed)
    }

    /// Changes the limit. Control side only.
    pub fn resize(&self, limit: Limit) {
        self.most_waiting.store(limit.waiting, Relaxed);
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let (old, new) = (*connections, limit.connections);
        *connections = new;
        if new < old {
            let taken = self.seats.forget_permits((old - new) as usize);
            self.owed.fetch_add((old - new) - u32::try_from(taken).unwrap_or(old - new), Relaxed);
        }
        for _ in old..new {
            self.free_seat();
        }
    }

    fn free_seat(&self) {
        if self.owed.fetch_update(Relaxed, Relaxed, |owed| owed.checked_sub(1)).is_err() {
            self.seats.add_permits(1);
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.free_seat();
    }
}

/// A place in the queue, left when dropped: also by an exchange whose client went away.
struct Place<'a>(&'a Gate);

impl<'a> Place<'a> {
    fn take(gate: &'a Gate) -> Option<Self> {
        let most = gate.most_waiting.load(Relaxed);
        gate.waiting
            .fetch_update(Relaxed, Relaxed, |waiting| (waiting < most).then_some(waiting + 1))
            .is_ok()
            .then_some(Self(gate))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}
