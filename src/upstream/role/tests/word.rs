//! What the operator's word can do, and what not.

use super::{Pool, RISE, Server};
use crate::upstream::role::*;

#[test]
fn one_of_two_writable_servers_is_named_and_the_other_one_is_passed_over_until_it_is_read_only() {
    let mut pool = Pool::served();
    pool.see(1, &Server::primary(2, "0-1-100"));
    pool.expect("keeps out out");
    let confirmed = pool.confirm("a", false).unwrap();
    assert_eq!((&*confirmed.server, &*confirmed.dismissed), ("a", &["b".into()][..]));
    pool.expect("serves out out");
    pool.see(1, &Server::primary(2, "0-1-100,0-2-101"));
    pool.expect("serves out out");
    assert_eq!(pool.reason(1), "passed over by the operator, who has named a");
    // Its death makes the other one no primary.
    pool.miss_times(3, 0);
    pool.see_times(9, 1, &Server::primary(2, "0-1-100"));
    pool.expect("out out out");
    pool.see(1, &Server::replica(2, 1, "0-1-100"));
    pool.see_times(RISE, 1, &Server::primary(2, "0-1-100"));
    pool.expect("out serves out");
}

#[test]
fn the_second_one_may_be_named_too() {
    let mut pool = Pool::served();
    pool.see_times(RISE, 1, &Server::primary(2, "0-1-100"));
    pool.confirm("b", false).unwrap();
    pool.expect("out serves out");
    assert_eq!(pool.machine.memory().epoch, 2);
}

#[test]
fn transactions_are_given_up_by_name_alone() {
    let mut pool = Pool::served();
    pool.see(0, &Server::primary(1, "0-1-105"));
    pool.miss_times(3, 0);
    pool.see_times(RISE, 1, &Server::primary(2, "0-1-100"));
    let fault = pool.confirm("b", false).unwrap_err();
    assert_eq!(
        fault.to_string(),
        "`b` lacks transactions that `a` was seen to have: 0-1-101..105; with --accept-data-loss they are given up"
    );
    pool.expect("out out out");
    let confirmed = pool.confirm("b", true).unwrap();
    assert_eq!(confirmed.lost.unwrap().to_string(), "0-1-101..105");
    pool.expect("out serves out");
}

#[test]
fn no_word_makes_a_primary_of_a_server_that_is_none() {
    let mut pool = Pool::served();
    let said = |pool: &mut Pool, server: &str| pool.confirm(server, true).unwrap_err().to_string();
    assert_eq!(said(&mut pool, "b"), "`b` is read-only: promote it first, haechi only follows");
    assert_eq!(said(&mut pool, "x"), "no server is called `x`; there are `a`, `b`, `c`");
    pool.see(1, &Server::replica(2, 1, "0-1-100").writable(true));
    assert_eq!(said(&mut pool, "b"), "`b` replicates from `a`: stop that first (STOP REPLICA)");
    pool.miss(1);
    assert_eq!(said(&mut pool, "b"), "`b` does not answer: connect: connection refused");
    let role = Role::Replica { max_lag: std::time::Duration::ZERO, fallback: Fallback::None };
    let mut readers = Pool::of(role, 1, Memory::default());
    assert_eq!(said(&mut readers, "a"), "this upstream has no primary: its role is `replica`");
}
