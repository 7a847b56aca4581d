//! Whether a conditional request is carried out (RFC 9110 §13). Pure.

use std::time::SystemTime;

use crate::head::{Fields, Known};

/// What tells one state of a file from another.
#[derive(Clone, Debug)]
pub struct Validators {
    /// The strong entity tag, quotes included.
    pub etag: Vec<u8>,
    /// Last-Modified, in whole seconds; `None` where the file has no date that can be told.
    pub modified: Option<SystemTime>,
    /// Whether the file has rested long enough for its date to be a strong validator
    /// (RFC 9110 §8.8.2.2).
    pub settled: bool,
}

/// What the preconditions say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Answer as if there were none.
    Proceed,
    /// 304: the client has it.
    NotModified,
    /// 412: it is not what the client thinks.
    Failed,
}

/// Evaluates the preconditions of a GET or HEAD in the order of RFC 9110 §13.2.2.
#[must_use]
pub fn evaluate(fields: &Fields, validators: &Validators) -> Verdict {
    if fields.first(Known::IfMatch).is_some() {
        if !any_tag(fields, Known::IfMatch, |tag| tag.is_strongly(&validators.etag)) {
            return Verdict::Failed;
        }
    } else if let (Some(date), Some(modified)) = (date(fields, Known::IfUnmodifiedSince), validators.modified)
        && modified > date
    {
        return Verdict::Failed;
    }
    if fields.first(Known::IfNoneMatch).is_some() {
        if any_tag(fields, Known::IfNoneMatch, |tag| tag.is_weakly(&validators.etag)) {
            return Verdict::NotModified;
        }
    } else if let (Some(date), Some(modified)) = (date(fields, Known::IfModifiedSince), validators.modified)
        && modified <= date
    {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// Whether the Range field of a GET counts: there is no If-Range, or it names this very state
/// (RFC 9110 §13.1.5).
#[must_use]
pub fn range_counts(fields: &Fields, validators: &Validators) -> bool {
    let Some(value) = fields.first(Known::IfRange) else { return true };
    if value.starts_with(b"\"") || value.starts_with(b"W/") {
        return matches!(Tag::parse(value), Some((tag, [])) if tag.is_strongly(&validators.etag));
    }
    let date = parse_date(value);
    validators.settled && date.is_some() && date == validators.modified
}

/// One entity tag (RFC 9110 §8.8.3).
struct Tag<'v> {
    weak: bool,
    /// With its quotes.
    opaque: &'v [u8],
}

impl<'v> Tag<'v> {
    /// The tag at the start of a value, and what follows it.
    fn parse(value: &'v [u8]) -> Option<(Self, &'v [u8])> {
        let (weak, quoted) = match value.strip_prefix(b"W/") {
            Some(rest) => (true, rest),
            None => (false, value),
        };
        let text = quoted.strip_prefix(b"\"")?;
        let end = text.iter().position(|byte| *byte == b'"')? + 2;
        Some((Self { weak, opaque: quoted.get(..end)? }, quoted.get(end..)?))
    }

    fn is_strongly(&self, etag: &[u8]) -> bool {
        !self.weak && self.opaque == etag
    }

    fn is_weakly(&self, etag: &[u8]) -> bool {
        self.opaque == etag
    }
}

/// Whether any tag of a list matches; `*` matches, as the file exists. What follows a malformed tag
/// is not read.
fn any_tag(fields: &Fields, known: Known, matches: impl Fn(&Tag<'_>) -> bool) -> bool {
    fields.all(known).any(|value| {
        if value == b"*" {
            return true;
        }
        let mut rest = value;
        loop {
            let skip = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b',')).unwrap_or(rest.len());
            let Some((tag, after)) = Tag::parse(rest.get(skip..).unwrap_or_default()) else { return false };
            if matches(&tag) {
                return true;
            }
            rest = after;
        }
    })
}

/// The date in a field; one that is malformed does not count (RFC 9110 §13.1.3, §13.1.4).
fn date(fields: &Fields, known: Known) -> Option<SystemTime> {
    fields.first(known).and_then(parse_date)
}

fn parse_date(value: &[u8]) -> Option<SystemTime> {
    httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()
}

#[cfg(test)]
mod tests;
