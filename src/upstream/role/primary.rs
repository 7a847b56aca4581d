//! The rules of a pool for writers: which one server, if any, is the primary.

use std::sync::Arc;

use super::machine::{Machine, Ruling};
use super::member::Member;
use super::memory::Why;
use super::verdict::{Loss, Reason, Standing, Verdict};

/// What becomes of the pool as it is known now.
pub(super) fn rule(pool: &Machine) -> Ruling {
    let contenders = contenders(pool);
    if let Some(double) = double(pool, &contenders) {
        return double;
    }
    match *contenders {
        [candidate] if pool.primary() == Some(candidate) => known_one(pool, candidate),
        [candidate] => another_one(pool, candidate),
        _ => nobody(pool),
    }
}

/// Servers that take writes as their newest check saw it, but for those whom the operator has dismissed.
/// While there are two, one without an answer counts on until it is known to be dead: a lost check ends no alarm.
fn contenders(pool: &Machine) -> Vec<usize> {
    let was_double = matches!(pool.standing, Standing::Double { .. });
    let fall = pool.settings.fall;
    let contends = |member: &Member| member.is_writable() || (was_double && member.may_be_writable(fall));
    let all = pool.members.iter().enumerate();
    all.filter(|(place, member)| contends(member) && pool.aside(*place) != Some(Why::Dismissed))
        .map(|(place, _)| place)
        .collect()
}

/// Two that take writes, or one that replicates from another of the pool while it does: no new writes to
/// any. Who is on the last primary stays while that one is as it was.
fn double(pool: &Machine, contenders: &[usize]) -> Option<Ruling> {
    let entangled = contenders.iter().find_map(|place| Some((*place, pool.source_in_pool(*place)?)));
    let (servers, why) = match entangled {
        _ if contenders.len() > 1 => (
            contenders.to_vec(),
            Reason::Double { servers: contenders.iter().map(|place| name(pool, *place)).collect() },
        ),
        Some((server, source)) => {
            (vec![server, source], Reason::Entangled { server: name(pool, server), source: name(pool, source) })
        }
        None => return None,
    };
    let primary = pool.primary();
    let verdicts = pool.members.iter().enumerate().map(|(place, member)| {
        let unchanged = primary == Some(place)
            && member.holds_sessions()
            && member.may_be_writable(pool.settings.fall)
            && pool.source_in_pool(place).is_none()
            && pool.missing(place).is_none();
        match unchanged {
            true => (Verdict::Keeps, why.clone()),
            false if contenders.contains(&place) => (Verdict::Out, why.clone()),
            false => (Verdict::Out, plain_reason(pool, place)),
        }
    });
    Some(Ruling { standing: Standing::Double { servers }, verdicts: verdicts.collect(), accept: None })
}

/// The one server that takes writes is the last confirmed primary.
fn known_one(pool: &Machine, place: usize) -> Ruling {
    let Some(member) = pool.members.get(place) else { return nobody(pool) };
    if let Some(gtids) = pool.missing(place) {
        let primary = last_primary(pool);
        return refused(pool, place, Reason::Missing { primary, gtids });
    }
    let epoch = pool.memory.epoch;
    if let Some(epoch) = pool.unkept {
        let verdict = if member.holds_sessions() { Verdict::Keeps } else { Verdict::Out };
        return alone(pool, place, verdict, Reason::Recording { epoch }, Standing::Learning);
    }
    if !member.holds_sessions()
        && let Some(wait) = wait(pool, member)
    {
        return alone(pool, place, Verdict::Out, wait, Standing::Learning);
    }
    alone(pool, place, Verdict::Serves, Reason::Primary { epoch }, Standing::Serving { servers: 1 })
}

/// The one server that takes writes is not the last confirmed primary, or there was none.
fn another_one(pool: &Machine, place: usize) -> Ruling {
    let fall = pool.settings.fall;
    let Some(member) = pool.members.get(place) else { return nobody(pool) };
    let old = pool.primary().and_then(|old| Some((old, pool.members.get(old)?)));
    if let Some((old, last)) = old.filter(|(_, last)| last.may_be_writable(fall)) {
        // The old one has not answered just now. Until it is known to be dead it may take writes too.
        let mut ruling =
            alone(pool, place, Verdict::Out, Reason::MayBeDouble { primary: Arc::clone(&last.name) }, Standing::Unsure);
        let verdict = if last.holds_sessions() { Verdict::Keeps } else { Verdict::Out };
        if let Some(entry) = ruling.verdicts.get_mut(old) {
            *entry = (verdict, Reason::Unanswered { failures: last.failures, fall });
        }
        return ruling;
    }
    if pool.memory.doubtful {
        return refused(pool, place, Reason::Doubtful);
    }
    if pool.aside(place) == Some(Why::Deposed) {
        return refused(pool, place, Reason::Deposed { primary: last_primary(pool) });
    }
    if let Some(gtids) = pool.missing(place) {
        return refused(pool, place, Reason::Missing { primary: last_primary(pool), gtids });
    }
    match wait(pool, member) {
        Some(wait) => alone(pool, place, Verdict::Out, wait, Standing::Learning),
        None => {
            let reason = Reason::Recording { epoch: pool.memory.epoch + 1 };
            Ruling { accept: Some(place), ..alone(pool, place, Verdict::Out, reason, Standing::Learning) }
        }
    }
}

/// No server takes writes, as far as was seen just now.
fn nobody(pool: &Machine) -> Ruling {
    let fall = pool.settings.fall;
    let primary = pool.primary().and_then(|place| Some((place, pool.members.get(place)?)));
    if let Some((place, member)) = primary
        && member.holds_sessions()
        && member.may_be_writable(fall)
    {
        let (verdict, reason) = (member.verdict, Reason::Unanswered { failures: member.failures, fall });
        let serves = verdict == Verdict::Serves;
        let standing = if serves { Standing::Serving { servers: 1 } } else { Standing::Unsure };
        return alone(pool, place, verdict, reason, standing);
    }
    let standing = match primary {
        _ if !pool.members.iter().all(|member| member.is_heard(fall)) => Standing::Learning,
        Some((_, member)) if member.is_silent(fall) => Standing::Lost(Loss::Silent),
        Some((_, member)) if member.last().is_some_and(|seen| seen.writable) => Standing::Learning,
        Some(_) => Standing::Lost(Loss::ReadOnly),
        None if pool.memory.primary.is_some() => Standing::Lost(Loss::Gone),
        None => Standing::Lost(Loss::Never),
    };
    Ruling { standing, verdicts: all_out(pool), accept: None }
}

/// What a server that may serve still waits for.
fn wait(pool: &Machine, member: &Member) -> Option<Reason> {
    let (seen, rise) = (member.writable_in_row, pool.settings.rise);
    if seen < rise {
        Some(Reason::Rising { seen, rise })
    } else if pool.members.iter().all(|member| member.is_heard(pool.settings.fall)) {
        None
    } else {
        Some(Reason::Learning)
    }
}

fn refused(pool: &Machine, place: usize, reason: Reason) -> Ruling {
    let standing = Standing::Refused { server: place, reason: reason.clone() };
    alone(pool, place, Verdict::Out, reason, standing)
}

/// This for one, nothing for the others.
fn alone(pool: &Machine, place: usize, verdict: Verdict, reason: Reason, standing: Standing) -> Ruling {
    let mut verdicts = all_out(pool);
    if let Some(entry) = verdicts.get_mut(place) {
        *entry = (verdict, reason);
    }
    Ruling { standing, verdicts, accept: None }
}

fn all_out(pool: &Machine) -> Vec<(Verdict, Reason)> {
    (0..pool.members.len()).map(|place| (Verdict::Out, plain_reason(pool, place))).collect()
}

/// Why a server that is not the primary gets nobody.
fn plain_reason(pool: &Machine, place: usize) -> Reason {
    let Some(member) = pool.members.get(place) else { return Reason::NotSeen };
    let silent = || {
        let why = member.failure.as_ref().map(|(_, why)| Arc::clone(why)).unwrap_or_default();
        Reason::Silent(why)
    };
    match member.last() {
        _ if member.is_silent(pool.settings.fall) => silent(),
        None => Reason::NotSeen,
        Some(seen) if !seen.writable => Reason::ReadOnly,
        Some(_) if member.failures > 0 => silent(),
        Some(_) => match pool.aside(place) {
            Some(Why::Deposed) => Reason::Deposed { primary: last_primary(pool) },
            Some(Why::Dismissed) => Reason::Dismissed { primary: last_primary(pool) },
            None => Reason::Writable,
        },
    }
}

fn name(pool: &Machine, place: usize) -> Arc<str> {
    pool.members.get(place).map(|member| Arc::clone(&member.name)).unwrap_or_default()
}

fn last_primary(pool: &Machine) -> Arc<str> {
    pool.memory.primary.as_ref().map(|known| Arc::from(&*known.server)).unwrap_or_default()
}
