//! Adverts that do not come through, are not believed, or are not waited for in time.

use super::*;

const STRANGER: Probed = Probed::Accepts { known: false };
const KNOWN: Probed = Probed::Accepts { known: true };

fn stop() -> Settings {
    Settings { on_partition: OnPartition::Stop, ..settings() }
}

/// A backup that heard its last advert at 0 and has asked who serves.
fn silent(settings: Settings) -> Bench {
    let mut bench = Bench::new(settings);
    bench.hear(11, told(101));
    bench.said();
    bench.run_to(DOWN - 100 * MS + 1);
    assert!(matches!(bench.outputs()[..], [Output::Probe { .. }]));
    bench
}

fn answer(bench: &mut Bench, probed: Probed) {
    bench.act(|machine, now| machine.handle_probe(now, probed));
}

#[test]
fn the_addresses_are_probed_during_the_last_missed_advert_and_it_costs_no_time() {
    let mut bench = Bench::new(settings());
    bench.hear(11, told(101));
    bench.run_to(DOWN + 1);
    let said = bench.said();
    let (at, Output::Probe { deadline }) = said[0] else { panic!("{said:?}") };
    assert_eq!(at, DOWN - 100 * MS);
    assert_eq!(deadline - bench.start, interval(100).active_down(Priority::new(100).unwrap()));
    assert_eq!(said[1], (DOWN, Output::Send { priority: 100 }));
}

#[test]
fn who_is_dead_or_serves_no_more_is_replaced_in_time_whatever_the_policy() {
    for settings in [settings(), stop()] {
        for probed in [Probed::Nobody, Probed::Answers] {
            let mut bench = silent(settings);
            answer(&mut bench, probed);
            bench.run_to(DOWN + 1);
            assert!(bench.outputs().contains(&became(State::Active, Reason::Silence)));
        }
    }
}

#[test]
fn who_serves_unheard_is_named_and_serve_claims_all_the_same() {
    let mut bench = silent(settings());
    bench.refuse(Refusal::Secret, told(101));
    answer(&mut bench, STRANGER);
    bench.said();
    bench.run_to(DOWN + 1);
    let outputs = bench.outputs();
    let (policy, refusal) = (OnPartition::Serve, Some(Refusal::Secret));
    assert_eq!(outputs[0], Output::Event(Event::Unheard { policy, known: false, refusal }));
    assert!(outputs.contains(&became(State::Active, Reason::Unheard)));
}

#[test]
fn stop_does_not_claim_from_who_is_known_as_long_as_it_serves() {
    let mut bench = silent(stop());
    answer(&mut bench, KNOWN);
    while bench.at() < 100 * DOWN {
        bench.run_to(bench.at() + 10 * MS);
        answer(&mut bench, KNOWN);
    }
    assert_eq!(bench.machine.state(), State::Backup);
    let unheard = Event::Unheard { policy: OnPartition::Stop, known: true, refusal: None };
    assert_eq!(bench.events(), [unheard], "it is told once");
    // A stranger has had its time meanwhile.
    bench.run_to(bench.at() + 100 * MS);
    answer(&mut bench, STRANGER);
    bench.run_to(bench.at() + 1);
    assert!(bench.outputs().contains(&became(State::Active, Reason::UnheardTooLong)));
}

#[test]
fn who_is_known_and_answers_nothing_any_more_is_not_waited_for() {
    for probed in [Probed::Answers, Probed::Nobody] {
        let mut bench = silent(stop());
        answer(&mut bench, KNOWN);
        bench.run_to(DOWN + 101 * MS);
        answer(&mut bench, probed);
        assert!(bench.outputs().contains(&became(State::Active, Reason::Silence)));
    }
    // Nobody can be asked: one answer does not count for ever.
    let mut bench = silent(stop());
    answer(&mut bench, KNOWN);
    bench.run_to(DOWN + 299 * MS);
    assert_eq!(bench.machine.state(), State::Backup);
    bench.run_to(DOWN + 301 * MS);
    assert!(bench.outputs().contains(&became(State::Active, Reason::Silence)));
}

#[test]
fn stop_does_not_claim_from_a_stranger_that_serves_but_not_for_ever() {
    let mut bench = silent(stop());
    answer(&mut bench, STRANGER);
    let end = DOWN + 3 * DOWN;
    while bench.at() < end - 150 * MS {
        bench.run_to(bench.at() + 10 * MS);
        answer(&mut bench, STRANGER);
    }
    assert_eq!(bench.machine.state(), State::Backup);
    let outputs = bench.outputs();
    let unheard = Event::Unheard { policy: OnPartition::Stop, known: false, refusal: None };
    assert_eq!(outputs[0], Output::Event(unheard));
    let probes = outputs.iter().filter(|output| matches!(output, Output::Probe { .. })).count();
    assert!((8..=10).contains(&probes), "asked again each interval: {probes}");
    bench.run_to(end + 5);
    assert!(bench.outputs().contains(&became(State::Active, Reason::UnheardTooLong)));
}

#[test]
fn stop_claims_as_soon_as_nobody_serves_any_more() {
    let mut bench = silent(stop());
    answer(&mut bench, STRANGER);
    bench.run_to(DOWN + 101 * MS);
    assert!(matches!(bench.outputs()[..], [_, Output::Probe { .. }]));
    answer(&mut bench, Probed::Answers);
    assert!(bench.outputs().contains(&became(State::Active, Reason::Silence)));
}

#[test]
fn stop_waits_an_interval_for_a_late_answer() {
    let mut bench = silent(stop());
    bench.run_to(DOWN + 99 * MS);
    assert_eq!(bench.machine.state(), State::Backup);
    bench.run_to(DOWN + 101 * MS);
    assert_eq!(bench.machine.state(), State::Active);

    let mut bench = silent(stop());
    bench.run_to(DOWN + 50 * MS);
    answer(&mut bench, STRANGER);
    bench.run_to(DOWN + 300 * MS);
    assert_eq!(bench.machine.state(), State::Backup);
}

#[test]
fn an_advert_that_comes_through_ends_the_doubt() {
    let mut bench = silent(stop());
    answer(&mut bench, STRANGER);
    bench.run_to(DOWN + 50 * MS);
    bench.hear(11, told(101));
    bench.run_to(DOWN + 50 * MS + DOWN - 1);
    assert_eq!(bench.machine.state(), State::Backup);

    // A stale answer is none to the next question.
    let mut bench = silent(stop());
    bench.hear(11, told(101));
    answer(&mut bench, STRANGER);
    bench.run_to(2 * DOWN);
    assert!(!bench.events().contains(&Event::Unheard { policy: OnPartition::Stop, known: false, refusal: None }));
}

#[test]
fn a_refused_advert_moves_no_timer_of_a_backup() {
    for refusal in Refusal::ALL {
        let mut bench = Bench::new(settings());
        bench.hear(11, told(101));
        bench.run_to(50 * MS);
        for priority in [0, 99, 100, 101, 255] {
            let due = bench.machine.poll_timeout();
            bench.refuse(refusal, told(priority));
            assert_eq!(bench.machine.poll_timeout(), due, "{refusal:?}");
        }
        bench.run_to(DOWN + 1);
        assert_eq!(bench.machine.state(), State::Active, "{refusal:?}");
        assert_eq!(bench.machine.counters().refused[refusal as usize], 5);
    }
}

#[test]
fn a_refused_advert_moves_no_advert_of_an_active_one() {
    for refusal in Refusal::ALL {
        for priority in [0, 99, 100, 101, 255] {
            let mut bench = Bench::active(settings());
            for _ in 0..20 {
                bench.run_to(bench.at() + 33 * MS);
                bench.refuse(refusal, told(priority));
            }
            assert_eq!(bench.machine.state(), State::Active);
            let sends = bench.sends();
            for beat in 1..=6 {
                assert!(sends.contains(&(beat * 100 * MS, 100)), "{refusal:?} {priority}: {sends:?}");
            }
        }
    }
}

#[test]
fn a_better_one_that_is_refused_is_answered_and_a_worse_one_is_announced_against() {
    let mut bench = Bench::active(settings());
    bench.run_to(50 * MS);
    bench.said();
    for _ in 0..5 {
        bench.refuse(Refusal::Secret, told(101));
    }
    let expected = [
        Output::Event(Event::Refused { source: host(11), refusal: Refusal::Secret }),
        Output::Send { priority: 100 },
        Output::Event(Event::Rival { source: host(11) }),
    ];
    assert_eq!(bench.outputs(), expected, "once an interval, and no announcement");

    let mut bench = Bench::active(settings());
    bench.run_to(50 * MS);
    bench.said();
    for _ in 0..5 {
        bench.refuse(Refusal::Secret, told(99));
    }
    let outputs = bench.outputs();
    assert!(!outputs.contains(&Output::Send { priority: 100 }));
    assert_eq!(outputs.iter().filter(|output| **output == Output::Announce { times: 5 }).count(), 1);
}

/// A repaired password left clients without service for as long as the rival took to count as gone.
#[test]
fn a_rival_that_is_believed_at_last_is_announced_against_at_once() {
    let mut bench = Bench::active(settings());
    bench.run_to(50 * MS);
    bench.refuse(Refusal::Secret, told(99));
    bench.run_to(150 * MS);
    bench.said();
    bench.hear(11, told(99));
    assert!(bench.outputs().contains(&Output::Announce { times: 5 }));
    bench.run_to(160 * MS);
    bench.hear(11, told(99));
    assert!(!bench.outputs().contains(&Output::Announce { times: 5 }), "once in three intervals otherwise");
}

#[test]
fn a_refused_rival_that_goes_is_announced_after() {
    for farewell in [true, false] {
        let mut bench = Bench::active(settings());
        bench.refuse(Refusal::Secret, told(101));
        bench.run_to(50 * MS);
        bench.said();
        if farewell {
            bench.refuse(Refusal::Secret, told(0));
        } else {
            bench.run_to(301 * MS);
        }
        assert!(bench.outputs().contains(&Output::Announce { times: 5 }), "farewell: {farewell}");
        assert_eq!(bench.machine.rival_since(), None);
    }
}

#[test]
fn what_is_forged_from_afar_is_no_rival() {
    let mut bench = Bench::active(settings());
    bench.refuse(Refusal::Ttl, told(255));
    bench.refuse(Refusal::Replay, told(255));
    assert_eq!(bench.machine.rival_since(), None);
    assert_eq!(bench.sends(), []);
}

#[test]
fn a_backup_that_was_held_up_waits_one_more_interval_and_asks_again() {
    let mut bench = Bench::new(settings());
    bench.hear(11, told(101));
    bench.said();
    // Nothing was done for ten intervals; nothing lay in the socket either.
    bench.sleep_to(1_000 * MS);
    bench.act(Machine::handle_timeout);
    assert!(matches!(bench.events()[..], [Event::Late { .. }]));
    bench.run_to(1_099 * MS);
    assert_eq!(bench.machine.state(), State::Backup);
    assert!(matches!(bench.outputs()[..], [Output::Probe { .. }]));
    bench.run_to(1_101 * MS);
    assert_eq!(bench.machine.state(), State::Active);
}

#[test]
fn a_sleep_that_ends_just_before_the_end_of_silence_is_noticed_too() {
    let mut bench = Bench::new(settings());
    bench.hear(11, told(101));
    bench.sleep_to(DOWN - 1);
    bench.act(Machine::handle_timeout);
    bench.run_to(DOWN + 98 * MS);
    assert_eq!(bench.machine.state(), State::Backup);
    bench.run_to(DOWN + 101 * MS);
    assert_eq!(bench.machine.state(), State::Active);
}

#[test]
fn what_lay_in_the_socket_meanwhile_is_heard_first() {
    let mut bench = Bench::new(settings());
    bench.hear(11, told(101));
    bench.said();
    bench.sleep_to(1_000 * MS);
    bench.hear(11, told(101));
    bench.act(Machine::handle_timeout);
    bench.run_to(1_000 * MS + DOWN - 150 * MS);
    assert_eq!(bench.outputs(), []);
}

#[test]
fn one_that_is_always_late_claims_in_the_end() {
    let mut bench = Bench::new(settings());
    bench.hear(11, told(101));
    let mut at = 0;
    while bench.machine.state() == State::Backup && at < 5_000 * MS {
        at += 250 * MS;
        bench.sleep_to(at);
        bench.act(Machine::handle_timeout);
    }
    assert!(at <= 2_000 * MS, "{at}");
    assert_eq!(bench.machine.state(), State::Active);
}

#[test]
fn an_active_one_that_missed_beats_does_not_make_up_for_them() {
    let mut bench = Bench::active(settings());
    bench.sleep_to(1_030 * MS);
    bench.act(Machine::handle_timeout);
    bench.run_to(1_300 * MS);
    assert_eq!(bench.sends(), [(1_030 * MS, 100), (1_130 * MS, 100), (1_230 * MS, 100)]);
}
