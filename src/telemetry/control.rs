//! What the control side counts: loads of the config, certificates, the process itself.
//!
//! It is kept by the `metrics` crate and its Prometheus recorder, in a recorder of its own and not
//! in the process-wide one, so that several can live in one process. Certificates come and go with
//! the config, which a recorder cannot follow; they are a table, written to the page.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge, with_local_recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use super::exposition::Page;
use super::names;

/// The control side's metrics.
pub struct Control {
    page: PrometheusHandle,
    taken: Counter,
    refused: Counter,
    generation: Gauge,
    last_ok: Gauge,
    last_ok_time: Gauge,
    certificates: Mutex<BTreeMap<Arc<str>, Vec<Expiry>>>,
}

/// When a certificate ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// The first name that it stands for.
    pub name: String,
    /// Its last moment, in seconds since 1970.
    pub at_seconds: i64,
}

impl Control {
    /// Of each listener's certificates this many stand on the page, those that end first.
    pub const CERTIFICATES_MAX: usize = 1_000;

    /// Metrics of a process that runs since `started`, the successor of `restarts` others, and has no
    /// config yet.
    #[must_use]
    pub fn new(started: SystemTime, restarts: u64) -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        with_local_recorder(&recorder, || {
            for family in [&names::BUILD_INFO, &names::START_TIME, &names::CONFIG_GENERATION] {
                describe_gauge!(family.name, family.help);
            }
            for family in [&names::CONFIG_LAST_OK, &names::CONFIG_LAST_OK_TIME] {
                describe_gauge!(family.name, family.help);
            }
            describe_counter!(names::CONFIG_RELOADS.name, names::CONFIG_RELOADS.help);
            describe_counter!(names::WORKER_RESTARTS.name, names::WORKER_RESTARTS.help);
            counter!(names::WORKER_RESTARTS.name).absolute(restarts);
            gauge!(names::BUILD_INFO.name, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
            gauge!(names::START_TIME.name).set(since_1970(started));
            Self {
                page: recorder.handle(),
                taken: counter!(names::CONFIG_RELOADS.name, "result" => "success"),
                refused: counter!(names::CONFIG_RELOADS.name, "result" => "failure"),
                generation: gauge!(names::CONFIG_GENERATION.name),
                last_ok: gauge!(names::CONFIG_LAST_OK.name),
                last_ok_time: gauge!(names::CONFIG_LAST_OK_TIME.name),
                certificates: Mutex::default(),
            }
        })
    }

    /// This generation is served from now on.
    pub fn serves(&self, generation: u64) {
        self.generation.set(generation as f64);
    }

    /// The newest config was taken.
    pub fn config_taken(&self, now: SystemTime) {
        self.taken.increment(1);
        self.last_ok.set(1.0);
        self.last_ok_time.set(since_1970(now));
    }

    /// A config was refused; the old one is served on.
    pub fn config_refused(&self) {
        self.refused.increment(1);
        self.last_ok.set(0.0);
    }

    /// Replaces the certificates of every listener.
    pub fn set_certificates(&self, listeners: impl IntoIterator<Item = (Arc<str>, Vec<Expiry>)>) {
        let soonest = |(listener, mut expiries): (Arc<str>, Vec<Expiry>)| {
            expiries.sort_unstable_by(|a, b| (a.at_seconds, &a.name).cmp(&(b.at_seconds, &b.name)));
            // Two certificates of one name (RSA and ECDSA) are one series: the sooner end counts.
            let mut names = std::collections::HashSet::new();
            expiries.retain(|expiry| names.insert(expiry.name.clone()));
            expiries.truncate(Self::CERTIFICATES_MAX);
            (listener, expiries)
        };
        let certificates = listeners.into_iter().map(soonest).collect();
        *self.certificates.lock().unwrap_or_else(PoisonError::into_inner) = certificates;
    }

    /// A page with the control side's families, to which others may be added.
    #[must_use]
    pub fn page(&self) -> Page {
        let mut page = Page::after(self.page.render());
        let certificates = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        page.family(&names::CERTIFICATE_EARLIEST, |samples| {
            for (listener, expiries) in &*certificates {
                if let Some(soonest) = expiries.first() {
                    samples.value(&[listener], soonest.at_seconds as f64);
                }
            }
        });
        page.family(&names::CERTIFICATE_EXPIRY, |samples| {
            for (listener, expiries) in &*certificates {
                for expiry in expiries {
                    samples.value(&[listener, &expiry.name], expiry.at_seconds as f64);
                }
            }
        });
        page
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}

fn since_1970(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::telemetry::exposition::parse;

    fn value(control: &Control, name: &str, labels: &[&str]) -> Option<f64> {
        let samples = parse(&control.page().into_text()).unwrap();
        let found = samples
            .into_iter()
            .find(|sample| sample.name == name && sample.labels.iter().map(|(_, value)| value).eq(labels.iter()));
        found.map(|sample| sample.value)
    }

    #[test]
    fn a_refused_config_is_seen_and_a_taken_one_clears_it() {
        let control = Control::new(UNIX_EPOCH + Duration::from_secs(5), 0);
        control.serves(1);
        control.config_taken(UNIX_EPOCH + Duration::from_secs(9));
        control.config_refused();
        assert_eq!(value(&control, names::CONFIG_LAST_OK.name, &[]), Some(0.0));
        assert_eq!(value(&control, names::CONFIG_RELOADS.name, &["failure"]), Some(1.0));
        control.serves(2);
        control.config_taken(UNIX_EPOCH + Duration::from_secs(11));
        assert_eq!(value(&control, names::CONFIG_LAST_OK.name, &[]), Some(1.0));
        assert_eq!(value(&control, names::CONFIG_RELOADS.name, &["success"]), Some(2.0));
        assert_eq!(value(&control, names::CONFIG_GENERATION.name, &[]), Some(2.0));
        assert_eq!(value(&control, names::CONFIG_LAST_OK_TIME.name, &[]), Some(11.0));
        assert_eq!(value(&control, names::START_TIME.name, &[]), Some(5.0));
    }

    #[test]
    fn the_page_holds_the_certificates_that_end_first() {
        let control = Control::new(UNIX_EPOCH, 0);
        let expiries = |count: i64| (0..count).map(|n| Expiry { name: format!("{n}.example"), at_seconds: 9_000 - n });
        control.set_certificates([("https".into(), expiries(1_500).collect())]);
        let name = names::CERTIFICATE_EXPIRY.name;
        assert_eq!(value(&control, names::CERTIFICATE_EARLIEST.name, &["https"]), Some(7_501.0));
        assert_eq!(value(&control, name, &["https", "1499.example"]), Some(7_501.0));
        assert_eq!(value(&control, name, &["https", "499.example"]), None);
        control.set_certificates([("other".into(), expiries(1).collect())]);
        assert_eq!(value(&control, name, &["https", "1499.example"]), None);
        assert_eq!(value(&control, name, &["other", "0.example"]), Some(9_000.0));
    }

    #[test]
    fn two_certificates_of_one_name_are_one_series() {
        let control = Control::new(UNIX_EPOCH, 0);
        let twins = [9, 7].map(|at_seconds| Expiry { name: "a.example".into(), at_seconds });
        control.set_certificates([("https".into(), twins.into())]);
        assert_eq!(value(&control, names::CERTIFICATE_EXPIRY.name, &["https", "a.example"]), Some(7.0));
        let text = control.page().into_text();
        assert_eq!(text.matches("name=\"a.example\"").count(), 1);
    }
}
