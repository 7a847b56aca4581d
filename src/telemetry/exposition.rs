//! The page that Prometheus reads: text format 0.0.4, written family by family.

use std::fmt::Write;

use super::names::{Family, Kind};
use super::{Histogram, Totals};

/// A page of metrics under way.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
}

impl Page {
    /// The media type of the page.
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// A page that goes on after this one, which holds whole families.
    #[must_use]
    pub fn after(text: String) -> Self {
        Self { text }
    }

    /// Writes a family's head and lets `samples` write its samples. A family stands on the page
    /// once.
    pub fn family(&mut self, family: &'static Family, samples: impl FnOnce(&mut Samples<'_>)) {
        let Family { name, kind, help, .. } = family;
        self.text.push_str("# HELP ");
        self.text.push_str(name);
        self.text.push(' ');
        escape(&mut self.text, help, false);
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "\n# TYPE {name} {}", kind.as_str());
        samples(&mut Samples { text: &mut self.text, family });
    }

    /// Goes on with whole families that another page holds.
    pub fn append(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// The whole text.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }
}

/// Where a family's samples are written to.
#[derive(Debug)]
pub struct Samples<'a> {
    text: &'a mut String,
    family: &'static Family,
}

impl Samples<'_> {
    /// Writes a sample of a counter or a gauge. `labels` are the values of the family's labels, in
    /// their order.
    pub fn count(&mut self, labels: &[&str], value: u64) {
        debug_assert_ne!(self.family.kind, Kind::Histogram, "{} is a histogram", self.family.name);
        self.name("", labels, None);
        let _ = writeln!(self.text, "{value}");
    }

    /// Writes a sample of a counter or a gauge that may have a fraction.
    pub fn value(&mut self, labels: &[&str], value: f64) {
        debug_assert_ne!(self.family.kind, Kind::Histogram, "{} is a histogram", self.family.name);
        self.name("", labels, None);
        let _ = match value {
            f64::INFINITY => writeln!(self.text, "+Inf"),
            f64::NEG_INFINITY => writeln!(self.text, "-Inf"),
            value => writeln!(self.text, "{value}"),
        };
    }

    /// Writes the buckets, sum and count of a histogram.
    pub fn histogram(&mut self, labels: &[&str], totals: &Totals) {
        debug_assert_eq!(self.family.kind, Kind::Histogram, "{} is no histogram", self.family.name);
        let mut below = 0;
        for (index, count) in totals.counts.iter().enumerate() {
            below += count;
            match Histogram::BOUNDS_MICROS.get(index) {
                Some(bound) => self.name("_bucket", labels, Some(&seconds(*bound))),
                None => self.name("_bucket", labels, Some("+Inf")),
            }
            let _ = writeln!(self.text, "{below}");
        }
        self.name("_sum", labels, None);
        let _ = writeln!(self.text, "{}", seconds(totals.sum_micros));
        self.name("_count", labels, None);
        let _ = writeln!(self.text, "{below}");
    }

    fn name(&mut self, suffix: &str, values: &[&str], bound: Option<&str>) {
        let Family { name, labels, .. } = self.family;
        debug_assert_eq!(labels.len(), values.len(), "labels of {name}");
        self.text.push_str(name);
        self.text.push_str(suffix);
        let labels = labels.iter().copied().zip(values.iter().copied()).chain(bound.map(|bound| ("le", bound)));
        let mut before = '{';
        for (label, value) in labels {
            self.text.push(before);
            self.text.push_str(label);
            self.text.push_str("=\"");
            escape(self.text, value, true);
            self.text.push('"');
            before = ',';
        }
        self.text.push_str(if before == ',' { "} " } else { " " });
    }
}

/// Microseconds as seconds, exact and without needless zeros.
fn seconds(micros: u64) -> String {
    let (whole, part) = (micros / 1_000_000, micros % 1_000_000);
    if part == 0 {
        return whole.to_string();
    }
    let text = format!("{whole}.{part:06}");
    text.trim_end_matches('0').to_owned()
}

/// Help escapes backslash and line feed; a label's value, which is quoted, the quote as well.
fn escape(out: &mut String, text: &str, quoted: bool) {
    for character in text.chars() {
        match character {
            '\\' => out.push_str(r"\\"),
            '\n' => out.push_str(r"\n"),
            '"' if quoted => out.push_str(r#"\""#),
            _ => out.push(character),
        }
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::parse;
