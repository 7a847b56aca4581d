//! Waiting for a condition, never for a time.
#![expect(clippy::disallowed_methods, reason = "the one place that waits between two looks at a condition")]

use std::thread;
use std::time::{Duration, Instant};

const STEP: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(10);

/// Polls until `found` gives a value; panics with `what` after ten seconds.
pub fn eventually<T>(what: &str, found: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, found)
}

/// Polls until `found` gives a value; panics with `what` when the time is over.
pub fn within<T>(patience: Duration, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + patience;
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(Instant::now() < end, "not within {patience:?}: {what}");
        thread::sleep(STEP);
    }
}

/// The rhythm of a client: the pause is what is sent, not what is waited for.
pub fn pace(pause: Duration) {
    thread::sleep(pause);
}
