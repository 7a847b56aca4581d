//! One host goes, another one takes over.

use haechi::vrrp::host::{Host, Left};
use haechi::vrrp::netlink::{Change, News};

use super::super::harness::namespaces::Namespace;
use super::super::harness::segment::{Segment, adverts};
use super::super::harness::{eventually, within};
use super::{PATIENCE, Speaking, VIP, front, has, ip, logged, neighbour, read, until_gone, until_logged, well};

const MAC_ONE: &str = "02:00:00:00:00:0b";
const MAC_TWO: &str = "02:00:00:00:00:0c";

/// The client has sent to the address, so that it has an entry that an announcement moves.
fn know(client: &Namespace) {
    client.ip(&format!("neigh replace {VIP} lladdr 02:00:00:00:00:99 dev eth0 nud stale"));
}

fn until_neighbour(client: &Namespace, mac: &str) {
    within(PATIENCE, "the client sends to the new host", || (neighbour(client, VIP) == mac).then_some(()));
}

#[test]
fn a_host_that_loses_its_link_is_replaced_and_takes_over_again() {
    let Some(segment) = Segment::new(3) else { return };
    let [one, two, client] = &*segment.hosts else { unreachable!() };
    know(client);
    let first = Speaking::front(one, "link-one", "priority = 150");
    first.until_active("silence");
    until_neighbour(client, MAC_ONE);
    let second = Speaking::front(two, "link-two", "priority = 100");
    second.until("backup", |now| now.state == "backup" && now.counters.accepted > 0);

    segment.unplug(0);
    first.until_state("fault", "no_link");
    until_gone(one, VIP);
    second.until_active("silence");
    assert!(has(two, VIP));
    until_neighbour(client, MAC_TWO);

    segment.plug(0);
    // It listens first, and takes over only after it has been well for a while.
    let back = first.until_active("preempting");
    let transitions: Vec<_> =
        back.counters.transitions.iter().map(|change| (&*change.state, &*change.reason, change.count)).collect();
    assert_eq!(
        transitions,
        [("backup", "fit", 2), ("active", "silence", 1), ("fault", "no_link", 1), ("active", "preempting", 1)]
    );
    second.until_state("backup", "beaten");
    until_gone(two, VIP);
    until_neighbour(client, MAC_ONE);
    until_logged("link-two", "192.168.0.11 is active with priority 150");
}

#[test]
fn without_preemption_a_host_that_returns_stays_backup() {
    let Some(segment) = Segment::new(2) else { return };
    let [one, two] = &*segment.hosts else { unreachable!() };
    let first = Speaking::front(one, "stay-one", "priority = 150\npreempt = false\nhold_down = \"100ms\"");
    first.until_active("silence");
    let second = Speaking::front(two, "stay-two", "priority = 100\npreempt = false");
    second.until("backup", |now| now.counters.accepted > 0);
    segment.unplug(0);
    second.until_active("silence");
    segment.plug(0);
    first.until_state("backup", "fit");
    first.hears(20);
    let now = &first.status()[0];
    assert_eq!(
        (&*now.state, now.peer.as_ref().map(|peer| (peer.address, peer.priority))),
        ("backup", Some((ip("192.168.0.12"), 100)))
    );
    assert_eq!(second.status()[0].state, "active");
}

#[test]
fn who_stops_hands_over_before_the_address_goes() {
    let Some(segment) = Segment::new(2) else { return };
    let [one, two] = &*segment.hosts else { unreachable!() };
    let first = Speaking::front(one, "stop-one", "priority = 150");
    first.until_active("silence");
    let second = Speaking::front(two, "stop-two", "priority = 100");
    second.until("backup", |now| now.counters.accepted > 0);
    let capture = segment.switch.capture();
    let mut news = one.enter(|| News::open().unwrap());
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| first.stop());
        within(PATIENCE, "the address goes", || {
            let mut changed = false;
            news.read(|change| changed |= matches!(change, Change::Address { net, .. } if net.addr() == ip(VIP)))
                .unwrap();
            (changed && !has(one, VIP)).then_some(())
        });
        // What was sent before the address went has come by now.
        let said: Vec<_> = adverts(&capture).into_iter().map(|advert| (advert.source, advert.priority)).collect();
        let farewell = said.iter().position(|said| *said == (ip("192.168.0.11"), 0)).unwrap();
        let answer = said.iter().position(|said| *said == (ip("192.168.0.12"), 100)).unwrap();
        assert!(farewell < answer, "{said:?}");
        stopping.join().unwrap();
    });
    second.until_active("hand_over");
    assert!(has(two, VIP));
    until_logged("stop-one", "tells others to take over and serves until one does");
}

#[test]
fn who_is_drained_gives_the_address_away_until_it_is_not() {
    let Some(segment) = Segment::new(2) else { return };
    let [one, two] = &*segment.hosts else { unreachable!() };
    let first = Speaking::front(one, "drain-one", "priority = 150");
    first.until_active("silence");
    let second = Speaking::front(two, "drain-two", "priority = 100");
    second.until("backup", |now| now.counters.accepted > 0);
    first.host().drain().unwrap();
    first.until_state("fault", "drained");
    second.until_active("hand_over");
    first.host().undrain().unwrap();
    first.until_active("preempting");
    // A hand-over holds although its priority is higher.
    first.host().hand_over().unwrap();
    first.until_state("backup", "handed_over");
    second.until_active("hand_over");
    first.hears(10);
    assert_eq!(first.status()[0].state, "backup");
}

#[test]
fn the_owner_of_an_address_has_it_whoever_was_active() {
    let Some(segment) = Segment::new(2) else { return };
    let [one, two] = &*segment.hosts else { unreachable!() };
    let second = Speaking::front(two, "owner-two", "priority = 254");
    second.until_active("silence");
    one.ip("addr add 192.168.0.100/24 dev eth0");
    let first = Speaking::front(one, "owner-one", "priority = 255");
    first.until_active("preempting");
    second.until_state("backup", "beaten");
    until_gone(two, VIP);
    first.stop();
    assert!(has(one, VIP), "it is the host's own");
    second.until_active("hand_over");
}

#[test]
fn a_host_that_is_killed_leaves_no_address_behind() {
    let Some(segment) = Segment::new(2) else { return };
    let [one, two] = &*segment.hosts else { unreachable!() };
    let first = Speaking::front(one, "killed-one", "priority = 150");
    first.until_active("silence");
    let second = Speaking::front(two, "killed-two", "priority = 100");
    second.until("backup", |now| now.counters.accepted > 0);
    let capture = segment.switch.capture();
    drop(first);
    second.until_active("silence");
    until_gone(one, VIP);
    let farewells = adverts(&capture).into_iter().filter(|advert| advert.priority == 0).count();
    assert_eq!(farewells, 0, "it told nobody");
    assert!(logged("killed-one").iter().all(|line| !line.contains("takes no part")));
}

#[test]
fn an_interface_that_was_made_anew_is_the_same_one() {
    let Some(segment) = Segment::new(2) else { return };
    let [one, two] = &*segment.hosts else { unreachable!() };
    let first = Speaking::front(one, "anew-one", "priority = 150");
    first.until_active("silence");
    let second = Speaking::front(two, "anew-two", "priority = 100");
    second.until("backup", |now| now.counters.accepted > 0);
    two.ip("link del eth0");
    second.until_state("fault", "no_link");
    segment.connect(1);
    second.until_state("backup", "fit");
    second.hears(3);
    first.stop();
    second.until_active("hand_over");
    assert!(has(two, VIP));
}

#[test]
fn with_a_virtual_mac_no_client_learns_anew() {
    let Some(segment) = Segment::new(3) else { return };
    let [one, two, client] = &*segment.hosts else { unreachable!() };
    let first = Speaking::front(one, "mac-one", "priority = 150\nvirtual_mac = true");
    first.until_active("silence");
    let second = Speaking::front(two, "mac-two", "priority = 100\nvirtual_mac = true");
    second.until("backup", |now| now.counters.accepted > 0);
    know(client);
    let virtual_mac = "00:00:5e:00:01:33";
    // It asks, and is answered.
    client.enter(|| std::net::TcpStream::connect((VIP, 1)).unwrap_err());
    client.ip(&format!("neigh flush {VIP} dev eth0"));
    client.enter(|| std::net::TcpStream::connect((VIP, 1)).unwrap_err());
    until_neighbour(client, virtual_mac);
    first.stop();
    assert!(
        !one.ip("link show").contains("macvlan") && !one.ip("link show").contains(virtual_mac),
        "its interface is gone"
    );
    second.until_active("hand_over");
    assert_eq!(neighbour(client, VIP), virtual_mac);
    client.enter(|| std::net::TcpStream::connect((VIP, 1)).unwrap_err());
    assert_eq!(neighbour(client, VIP), virtual_mac);
}

#[test]
fn a_group_moves_together() {
    let Some(segment) = Segment::new(2) else { return };
    let [one, two] = &*segment.hosts else { unreachable!() };
    let six = r#"addresses = ["fe80::77:51/64", "fd00:77::100/64"]"#;
    let pair = |name: &str, priority: u8| {
        let four = front(&format!("{name}-four"), &format!("group = \"both\"\npriority = {priority}"));
        four + &front(&format!("{name}-six"), &format!("group = \"both\"\npriority = {priority}\n{six}"))
    };
    let first = Speaking::start(one, &pair("group-one", 150));
    let both = |host: &Speaking<'_>, state: &str| {
        within(PATIENCE, "both are alike", || host.status().iter().all(|now| now.state == state).then_some(()));
    };
    first.until_active("silence");
    both(&first, "active");
    let second = Speaking::start(two, &pair("group-two", 100));
    within(PATIENCE, "both hear", || second.status().iter().all(|now| now.counters.accepted > 0).then_some(()));
    both(&second, "backup");
    // The IPv6 instance loses its source address: both go.
    one.ip("addr del fe80::b/64 dev eth0");
    both(&second, "active");
    first.until_state("fault", "group");
    eventually("no address is left", || (!has(one, VIP) && !has(one, "fd00:77::100")).then_some(()));
    assert!(has(two, VIP) && has(two, "fd00:77::100"));
}

#[test]
fn a_resumed_host_goes_on_where_it_was() {
    let Some(segment) = Segment::new(2) else { return };
    let [one, two] = &*segment.hosts else { unreachable!() };
    let written = front("resumed-one", "priority = 100");
    let first = Speaking::start(one, &written);
    first.until_active("silence");
    let second = Speaking::front(two, "resumed-two", "priority = 90\npreempt = false");
    second.until("backup", |now| now.counters.accepted > 0);
    drop(first);
    let plans = read(&written);
    let left = Left { name: "resumed-one".into(), active: true, peer: None };
    let host = one.enter(|| Host::start(plans, vec![left]).unwrap());
    let again = Speaking { at: one, host: Some(host) };
    again.until_active("resumed");
    again.host().facts(well(&[])).unwrap();
    assert_eq!(again.at.name(), one.name());
    // Where the machine stood still in between, the other one has taken over and yields.
    second.hears(3);
    second.until("backup", |now| now.state == "backup");
    assert!(has(one, VIP));
}

#[test]
fn unicast_peers_may_be_beyond_the_link() {
    let Some(segment) = Segment::new(2) else { return };
    let [one, two] = &*segment.hosts else { unreachable!() };
    one.ip("addr add fd00:77::b/64 dev eth0 nodad");
    two.ip("addr add fd00:77::c/64 dev eth0 nodad");
    let six = |peer: &str| {
        format!("addresses = [\"fe80::77:51/64\", \"fd00:77::100/64\"]\npeers = [\"{peer}\"]\ncheck_ttl = false")
    };
    let first = Speaking::front(one, "beyond-one", &format!("priority = 150\n{}", six("fd00:77::c")));
    first.until_active("silence");
    let second = Speaking::front(two, "beyond-two", &format!("priority = 100\n{}", six("fd00:77::b")));
    let heard = second.until("backup", |now| now.counters.accepted > 0);
    assert_eq!(heard.peer.unwrap().address, ip("fd00:77::b"), "from an address that a router knows");
    first.stop();
    second.until_active("hand_over");
    assert!(has(two, "fd00:77::100"));
}

#[test]
fn the_thread_that_speaks_runs_before_all_others() {
    let Some(segment) = Segment::new(1) else { return };
    let first = Speaking::front(&segment.hosts[0], "real-time-one", "");
    first.until_active("silence");
    let mut policies = Vec::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let task = task.unwrap().path();
        // A thread of another test may have ended meanwhile.
        let read = |name: &str| std::fs::read_to_string(task.join(name)).unwrap_or_default();
        if read("comm").trim() == "vrrp" {
            // proc(5): behind the name in brackets, the priority is the 38th field and the policy the 39th.
            let stat = read("stat");
            let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
            policies.extend(fields.get(37..39).map(|fields| (fields[0].to_owned(), fields[1].to_owned())));
        }
    }
    let fifo = ("50".to_owned(), "1".to_owned());
    if policies.contains(&("0".to_owned(), "0".to_owned())) {
        eprintln!("SKIPPED: no real-time priority here");
    } else {
        assert!(!policies.is_empty() && policies.iter().all(|policy| *policy == fifo), "{policies:?}");
    }
}
