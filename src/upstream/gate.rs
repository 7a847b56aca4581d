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
            .then(|| Self(gate))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn gate(connections: u32, waiting: u32) -> Arc<Gate> {
        Arc::new(Gate::new(Limit { connections, waiting }))
    }

    fn in_a_while() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[tokio::test]
    async fn a_place_that_comes_free_goes_to_the_one_that_waits() {
        let gate = gate(1, 1);
        let first = gate.try_enter().unwrap();
        assert!(gate.try_enter().is_none());
        let waits = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.enter(in_a_while()).await.map(drop) }
        });
        while gate.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(gate.enter(in_a_while()).await.unwrap_err(), GateError::Full);
        drop(first);
        assert_eq!(waits.await.unwrap(), Ok(()));
        assert_eq!(gate.waiting(), 0);
        assert!(gate.try_enter().is_some());
    }

    #[tokio::test]
    async fn a_wait_ends_at_its_deadline_or_with_its_exchange() {
        let gate = gate(1, 1);
        let _first = gate.try_enter().unwrap();
        assert_eq!(gate.enter(Instant::now()).await.unwrap_err(), GateError::TimedOut);
        let gone = tokio::time::timeout(Duration::from_millis(1), gate.enter(in_a_while()));
        assert!(gone.await.is_err());
        assert_eq!(gate.waiting(), 0);
    }

    #[test]
    fn the_limit_may_change_while_passes_are_out() {
        let gate = gate(3, 0);
        let mut passes: Vec<_> = (0..3).map(|_| gate.try_enter().unwrap()).collect();
        gate.resize(Limit { connections: 1, waiting: 0 });
        passes.truncate(1);
        assert!(gate.try_enter().is_none(), "one is in, one is the limit");
        passes.clear();
        passes.extend(gate.try_enter());
        assert!(passes.len() == 1 && gate.try_enter().is_none());
        gate.resize(Limit { connections: 2, waiting: 0 });
        passes.extend(gate.try_enter());
        assert!(passes.len() == 2 && gate.try_enter().is_none());
        gate.resize(Limit { connections: 0, waiting: 0 });
        gate.resize(Limit { connections: 1, waiting: 0 });
        passes.truncate(1);
        assert!(gate.try_enter().is_none());
    }
}
