use std::net::IpAddr;
use std::time::Duration;

use super::*;
use crate::vrrp::interval::{AdvertInterval, Version};
use crate::vrrp::machine::{Fault, Settings};
use crate::vrrp::priority::Priority;
use crate::vrrp::wire::{Overlap, Received, Told};

const MS: Duration = Duration::from_millis(1);

fn interval() -> AdvertInterval {
    AdvertInterval::new(Version::V3, 100 * MS).unwrap()
}

fn host(last: u8) -> IpAddr {
    IpAddr::from([192, 168, 0, last])
}

/// Two members whose links are up, and the time.
fn pair() -> (Group, Instant) {
    let now = Instant::now();
    let settings = Settings::new(51, interval(), Priority::new(100).unwrap());
    let mut group = Group::new(vec![Machine::new(settings, now), Machine::new(settings, now)]);
    for place in [0, 1] {
        group.handle(now, place, |machine| machine.handle_link(now, Some(host(12))));
    }
    (group, now)
}

fn hear(group: &mut Group, now: Instant, place: usize, priority: u8) {
    let told = Told { vrid: 51, priority, interval: interval(), addresses: Overlap::Same, checksum: None };
    group.handle(now, place, |machine| machine.handle_advert(now, &Received::Accepted { source: host(11), told }));
}

fn run(group: &mut Group, now: &mut Instant, length: Duration) -> Vec<(usize, Output)> {
    let end = *now + length;
    let mut outputs: Vec<_> = std::iter::from_fn(|| group.poll_output()).collect();
    while let Some(due) = group.poll_timeout()
        && due <= end
    {
        group.handle_timeout(due);
        outputs.extend(std::iter::from_fn(|| group.poll_output()));
    }
    *now = end;
    outputs
}

fn states(group: &Group) -> Vec<State> {
    group.members().map(Machine::state).collect()
}

#[test]
fn all_claim_together_when_the_last_one_hears_nothing() {
    let (mut group, mut now) = pair();
    run(&mut group, &mut now, 200 * MS);
    hear(&mut group, now, 1, 101);
    run(&mut group, &mut now, 350 * MS);
    assert_eq!(states(&group), [State::Backup; 2], "the first is silent, the second was heard");
    let outputs = run(&mut group, &mut now, 20 * MS);
    assert_eq!(states(&group), [State::Active; 2]);
    let claims: Vec<_> = outputs.iter().filter(|(_, output)| *output == Output::Claim).map(|(at, _)| *at).collect();
    assert_eq!(claims, [0, 1]);
}

#[test]
fn one_that_is_beaten_takes_the_others_with_it() {
    let (mut group, mut now) = pair();
    run(&mut group, &mut now, 400 * MS);
    hear(&mut group, now, 0, 101);
    let outputs = run(&mut group, &mut now, Duration::ZERO);
    assert!(outputs.contains(&(1, Output::Send { priority: 0 })));
    assert_eq!(states(&group), [State::Backup, State::Active], "the second serves on until it is relieved");
    hear(&mut group, now, 1, 101);
    run(&mut group, &mut now, 30 * MS);
    assert_eq!(states(&group), [State::Backup; 2]);
}

#[test]
fn one_without_a_link_takes_all_out_and_its_return_brings_all_back() {
    let (mut group, mut now) = pair();
    run(&mut group, &mut now, 400 * MS);
    group.handle(now, 0, |machine| machine.handle_link(now, None));
    let outputs = run(&mut group, &mut now, 400 * MS);
    assert!(outputs.contains(&(0, Output::Release)) && outputs.contains(&(1, Output::Release)));
    assert_eq!(states(&group), [State::Fault(Fault::NoLink), State::Fault(Fault::Group)]);
    group.handle(now, 0, |machine| machine.handle_link(now, Some(host(12))));
    assert_eq!(states(&group), [State::Backup; 2]);
    run(&mut group, &mut now, 900 * MS);
    assert_eq!(states(&group), [State::Backup; 2], "the second waits for the first");
    run(&mut group, &mut now, 200 * MS);
    assert_eq!(states(&group), [State::Active; 2]);
}

#[test]
fn all_are_drained_and_stopped_together() {
    let (mut group, mut now) = pair();
    run(&mut group, &mut now, 400 * MS);
    group.handle_all(now, |machine| machine.stop(now));
    run(&mut group, &mut now, 400 * MS);
    assert_eq!(states(&group), [State::Fault(Fault::Stopped); 2]);
}
