//! RFC 9568 §6.4, row by row, and where we differ.

use super::*;

#[test]
fn it_starts_as_a_backup_and_claims_after_one_down_interval() {
    for priority in [1, 100, 254, 255] {
        let mut bench = Bench::new(Settings { priority: Priority::new(priority).unwrap(), ..settings() });
        assert_eq!(bench.machine.state(), State::Backup);
        let down = 300 * MS + (256 - u64::from(priority)) * 100 * MS / 256;
        bench.run_to(down - 1);
        assert_eq!(bench.machine.state(), State::Backup, "priority {priority}");
        bench.run_to(down + 1);
        let outputs: Vec<_> = bench.outputs().into_iter().filter(|out| !matches!(out, Output::Probe { .. })).collect();
        let expected = [
            Output::Send { priority },
            Output::Claim,
            Output::Announce { times: 5 },
            became(State::Active, Reason::Silence),
        ];
        assert_eq!(outputs.len(), 4);
        assert!(expected.iter().all(|output| outputs.contains(output)), "{outputs:?}");
        assert_eq!(outputs[..2], expected[..2], "the advert goes out first");
    }
}

#[test]
fn without_a_link_nothing_happens() {
    let start = moment();
    let mut machine = Machine::new(settings(), start);
    assert_eq!((machine.state(), machine.poll_timeout()), (State::Fault(Fault::Starting), None));
    machine.handle_link(start, None);
    machine.handle_timeout(start + Duration::from_secs(100));
    machine.handle_advert(start, &Received::Accepted { source: host(11), told: told(0) });
    assert_eq!(machine.poll_output(), None);
}

#[test]
fn adverts_keep_a_backup_down_and_their_end_is_noticed_a_down_interval_later() {
    let mut bench = Bench::new(settings());
    bench.hear_until(101, 2_000 * MS);
    assert_eq!(bench.machine.state(), State::Backup);
    let last = 1_900 * MS;
    bench.run_to(last + DOWN);
    assert_eq!(bench.machine.state(), State::Backup);
    bench.run_to(last + DOWN + 1);
    assert_eq!(bench.machine.state(), State::Active);
}

#[test]
fn an_active_one_sends_at_its_interval_and_announces_by_the_schedule() {
    let mut bench = Bench::active(settings());
    bench.run_to(35_000 * MS);
    let said = bench.said();
    let times = |wanted: fn(&Output) -> bool| -> Vec<u64> {
        said.iter().filter(|(_, output)| wanted(output)).map(|(at, _)| *at / MS).collect()
    };
    let sends = times(|output| matches!(output, Output::Send { .. }));
    assert_eq!(sends[..4], [100, 200, 300, 400]);
    assert_eq!(sends.len(), 350);
    assert_eq!(times(|output| matches!(output, Output::Announce { .. })), [5_000, 30_000]);
}

#[test]
fn nothing_is_announced_before_the_addresses_are_there() {
    let mut bench = Bench::new(settings());
    bench.claims = false;
    bench.run_to(2_000 * MS);
    assert!(!bench.outputs().iter().any(|output| matches!(output, Output::Announce { .. })));
    bench.act(Machine::handle_claimed);
    assert!(bench.outputs().contains(&Output::Announce { times: 5 }));
}

#[test]
fn a_hand_over_is_taken_after_the_skew_however_often_it_is_said() {
    let mut bench = Bench::new(settings());
    bench.hear(11, told(101));
    bench.run_to(50 * MS);
    for _ in 0..3 {
        bench.hear(11, told(0));
        bench.run_to(bench.at() + 20 * MS);
    }
    assert_eq!(bench.machine.state(), State::Backup);
    bench.run_to(50 * MS + SKEW);
    assert_eq!(bench.machine.state(), State::Backup);
    bench.run_to(50 * MS + SKEW + 1);
    let outputs = bench.outputs();
    assert!(outputs.contains(&became(State::Active, Reason::HandOver)));
    assert!(!outputs.iter().any(|output| matches!(output, Output::Probe { .. })), "it is known who is there");
}

#[test]
fn a_lower_one_is_preempted_when_its_timer_ends_unless_told_otherwise() {
    let mut bench = Bench::new(settings());
    bench.hear_until(99, 1_000 * MS);
    assert!(bench.outputs().contains(&became(State::Active, Reason::Preempting)));

    let mut bench = Bench::new(Settings { preempt: false, ..settings() });
    bench.hear_until(99, 1_000 * MS);
    assert_eq!(bench.machine.state(), State::Backup);
    bench.run_to(900 * MS + DOWN + 1);
    assert_eq!(bench.machine.state(), State::Active);

    // RFC 9568 §6.1: the owner preempts whatever is set.
    let mut bench = Bench::new(Settings { preempt: false, priority: Priority::OWNER, ..settings() });
    bench.hear_until(254, 1_000 * MS);
    assert_eq!(bench.machine.state(), State::Active);

    let mut bench = Bench::new(settings());
    bench.hear_until(100, 1_000 * MS);
    assert_eq!(bench.machine.state(), State::Backup, "the same priority is not lower");
}

#[test]
fn preemption_waits_for_its_delay_for_checks_and_for_a_priority_that_came_back() {
    let delayed = Settings { preempt_delay: Duration::from_secs(2), ..settings() };
    let mut bench = Bench::new(delayed);
    bench.hear_until(99, 2_200 * MS);
    assert_eq!(bench.machine.state(), State::Backup);
    bench.hear_until(99, 2_500 * MS);
    assert_eq!(bench.machine.state(), State::Active);

    let mut bench = Bench::new(delayed);
    let lowered = Tracking::Fit { lowered_by: 20, settled: true };
    bench.act(|machine, now| machine.handle_tracking(now, lowered));
    bench.hear_until(90, 3_000 * MS);
    bench.act(|machine, now| machine.handle_tracking(now, Tracking::WELL));
    bench.hear_until(90, 5_200 * MS);
    assert_eq!(bench.machine.state(), State::Backup);
    bench.hear_until(90, 5_500 * MS);
    assert_eq!(bench.machine.state(), State::Active);

    let mut bench = Bench::new(settings());
    let unsettled = Tracking::Fit { lowered_by: 0, settled: false };
    bench.act(|machine, now| machine.handle_tracking(now, unsettled));
    bench.hear_until(99, 3_000 * MS);
    assert_eq!(bench.machine.state(), State::Backup);
    bench.act(|machine, now| machine.handle_tracking(now, Tracking::WELL));
    bench.hear_until(99, 3_500 * MS);
    assert_eq!(bench.machine.state(), State::Active);
}

#[test]
fn the_interval_is_learnt_from_the_active_one() {
    let mut bench = Bench::new(settings());
    bench.hear(11, Told { interval: interval(1_000), ..told(101) });
    bench.run_to(10 * DOWN);
    assert_eq!(bench.machine.state(), State::Backup);
    bench.run_to(10 * DOWN + 10);
    assert_eq!(bench.machine.state(), State::Active);
}

#[test]
fn an_active_one_yields_to_the_better_one_after_a_word() {
    for (last, priority, beaten) in [(11, 101, true), (13, 100, true), (11, 100, false), (13, 99, false)] {
        let mut bench = Bench::active(settings());
        bench.run_to(50 * MS);
        bench.hear(last, told(priority));
        let outputs: Vec<_> = bench.outputs().into_iter().skip_while(|out| matches!(out, Output::Event(_))).collect();
        assert_eq!(outputs[0], Output::Send { priority: 100 }, "it answers first");
        assert_eq!(outputs.contains(&Output::Release), beaten, "{last} {priority}");
        let reason = Reason::Beaten { by: host(last), priority };
        assert_eq!(outputs.contains(&became(State::Backup, reason)), beaten);
        assert_eq!(outputs.contains(&Output::Announce { times: 5 }), !beaten, "the winner announces");
    }
}

#[test]
fn an_answer_restarts_the_timer_and_answers_come_once_an_interval() {
    let mut bench = Bench::active(settings());
    bench.run_to(50 * MS);
    for _ in 0..5 {
        bench.hear(11, told(99));
        bench.run_to(bench.at() + 5 * MS);
    }
    bench.run_to(260 * MS);
    assert_eq!(bench.sends(), [(50 * MS, 100), (150 * MS, 100), (250 * MS, 100)]);
}

#[test]
fn who_hands_over_is_answered_at_once() {
    let mut bench = Bench::active(settings());
    bench.run_to(50 * MS);
    bench.hear(11, told(0));
    assert_eq!(bench.outputs(), [Output::Send { priority: 100 }]);
    assert_eq!(bench.machine.state(), State::Active);
}

#[test]
fn after_a_rival_the_winner_announces_when_it_is_seen_and_when_it_is_gone() {
    let mut bench = Bench::active(settings());
    bench.run_to(10_000 * MS);
    bench.said();
    bench.hear(11, told(99));
    assert_eq!(bench.machine.rival_since(), Some(bench.now));
    bench.run_to(10_100 * MS);
    bench.hear(11, told(99));
    bench.run_to(10_500 * MS);
    let said = bench.said().into_iter().filter(|(_, output)| !matches!(output, Output::Send { .. }));
    let lasted = Duration::from_millis(400);
    let expected = [
        (10_000 * MS, Output::Announce { times: 5 }),
        (10_100 * MS, Output::Event(Event::Rival { source: host(11) })),
        (10_400 * MS, Output::Event(Event::RivalGone { source: host(11), lasted })),
        (10_400 * MS, Output::Announce { times: 5 }),
    ];
    assert_eq!(said.collect::<Vec<_>>(), expected);
    assert_eq!(bench.machine.rival_since(), None);
}

#[test]
fn who_is_preempted_says_one_word_and_that_is_no_alarm() {
    let mut bench = Bench::active(settings());
    bench.run_to(10_000 * MS);
    bench.said();
    bench.hear(11, told(99));
    bench.run_to(11_000 * MS);
    assert_eq!(bench.events(), []);
    assert_eq!(bench.machine.rival_since(), None);
}

#[test]
fn a_farewell_is_served_until_another_speaks() {
    type Leave = fn(&mut Machine, Instant);
    let leaves: [(Leave, State); 3] = [
        (Machine::hand_over, State::Backup),
        (Machine::drain, State::Fault(Fault::Drained)),
        (Machine::stop, State::Fault(Fault::Stopped)),
    ];
    for (leave, end) in leaves {
        let mut bench = Bench::active(settings());
        bench.run_to(50 * MS);
        bench.said();
        bench.act(leave);
        bench.run_to(200 * MS);
        assert!(bench.machine.is_leaving());
        assert_eq!(bench.sends(), [(50 * MS, 0), (150 * MS, 0)], "it says so again, should the first be lost");
        bench.hear(11, told(99));
        bench.run_to(219 * MS);
        assert!(!bench.outputs().contains(&Output::Release), "the other one needs a moment to add the addresses");
        bench.run_to(221 * MS);
        assert_eq!(bench.outputs()[0], Output::Release);
        assert_eq!(bench.machine.state(), end);
    }
}

#[test]
fn a_farewell_that_nobody_answers_ends_after_one_down_interval() {
    let mut bench = Bench::active(settings());
    bench.act(Machine::stop);
    bench.run_to(DOWN);
    assert!(!bench.outputs().contains(&Output::Release));
    bench.run_to(DOWN + 1);
    let stopped = State::Fault(Fault::Stopped);
    assert_eq!(bench.outputs(), [Output::Release, became(stopped, Reason::Fault)]);

    // But who only wanted to hand over keeps what nobody took.
    let mut bench = Bench::active(settings());
    bench.act(Machine::hand_over);
    bench.run_to(DOWN + 1);
    let said = bench.said();
    assert!(said.iter().any(|(_, output)| *output == Output::Event(Event::NobodyTookOver)));
    assert!(!said.iter().any(|(_, output)| *output == Output::Release));
    assert_eq!(said.last().unwrap().1, Output::Announce { times: 5 });
    assert_eq!((bench.machine.state(), bench.machine.is_leaving()), (State::Active, false));
    bench.run_to(DOWN + 101 * MS);
    assert_eq!(bench.sends(), [(DOWN + 100 * MS, 100)]);
}

#[test]
fn who_handed_over_does_not_take_it_back_from_a_living_host() {
    let mut bench = Bench::active(settings());
    bench.act(Machine::hand_over);
    bench.hear_until(99, 5_000 * MS);
    assert_eq!(bench.machine.state(), State::Backup);
    bench.run_to(5_000 * MS + DOWN);
    assert_eq!(bench.machine.state(), State::Active);
    bench.hear(11, told(101));
    let end = bench.at() + 1_000 * MS;
    bench.hear_until(99, end);
    assert_eq!(bench.machine.state(), State::Active, "from then on it preempts again");
}

#[test]
fn a_drained_one_takes_no_part_until_it_is_undrained() {
    let mut bench = Bench::new(settings());
    bench.act(Machine::drain);
    bench.run_to(60_000 * MS);
    assert_eq!(bench.machine.state(), State::Fault(Fault::Drained));
    bench.act(Machine::undrain);
    bench.run_to(60_000 * MS + DOWN + 1);
    assert_eq!(bench.machine.state(), State::Active);
    bench.said();
    bench.act(Machine::drain);
    bench.act(Machine::undrain);
    assert!(!bench.machine.is_leaving());
    assert_eq!(bench.sends().iter().map(|(_, priority)| *priority).collect::<Vec<_>>(), [0, 100]);
}

#[test]
fn undraining_after_another_answered_makes_a_backup() {
    let mut bench = Bench::active(settings());
    bench.act(Machine::drain);
    bench.hear(11, told(99));
    bench.act(Machine::undrain);
    bench.run_to(21 * MS);
    assert_eq!(bench.machine.state(), State::Backup);
}

#[test]
fn what_is_unfit_says_farewell_and_what_is_worse_says_so_at_once() {
    let mut bench = Bench::active(settings());
    bench.act(|machine, now| machine.handle_tracking(now, Tracking::Fit { lowered_by: 30, settled: true }));
    assert_eq!(bench.outputs(), [Output::Send { priority: 70 }]);
    bench.act(|machine, now| machine.handle_tracking(now, Tracking::Unfit));
    assert!(bench.outputs().contains(&Output::Send { priority: 0 }));
    assert!(bench.machine.is_leaving());
    bench.run_to(DOWN + 1);
    assert_eq!(bench.machine.state(), State::Fault(Fault::Unfit));
    bench.act(|machine, now| machine.handle_tracking(now, Tracking::WELL));
    assert_eq!(bench.machine.state(), State::Backup);
}

#[test]
fn a_lost_link_ends_all_at_once_and_its_return_is_waited_out() {
    let mut bench = Bench::active(settings());
    bench.act(|machine, now| machine.handle_link(now, None));
    let down = became(State::Fault(Fault::NoLink), Reason::Fault);
    assert_eq!(bench.outputs(), [Output::Release, down], "nobody would hear a farewell");
    bench.run_to(5_000 * MS);
    bench.act(|machine, now| machine.handle_link(now, Some(host(12))));
    bench.hear_until(99, 6_100 * MS);
    assert_eq!(bench.machine.state(), State::Backup, "it would preempt, but the link is fresh");
    bench.hear_until(99, 6_700 * MS);
    assert_eq!(bench.machine.state(), State::Active);

    // With nobody there it does not claim before either.
    let mut bench = Bench::active(settings());
    bench.act(|machine, now| machine.handle_link(now, None));
    bench.act(|machine, now| machine.handle_link(now, Some(host(12))));
    bench.run_to(999 * MS);
    assert_eq!(bench.machine.state(), State::Backup);
    bench.run_to(1_001 * MS);
    assert_eq!(bench.machine.state(), State::Active);
}

#[test]
fn one_that_is_resumed_speaks_at_once_and_claims_nothing() {
    let now = moment();
    let mut machine = Machine::resume(settings(), host(12), now);
    assert_eq!(machine.poll_output(), Some(Output::Send { priority: 100 }));
    assert_eq!(machine.poll_output(), Some(became(State::Active, Reason::Resumed)));
    assert_eq!(machine.poll_output(), None);
    assert_eq!(machine.poll_timeout(), Some(now + Duration::from_millis(100)));
}

#[test]
fn other_settings_count_at_once_and_leave_the_state_alone() {
    let mut bench = Bench::active(settings());
    bench.run_to(50 * MS);
    bench.said();
    let other = Settings { interval: interval(10), priority: Priority::new(200).unwrap(), ..settings() };
    bench.act(|machine, now| machine.reconfigure(now, other));
    assert!(bench.sends().contains(&(50 * MS, 200)));
    bench.run_to(71 * MS);
    assert_eq!(bench.sends(), [(60 * MS, 200), (70 * MS, 200)]);

    let mut bench = Bench::new(settings());
    bench.hear(11, told(101));
    bench.run_to(50 * MS);
    let due = bench.machine.poll_timeout();
    bench.act(|machine, now| machine.reconfigure(now, Settings { preempt: false, ..settings() }));
    assert_eq!(bench.machine.poll_timeout(), due);
}

#[test]
fn differences_between_the_hosts_are_told_once_a_minute() {
    let mut bench = Bench::new(settings());
    let slow = Told { interval: interval(200), ..told(101) };
    for _ in 0..3 {
        bench.hear(11, slow);
    }
    assert_eq!(bench.events().len(), 1);
    bench.sleep_to(60_000 * MS);
    bench.hear(11, slow);
    let events = bench.events();
    let Event::Mismatch { mismatch, .. } = events[0] else { panic!("{events:?}") };
    assert_eq!((events.len(), mismatch.key()), (1, "advert_interval"));
    // Another virtual router is no matter, unless it has our addresses.
    bench.refuse(Refusal::VirtualRouterId, Told { vrid: 52, addresses: Overlap::None, ..told(101) });
    assert_eq!(bench.events(), []);
    bench.refuse(Refusal::VirtualRouterId, Told { vrid: 52, ..told(101) });
    assert_eq!(bench.events().len(), 1);
    assert_eq!(bench.machine.counters().refused[Refusal::VirtualRouterId as usize], 2);
}

#[test]
fn who_stops_at_once_says_so_and_waits_for_nobody() {
    let mut bench = Bench::active(settings());
    bench.run_to(50 * MS);
    bench.said();
    bench.act(Machine::stop_now);
    let expected = [Output::Send { priority: 0 }, Output::Release, became(State::Fault(Fault::Stopped), Reason::Fault)];
    assert_eq!(bench.outputs(), expected);

    // Amid a hand-over, too.
    let mut bench = Bench::active(settings());
    bench.act(Machine::stop);
    bench.run_to(50 * MS);
    bench.said();
    bench.act(Machine::stop_now);
    assert_eq!(bench.outputs(), expected);
    bench.act(Machine::stop);
    assert_eq!(bench.outputs(), [], "once");

    // A backup has nothing to give away.
    let mut bench = Bench::new(settings());
    bench.act(Machine::stop_now);
    assert_eq!(bench.outputs(), [became(State::Fault(Fault::Stopped), Reason::Fault)]);
}
