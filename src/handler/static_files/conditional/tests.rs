use super::*;
use std::time::Duration;

const ETAG: &str = "\"5f-a\"";
const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

fn validators() -> Validators {
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    Validators { etag: ETAG.into(), modified: Some(modified), settled: true }
}

fn fields(list: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::default();
    for (name, value) in list {
        fields.push(name, value);
    }
    fields
}

/// Every combination of a hit, a miss, an invalid value and no field at all, in all four
/// conditional fields, against the sentences of RFC 9110 §13.2.2 written out.
#[test]
fn precedence() {
    // Value, and whether the condition it states is true.
    let if_match = [
        None,
        Some((ETAG, true)),
        Some(("*", true)),
        Some(("\"no\"", false)),
        Some(("W/\"5f-a\"", false)),
        Some(("x", false)),
    ];
    let unmodified = [None, Some((DATE, true)), Some((AFTER, true)), Some((BEFORE, false)), Some(("yesterday", true))];
    let none_match = [
        None,
        Some((ETAG, false)),
        Some(("W/\"5f-a\"", false)),
        Some(("*", false)),
        Some(("\"no\"", true)),
        Some(("x", true)),
    ];
    let modified = [None, Some((DATE, false)), Some((AFTER, false)), Some((BEFORE, true)), Some(("today", true))];
    let mut seen = 0;
    for im in if_match {
        for iu in unmodified {
            for inm in none_match {
                for ims in modified {
                    let named = [
                        ("If-Match", im),
                        ("If-Unmodified-Since", iu),
                        ("If-None-Match", inm),
                        ("If-Modified-Since", ims),
                    ];
                    let list: Vec<_> =
                        named.iter().filter_map(|(name, c)| c.map(|(value, _)| (*name, value))).collect();
                    let passes = |condition: Option<(&str, bool)>| condition.is_none_or(|(_, holds)| holds);
                    let first = if im.is_some() { passes(im) } else { passes(iu) };
                    let second = if inm.is_some() { passes(inm) } else { passes(ims) };
                    let expected = match (first, second) {
                        (false, _) => Verdict::Failed,
                        (true, false) => Verdict::NotModified,
                        (true, true) => Verdict::Proceed,
                    };
                    assert_eq!(evaluate(&fields(&list), &validators()), expected, "{list:?}");
                    seen += 1;
                }
            }
        }
    }
    assert_eq!(seen, 6 * 5 * 6 * 5);
}

#[test]
fn lists_of_tags() {
    let table = [
        ("\"a\", \"5f-a\"", true),
        ("\"a\",\"5f-a\"", true),
        (",, \"5f-a\"", true),
        ("W/\"a\" , W/\"5f-a\"", true),
        ("\"a,\" , \"b\"", false),
        ("\", \"5f-a\"", false),
        ("5f-a", false),
        ("", false),
    ];
    for (value, hit) in table {
        let expected = if hit { Verdict::NotModified } else { Verdict::Proceed };
        assert_eq!(evaluate(&fields(&[("If-None-Match", value)]), &validators()), expected, "{value}");
    }
    let two = fields(&[("If-None-Match", "\"a\""), ("If-None-Match", ETAG)]);
    assert_eq!(evaluate(&two, &validators()), Verdict::NotModified);
}

#[test]
fn a_file_without_a_date_has_no_date_conditions() {
    let dateless = Validators { modified: None, ..validators() };
    for name in ["If-Modified-Since", "If-Unmodified-Since"] {
        assert_eq!(evaluate(&fields(&[(name, BEFORE)]), &dateless), Verdict::Proceed);
    }
    assert!(!range_counts(&fields(&[("If-Range", DATE)]), &dateless));
}

#[test]
fn if_range() {
    let table = [
        (ETAG, true),
        ("W/\"5f-a\"", false),
        ("\"no\"", false),
        ("\"5f-a\", \"5f-a\"", false),
        (DATE, true),
        (AFTER, false),
        (BEFORE, false),
        ("whatever", false),
    ];
    for (value, counts) in table {
        assert_eq!(range_counts(&fields(&[("If-Range", value)]), &validators()), counts, "{value}");
    }
    assert!(range_counts(&fields(&[]), &validators()));
    let fresh = Validators { settled: false, ..validators() };
    assert!(!range_counts(&fields(&[("If-Range", DATE)]), &fresh));
    assert!(range_counts(&fields(&[("If-Range", ETAG)]), &fresh));
}
