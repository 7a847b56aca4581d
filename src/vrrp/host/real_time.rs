//! Real-time priority of a thread: one system call, which no library makes without unsafe code of the
//! caller's.
#![expect(unsafe_code, reason = "sched_setscheduler(2) with SCHED_RESET_ON_FORK has no safe binding")]

use std::io;

/// Has the calling thread run before all others but those of a higher real-time `priority` (SCHED_FIFO).
/// Neither threads nor programs that it starts inherit that (SCHED_RESET_ON_FORK).
///
/// # Errors
/// When the system does not allow it.
pub fn run_before_others(priority: i32) -> io::Result<()> {
    set(libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, priority)
}

/// Has the calling thread run like any other again.
///
/// # Errors
/// When the system does not allow it.
pub fn run_like_others() -> io::Result<()> {
    set(libc::SCHED_OTHER, 0)
}

fn set(policy: i32, priority: i32) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: priority };
    // SAFETY: 0 names the calling thread, so no other one is concerned; the kernel only reads `parameters`, which
    // lives until the call is over.
    let set = unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// Field 41 of stat(5): the policy, of which SCHED_FIFO is 1.
    fn policy() -> String {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        fields.split_whitespace().nth(38).unwrap().to_owned()
    }

    #[test]
    fn a_thread_that_runs_before_others_passes_that_on_to_nobody() {
        thread::spawn(|| {
            if let Err(error) = run_before_others(1) {
                return eprintln!("SKIPPED: no real-time priority here: {error}");
            }
            assert_eq!(policy(), "1");
            assert_eq!(thread::spawn(policy).join().unwrap(), "0");
            run_like_others().unwrap();
            assert_eq!(policy(), "0");
        })
        .join()
        .unwrap();
    }
}
