use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::*;
use crate::upstream::{Health, News, ServerState};

const THREAD: ThreadId = ThreadId(0);

/// A server that is up; `id` is also the last part of its address.
fn server(id: u32, weight: u32) -> Server {
    let address = SocketAddr::from((Ipv4Addr::from_bits(0x0a00_0000 + id), 8080));
    let name: Arc<str> = address.to_string().into();
    let state = ServerState::new(id, 2, Instant::now(), News::default());
    state.judge(Health::Up, "test", Instant::now());
    Server {
        identity: xxh3_64(name.as_bytes()),
        written: Arc::clone(&name),
        name,
        address: Some(address),
        weight,
        backup: false,
        drain: false,
        limit: None,
        gate: None,
        state: Arc::new(state),
    }
}

fn servers(weights: &[u32]) -> Vec<Arc<Server>> {
    (0..).zip(weights).map(|(id, weight)| Arc::new(server(id, *weight))).collect()
}

fn down(server: &Server) {
    server.state.judge(Health::Down, "test", Instant::now());
}

fn up(server: &Server) {
    server.state.judge(Health::Up, "test", Instant::now());
}

fn client(bits: u32) -> Key<'static> {
    Key { client: Ipv4Addr::from_bits(bits).into(), hashed: None }
}

fn every_balance(servers: &[Arc<Server>]) -> [Balance; 5] {
    [
        Balance::RoundRobin(RoundRobin::new(servers, 2)),
        Balance::LeastConn(LeastConn::new(2)),
        Balance::Random(Random::new(2)),
        Balance::IpHash(IpHash::default()),
        Balance::Hash(HashOn::Header("x-user".into())),
    ]
}

/// The id that a hash of the client's address chooses.
fn hashed(servers: &[Arc<Server>], bits: u32) -> Option<u32> {
    Balance::IpHash(IpHash::default()).pick(servers, THREAD, &client(bits), &[], None).map(|server| server.state.id)
}

proptest! {
    #[test]
    fn only_the_lost_servers_clients_move_and_they_come_back(
        weights in prop::collection::vec(1_u32..=20, 2..10),
        lost in any::<prop::sample::Index>(),
        clients in prop::collection::vec(any::<u32>(), 200),
    ) {
        let servers = servers(&weights);
        let lost = &servers[lost.index(servers.len())];
        let before: Vec<_> = clients.iter().map(|bits| hashed(&servers, *bits)).collect();
        down(lost);
        for (bits, before) in clients.iter().zip(&before) {
            let now = hashed(&servers, *bits);
            if *before == Some(lost.state.id) {
                prop_assert!(now.is_some() && now != *before);
            } else {
                prop_assert_eq!(now, *before);
            }
        }
        up(lost);
        let after: Vec<_> = clients.iter().map(|bits| hashed(&servers, *bits)).collect();
        prop_assert_eq!(before, after);
    }

    #[test]
    fn a_new_server_takes_its_share_and_moves_nobody_else(
        weights in prop::collection::vec(1_u32..=5, 3..8),
        seed in any::<u32>(),
    ) {
        let all = servers(&weights);
        let newcomer = &all[all.len() - 1];
        let before = &all[..all.len() - 1];
        let mut moved = 0;
        for i in 0..4_000_u32 {
            let bits = seed.wrapping_add(i);
            let (old, new) = (hashed(before, bits), hashed(&all, bits));
            if old != new {
                prop_assert_eq!(new, Some(newcomer.state.id));
                moved += 1;
            }
        }
        let share = f64::from(newcomer.weight) / f64::from(weights.iter().sum::<u32>());
        prop_assert!((f64::from(moved) / 4_000.0 - share).abs() < 0.05, "{moved} of 4000, share {share}");
    }

    #[test]
    fn two_hosts_choose_alike_whatever_the_order_of_the_list(
        weights in prop::collection::vec(1_u32..=9, 1..10),
        clients in prop::collection::vec(any::<u32>(), 50),
    ) {
        let one = servers(&weights);
        let mut other = servers(&weights);
        other.reverse();
        for bits in clients {
            prop_assert_eq!(hashed(&one, bits), hashed(&other, bits));
        }
    }

    #[test]
    fn what_is_chosen_is_usable(
        weights in prop::collection::vec(1_u32..=3, 1..20),
        marks in prop::collection::vec((any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()), 20),
        bits in any::<u32>(),
    ) {
        let mut tried = Vec::new();
        let servers: Vec<_> = (0..).zip(&weights).zip(&marks).map(|((id, weight), mark)| {
            let mut server = server(id, *weight);
            let (dead, drain, backup, lost, was_tried) = *mark;
            if dead { down(&server) }
            if was_tried { tried.push(id) }
            if lost { server.address = None }
            (server.drain, server.backup) = (drain, backup);
            Arc::new(server)
        }).collect();
        let usable = |server: &Server| server.address.is_some()
            && server.state.health() != Health::Down
            && !tried.contains(&server.state.id);
        for balance in every_balance(&servers) {
            let hashes = matches!(balance, Balance::IpHash(_) | Balance::Hash(_));
            let choosable = |server: &Server| usable(server) && (hashes || !server.drain);
            let chosen = balance.pick(&servers, THREAD, &client(bits), &tried, None);
            prop_assert_eq!(chosen.is_some(), servers.iter().any(|server| choosable(server)));
            if let Some(chosen) = chosen {
                prop_assert!(choosable(chosen));
                let better = |server: &Server| (server.drain, server.backup) < (chosen.drain, chosen.backup);
                prop_assert!(!servers.iter().any(|server| choosable(server) && better(server)));
            }
        }
    }
}

#[test]
fn every_balance_keeps_to_the_weights() {
    let weights = [1, 2, 5];
    let servers = servers(&weights);
    for balance in every_balance(&servers) {
        let mut chosen: HashMap<u32, u32> = HashMap::new();
        for bits in 0..16_000_u32 {
            let server = balance.pick(&servers, THREAD, &client(bits), &[], None).unwrap();
            *chosen.entry(server.state.id).or_default() += 1;
            if balance.reads_active() {
                // Leases that never end: the load itself must come out by weight.
                server.state.active.fetch_add(1, Relaxed);
            }
        }
        for server in &servers {
            let share = f64::from(chosen[&server.state.id]) / 16_000.0;
            let due = f64::from(server.weight) / 8.0;
            assert!((share - due).abs() < 0.02, "{balance:?}: {} got {share}, due {due}", server.name);
            server.state.active.store(0, Relaxed);
        }
    }
}

#[test]
fn idle_servers_share_what_least_conn_gives() {
    let servers = servers(&[1, 1, 1]);
    down(&servers[1]);
    let balance = Balance::LeastConn(LeastConn::new(1));
    let first =
        (0..1_000).filter(|_| balance.pick(&servers, THREAD, &client(1), &[], None).unwrap().state.id == 0).count();
    assert!((400..600).contains(&first), "{first}");
}

#[test]
fn idle_servers_share_by_weight_what_random_gives() {
    let servers = servers(&[3, 1]);
    let balance = Balance::Random(Random::new(1));
    let first =
        (0..1_000).filter(|_| balance.pick(&servers, THREAD, &client(1), &[], None).unwrap().state.id == 0).count();
    assert!((680..820).contains(&first), "{first} of 1000 for a weight of 3 in 4");
}

#[test]
fn turns_are_smooth_and_threads_start_apart() {
    let servers = servers(&[5, 1, 1]);
    let balance = Balance::RoundRobin(RoundRobin::new(&servers, 2));
    let ids = |thread| -> Vec<u32> {
        (0..7).map(|_| balance.pick(&servers, ThreadId(thread), &client(1), &[], None).unwrap().state.id).collect()
    };
    assert_eq!(ids(0), [0, 0, 1, 0, 2, 0, 0]);
    assert_eq!(ids(1), [0, 1, 0, 2, 0, 0, 0]);
}

#[test]
fn turns_reach_servers_beyond_one_block() {
    let servers = servers(&[1; 40]);
    let balance = Balance::RoundRobin(RoundRobin::new(&servers, 3));
    let ids: Vec<u32> =
        (0..40).map(|_| balance.pick(&servers, ThreadId(2), &client(1), &[], None).unwrap().state.id).collect();
    assert_eq!(ids, (2..40).chain(0..2).collect::<Vec<_>>());
}

#[test]
fn a_prefix_holds_neighbours_together() {
    let by_24 = IpHash { prefix_v4: 24, ..IpHash::default() };
    let (one, two, far): (IpAddr, IpAddr, IpAddr) =
        ([192, 0, 2, 1].into(), [192, 0, 2, 200].into(), [192, 0, 3, 1].into());
    assert_eq!(by_24.key(one), by_24.key(two));
    assert_ne!(by_24.key(one), by_24.key(far));
    assert_ne!(IpHash::default().key(one), IpHash::default().key(two));
    let nothing = IpHash { prefix_v4: 0, prefix_v6: 0 };
    assert_eq!(nothing.key(one), nothing.key(far));
    let mapped = IpAddr::V6(Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped());
    assert_eq!(IpHash::default().key(one), IpHash::default().key(mapped));
    assert_ne!(nothing.key(one), nothing.key(IpAddr::V6(Ipv6Addr::LOCALHOST)));
}

#[test]
fn the_hashed_value_chooses_whoever_the_client_is() {
    let servers = servers(&[1; 8]);
    let balance = Balance::Hash(HashOn::Cookie("JSESSIONID".into()));
    let chosen = |bits, hashed| {
        let key = Key { hashed, ..client(bits) };
        balance.pick(&servers, THREAD, &key, &[], None).unwrap().state.id
    };
    for bits in 0..100 {
        assert_eq!(chosen(bits, Some(b"A1B2".as_slice())), chosen(0, Some(b"A1B2".as_slice())));
        assert_eq!(Some(chosen(bits, None)), hashed(&servers, bits));
    }
}

#[test]
fn a_server_that_comes_back_gets_its_share_little_by_little() {
    let start = Instant::now();
    let over = Duration::from_secs(64);
    for in_turn in [true, false] {
        let servers = servers(&[1, 1, 2]);
        let balance = match in_turn {
            true => Balance::RoundRobin(RoundRobin::new(&servers, 1)),
            false => Balance::Random(Random::new(1)),
        };
        let share = |seconds| {
            let ramp = Some(Ramp { over, now: start + Duration::from_secs(seconds) });
            let first = |_: &i32| balance.pick(&servers, THREAD, &client(1), &[], ramp).unwrap().state.id == 0;
            (0..10_000).filter(first).count()
        };
        // Nobody was down: all begin with what is theirs.
        assert!((2_200..2_800).contains(&share(0)), "{balance:?}");
        servers[0].state.judge(Health::Down, "test", start);
        assert_eq!(share(0), 0);
        servers[0].state.judge(Health::Up, "test", start);
        // A sixteenth, a quarter and the whole of 1 of 4.
        assert!((100..400).contains(&share(0)), "{}", share(0));
        assert!((500..1_000).contains(&share(16)), "{}", share(16));
        assert!((2_200..2_800).contains(&share(64)));
    }
}

#[test]
fn the_choice_never_changes_between_releases() {
    // Both hosts of a pair may run different releases for a while.
    let servers = servers(&[1, 2, 3, 1, 1]);
    let chosen: Vec<_> = (0..12).map(|i| hashed(&servers, 0xc000_0200 + i).unwrap()).collect();
    assert_eq!(chosen, [2, 2, 1, 1, 1, 4, 4, 2, 2, 2, 0, 2]);
}
