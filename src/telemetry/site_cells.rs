//! What one data-plane thread counts for one site on one listener.

use std::time::Duration;

use super::{Counter, Histogram};

/// The counts of one site's exchanges that came by one listener, on one thread.
#[derive(Debug, Default)]
pub struct SiteCells {
    started: Counter,
    ended: [Counter; Outcome::ALL.len()],
    took: Histogram,
    /// From the request's head to the first byte of the upstream's answer.
    pub upstream_first_byte: Histogram,
    /// Bytes of request bodies.
    pub bytes_in: Counter,
    /// Bytes of response bodies.
    pub bytes_out: Counter,
    /// Exchanges that became a tunnel (101).
    pub upgrades: Counter,
}

impl SiteCells {
    /// Counts an exchange whose route is known and that will end by [`Self::end`].
    #[inline]
    pub fn start(&self) {
        self.started.add(1);
    }

    /// Counts the end of an exchange and how long it took from its head to the last byte.
    #[inline]
    pub fn end(&self, outcome: Outcome, took: Duration) {
        self.ended[outcome as usize].add(1);
        self.took.record(took);
    }

    /// How many exchanges were started.
    #[must_use]
    pub fn started(&self) -> u64 {
        self.started.value()
    }

    /// How many exchanges ended, by outcome.
    pub fn ended(&self) -> impl Iterator<Item = (Outcome, u64)> {
        Outcome::ALL.into_iter().map(|outcome| (outcome, self.ended[outcome as usize].value()))
    }

    /// How long exchanges took that have ended.
    #[must_use]
    pub fn took(&self) -> &Histogram {
        &self.took
    }
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 1xx: it became a tunnel.
    Interim,
    /// 2xx
    Success,
    /// 3xx
    Redirection,
    /// 4xx
    ClientError,
    /// 5xx
    ServerError,
    /// The client went away before its answer was whole.
    ClientGone,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 6] =
        [Self::Interim, Self::Success, Self::Redirection, Self::ClientError, Self::ServerError, Self::ClientGone];

    /// The outcome of an answer that was sent whole. Codes outside 100 to 599 count as a server's
    /// error (RFC 9110 §15).
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        match status {
            100..=199 => Self::Interim,
            200..=299 => Self::Success,
            300..=399 => Self::Redirection,
            400..=499 => Self::ClientError,
            _ => Self::ServerError,
        }
    }

    /// Its label: `2xx` and the like, `client_gone`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Interim => "1xx",
            Self::Success => "2xx",
            Self::Redirection => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
            Self::ClientGone => "client_gone",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exchange_is_counted_under_its_class() {
        let cells = SiteCells::default();
        cells.start();
        cells.start();
        cells.end(Outcome::of_status(204), Duration::from_millis(3));
        let ended: Vec<_> = cells.ended().filter(|(_, count)| *count > 0).collect();
        assert_eq!(ended, [(Outcome::Success, 1)]);
        assert_eq!(cells.started(), 2);
    }

    #[test]
    fn each_outcome_has_a_cell_of_its_own() {
        for (index, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, index);
        }
        assert_eq!(Outcome::of_status(101).name(), "1xx");
        assert_eq!(Outcome::of_status(599).name(), "5xx");
    }
}
