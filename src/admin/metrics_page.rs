//! The page of /metrics: the control side's families, then what the data plane's threads counted.

use std::collections::BTreeMap;

use super::server::Sources;
use super::status::Status;
use crate::telemetry::exposition::{Page, Samples};
use crate::telemetry::names::{self, Family};
use crate::telemetry::{
    Counter, Histogram, LineCounts, ListenerCells, NamedCounters, PerThread, Registry, SiteCells, Totals,
};

/// Writes the whole page.
pub(super) fn metrics_page(sources: &Sources) -> String {
    sources.registry.prune();
    let mut page = sources.control.page();
    log_families(&mut page, sources.access_log.line_counts());
    let status = (sources.status)();
    limit_families(&mut page, &status);
    listener_families(&mut page, &sources.registry);
    udp_families(&mut page, &sources.registry, &status);
    site_families(&mut page, &sources.registry);
    (sources.servers)(&mut page);
    page.into_text()
}

fn log_families(page: &mut Page, lines: LineCounts) {
    page.family(&names::LOG_LINES, |samples| samples.count(&[], lines.logged));
    page.family(&names::LOG_DROPPED, |samples| {
        samples.count(&["queue_full"], lines.dropped);
        samples.count(&["write_failed"], lines.lost);
    });
}

fn limit_families(page: &mut Page, status: &Status) {
    page.family(&names::PROCESS_CONNECTIONS_LIMIT, |samples| samples.count(&[], status.connections_limit));
    page.family(&names::CONNECTIONS_LIMIT, |samples| {
        for listener in &status.listeners {
            samples.count(&[&listener.name], listener.connections_limit);
        }
    });
    page.family(&names::UPSTREAM_HELD, |samples| {
        for upstream in &status.upstreams {
            samples.count(&[&upstream.name], upstream.held.into());
        }
    });
    let sources = || status.listeners.iter().filter_map(|listener| Some((&*listener.name, listener.sources?)));
    page.family(&names::SOURCES_KNOWN, |samples| {
        sources().for_each(|(name, sources)| samples.count(&[name], sources.known));
    });
    page.family(&names::SOURCES_FORGOTTEN, |samples| {
        sources().for_each(|(name, sources)| samples.count(&[name], sources.forgotten));
    });
}

fn listener_families(page: &mut Page, registry: &Registry) {
    let listeners = registry.listeners();
    let mut each = |family: &'static Family, write: fn(&mut Samples<'_>, &str, &PerThread<ListenerCells>)| {
        page.family(family, |samples| listeners.iter().for_each(|(name, cells)| write(samples, name, cells)));
    };
    each(&names::CONNECTIONS_ACCEPTED, |s, name, cells| s.count(&[name], sum(cells, |c| &c.accepted)));
    each(&names::CONNECTIONS_OPEN, |s, name, cells| {
        // Ends are read before beginnings, so that no connection ends that has not begun.
        let closed = sum(cells, |c| &c.closed);
        s.count(&[name], sum(cells, |c| &c.accepted).saturating_sub(closed));
    });
    each(&names::CONNECTIONS_REFUSED, |s, name, cells| s.count(&[name], sum(cells, |c| &c.refused)));
    each(&names::SOURCES_REFUSED, |s, name, cells| by_name(s, name, cells, |c| &c.unwelcome));
    each(&names::CONNECTIONS_DISPLACED, |s, name, cells| s.count(&[name], sum(cells, |c| &c.displaced)));
    each(&names::EXCHANGES_SHED, |s, name, cells| by_name(s, name, cells, |c| &c.shed));
    each(&names::ACCEPT_FAILURES, |s, name, cells| s.count(&[name], sum(cells, |c| &c.accept_failures)));
    each(&names::HANDSHAKES, |s, name, cells| by_name(s, name, cells, |c| &c.handshakes));
    each(&names::HANDSHAKES_RESUMED, |s, name, cells| s.count(&[name], sum(cells, |c| &c.resumed)));
    each(&names::HANDSHAKE_FAILURES, |s, name, cells| by_name(s, name, cells, |c| &c.handshake_failures));
    each(&names::HANDSHAKE_TIME, |s, name, cells| s.histogram(&[name], &totals(cells, |c| &c.handshake_time)));
    each(&names::REFUSED_HEADS, |s, name, cells| by_name(s, name, cells, |c| &c.refused_heads));
    each(&names::TIMEOUTS, |s, name, cells| {
        let phases = cells.iter().flat_map(ListenerCells::timeouts);
        for (phase, count) in merge(phases.map(|(phase, count)| (phase.name(), count))) {
            s.count(&[name, phase], count);
        }
    });
    each(&names::CLIENT_BYTES_IN, |s, name, cells| s.count(&[name], sum(cells, |c| &c.bytes_in)));
    each(&names::CLIENT_BYTES_OUT, |s, name, cells| s.count(&[name], sum(cells, |c| &c.bytes_out)));
    each(&names::H2_CONNECTIONS, |s, name, cells| s.count(&[name], sum(cells, |c| &c.h2_connections)));
    each(&names::H2_STREAMS, |s, name, cells| s.count(&[name], sum(cells, |c| &c.h2_streams)));
    each(&names::H2_RESETS, |s, name, cells| s.count(&[name], sum(cells, |c| &c.h2_resets)));
    each(&names::SESSIONS, |s, name, cells| by_name(s, name, cells, |c| &c.sessions));
    each(&names::SESSION_TIME, |s, name, cells| s.histogram(&[name], &totals(cells, |c| &c.session_time)));
    each(&names::PROXY_HEADER_FAILURES, |s, name, cells| by_name(s, name, cells, |c| &c.proxy_header_failures));
    each(&names::H2_FLOODS, |s, name, cells| by_name(s, name, cells, |c| &c.h2_floods));
}

fn udp_families(page: &mut Page, registry: &Registry, status: &Status) {
    let is_udp = |name: &str| status.listeners.iter().any(|listener| listener.name == name && listener.mode == "udp");
    let listeners: Vec<_> = registry.listeners().into_iter().filter(|(name, _)| is_udp(name)).collect();
    page.family(&names::UDP_FLOWS_LIMIT, |samples| {
        for listener in &status.listeners {
            if let Some(flows) = &listener.flows {
                samples.count(&[&listener.name], flows.limit);
            }
        }
    });
    let mut each = |family: &'static Family, write: fn(&mut Samples<'_>, &str, &PerThread<ListenerCells>)| {
        page.family(family, |samples| listeners.iter().for_each(|(name, cells)| write(samples, name, cells)));
    };
    each(&names::UDP_FLOWS_OPEN, |s, name, cells| {
        let ended: u64 = cells.iter().flat_map(|c| c.udp.ended.iter()).map(|(_, count)| count).sum();
        s.count(&[name], sum(cells, |c| &c.udp.flows).saturating_sub(ended));
    });
    each(&names::UDP_FLOWS, |s, name, cells| s.count(&[name], sum(cells, |c| &c.udp.flows)));
    each(&names::UDP_FLOWS_ENDED, |s, name, cells| by_name(s, name, cells, |c| &c.udp.ended));
    each(&names::UDP_FLOWS_MOVED, |s, name, cells| s.count(&[name], sum(cells, |c| &c.udp.moved)));
    each(&names::UDP_DATAGRAMS_IN, |s, name, cells| s.count(&[name], sum(cells, |c| &c.udp.received)));
    each(&names::UDP_DATAGRAMS_OUT, |s, name, cells| s.count(&[name], sum(cells, |c| &c.udp.sent)));
    each(&names::UDP_DROPPED, |s, name, cells| by_name(s, name, cells, |c| &c.udp.dropped));
}

fn site_families(page: &mut Page, registry: &Registry) {
    let sites = registry.sites();
    let mut each = |family: &'static Family, write: fn(&mut Samples<'_>, [&str; 2], &PerThread<SiteCells>)| {
        page.family(family, |samples| {
            for (key, cells) in &sites {
                write(samples, [&key.listener, &key.site], cells);
            }
        });
    };
    each(&names::EXCHANGES, |s, [listener, site], cells| {
        let outcomes = cells.iter().flat_map(SiteCells::ended);
        for (outcome, count) in merge(outcomes.map(|(outcome, count)| (outcome.name(), count))) {
            s.count(&[listener, site, outcome], count);
        }
    });
    each(&names::EXCHANGES_OPEN, |s, labels, cells| {
        let ended: u64 = cells.iter().flat_map(SiteCells::ended).map(|(_, count)| count).sum();
        let started: u64 = cells.iter().map(SiteCells::started).sum();
        s.count(&labels, started.saturating_sub(ended));
    });
    each(&names::EXCHANGE_TIME, |s, labels, cells| s.histogram(&labels, &totals(cells, SiteCells::took)));
    each(&names::FIRST_BYTE, |s, labels, cells| s.histogram(&labels, &totals(cells, |c| &c.upstream_first_byte)));
    each(&names::REQUEST_BYTES, |s, labels, cells| s.count(&labels, sum(cells, |c| &c.bytes_in)));
    each(&names::RESPONSE_BYTES, |s, labels, cells| s.count(&labels, sum(cells, |c| &c.bytes_out)));
    each(&names::UPGRADES, |s, labels, cells| s.count(&labels, sum(cells, |c| &c.upgrades)));
}

fn sum<T>(cells: &PerThread<T>, counter: fn(&T) -> &Counter) -> u64 {
    cells.iter().map(|cell| counter(cell).value()).sum()
}

fn totals<T>(cells: &PerThread<T>, histogram: fn(&T) -> &Histogram) -> Totals {
    let mut totals = Totals::default();
    for cell in cells.iter() {
        histogram(cell).add_to(&mut totals);
    }
    totals
}

fn by_name(
    samples: &mut Samples<'_>,
    listener: &str,
    cells: &PerThread<ListenerCells>,
    counters: fn(&ListenerCells) -> &NamedCounters,
) {
    for (name, count) in merge(cells.iter().flat_map(|cell| counters(cell).iter())) {
        samples.count(&[listener, name], count);
    }
}

fn merge(counts: impl Iterator<Item = (&'static str, u64)>) -> BTreeMap<&'static str, u64> {
    let mut sums = BTreeMap::new();
    for (name, count) in counts {
        *sums.entry(name).or_default() += count;
    }
    sums
}
