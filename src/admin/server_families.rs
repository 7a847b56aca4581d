//! The families of servers on the page.

use crate::telemetry::exposition::{Page, Samples};
use crate::telemetry::names::{self, Family};
use crate::telemetry::{Counter, Outcome, Totals};
use crate::upstream::{Server, ServerCells, Upstream};

/// What is known about one server at a scrape, summed over the threads.
#[derive(Clone, Debug, Default)]
pub struct ServerCounts<'a> {
    /// The name of its upstream.
    pub upstream: &'a str,
    /// Its own name.
    pub server: &'a str,
    /// False: its checks fail or its name does not resolve.
    pub up: bool,
    /// It gets no new sessions.
    pub drain: bool,
    /// Exchanges under way on it.
    pub active: u64,
    /// Requests sent to it, retries included.
    pub requests: u64,
    /// Responses by status class, 1xx first.
    pub responses: [u64; 5],
    /// Exchanges that it failed, by reason.
    pub failures: Vec<(&'static str, u64)>,
    /// Checks that it failed, by reason; none where nothing checks it.
    pub check_failures: Vec<(&'static str, u64)>,
    /// Requests that were tried again after it failed them.
    pub retries: u64,
    /// New connections made to it.
    pub connects: u64,
    /// Requests sent on a connection that had served one before.
    pub reused: u64,
    /// Bytes sent to it.
    pub bytes_sent: u64,
    /// Bytes received from it.
    pub bytes_received: u64,
    /// How long it took to the first byte of its responses.
    pub first_byte: Totals,
}

/// Writes the families of these servers. Of two with the same names the first is shown: a page with
/// a sample twice is refused as a whole.
pub fn server_families<'a>(page: &mut Page, servers: impl IntoIterator<Item = ServerCounts<'a>>) {
    let mut servers: Vec<_> = servers.into_iter().collect();
    servers.sort_by_key(|server| (server.upstream, server.server));
    servers.dedup_by_key(|server| (server.upstream, server.server));
    let mut each = |family: &'static Family, write: fn(&mut Samples<'_>, &ServerCounts<'_>)| {
        page.family(family, |samples| servers.iter().for_each(|server| write(samples, server)));
    };
    each(&names::SERVER_UP, |samples, s| samples.count(&s.labels(), s.up.into()));
    each(&names::SERVER_DRAIN, |samples, s| samples.count(&s.labels(), s.drain.into()));
    each(&names::SERVER_ACTIVE, |samples, s| samples.count(&s.labels(), s.active));
    each(&names::SERVER_REQUESTS, |samples, s| samples.count(&s.labels(), s.requests));
    each(&names::SERVER_RESPONSES, |samples, s| {
        for (class, count) in Outcome::ALL.into_iter().zip(s.responses) {
            samples.count(&[s.upstream, s.server, class.name()], count);
        }
    });
    each(&names::SERVER_FAILURES, |samples, s| {
        for (reason, count) in &s.failures {
            samples.count(&[s.upstream, s.server, reason], *count);
        }
    });
    each(&names::SERVER_CHECK_FAILURES, |samples, s| {
        for (reason, count) in &s.check_failures {
            samples.count(&[s.upstream, s.server, reason], *count);
        }
    });
    each(&names::SERVER_RETRIES, |samples, s| samples.count(&s.labels(), s.retries));
    each(&names::SERVER_CONNECTS, |samples, s| samples.count(&s.labels(), s.connects));
    each(&names::SERVER_REUSED, |samples, s| samples.count(&s.labels(), s.reused));
    each(&names::SERVER_BYTES_SENT, |samples, s| samples.count(&s.labels(), s.bytes_sent));
    each(&names::SERVER_BYTES_RECEIVED, |samples, s| samples.count(&s.labels(), s.bytes_received));
    each(&names::SERVER_FIRST_BYTE, |samples, s| samples.histogram(&s.labels(), &s.first_byte));
}

impl<'a> ServerCounts<'a> {
    /// The counts of this server of this upstream now.
    #[must_use]
    pub fn of(upstream: &'a Upstream, server: &'a Server) -> Self {
        let state = &server.state;
        let sum = |counter: fn(&ServerCells) -> &Counter| -> u64 {
            state.metrics.iter().map(|cells| counter(cells).value()).sum()
        };
        let mut first_byte = Totals::default();
        let mut responses = [0; 5];
        for cells in state.metrics.iter() {
            cells.first_byte.add_to(&mut first_byte);
            for (total, count) in responses.iter_mut().zip(&cells.responses) {
                *total += count.value();
            }
        }
        Self {
            upstream: &upstream.name,
            server: &server.name,
            up: server.address.is_some() && state.health().is_usable(),
            drain: server.drain,
            active: state.in_use(),
            requests: sum(|cells| &cells.requests),
            responses,
            failures: vec![
                ("connect", sum(|cells| &cells.failures.connect)),
                ("timeout", sum(|cells| &cells.failures.timeout)),
                ("reset", sum(|cells| &cells.failures.reset)),
                ("protocol", sum(|cells| &cells.failures.protocol)),
                ("queue", sum(|cells| &cells.failures.queue)),
            ],
            check_failures: upstream.check.iter().flat_map(|_| state.check_failures.iter()).collect(),
            retries: sum(|cells| &cells.retries),
            connects: sum(|cells| &cells.connects),
            reused: sum(|cells| &cells.reused),
            bytes_sent: sum(|cells| &cells.bytes_sent),
            bytes_received: sum(|cells| &cells.bytes_received),
            first_byte,
        }
    }

    fn labels(&self) -> [&'a str; 2] {
        [self.upstream, self.server]
    }
}
