//! One situation each: what is seen, who gets what.

use std::time::Duration;

use super::{Pool, RISE, Server};
use crate::upstream::role::*;

const READERS: Role = Role::Replica { max_lag: Duration::from_secs(5), fallback: Fallback::Primary };

#[test]
fn a_server_gets_nobody_before_all_were_looked_at_and_it_was_seen_often_enough() {
    let mut pool = Pool::of(Role::Primary, 3, Memory::default());
    pool.see(0, &Server::primary(1, "0-1-100"));
    pool.see(1, &Server::replica(2, 1, "0-1-100"));
    pool.see(0, &Server::primary(1, "0-1-100"));
    pool.expect("out out out");
    assert_eq!(pool.reason(0), "writable; the other servers have not been looked at yet");
    pool.see(2, &Server::replica(3, 1, "0-1-100"));
    pool.expect("serves out out");
    assert_eq!(pool.reason(0), "the primary, epoch 1");
    assert_eq!(pool.events, [Event::Changed { old: None, new: "a".into(), epoch: 1, by_operator: false }]);
}

#[test]
fn a_server_that_never_answers_holds_nobody_up_for_longer_than_fall_checks() {
    let mut pool = Pool::of(Role::Primary, 2, Memory::default());
    pool.see_times(5, 0, &Server::primary(1, "0-1-100"));
    pool.miss_times(2, 1);
    pool.expect("out out");
    pool.miss(1);
    pool.expect("serves out");
}

#[test]
fn a_new_primary_gets_nobody_before_that_is_on_the_disk() {
    let mut pool = Pool::of(Role::Primary, 1, Memory::default());
    pool.disk = false;
    pool.see_times(5, 0, &Server::primary(1, "0-1-100"));
    pool.expect("out");
    assert_eq!(pool.reason(0), "writable; epoch 1 is not on the disk yet");
    pool.handle(Input::Kept { epoch: 0 });
    pool.expect("out");
    pool.handle(Input::Kept { epoch: 1 });
    pool.expect("serves");
}

#[test]
fn a_primary_that_misses_less_than_fall_checks_stays() {
    let mut pool = Pool::served();
    pool.miss_times(2, 0);
    pool.expect("serves out out");
    pool.see(0, &Server::primary(1, "0-1-101"));
    pool.miss_times(2, 0);
    pool.expect("serves out out");
    pool.miss(0);
    pool.expect("out out out");
    assert_eq!(pool.events, [Event::Lost { server: "a".into(), how: Loss::Silent, epoch: 1 }]);
}

#[test]
fn a_dead_primary_that_nobody_replaced_serves_again_when_it_is_back() {
    let mut pool = Pool::served();
    pool.miss_times(9, 0);
    pool.see_times(RISE - 1, 0, &Server::primary(1, "0-1-100"));
    pool.expect("out out out");
    pool.see(0, &Server::primary(1, "0-1-100"));
    pool.expect("serves out out");
    assert_eq!(pool.events.last(), Some(&Event::Found));
    assert_eq!(pool.machine.memory().epoch, 1);
}

#[test]
fn a_primary_that_comes_back_without_what_it_had_gets_nothing() {
    let mut pool = Pool::served();
    pool.miss_times(3, 0);
    pool.see_times(5, 0, &Server::primary(1, "0-1-90"));
    pool.expect("out out out");
    assert_eq!(pool.reason(0), "lacks transactions that a had: 0-1-91..100");
}

#[test]
fn a_promoted_replica_serves_when_the_old_primary_is_dead() {
    let mut pool = Pool::served();
    let promoted = Server::primary(2, "0-1-100");
    pool.miss(0);
    pool.see_times(9, 1, &promoted);
    pool.expect("keeps out out");
    assert_eq!(pool.reason(1), "writable, but a is not known to be dead or read-only yet");
    pool.miss_times(2, 0);
    pool.expect("out serves out");
    let changed = Event::Changed { old: Some("a".into()), new: "b".into(), epoch: 2, by_operator: false };
    assert_eq!(pool.events, [changed]);
}

#[test]
fn a_planned_change_over_cuts_at_once_and_runs_no_hook_of_a_loss() {
    let mut pool = Pool::served();
    pool.see(0, &Server::primary(1, "0-1-100").writable(false));
    pool.expect("out out out");
    assert_eq!(*pool.machine.standing(), Standing::Lost(Loss::ReadOnly));
    assert!(pool.events.is_empty());
    pool.see_times(RISE, 1, &Server::primary(2, "0-1-100"));
    pool.expect("out serves out");
    // Back again: it was seen read-only, so it is no old primary that knows nothing of it.
    pool.see(1, &Server::primary(2, "0-1-100,0-2-120").writable(false));
    pool.see_times(RISE, 0, &Server::primary(1, "0-1-100,0-2-120"));
    pool.expect("serves out out");
    assert_eq!(pool.machine.memory().epoch, 3);
}

#[test]
fn a_candidate_that_lacks_transactions_is_not_accepted() {
    let mut pool = Pool::served();
    pool.see(0, &Server::primary(1, "0-1-105"));
    pool.miss_times(3, 0);
    pool.see_times(9, 1, &Server::primary(2, "0-1-100,0-2-107"));
    pool.expect("out out out");
    assert_eq!(pool.reason(1), "lacks transactions that a had: 0-1-101..105");
    assert!(matches!(pool.events.last(), Some(Event::Refused { .. })));
    pool.see_times(RISE, 2, &Server::primary(3, "0-1-105"));
    assert_eq!(pool.machine.standing().word(), "double_primary");
    pool.see(1, &Server::replica(2, 3, "0-1-105"));
    pool.expect("out out serves");
}

#[test]
fn two_writable_servers_get_no_new_writes_and_sessions_stay_on_the_known_one() {
    let mut pool = Pool::served();
    pool.see(1, &Server::primary(2, "0-1-100"));
    pool.expect("keeps out out");
    assert_eq!(pool.events, [Event::Double { servers: vec!["a".into(), "b".into()] }]);
    pool.see(0, &Server::primary(1, "0-1-150"));
    pool.expect("keeps out out");
    // A lost check ends no alarm.
    pool.miss(1);
    pool.see(0, &Server::primary(1, "0-1-151"));
    pool.expect("keeps out out");
    pool.see(1, &Server::replica(2, 1, "0-1-100"));
    pool.expect("serves out out");
    assert_eq!(pool.events.last(), Some(&Event::DoubleOver));
    assert_eq!(pool.machine.memory().primary.as_ref().unwrap().gtids.as_ref().unwrap().to_string(), "0-1-151");
}

#[test]
fn sessions_are_cut_where_the_known_primary_changes_while_there_are_two() {
    let two = || {
        let mut pool = Pool::served();
        pool.see(1, &Server::primary(2, "0-1-100"));
        pool
    };
    for changed in [
        Server::primary(9, "0-1-100"),
        Server::primary(1, "0-1-99"),
        Server::replica(1, 2, "0-1-100").writable(true),
        Server::replica(1, 2, "0-1-100"),
    ] {
        let mut pool = two();
        pool.see(0, &changed);
        assert_ne!(pool.machine.members[0].verdict, Verdict::Keeps);
        assert_ne!(pool.machine.members[0].verdict, Verdict::Serves);
        assert!(pool.machine.members.iter().all(|member| member.verdict != Verdict::Serves));
    }
    let mut pool = two();
    pool.miss_times(3, 0);
    assert_eq!(pool.machine.members[0].verdict, Verdict::Out);
}

#[test]
fn one_that_replicates_from_the_pool_and_takes_writes_is_no_primary() {
    let mut pool = Pool::of(Role::Primary, 2, Memory::default());
    for _ in 0..5 {
        pool.see(0, &Server::replica(1, 2, "0-1-100").writable(true));
        pool.see(1, &Server::replica(2, 7, "0-1-100"));
    }
    pool.expect("out out");
    assert_eq!(pool.events, [Event::Double { servers: vec!["a".into(), "b".into()] }]);
    assert_eq!(pool.reason(0), "a takes writes and replicates from b: no new ones go to any");
    // The same of a server elsewhere is a matter of that one.
    pool.see_times(RISE, 0, &Server::replica(1, 7, "0-1-100").writable(true));
    pool.expect("serves out");
}

#[test]
fn an_old_primary_that_returns_writable_gets_nothing_and_is_named_with_what_only_it_has() {
    let mut pool = Pool::served();
    pool.miss_times(3, 0);
    pool.see_times(RISE, 1, &Server::primary(2, "0-1-100"));
    pool.see(1, &Server::primary(2, "0-1-100,0-2-120"));
    pool.expect("out serves out");
    pool.events.clear();

    let returned = Server::primary(1, "0-1-103");
    pool.see(0, &returned);
    pool.expect("out keeps out");
    pool.see(1, &Server::primary(2, "0-1-100,0-2-130"));
    pool.expect("out keeps out");
    assert_eq!(pool.machine.errant("a").unwrap().to_string(), "0-1-101..103");
    assert!(pool.events.iter().any(|event| matches!(event, Event::Errant { .. })), "{:?}", pool.events);
    // Now the new one dies: the old one is no way out of it.
    pool.miss_times(3, 1);
    pool.see_times(9, 0, &returned);
    pool.expect("out out out");
    assert_eq!(pool.reason(0), "an old primary: b is since");
}

#[test]
fn an_old_primary_with_nothing_of_its_own_does_not_come_back_by_itself_either() {
    let mut pool = Pool::served();
    pool.miss_times(3, 0);
    pool.see_times(RISE, 1, &Server::primary(2, "0-1-100"));
    pool.miss_times(3, 1);
    pool.see_times(9, 0, &Server::primary(1, "0-1-100"));
    pool.expect("out out out");
    pool.see(0, &Server::replica(1, 2, "0-1-100"));
    pool.see_times(RISE, 0, &Server::primary(1, "0-1-100"));
    pool.expect("serves out out");
}

#[test]
fn another_machine_at_the_address_of_the_primary_is_another_server() {
    let mut pool = Pool::served();
    pool.see(0, &Server::primary(9, "0-1-50"));
    pool.expect("out out out");
    pool.see_times(9, 0, &Server::primary(9, "0-1-50"));
    assert_eq!(pool.reason(0), "lacks transactions that a had: 0-1-51..100");
}

#[test]
fn what_was_known_is_known_after_a_restart() {
    let mut pool = Pool::served();
    pool.see(0, &Server::primary(1, "0-1-105"));
    let letter = pool.machine.memory().letter("db");
    let memory = Memory::try_from(&letter).unwrap();
    assert_eq!(memory, *pool.machine.memory());
    let mut pool = Pool::of(Role::Primary, 3, memory);
    pool.miss_times(3, 0);
    pool.see_times(9, 1, &Server::primary(2, "0-1-100"));
    pool.see_times(2, 2, &Server::replica(3, 2, "0-1-100"));
    pool.expect("out out out");
    assert_eq!(pool.reason(1), "lacks transactions that a had: 0-1-101..105");
}

#[test]
fn where_the_memory_is_lost_the_operator_is_asked() {
    let mut pool = Pool::of(Role::Primary, 1, Memory::doubtful());
    pool.see_times(9, 0, &Server::primary(1, "0-1-100"));
    pool.expect("out");
    assert_eq!(pool.reason(0), "writable, but what was known of the last primary cannot be read");
    pool.confirm("a", false).unwrap();
    pool.expect("serves");
}

#[test]
fn a_pool_without_transaction_ids_follows_whoever_takes_writes() {
    let seen = |writable| Seen {
        identity: "".into(),
        writable,
        sources: vec![],
        following: Following::Nobody,
        gtids: None,
        told: "".into(),
    };
    let mut pool = Pool::of(Role::Primary, 2, Memory::default());
    for _ in 0..RISE {
        pool.handle(Input::Answered { server: 0, seen: Box::new(seen(true)) });
        pool.handle(Input::Answered { server: 1, seen: Box::new(seen(false)) });
    }
    pool.expect("serves out");
    pool.miss_times(3, 0);
    for _ in 0..RISE {
        pool.handle(Input::Answered { server: 1, seen: Box::new(seen(true)) });
    }
    pool.expect("out serves");
}

#[test]
fn readers_are_sent_to_replicas_that_follow_closely() {
    let mut pool = Pool::of(READERS, 3, Memory::default());
    pool.healthy();
    pool.expect("out out out");
    pool.healthy();
    pool.expect("out serves serves");
    pool.see(1, &Server::replica(2, 1, "0-1-100").lag(Some(Duration::from_secs(6))));
    pool.expect("out out serves");
    pool.see(2, &Server::replica(3, 1, "0-1-100").lag(None));
    pool.expect("serves out out");
    assert_eq!(pool.reason(0), "the primary, as no replica can serve");
    pool.see(1, &Server::replica(2, 1, "0-1-100").stopped());
    assert_eq!(pool.reason(1), "does not replicate io stopped, sql stopped");
    pool.see_times(RISE - 1, 2, &Server::replica(3, 1, "0-1-100"));
    pool.expect("serves out out");
    pool.see(2, &Server::replica(3, 1, "0-1-100"));
    pool.expect("out out serves");
    pool.miss_times(2, 2);
    pool.expect("out out serves");
    pool.miss(2);
    pool.expect("serves out out");
}

#[test]
fn readers_are_sent_to_no_primary_where_there_are_two_or_none_is_wanted() {
    let mut pool = Pool::of(READERS, 2, Memory::default());
    for _ in 0..5 {
        pool.see(0, &Server::primary(1, "0-1-100"));
        pool.see(1, &Server::primary(2, "0-1-100"));
    }
    pool.expect("out out");
    let alone = Role::Replica { max_lag: Duration::from_secs(5), fallback: Fallback::None };
    let mut pool = Pool::of(alone, 2, Memory::default());
    for _ in 0..5 {
        pool.see(0, &Server::primary(1, "0-1-100"));
        pool.see(1, &Server::replica(2, 1, "0-1-100").stopped());
    }
    pool.expect("out out");
}

#[test]
fn a_reload_keeps_what_is_known_of_servers_that_stay() {
    let mut pool = Pool::served();
    let mut servers = super::named(4);
    servers.swap(0, 1);
    let settings = Settings { role: Role::Primary, rise: 2, fall: 2 };
    pool.verdicts = vec![Verdict::Out; 4];
    pool.machine.reconfigure(pool.now, settings, servers);
    pool.drain();
    pool.expect("out serves out out");
    pool.miss_times(2, 1);
    pool.expect("out out out out");
}
