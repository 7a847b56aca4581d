//! The rules of a pool for readers: which servers follow closely enough.

use std::sync::Arc;
use std::time::Duration;

use super::machine::{Machine, Ruling};
use super::member::Member;
use super::seen::Following;
use super::settings::Fallback;
use super::verdict::{Loss, Reason, Standing, Verdict};

/// What becomes of the pool as it is known now. A replica that is seen unfit is out at once; one that
/// does not answer, after `fall` checks; one that is fit again, in after `rise`.
pub(super) fn rule(pool: &Machine, max_lag: Duration, fallback: Fallback) -> Ruling {
    let mut verdicts: Vec<(Verdict, Reason)> =
        pool.members.iter().map(|member| of_one(pool, member, max_lag)).collect();
    let servers = verdicts.iter().filter(|(verdict, _)| *verdict == Verdict::Serves).count();
    if servers > 0 {
        return Ruling { standing: Standing::Serving { servers }, verdicts, accept: None };
    }
    if !pool.members.iter().all(|member| member.is_heard(pool.settings.fall)) {
        return Ruling { standing: Standing::Learning, verdicts, accept: None };
    }
    let standing = match only_primary(pool).filter(|_| fallback == Fallback::Primary) {
        Some(primary) => {
            if let Some(entry) = verdicts.get_mut(primary) {
                *entry = (Verdict::Serves, Reason::Fallback);
            }
            Standing::Fallback
        }
        None if rises(pool, max_lag) => Standing::Learning,
        None => Standing::Lost(Loss::Never),
    };
    Ruling { standing, verdicts, accept: None }
}

fn of_one(pool: &Machine, member: &Member, max_lag: Duration) -> (Verdict, Reason) {
    let (rise, fall) = (pool.settings.rise, pool.settings.fall);
    if member.is_silent(fall) {
        let why = member.failure.as_ref().map(|(_, why)| Arc::clone(why)).unwrap_or_default();
        return (Verdict::Out, Reason::Silent(why));
    }
    let serves = member.verdict == Verdict::Serves && member.reason != Reason::Fallback;
    match member.lack(max_lag) {
        Some(reason) => (Verdict::Out, reason),
        None if serves => (Verdict::Serves, member.reason.clone()),
        None if member.ready_in_row < rise => (Verdict::Out, Reason::Rising { seen: member.ready_in_row, rise }),
        None => {
            let within = match member.last().map(|seen| &seen.following) {
                Some(Following::Running(Some(lag))) => *lag,
                _ => Duration::ZERO,
            };
            (Verdict::Serves, Reason::Follows { within })
        }
    }
}

/// Whether a replica is fit, and only not for long enough.
fn rises(pool: &Machine, max_lag: Duration) -> bool {
    pool.members.iter().any(|member| !member.is_silent(pool.settings.fall) && member.lack(max_lag).is_none())
}

/// The one server that takes writes; two of them are none. It may miss checks like any that serves.
fn only_primary(pool: &Machine) -> Option<usize> {
    let (rise, fall) = (pool.settings.rise, pool.settings.fall);
    let writable: Vec<usize> = (0..pool.members.len())
        .filter(|place| pool.members.get(*place).is_some_and(|member| member.may_be_writable(fall)))
        .collect();
    let [primary] = *writable else { return None };
    let member = pool.members.get(primary)?;
    let trusted = member.verdict == Verdict::Serves || member.writable_in_row >= rise;
    (trusted && pool.source_in_pool(primary).is_none()).then_some(primary)
}
