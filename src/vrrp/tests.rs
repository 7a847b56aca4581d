//! Laws of a whole LAN: some pure machines, what passes between them, and a client that remembers who
//! announced itself last. `HAECHI_SEED` replays one seed.

mod lan;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::announce::Schedule;
use super::machine::OnPartition;
use lan::{Cut, Lan};

const SEEDS: u64 = 256;

/// Runs a law on every seed, and says which one broke it.
fn on_every_seed(law: fn(u64)) {
    let only: Option<u64> = std::env::var("HAECHI_SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in only.map_or(0..SEEDS, |seed| seed..seed + 1) {
        if let Err(fault) = std::panic::catch_unwind(|| law(seed)) {
            eprintln!("HAECHI_SEED={seed}");
            std::panic::resume_unwind(fault);
        }
    }
}

fn lan(seed: u64) -> Lan {
    Lan::new(seed, Instant::now(), |_| {})
}

/// Whatever happened before: once all is well there is one active host, two for an interval at most, and
/// clients have found it.
#[test]
fn a_lan_that_heals_has_one_active_host_within_an_interval() {
    static REFRESHED: AtomicUsize = AtomicUsize::new(0);
    on_every_seed(|seed| {
        let mut lan = lan(seed);
        for _ in 0..lan.dice.usize(2..8) {
            lan.misfortune();
        }
        lan.heal();
        lan.run(lan.settling());
        assert!(lan.both_active <= lan.interval() + lan.slack(), "two were active for {:?}", lan.both_active);
        let active = lan.active();
        assert_eq!(active.len(), 1, "{active:?}");
        assert_eq!(lan.holders(), active);
        let changes = lan.changes;
        lan.run(20 * lan.interval());
        assert_eq!(lan.changes, changes, "it has not settled");
        // One whose every advert was lost, and then its link, was a rival that nobody knows of. Only the
        // refresh helps there: to announce more often in doubt would pull clients to and fro between two that
        // both serve.
        if lan.client != Some(active[0]) {
            REFRESHED.fetch_add(1, Ordering::Relaxed);
            lan.run(Schedule::default().refresh);
        }
        assert_eq!(lan.client, Some(active[0]), "the client does not know who is active");
    });
    let refreshed = REFRESHED.load(Ordering::Relaxed);
    assert!(refreshed <= 5, "{refreshed} LANs of {SEEDS} waited for the refresh");
}

/// The black hole of a healed cable: whoever speaks first, the client is told within an interval.
#[test]
fn after_a_split_the_client_finds_the_active_host_within_an_interval() {
    on_every_seed(|seed| {
        let mut lan = lan(seed);
        lan.run(lan.settling());
        let alone = lan.active()[0];
        lan.split(alone);
        lan.run(lan.settling());
        assert_eq!(lan.active().len(), 2);
        lan.run_part();
        lan.heal();
        lan.run(lan.interval() + lan.slack());
        assert_eq!(lan.active().len(), 1);
        assert_eq!(lan.client, Some(lan.active()[0]));
        assert_eq!(lan.holders(), lan.active());
    });
}

#[test]
fn a_host_that_dies_is_replaced_within_the_down_interval() {
    on_every_seed(|seed| {
        let mut lan = lan(seed);
        lan.run(lan.settling());
        let dead = lan.active()[0];
        lan.run_part();
        lan.kill(dead);
        let down = lan.best_down(dead);
        let took = lan.run_until(down + lan.slack(), |lan| !lan.active().is_empty());
        assert!(took.is_some(), "nobody is active after {down:?}");
    });
}

#[test]
fn a_host_that_stops_hands_over_at_once_and_the_addresses_are_always_held() {
    on_every_seed(|seed| {
        let mut lan = lan(seed);
        lan.run(lan.settling());
        let old = lan.active()[0];
        lan.stop(old);
        let skew = lan.best_skew(old);
        let mut held = true;
        let took = lan.run_until(skew + lan.slack(), |lan| {
            held &= !lan.holders().is_empty();
            !lan.active().is_empty()
        });
        assert!(took.is_some(), "nobody has taken over after {skew:?}");
        lan.run_until(Duration::from_millis(100), |lan| {
            held &= !lan.holders().is_empty();
            lan.holders() == lan.active()
        });
        assert!(held, "nobody had the addresses for a while");
        assert_eq!(lan.holders(), lan.active());
        assert_ne!(lan.active(), [old]);
    });
}

#[test]
fn a_better_host_that_comes_back_takes_no_more_than_two_intervals_with_two() {
    on_every_seed(|seed| {
        let mut lan = lan(seed);
        lan.run(lan.settling());
        let gone = lan.active()[0];
        lan.kill(gone);
        lan.run(lan.settling());
        lan.both_active = Duration::ZERO;
        lan.revive(gone);
        lan.run(lan.settling());
        assert!(lan.both_active <= lan.slack(), "two were active for {:?}", lan.both_active);
        assert_eq!(lan.holders(), lan.active());
        assert_eq!(lan.client, Some(lan.active()[0]));
    });
}

/// A firewall that drops protocol 112: the hosts see each other's addresses and not each other's adverts.
#[test]
fn where_two_do_harm_lost_adverts_make_no_second_one_however_long_they_are_lost() {
    on_every_seed(|seed| {
        let mut lan = careful(seed);
        lan.run(lan.settling());
        lan.both_active = Duration::ZERO;
        lan.cut(Cut::Adverts);
        lan.run(lan.best_down(usize::MAX) * 20);
        assert_eq!((lan.active().len(), lan.both_active), (1, Duration::ZERO));
        // And it is no more than that: the one that serves dies.
        let dead = lan.active()[0];
        lan.kill(dead);
        let took = lan.run_until(lan.asking() + lan.slack(), |lan| !lan.active().is_empty());
        assert!(took.is_some(), "nobody serves");
    });
}

/// Whoever answers for the addresses and was never heard holds nobody down for longer than three down intervals.
#[test]
fn a_forger_holds_a_host_down_for_three_down_intervals() {
    on_every_seed(|seed| {
        let mut lan = careful(seed);
        lan.run(lan.settling());
        lan.forger = true;
        let dead = lan.active()[0];
        lan.kill(dead);
        let (least, best) = (lan.least_down(), lan.best_down(dead));
        let took = lan.run_until(best * 4 + lan.slack(), |lan| !lan.active().is_empty());
        let took = took.expect("nobody is held down for ever");
        assert!(took >= least * 4 - lan.interval() - lan.slack(), "claimed after {took:?}");
    });
}

/// Where two do harm.
fn careful(seed: u64) -> Lan {
    Lan::new(seed, Instant::now(), |settings| settings.on_partition = OnPartition::Stop)
}
