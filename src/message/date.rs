//! The value of the Date field (RFC 9110 §6.6.1).

use std::{
    cell::Cell,
    io::Write,
    time::{Duration, UNIX_EPOCH},
};

use rustix::time::{ClockId, clock_gettime};

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7).
pub type Text = [u8; 29];

thread_local! {
    static LAST: Cell<(u64, Text)> = const { Cell::new((u64::MAX, [b' '; 29])) };
}

/// The present time as an IMF-fixdate. The text is made once a second on each thread; in
/// between it costs one reading of the kernel's coarse clock, which is no system call.
#[must_use]
pub fn date() -> Text {
    let seconds = u64::try_from(clock_gettime(ClockId::RealtimeCoarse).tv_sec).unwrap_or_default();
    let (last, mut text) = LAST.get();
    if last != seconds {
        text = imf_fixdate(seconds);
        LAST.set((seconds, text));
    }
    text
}

fn imf_fixdate(unix_seconds: u64) -> Text {
    /// The last second of the year 9999, the last one that the format can say.
    const END: u64 = 253_402_300_799;
    let mut text = [b' '; 29];
    let date = httpdate::HttpDate::from(UNIX_EPOCH + Duration::from_secs(unix_seconds.min(END)));
    // The text has exactly this length, so the write cannot fall short.
    let _ = write!(text.as_mut_slice(), "{date}");
    text
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn dates_are_imf_fixdates() {
        assert_eq!(&imf_fixdate(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(&imf_fixdate(u64::MAX), b"Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn the_present_is_written() {
        let mut out = b"Date: ".to_vec();
        out.extend_from_slice(&date());
        let written = httpdate::parse_http_date(str::from_utf8(&out[6..]).unwrap()).unwrap();
        let now = SystemTime::now();
        assert!(written <= now && now < written + Duration::from_secs(5));
    }
}
