//! Adverts are lost, refused or forged while hosts live.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::super::harness::pace;
use super::super::harness::segment::{Segment, adverts, deafen, undeafen};
use super::super::harness::within;
use super::{PATIENCE, Speaking, VIP, front, has, ip, read, until_gone, until_logged, well};

const ANYWHERE: &str = "0.0.0.0:8080";

/// The down interval of adverts every 300 ms and priority 250.
const DOWN: Duration = Duration::from_millis(907);

#[test]
fn adverts_that_are_lost_are_named_and_both_serve_until_they_come_again() {
    let Some(segment) = Segment::new(2) else { return };
    let [one, two] = &*segment.hosts else { unreachable!() };
    let _serves = one.enter(|| TcpListener::bind(ANYWHERE).unwrap());
    let first = Speaking::front(one, "lost-one", "priority = 150");
    first.until_active("silence");
    let second = Speaking::front(two, "lost-two", "priority = 100");
    second.host().facts(well(&[ANYWHERE])).unwrap();
    second.until("backup", |now| now.counters.accepted > 0);

    deafen(two);
    second.until_active("unheard");
    until_logged("lost-two", "let protocol 112 through every firewall");
    // The first one hears the other and says so, but is the better one.
    until_logged("lost-one", "192.168.0.12 is active too");
    assert!(has(one, VIP) && has(two, VIP));
    let capture = segment.switch.capture();
    undeafen(two);
    second.until_state("backup", "beaten");
    until_gone(two, VIP);
    // The winner announces itself, whoever spoke first.
    let announced = |frame: &[u8]| frame[6..14] == [2, 0, 0, 0, 0, 0x0b, 8, 6] && frame[28..32] == [192, 168, 0, 100];
    within(PATIENCE, "an announcement of the winner", || capture.find(announced));
    let after = first.until("alone", |now| now.state == "active" && now.counters.both_active_seconds > 0.0);
    assert!(has(one, VIP) && after.counters.transitions.len() == 2, "{after:?}");
    assert!(
        first
            .metrics()
            .contains("haechi_vrrp_transitions_total{vrrp=\"lost-one\",state=\"active\",reason=\"silence\"} 1\n")
    );
}

#[test]
fn where_two_do_harm_the_second_does_not_claim_while_the_first_serves() {
    let Some(segment) = Segment::new(2) else { return };
    let [one, two] = &*segment.hosts else { unreachable!() };
    let serves = one.enter(|| TcpListener::bind(ANYWHERE).unwrap());
    let careful = "advert_interval = \"300ms\"\non_partition = \"stop\"";
    let first = Speaking::front(one, "harm-one", &format!("priority = 150\n{careful}"));
    first.until_active("silence");
    let second = Speaking::front(two, "harm-two", &format!("priority = 250\npreempt = false\n{careful}"));
    second.host().facts(well(&[ANYWHERE])).unwrap();
    second.until("backup", |now| now.counters.accepted > 0);
    deafen(two);
    until_logged("harm-two", "does not take the addresses as long as that one serves");
    // For longer than the three down intervals that a stranger is waited for.
    let until = Instant::now() + 5 * DOWN;
    while Instant::now() < until {
        assert!(!has(two, VIP), "{:?}", second.status());
        pace(Duration::from_millis(50));
    }
    undeafen(two);
    second.hears(2);
    let now = &second.status()[0];
    assert!(now.counters.transitions.iter().all(|change| change.state != "active"), "{now:?}");
    assert!(has(one, VIP));

    // It is not lost for ever: what keeps it back is that the first one serves, and no more.
    deafen(two);
    drop(serves);
    second.until_active("silence");
}

#[test]
fn a_stranger_that_answers_for_the_address_holds_nobody_down_for_ever() {
    let Some(segment) = Segment::new(3) else { return };
    let [one, two, forger] = &*segment.hosts else { unreachable!() };
    let careful = "advert_interval = \"300ms\"\non_partition = \"stop\"";
    let first = Speaking::front(one, "stranger-one", &format!("priority = 150\n{careful}"));
    first.until_active("silence");
    let second = Speaking::front(two, "stranger-two", &format!("priority = 250\npreempt = false\n{careful}"));
    second.host().facts(well(&[ANYWHERE])).unwrap();
    second.until("backup", |now| now.counters.accepted > 0);
    forger.ip("addr add 192.168.0.100/24 dev eth0");
    let _serves = forger.enter(|| TcpListener::bind(ANYWHERE).unwrap());
    let lost = Instant::now();
    segment.unplug(0);
    second.until_active("unheard_too_long");
    assert!(lost.elapsed() > 3 * DOWN, "{:?}", lost.elapsed());
    until_logged("stranger-two", "has not heard of it before");
}

#[test]
fn a_daemon_that_is_dead_keeps_nobody_from_serving() {
    let Some(segment) = Segment::new(2) else { return };
    let [one, two] = &*segment.hosts else { unreachable!() };
    // It answers ARP for ever, as one does that has died without our lifetimes, and refuses connections.
    one.ip("addr add 192.168.0.100/24 dev eth0");
    let second = Speaking::front(two, "dead-two", "priority = 100\non_partition = \"stop\"");
    second.host().facts(well(&[ANYWHERE])).unwrap();
    second.until_active("silence");
    assert!(has(two, VIP));
}

#[test]
fn a_wrong_password_is_named_and_moves_no_timer() {
    let Some(segment) = Segment::new(2) else { return };
    let [one, two] = &*segment.hosts else { unreachable!() };
    let old = |pass: &str, priority: u8| {
        format!("version = 2\nadvert_interval = \"1s\"\npriority = {priority}\nauth_pass = \"{pass}\"")
    };
    let first = Speaking::front(one, "pass-one", &old("1111", 150));
    first.until_active("silence");
    let second = Speaking::front(two, "pass-two", &old("2222", 100));
    let named = second.until("named", |now| now.refused.is_some());
    let refused = named.refused.unwrap();
    assert_eq!((refused.address, &*refused.cause), (ip("192.168.0.11"), "secret"));
    until_logged("pass-two", "advert from 192.168.0.11 refused: its password is another; set `auth_pass`");
    assert!(second.metrics().contains("haechi_vrrp_adverts_refused_total{vrrp=\"pass-two\",reason=\"secret\"} "));

    // Both are active, and neither silences the other.
    second.until_active("silence");
    let capture = segment.switch.capture();
    let mut heard = Vec::new();
    within(PATIENCE, "both go on", || {
        heard.extend(adverts(&capture).into_iter().map(|advert| advert.source));
        let count = |source| heard.iter().filter(|other| **other == ip(source)).count();
        (count("192.168.0.11") >= 6 && count("192.168.0.12") >= 6).then_some(())
    });

    let repaired = front("pass-two", &old("1111", 100));
    second.host().reconfigure(read(&repaired)).unwrap();
    let after = second.until_state("backup", "beaten");
    assert_eq!(after.counters.transitions.iter().filter(|change| change.state == "active").count(), 1);
    until_gone(two, VIP);
    assert!(has(one, VIP));
    assert_eq!(first.status()[0].state, "active");
}

#[test]
fn a_virtual_router_of_another_number_with_our_address_is_named() {
    let Some(segment) = Segment::new(2) else { return };
    let [one, two] = &*segment.hosts else { unreachable!() };
    let first = Speaking::front(one, "number-one", "virtual_router_id = 52");
    first.until_active("silence");
    let second = Speaking::front(two, "number-two", "");
    until_logged("number-two", "another host shares our addresses under virtual router id 52, ours is 51");
    assert_eq!(second.status()[0].refused, None, "others live on the link by right");
}

#[test]
fn adverts_without_a_proof_are_believed_by_nobody_who_asks_for_one() {
    let Some(segment) = Segment::new(3) else { return };
    let [one, two, forger] = &*segment.hosts else { unreachable!() };
    let proof = "auth_hmac = { keys = [{ id = 7, secret = \"a secret that both of the hosts know\" }] }";
    let first = Speaking::front(one, "proof-one", &format!("priority = 150\n{proof}"));
    first.until_active("silence");
    let second = Speaking::front(two, "proof-two", &format!("priority = 100\n{proof}"));
    second.until("backup", |now| now.counters.accepted > 0);
    let _forger = Speaking::front(forger, "proof-none", "priority = 254");
    let refused = second.until("refused", |now| now.refused.is_some()).refused.unwrap();
    assert_eq!((refused.address, &*refused.cause), (ip("192.168.0.13"), "auth_type"));
    second.hears(10);
    assert_eq!((&*first.status()[0].state, &*second.status()[0].state), ("active", "backup"));
    first.stop();
    second.until_active("hand_over");
}
