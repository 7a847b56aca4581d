//! What the system says of a worker's threads (proc(5)).

use std::fs;
use std::time::Duration;

use super::pulse::Time;

/// The time of a thread; `None` where it is gone or the kernel does not count.
pub(super) fn time(process: u32, thread: u32) -> Option<Time> {
    let folder = format!("/proc/{process}/task/{thread}");
    let counted = fs::read_to_string(format!("{folder}/schedstat")).ok()?;
    let mut nanoseconds = counted.split_ascii_whitespace().map(str::parse).map_while(Result::ok);
    let stat = fs::read_to_string(format!("{folder}/stat")).ok()?;
    // The name before it may hold anything, even brackets.
    let (_, state) = stat.rsplit_once(") ")?;
    Some(Time {
        ran: Duration::from_nanos(nanoseconds.next()?),
        waited: Duration::from_nanos(nanoseconds.next()?),
        runnable: state.starts_with('R'),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_thread_runs() {
        let thread = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
        let now = time(std::process::id(), thread).unwrap();
        assert!(now.runnable, "{now:?}");
        assert_eq!(time(std::process::id(), u32::MAX), None);
    }
}
