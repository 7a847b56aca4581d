//! The dashboard and the alert rules speak only of metrics and labels that haechi has.

use std::fs;
use std::path::Path;

use haechi::telemetry::names::{ALL, Family, Kind};
use serde_json::Value;

#[test]
fn alerts_use_metrics_that_exist() {
    let text = read("config/prometheus-alerts.yml");
    assert!(check(&text) >= 15, "no alerts were found");
}

#[test]
fn the_dashboard_uses_metrics_that_exist() {
    let dashboard: Value = serde_json::from_str(&read("config/grafana-dashboard.json")).unwrap();
    let mut queries = Vec::new();
    collect_queries(&dashboard, &mut queries);
    assert!(queries.len() >= 30, "no queries were found");
    for query in queries {
        assert!(check(query) > 0, "no metric in `{query}`");
    }
}

#[test]
fn each_metric_that_tells_of_trouble_has_an_alert() {
    let alerts = read("config/prometheus-alerts.yml");
    for name in [
        "haechi_server_up",
        "haechi_exchanges_total",
        "haechi_exchange_duration_seconds_bucket",
        "haechi_certificate_earliest_expiry_timestamp_seconds",
        "haechi_config_last_reload_successful",
        "haechi_connections_limit",
        "haechi_sessions_total",
        "haechi_access_log_dropped_lines_total",
        "haechi_db_double_primary",
        "haechi_db_primary_refused",
        "haechi_db_writable_servers",
        "haechi_db_errant",
        "haechi_vrrp_both_active_seconds_total",
        "haechi_vrrp_adverts_refused_total",
    ] {
        assert!(uses(&alerts).any(|used| used.name == name), "no alert on {name}");
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn collect_queries<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| collect_queries(value, found)),
        Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str() {
                    Some(query) if key == "expr" || key == "definition" => found.push(query),
                    _ => collect_queries(value, found),
                }
            }
        }
        _ => {}
    }
}

/// Fails on a metric or label that does not exist; returns how many metrics were named.
fn check(text: &str) -> usize {
    let mut seen = 0;
    for used in uses(text) {
        let family = family_of(used.name).unwrap_or_else(|| panic!("{} does not exist", used.name));
        for label in used.labels() {
            let known = family.labels.contains(&label) || ["instance", "job", "le"].contains(&label);
            assert!(known, "{} has no label `{label}`", used.name);
        }
        seen += 1;
    }
    seen
}

/// A metric's name in a text, with the selector behind it.
struct Use<'a> {
    name: &'a str,
    selector: &'a str,
}

impl<'a> Use<'a> {
    fn labels(&self) -> impl Iterator<Item = &'a str> {
        self.selector.split("\",").filter_map(|matcher| matcher.split(['=', '!']).next()).filter(|l| !l.is_empty())
    }
}

fn uses(text: &str) -> impl Iterator<Item = Use<'_>> {
    text.match_indices("haechi_").map(|(start, _)| {
        let rest = &text[start..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let selector = rest[end..].strip_prefix('{').and_then(|inside| inside.split_once('}'));
        Use { name: &rest[..end], selector: selector.map_or("", |(selector, _)| selector) }
    })
}

fn family_of(name: &str) -> Option<&'static Family> {
    ALL.iter().find(|family| {
        let suffix = name.strip_prefix(family.name);
        suffix == Some("") || family.kind == Kind::Histogram && matches!(suffix, Some("_bucket" | "_sum" | "_count"))
    })
}
