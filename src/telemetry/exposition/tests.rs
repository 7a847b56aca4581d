use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::telemetry::names;

#[test]
fn a_page_of_each_kind() {
    let mut page = Page::default();
    page.family(&names::CONNECTIONS_ACCEPTED, |samples| samples.count(&["https"], 7));
    page.family(&names::CONFIG_LAST_OK_TIME, |samples| samples.value(&[], 1_760_000_000.25));
    assert_eq!(
        page.into_text(),
        "# HELP haechi_connections_accepted_total Connections accepted from clients.\n\
         # TYPE haechi_connections_accepted_total counter\n\
         haechi_connections_accepted_total{listener=\"https\"} 7\n\
         # HELP haechi_config_last_reload_success_timestamp_seconds When a config was taken last, in seconds since 1970.\n\
         # TYPE haechi_config_last_reload_success_timestamp_seconds gauge\n\
         haechi_config_last_reload_success_timestamp_seconds 1760000000.25\n"
    );
}

#[test]
fn a_histogram_is_cumulative() {
    let histogram = Histogram::default();
    histogram.record(Duration::from_micros(200));
    histogram.record(Duration::from_micros(251));
    histogram.record(Duration::from_secs(61));
    let mut totals = Totals::default();
    histogram.add_to(&mut totals);
    let mut page = Page::default();
    page.family(&names::HANDSHAKE_TIME, |samples| samples.histogram(&["https"], &totals));
    let samples = parse(&page.into_text()).unwrap();
    let bucket = |bound: &str| {
        let labels = [("listener".to_owned(), "https".to_owned()), ("le".to_owned(), bound.to_owned())];
        let found = samples.iter().find(|sample| sample.labels == labels);
        found.unwrap_or_else(|| panic!("no bucket {bound}")).value
    };
    assert_eq!(bucket("0.00025"), 1.0);
    assert_eq!(bucket("0.0005"), 2.0);
    assert_eq!(bucket("60"), 2.0);
    assert_eq!(bucket("+Inf"), 3.0);
    let by_name = |name: &str| samples.iter().find(|sample| sample.name == name).unwrap().value;
    assert_eq!(by_name("haechi_tls_handshake_duration_seconds_count"), 3.0);
    assert!((by_name("haechi_tls_handshake_duration_seconds_sum") - 61.000_451).abs() < 1e-9);
}

#[test]
fn the_parser_of_these_tests_is_strict() {
    assert!(parse("haechi_x{a=\"b} 1\n").is_err());
    assert!(parse("haechi_x{a=\"b\"}\n").is_err());
    assert!(parse("haechi_x 1\nhaechi x 1\n").is_err());
    assert!(parse("haechi_x{a=\"\\q\"} 1\n").is_err());
    assert!(parse("haechi_x 1").is_err());
}

proptest! {
    #[test]
    fn any_label_comes_back_as_it_was(listener in any::<String>(), site in "[ -~\n\\\\\"]*", value in any::<u64>()) {
        let mut page = Page::default();
        page.family(&names::UPGRADES, |samples| samples.count(&[&listener, &site], value));
        let samples = parse(&page.into_text()).map_err(TestCaseError::fail)?;
        prop_assert_eq!(samples.len(), 1);
        let labels = [("listener".to_owned(), listener), ("site".to_owned(), site)];
        prop_assert_eq!(&samples[0].labels[..], &labels[..]);
        prop_assert_eq!(samples[0].value, value as f64);
    }
}

#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) value: f64,
}

/// Reads a page of text format 0.0.4 and takes nothing that the format does not allow.
pub(crate) fn parse(text: &str) -> Result<Vec<Sample>, String> {
    let body = text.strip_suffix('\n').ok_or("the last line is not ended")?;
    let mut samples = Vec::new();
    for line in body.split('\n').filter(|line| !line.is_empty()) {
        match line.strip_prefix('#') {
            Some(comment) => check_comment(comment).ok_or_else(|| format!("bad comment: {line}"))?,
            None => samples.push(parse_sample(line).ok_or_else(|| format!("bad sample: {line}"))?),
        }
    }
    Ok(samples)
}

fn check_comment(comment: &str) -> Option<()> {
    let (keyword, rest) = comment.strip_prefix(' ')?.split_once(' ')?;
    let (name, value) = rest.split_once(' ')?;
    let known = match keyword {
        "HELP" => true,
        "TYPE" => ["counter", "gauge", "histogram"].contains(&value),
        _ => false,
    };
    (known && is_name(name)).then_some(())
}

fn parse_sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, value) = rest.split_once("=\"")?;
            let (value, after) = unquote(value)?;
            if !is_name(label) {
                return None;
            }
            labels.push((label.to_owned(), value));
            match after.strip_prefix(',') {
                Some(next) => rest = next,
                None => {
                    rest = after.strip_prefix('}')?;
                    break;
                }
            }
        }
    }
    let value = rest.strip_prefix(' ')?.parse().ok()?;
    is_name(name).then(|| Sample { name: name.to_owned(), labels, value })
}

fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                escaped @ ('\\' | '"') => escaped,
                _ => return None,
            }),
            _ => value.push(character),
        }
    }
    None
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
