//! The families of pools of database servers on the page.

use crate::telemetry::exposition::Page;
use crate::telemetry::names;
use crate::upstream::role::{MemberCounts, PoolCounts};

/// Writes the families of these pools. Of two servers with the same name the first is shown.
pub fn pool_families(page: &mut Page, mut pools: Vec<PoolCounts>) {
    for pool in &mut pools {
        pool.servers.sort_by(|one, other| one.server.cmp(&other.server));
        pool.servers.dedup_by(|one, other| one.server == other.server);
    }
    let servers = || pools.iter().flat_map(|pool| pool.servers.iter().map(move |server| (&*pool.upstream, server)));
    page.family(&names::DB_ROLE, |samples| {
        servers().for_each(|(upstream, MemberCounts { server, role, .. })| samples.count(&[upstream, server, role], 1));
    });
    page.family(&names::DB_LAG, |samples| {
        for (upstream, MemberCounts { server, lag, .. }) in servers() {
            if let Some(lag) = lag {
                samples.value(&[upstream, server], lag.as_secs_f64());
            }
        }
    });
    page.family(&names::DB_ERRANT, |samples| {
        servers().for_each(|(upstream, one)| samples.count(&[upstream, &one.server], one.is_errant.into()));
    });
    page.family(&names::DB_WRITABLE, |samples| {
        pools.iter().for_each(|pool| samples.count(&[&pool.upstream], pool.writable));
    });
    page.family(&names::DB_DOUBLE, |samples| {
        pools.iter().for_each(|pool| samples.count(&[&pool.upstream], pool.double_primary.into()));
    });
    page.family(&names::DB_REFUSED, |samples| {
        pools.iter().for_each(|pool| samples.count(&[&pool.upstream], pool.refused.into()));
    });
    page.family(&names::DB_EPOCH, |samples| {
        pools.iter().for_each(|pool| samples.count(&[&pool.upstream], pool.epoch));
    });
    page.family(&names::DB_CHANGES, |samples| {
        for pool in &pools {
            pool.changes.iter().for_each(|(reason, count)| samples.count(&[&pool.upstream, reason], *count));
        }
    });
}
