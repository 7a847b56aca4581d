use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
const B: &str = "4350f323-7565-4e59-8763-4b1b83a0ce0e";

fn mysql(text: &str) -> GtidSet {
    GtidSet::parse(Dialect::MySql, text).unwrap()
}

fn mariadb(text: &str) -> GtidSet {
    GtidSet::parse(Dialect::MariaDb, text).unwrap()
}

#[test]
fn sets_of_mysql_become_normal() {
    for (written, printed) in [
        (String::new(), String::new()),
        (format!("{A}:1-5"), format!("{A}:1-5")),
        (format!(" {}:7:3-4:1-3 ,\n{A}:5", A.to_uppercase()), format!("{A}:1-5:7")),
        (format!("{B}:1,{A}:2"), format!("{A}:2,{B}:1")),
        (format!("{A}:1-3:Domain_1:4:5,{A}:domain_1:9"), format!("{A}:1-3:domain_1:4-5:9")),
        (format!("{A}:x:1,{A}:2"), format!("{A}:2:x:1")),
    ] {
        assert_eq!(mysql(&written).to_string(), printed, "{written}");
    }
}

#[test]
fn what_is_no_set_is_refused() {
    for (text, fault) in [
        ("x:1".to_owned(), GtidFault::Uuid),
        (A.to_owned(), GtidFault::Empty),
        (format!("{A}:tag"), GtidFault::Empty),
        (format!("{A}:0"), GtidFault::Interval),
        (format!("{A}:5-4"), GtidFault::Interval),
        (format!("{A}:9223372036854775807"), GtidFault::Interval),
        (format!("{A}:t-g:1"), GtidFault::Tag),
        (format!("{A}:{}:1", "t".repeat(33)), GtidFault::Tag),
        (A.replace('-', "x") + ":1", GtidFault::Uuid),
    ] {
        assert_eq!(GtidSet::parse(Dialect::MySql, &text), Err(fault), "{text}");
    }
    for text in ["0-1", "0-1-", "0-1-x", "4294967296-1-1", "0-1-5..4", "0-1-2-3"] {
        assert_eq!(GtidSet::parse(Dialect::MariaDb, text), Err(GtidFault::Position), "{text}");
    }
}

#[test]
fn missing_and_errant_transactions_are_named() {
    let primary = mysql(&format!("{A}:1-100,{B}:1-7"));
    let candidate = mysql(&format!("{A}:1-90:95,{B}:1-9"));
    assert_eq!(primary.difference(&candidate), mysql(&format!("{A}:91-94:96-100")));
    assert_eq!(candidate.difference(&primary), mysql(&format!("{B}:8-9")));
    assert!(!candidate.contains(&primary) && candidate.contains(&mysql(&format!("{B}:9"))));
    let tagged = mysql(&format!("{A}:1-100:x:1"));
    assert_eq!(tagged.difference(&primary), mysql(&format!("{A}:x:1")));
}

#[test]
fn mariadb_tells_whose_transaction_a_number_is() {
    // The new primary took over at 100; the old one wrote five more before it died.
    let (new, old) = (mariadb("0-1-100,0-2-110"), mariadb("0-1-105"));
    assert_eq!(old.difference(&new).to_string(), "0-1-101..105");
    assert!(!new.contains(&old) && new.contains(&mariadb("0-1-100")));
    assert_eq!(new.difference(&old).to_string(), "0-2-110");
}

#[test]
fn a_server_that_knows_only_its_position_has_the_history_before_it() {
    // A replica from a backup knows the last transaction of the domain; 0-1-90 is older.
    let primary = mariadb("0-1-90,0-2-100");
    assert!(mariadb("0-2-100").contains(&primary));
    assert_eq!(primary.difference(&mariadb("0-2-95")).to_string(), "0-2-96..100");
    assert_eq!(primary.difference(&mariadb("1-2-100")), primary, "another domain says nothing");
}

#[test]
fn dialects_do_not_mix() {
    let (one, other) = (mysql(&format!("{A}:1")), mariadb("0-1-1"));
    assert!(!one.contains(&other) && one.contains(&GtidSet::empty(Dialect::MariaDb)));
    assert_eq!(one.clone().unite(&other), Err(DialectsDiffer));
    assert_eq!(mariadb("0-1-0"), GtidSet::empty(Dialect::MariaDb), "nothing was written yet");
}

/// A set of MySQL as its members, small enough to be counted.
fn members() -> impl Strategy<Value = BTreeSet<(bool, bool, u64)>> {
    prop::collection::btree_set((any::<bool>(), any::<bool>(), 1..20_u64), 0..40)
}

fn set_of(members: &BTreeSet<(bool, bool, u64)>) -> GtidSet {
    let part = |(source, tag, number): &(bool, bool, u64)| {
        format!("{}{}:{number}", if *source { A } else { B }, if *tag { ":x" } else { "" })
    };
    mysql(&members.iter().map(part).collect::<Vec<_>>().join(","))
}

fn positions() -> impl Strategy<Value = GtidSet> {
    prop::collection::vec((0..3_u32, 1..4_u32, 1..50_u64), 0..8).prop_map(|entries| {
        let entry = |(domain, server, number)| format!("{domain}-{server}-{number}");
        mariadb(&entries.into_iter().map(entry).collect::<Vec<_>>().join(","))
    })
}

proptest! {
    #[test]
    fn sets_of_mysql_are_sets(one in members(), other in members()) {
        let (a, b) = (set_of(&one), set_of(&other));
        prop_assert_eq!(a.difference(&b), set_of(&(&one - &other)));
        prop_assert_eq!(a.contains(&b), one.is_superset(&other));
        let mut both = a.clone();
        both.unite(&b).unwrap();
        prop_assert_eq!(both, set_of(&(&one | &other)));
        prop_assert_eq!(mysql(&a.to_string()), a);
    }

    #[test]
    fn positions_of_mariadb_hold_what_they_took_in(a in positions(), b in positions()) {
        let mut both = a.clone();
        both.unite(&b).unwrap();
        prop_assert!(both.contains(&a) && both.contains(&b) && a.contains(&a));
        prop_assert_eq!(a.contains(&b), b.difference(&a).is_empty());
        for set in [&a, &both, &a.difference(&b)] {
            prop_assert_eq!(&mariadb(&set.to_string()), set);
        }
    }

    #[test]
    fn no_text_panics(text in "[0-9a-f:,. -]{0,80}|.{0,80}") {
        for dialect in [Dialect::MySql, Dialect::MariaDb] {
            if let Ok(set) = GtidSet::parse(dialect, &text) {
                prop_assert_eq!(GtidSet::parse(dialect, &set.to_string()).unwrap(), set);
            }
        }
    }
}
