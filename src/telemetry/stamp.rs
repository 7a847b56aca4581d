//! Points of time as text, in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

/// A point of time as RFC 3339 writes it, to the second: `2026-01-31T12:00:00Z`. What lies before
/// 1970 is written as its first second.
#[must_use]
pub fn rfc3339(time: SystemTime) -> String {
    let mut stamp = Stamp::default();
    stamp.set(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs());
    let mut text = String::from_utf8_lossy(&stamp.rfc3339).into_owned();
    text.push('Z');
    text
}

/// The text of one second, which many lines share. Times are UTC.
#[derive(Clone, Debug)]
pub struct Stamp {
    second: Option<u64>,
    /// `2026-01-31T12:00:00`
    pub(super) rfc3339: [u8; 19],
    /// `31/Jan/2026:12:00:00 +0000`
    pub(super) common: [u8; 26],
}

impl Default for Stamp {
    fn default() -> Self {
        Self { second: None, rfc3339: *b"1970-01-01T00:00:00", common: *b"01/Jan/1970:00:00:00 +0000" }
    }
}

impl Stamp {
    /// Makes this the stamp of a second since 1970.
    pub(super) fn set(&mut self, second: u64) {
        if self.second == Some(second) {
            return;
        }
        self.second = Some(second);
        let Some(at) = i64::try_from(second).ok().and_then(|at| time::OffsetDateTime::from_unix_timestamp(at).ok())
        else {
            return;
        };
        let mut figures = Vec::with_capacity(14);
        digits(&mut figures, at.year().unsigned_abs(), 10_000);
        for two in [u8::from(at.month()), at.day(), at.hour(), at.minute(), at.second()] {
            digits(&mut figures, two.into(), 100);
        }
        let (year, month, day) = (&figures[..4], &figures[4..6], &figures[6..8]);
        let name = at.month().to_string();
        fill(&mut self.rfc3339, &[year, b"-", month, b"-", day, b"T"], &figures[8..]);
        fill(&mut self.common, &[day, b"/", &name.as_bytes()[..3], b"/", year, b":"], &figures[8..]);
    }
}

/// Date first, then `HHMMSS` as `HH:MM:SS`; what stands behind is left.
fn fill(text: &mut [u8], date: &[&[u8]], time: &[u8]) {
    let clock = [&time[..2], b":", &time[2..4], b":", &time[4..]];
    for (place, byte) in text.iter_mut().zip(date.iter().chain(&clock).copied().flatten()) {
        *place = *byte;
    }
}

/// A number with leading zeros; `over` is the first power of ten above its places.
pub(super) fn digits(out: &mut Vec<u8>, number: u32, over: u32) {
    let mut buffer = itoa::Buffer::new();
    let figures = buffer.format(over + number % over).as_bytes();
    out.extend_from_slice(figures.get(1..).unwrap_or_default());
}
