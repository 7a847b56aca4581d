use std::num::NonZeroU32;

use proptest::prelude::*;

use super::*;

const NONE: SourceLimits = SourceLimits {
    connections: None,
    connection_rate: None,
    request_rate: None,
    prefix_v4: 32,
    prefix_v6: 64,
    sources: 65_536,
};

fn per_second(count: u32, burst: u32) -> Rate {
    Rate::new(NonZeroU32::new(count).unwrap(), Duration::from_secs(1), NonZeroU32::new(burst).unwrap())
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_source_has_so_many_open_and_others_theirs() {
    let (sources, now) = (Arc::new(Sources::default()), Instant::now());
    let limits = SourceLimits { connections: Some(2), ..NONE };
    let enter = |address: &str| sources.enter(now, ip(address), &limits);
    let first = enter("10.0.0.1").unwrap();
    let _second = enter("10.0.0.1").unwrap();
    assert_eq!(enter("10.0.0.1").unwrap_err(), Unwelcome::Connections);
    assert_eq!(enter("::ffff:10.0.0.1").unwrap_err(), Unwelcome::Connections, "the same, mapped");
    assert!(enter("10.0.0.2").unwrap().is_some());
    drop(first);
    assert!(enter("10.0.0.1").unwrap().is_some());
}

#[test]
fn a_network_of_ipv6_is_one_source() {
    let (sources, now) = (Arc::new(Sources::default()), Instant::now());
    let limits = SourceLimits { connections: Some(1), ..NONE };
    let _seat = sources.enter(now, ip("2001:db8::1"), &limits).unwrap();
    assert!(sources.enter(now, ip("2001:db8::2"), &limits).is_err());
    assert!(sources.enter(now, ip("2001:db8:0:1::1"), &limits).is_ok());
    let whole = SourceLimits { prefix_v6: 128, ..limits };
    assert!(sources.enter(now, ip("2001:db8::2"), &whole).is_ok());
}

#[test]
fn what_was_refused_takes_nothing() {
    let (sources, now) = (Arc::new(Sources::default()), Instant::now());
    let limits = SourceLimits { connections: Some(1), connection_rate: Some(per_second(1, 2)), ..NONE };
    let seat = sources.enter(now, ip("10.0.0.1"), &limits).unwrap();
    for _ in 0..10 {
        assert_eq!(sources.enter(now, ip("10.0.0.1"), &limits).unwrap_err(), Unwelcome::Connections);
    }
    drop(seat);
    drop(sources.enter(now, ip("10.0.0.1"), &limits).unwrap());
    for _ in 0..10 {
        assert_eq!(sources.enter(now, ip("10.0.0.1"), &limits).unwrap_err(), Unwelcome::ConnectionRate);
    }
    assert!(sources.enter(now + Duration::from_secs(1), ip("10.0.0.1"), &limits).is_ok());
}

#[test]
fn requests_are_counted_apart_from_connections() {
    let (sources, now) = (Arc::new(Sources::default()), Instant::now());
    let limits = SourceLimits { request_rate: Some(per_second(10, 2)), ..NONE };
    let ask = |at| sources.ask(at, ip("10.0.0.1"), &limits);
    assert_eq!([ask(now), ask(now)], [Ok(()); 2]);
    let wait = Duration::from_millis(100);
    assert_eq!(ask(now), Err(Unwelcome::RequestRate { wait }));
    assert_eq!(ask(now + wait), Ok(()));
    assert!(sources.enter(now, ip("10.0.0.1"), &limits).unwrap().is_none(), "no limit on connections, nothing counted");
}

/// One part alone, as its own shard sees it.
fn numbered(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(number).into()
}

#[test]
fn a_full_table_forgets_those_first_of_whom_nothing_is_known() {
    let (mut part, start) = (Part::default(), Instant::now());
    let limits = SourceLimits { connection_rate: Some(per_second(1, 2)), ..NONE };
    for number in 0..4 {
        part.enter(start, numbered(number), &limits, 4).unwrap();
        part.leave(numbered(number));
    }
    // The first two used their whole burst, the others' buckets are full again.
    for number in 0..2 {
        part.enter(start + Duration::from_secs(2), numbered(number), &limits, 4).unwrap();
        part.enter(start + Duration::from_secs(2), numbered(number), &limits, 4).unwrap();
        part.leave(numbered(number));
        part.leave(numbered(number));
    }
    let later = start + Duration::from_secs(3);
    part.enter(later, numbered(4), &limits, 4).unwrap();
    part.enter(later, numbered(5), &limits, 4).unwrap();
    let known =
        |part: &Part| (0..8).filter(|number| part.sources.find(&numbered(*number)).is_some()).collect::<Vec<_>>();
    assert_eq!((known(&part), part.forgotten), (vec![0, 1, 4, 5], 0));
}

#[test]
fn who_has_something_open_is_not_forgotten() {
    let (mut part, now) = (Part::default(), Instant::now());
    let limits = SourceLimits { connections: Some(1), ..NONE };
    for number in 0..20 {
        assert_eq!(part.enter(now, numbered(number), &limits, 20), Ok(true));
    }
    assert_eq!(part.enter(now, numbered(20), &limits, 20), Ok(false), "it is let in, and counts for nothing");
    assert_eq!(part.forgotten, 1);
    for number in 0..20 {
        assert_eq!(part.enter(now, numbered(number), &limits, 20), Err(Unwelcome::Connections));
    }
    // Behind many that stay one that goes is found, within a few looks.
    part.leave(numbered(17));
    let looks = (21..30).take_while(|number| part.enter(now, numbered(*number), &limits, 20) == Ok(false)).count();
    assert!(looks <= 20 / LOOKED_AT + 1, "{looks}");
}

proptest! {
    /// Whatever comes and goes: no source has more open than it may, and the table stays in its bounds.
    #[test]
    fn no_source_has_more_than_it_may(steps in prop::collection::vec((0..12_u32, any::<bool>(), 0..400_u64), 1..300)) {
        let limits = SourceLimits { connections: Some(3), connection_rate: Some(per_second(5, 4)), ..NONE };
        let (mut part, mut now) = (Part::default(), Instant::now());
        let mut open = [0_u32; 12];
        for (source, comes, millis) in steps {
            now += Duration::from_millis(millis);
            let count = &mut open[source as usize];
            if comes {
                if part.enter(now, numbered(source), &limits, 6) == Ok(true) {
                    *count += 1;
                    prop_assert!(*count <= 3);
                }
            } else if *count > 0 {
                part.leave(numbered(source));
                *count -= 1;
            }
            prop_assert!(part.sources.len() <= 6);
        }
    }
}
