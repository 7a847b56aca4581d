use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

const IDLE: Duration = Duration::from_secs(30);

fn way(client: u16) -> Way {
    Way { client: (Ipv4Addr::LOCALHOST, client).into(), at: Ipv4Addr::LOCALHOST.into(), interface: 0 }
}

fn ended<L>(flows: &mut Flows<L>) -> Vec<(L, End)> {
    std::iter::from_fn(|| flows.poll_ended()).collect()
}

#[test]
fn two_addresses_of_ours_are_two_flows() {
    let now = Instant::now();
    let mut flows = Flows::new(Bounds { flows: 8, idle: IDLE });
    let one = way(1);
    let other = Way { at: Ipv4Addr::new(127, 0, 0, 2).into(), ..one };
    let first = flows.open(now, one, "one");
    let second = flows.open(now, other, "other");
    assert_ne!(first, second);
    assert_eq!((flows.find(&one), flows.find(&other)), (Some(first), Some(second)));
}

#[test]
fn who_speaks_stays_and_who_is_silent_ends() {
    let start = Instant::now();
    let mut flows = Flows::new(Bounds { flows: 8, idle: IDLE });
    let talker = flows.open(start, way(1), "talker");
    flows.open(start, way(2), "silent");
    flows.touch(start + IDLE / 2, talker);
    assert_eq!(flows.poll_timeout(), Some(start + IDLE));
    flows.handle_timeout(start + IDLE);
    assert_eq!(ended(&mut flows), [("silent", End::Idle)]);
    assert_eq!(flows.poll_timeout(), Some(start + IDLE / 2 + IDLE));
}

#[test]
fn a_full_table_gives_up_whoever_was_silent_for_longest_but_nobody_in_use() {
    let start = Instant::now();
    let mut flows = Flows::new(Bounds { flows: 2, idle: IDLE });
    let first = flows.open(start, way(1), 1);
    flows.open(start, way(2), 2);
    assert_eq!(flows.make_room(start + Bounds::IN_USE - Duration::from_millis(1)), Err(Full));
    flows.touch(start + Bounds::IN_USE, first);
    assert_eq!(flows.make_room(start + Bounds::IN_USE), Ok(()));
    assert_eq!(ended(&mut flows), [(2, End::Displaced)]);
    assert_eq!(flows.find(&way(1)), Some(first));
}

#[test]
fn a_flow_that_has_ended_is_no_other_ones_though_its_slot_is() {
    let now = Instant::now();
    let mut flows = Flows::new(Bounds { flows: 8, idle: IDLE });
    let gone = flows.open(now, way(1), 1);
    flows.shut();
    let next = flows.open(now, way(2), 2);
    assert_eq!(flows.link(gone), None);
    flows.touch(now + IDLE, gone);
    assert_eq!(flows.link(next), Some(&mut 2));
    assert_eq!(flows.poll_timeout(), Some(now + IDLE), "what ended speaks for nobody");
}

#[test]
fn a_crowd_that_ends_at_once_ends_in_turns() {
    let now = Instant::now();
    let mut flows = Flows::new(Bounds { flows: 10_000, idle: IDLE });
    for client in 0..1000 {
        flows.open(now, way(client), client);
    }
    let mut turns = 0;
    while flows.poll_timeout().is_some_and(|due| due <= now + IDLE) {
        flows.handle_timeout(now + IDLE);
        assert!(ended(&mut flows).len() <= 256);
        turns += 1;
    }
    assert_eq!((flows.len(), turns), (0, 4));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Datagram(u16),
    Answer(u16),
    Wait(u64),
    Bound(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..12_u16).prop_map(Step::Datagram),
        3 => (0..12_u16).prop_map(Step::Answer),
        4 => (0..9_000_u64).prop_map(Step::Wait),
        1 => (1..8_usize).prop_map(Step::Bound),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    /// A list of clients and times does the same, slowly.
    #[test]
    fn it_does_what_a_simple_list_does(steps in steps()) {
        let mut now = Instant::now();
        let mut bounds = Bounds { flows: 5, idle: Duration::from_secs(20) };
        let mut flows = Flows::new(bounds);
        // The longest silent stands first.
        let mut model: Vec<(u16, Instant)> = Vec::new();
        for step in steps {
            let mut gone = Vec::new();
            match step {
                Step::Wait(millis) => {
                    now += Duration::from_millis(millis);
                    flows.handle_timeout(now);
                    while let Some((client, heard)) = model.first().copied() && heard + bounds.idle <= now {
                        gone.push((client, End::Idle));
                        model.remove(0);
                    }
                }
                Step::Bound(most) => {
                    bounds.flows = most;
                    flows.set_bounds(bounds);
                }
                Step::Answer(client) => {
                    let id = flows.find(&way(client));
                    prop_assert_eq!(id.is_some(), model.iter().any(|(known, _)| *known == client));
                    if let Some(id) = id {
                        flows.touch(now, id);
                        model.retain(|(known, _)| *known != client);
                        model.push((client, now));
                    }
                }
                Step::Datagram(client) => match flows.find(&way(client)) {
                    Some(id) => {
                        prop_assert_eq!(flows.link(id).copied(), Some(client));
                        flows.touch(now, id);
                        model.retain(|(known, _)| *known != client);
                        model.push((client, now));
                    }
                    None => {
                        prop_assert!(model.iter().all(|(known, _)| *known != client));
                        let is_free = model.len() < bounds.flows;
                        let makes_room = model.first().is_some_and(|(_, heard)| now - *heard >= Bounds::IN_USE);
                        prop_assert_eq!(flows.make_room(now).is_ok(), is_free || makes_room);
                        if !is_free && makes_room {
                            gone.push((model.remove(0).0, End::Displaced));
                        }
                        if is_free || makes_room {
                            flows.open(now, way(client), client);
                            model.push((client, now));
                        }
                    }
                },
            }
            prop_assert_eq!(ended(&mut flows), gone);
            prop_assert_eq!(flows.len(), model.len());
            prop_assert_eq!(flows.poll_timeout(), model.first().map(|(_, heard)| *heard + bounds.idle));
        }
    }
}
