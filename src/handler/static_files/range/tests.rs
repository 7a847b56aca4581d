use super::*;
use proptest::prelude::*;

#[test]
fn table() {
    use Selection::{Parts, Unsatisfiable, Whole};
    let one = |start, end| Parts(std::iter::once(start..end).collect());
    let table: Vec<(&str, u64, Selection)> = vec![
        ("bytes=0-0", 10, one(0, 1)),
        ("BYTES=0-4", 10, one(0, 5)),
        ("bytes=5-", 10, one(5, 10)),
        ("bytes=5-99", 10, one(5, 10)),
        ("bytes=-3", 10, one(7, 10)),
        ("bytes=-99", 10, one(0, 10)),
        ("bytes= 0-1 ,, 4-5,", 10, Parts(vec![0..2, 4..6])),
        ("bytes=8-9,0-1", 10, Parts(vec![8..10, 0..2])),
        ("bytes=0-1,50-60", 10, one(0, 2)),
        ("bytes=10-", 10, Unsatisfiable),
        ("bytes=-0", 10, Unsatisfiable),
        ("bytes=18446744073709551616-", 10, Unsatisfiable),
        ("bytes=0-99999999999999999999", 10, one(0, 10)),
        ("bytes=0-", 0, Unsatisfiable),
        ("bytes=-5", 0, Whole),
        ("bytes=-0", 0, Unsatisfiable),
        ("bytes=0-5,5-6", 10, Whole),
        ("bytes=0-,0-,0-", 10, Whole),
        ("bytes=5-4", 10, Whole),
        ("bytes=0-1,5-4", 10, Whole),
        ("bytes=-", 10, Whole),
        ("bytes=", 10, Whole),
        ("bytes", 10, Whole),
        ("bytes=a-b", 10, Whole),
        ("bytes=1 - 2", 10, Whole),
        ("bytes=--1", 10, Whole),
        ("bytes=+1-2", 10, Whole),
        ("lines=0-1", 10, Whole),
        ("bytes =0-1", 10, Whole),
    ];
    for (value, length, expected) in table {
        assert_eq!(select(value.as_bytes(), length), expected, "{value} of {length}");
    }
}

#[test]
fn at_most_sixteen() {
    let ranges = |n: u64| (0..n).map(|i| format!("{}-{}", i * 2, i * 2)).collect::<Vec<_>>().join(",");
    assert!(matches!(select(format!("bytes={}", ranges(16)).as_bytes(), 100), Selection::Parts(p) if p.len() == 16));
    assert_eq!(select(format!("bytes={}", ranges(17)).as_bytes(), 100), Selection::Whole);
    let beyond = (0..17).map(|_| "500-").collect::<Vec<_>>().join(",");
    assert_eq!(select(format!("bytes={beyond}").as_bytes(), 100), Selection::Whole);
}

/// Which bytes a set of ranges names, found byte by byte; `None`: some byte twice.
fn model(specs: &[(Option<u64>, Option<u64>)], length: u64) -> Option<Vec<u64>> {
    let mut bytes = Vec::new();
    for (first, last) in specs {
        for byte in 0..length {
            let named = match (first, last) {
                (Some(first), Some(last)) => *first <= byte && byte <= *last,
                (Some(first), None) => *first <= byte,
                (None, Some(count)) => length - byte <= *count,
                (None, None) => false,
            };
            if named {
                if bytes.contains(&byte) {
                    return None;
                }
                bytes.push(byte);
            }
        }
    }
    Some(bytes)
}

fn spec() -> impl Strategy<Value = (Option<u64>, Option<u64>)> {
    prop_oneof![
        (0_u64..40, 0_u64..40).prop_map(|(a, b)| (Some(a.min(b)), Some(a.max(b)))),
        (0_u64..40).prop_map(|a| (Some(a), None)),
        (0_u64..40).prop_map(|a| (None, Some(a))),
    ]
}

proptest! {
    #[test]
    fn agrees_with_the_model(specs in proptest::collection::vec(spec(), 1..6), length in 1_u64..32) {
        let show = |n: &Option<u64>| n.map_or(String::new(), |n| n.to_string());
        let text = specs.iter().map(|(a, b)| format!("{}-{}", show(a), show(b))).collect::<Vec<_>>().join(", ");
        let found = select(format!("bytes={text}").as_bytes(), length);
        let expected = match model(&specs, length) {
            None => Selection::Whole,
            Some(bytes) if bytes.is_empty() => Selection::Unsatisfiable,
            Some(bytes) => {
                let Selection::Parts(parts) = &found else { panic!("{text}: {found:?}") };
                let named: Vec<u64> = parts.iter().cloned().flatten().collect();
                prop_assert_eq!(named, bytes);
                return Ok(());
            }
        };
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn parts_are_sound_for_any_bytes(value: Vec<u8>, length: u64) {
        let value = [&b"bytes="[..], &value].concat();
        if let Selection::Parts(parts) = select(&value, length) {
            prop_assert!(!parts.is_empty() && parts.len() <= MAX_RANGES);
            prop_assert!(parts.iter().all(|part| part.start < part.end && part.end <= length));
            prop_assert!(!overlap(&parts));
        }
    }

    #[test]
    fn parts_are_sound_for_likely_text(value in "bytes=[0-9,\\- ]{0,40}", length in 0_u64..1000) {
        if let Selection::Parts(parts) = select(value.as_bytes(), length) {
            prop_assert!(!parts.is_empty() && parts.len() <= MAX_RANGES);
            prop_assert!(parts.iter().all(|part| part.start < part.end && part.end <= length));
        }
    }
}
