//! Whether a failed attempt may be made again, and where. Pure.
//!
//! A request is sent again only when no byte of an answer was given on and either the server
//! cannot have acted on it, or acting twice is the same as once (RFC 9110 §9.2.2). A body that the
//! client has begun to send is not kept, so a request with one is never sent again.

use std::cell::Cell;

use super::Failure;
use crate::head::Method;
use crate::upstream::ServerCells;

/// What is to be done after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The failure is the answer.
    No,
    /// Once more at the same server, on a new connection.
    Fresh,
    /// At another server.
    Elsewhere,
}

/// An attempt that failed.
#[derive(Debug)]
pub struct Failed {
    /// Why.
    pub failure: Failure,
    /// Whether the connection had served an exchange before.
    pub reused: bool,
    /// Whether any byte of the client's body was used up.
    pub body_used: bool,
    /// Whether an interim response was given on already.
    pub interim: bool,
}

/// Decides about `failed`; `retried` says that it was sent to another server
/// already: a stale connection is not held against the request. Only retries that are not owed to a stale connection use the budget.
#[must_use]
pub fn decide(failed: &Failed, method: Method, retried: bool, budget: &RetryBudget) -> Retry {
    let acted = !matches!(failed.failure, Failure::Refused(_));
    if retried || failed.body_used || failed.interim || acted && !method.is_idempotent() {
        return Retry::No;
    }
    match &failed.failure {
        // The server closed an idle connection just as the request was on its way.
        Failure::Closed(_) if failed.reused => Retry::Fresh,
        Failure::Closed(_) | Failure::Truncated(_) | Failure::Refused(_) if budget.take() => Retry::Elsewhere,
        _ => Retry::No,
    }
}

/// How many retries a thread may make: a burst, and then a fifth of its exchanges. A server that
/// fails everything must not double the load on the others.
#[derive(Debug)]
pub struct RetryBudget(Cell<u32>);

impl RetryBudget {
    /// What one retry costs, in exchanges.
    const COST: u32 = 5;
    /// The most that is saved: a burst of 200 retries.
    const MOST: u32 = 200 * Self::COST;

    /// An exchange began.
    pub fn exchange(&self) {
        self.0.set((self.0.get() + 1).min(Self::MOST));
    }

    fn take(&self) -> bool {
        let left = self.0.get().checked_sub(Self::COST);
        if let Some(left) = left {
            self.0.set(left);
        }
        left.is_some()
    }
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self(Cell::new(Self::MOST))
    }
}

/// The servers that an exchange has failed at, and why it failed last.
#[derive(Debug, Default)]
pub struct Tried {
    ids: [u32; Self::MOST],
    len: usize,
    last: Option<Failure>,
}

impl Tried {
    /// Servers that one exchange asks at most.
    const MOST: usize = 8;

    /// Their state ids.
    #[must_use]
    pub fn ids(&self) -> &[u32] {
        self.ids.get(..self.len).unwrap_or_default()
    }

    /// Takes one more; false when it was the last that may be tried.
    pub fn push(&mut self, id: u32, failure: Failure) -> bool {
        self.last = Some(failure);
        if let Some(place) = self.ids.get_mut(self.len) {
            *place = id;
            self.len += 1;
        }
        self.len < Self::MOST
    }

    /// The last failure; [`Failure::NoServer`] where none was tried.
    #[must_use]
    pub fn into_failure(self) -> Failure {
        self.last.unwrap_or(Failure::NoServer)
    }
}

/// Counts a failed attempt at a server. What the client did is not the server's failure.
pub fn count_failure(cells: &ServerCells, failure: &Failure) {
    match failure {
        Failure::Closed(_) | Failure::Truncated(_) | Failure::Refused(_) => cells.failures.reset.add(1),
        Failure::Malformed(_)
        | Failure::Connection(_)
        | Failure::HeadTooLarge
        | Failure::Upgrade
        | Failure::NoUpgrade => {
            cells.failures.protocol.add(1);
        }
        Failure::TimedOut => cells.failures.timeout.add(1),
        Failure::Lease(fault) => fault.count(cells),
        Failure::NoServer | Failure::Unsendable | Failure::Client(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn failed(failure: Failure, reused: bool) -> Failed {
        Failed { failure, reused, body_used: false, interim: false }
    }

    fn closed() -> Failure {
        Failure::Closed(io::ErrorKind::ConnectionReset.into())
    }

    #[test]
    fn a_stale_connection_costs_nothing_and_goes_to_the_same_server() {
        let budget = RetryBudget(Cell::new(0));
        assert_eq!(decide(&failed(closed(), true), Method::Get, false, &budget), Retry::Fresh);
        assert_eq!(decide(&failed(closed(), true), Method::Post, false, &budget), Retry::No);
    }

    #[test]
    fn a_dying_server_is_left_within_the_budget() {
        let budget = RetryBudget(Cell::new(RetryBudget::COST));
        assert_eq!(decide(&failed(closed(), false), Method::Get, false, &budget), Retry::Elsewhere);
        assert_eq!(decide(&failed(closed(), false), Method::Get, false, &budget), Retry::No);
        for _ in 0..RetryBudget::COST {
            budget.exchange();
        }
        assert_eq!(decide(&failed(closed(), false), Method::Put, false, &budget), Retry::Elsewhere);
    }

    #[test]
    fn what_the_server_refused_may_be_sent_again_whatever_it_is() {
        let budget = RetryBudget(Cell::new(RetryBudget::COST));
        let refused = || Failure::Refused(h2::Reason::REFUSED_STREAM.into());
        assert_eq!(decide(&failed(refused(), false), Method::Post, true, &budget), Retry::No);
        assert_eq!(decide(&failed(refused(), false), Method::Post, false, &budget), Retry::Elsewhere);
        assert_eq!(decide(&failed(refused(), false), Method::Post, false, &budget), Retry::No, "the budget holds");
    }

    #[test]
    fn one_retry_is_all() {
        let budget = RetryBudget::default();
        assert_eq!(decide(&failed(closed(), false), Method::Get, true, &budget), Retry::No);
    }

    #[test]
    fn what_was_used_or_said_is_never_sent_again() {
        let budget = RetryBudget::default();
        let used = Failed { body_used: true, ..failed(closed(), true) };
        assert_eq!(decide(&used, Method::Put, false, &budget), Retry::No);
        let interim = Failed { interim: true, ..failed(closed(), true) };
        assert_eq!(decide(&interim, Method::Get, false, &budget), Retry::No);
        assert_eq!(decide(&failed(Failure::TimedOut, false), Method::Get, false, &budget), Retry::No);
    }

    #[test]
    fn tried_is_bounded() {
        let mut tried = Tried::default();
        for id in 0..7 {
            assert!(tried.push(id, closed()));
        }
        assert!(!tried.push(7, closed()));
        assert!(!tried.push(8, Failure::TimedOut));
        assert_eq!(tried.ids(), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert!(matches!(tried.into_failure(), Failure::TimedOut));
    }
}
