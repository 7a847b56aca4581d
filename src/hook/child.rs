//! A program of the operator's: run to its end, or killed with all that it started when its time is over.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, SigmaskHow};
use nix::unistd::User;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::Program;

/// Why a program did not pass.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// Nobody has this name.
    #[error("there is no user `{0}`")]
    NoUser(String),
    /// The list of users cannot be read.
    #[error("user `{0}` cannot be looked up")]
    User(String, #[source] io::Error),
    /// It did not start.
    #[error("it did not start")]
    Start(#[source] io::Error),
    /// Its end could not be waited for.
    #[error("its end was not heard of")]
    Wait(#[source] io::Error),
    /// It was killed.
    #[error("it took longer than {} ms and was killed", .0.as_millis())]
    TimedOut(Duration),
    /// It ended, and not with 0.
    #[error("{0}")]
    Failed(ExitStatus),
}

/// Runs a program with these variables and nothing else of our environment; `said` is what it reads.
///
/// # Errors
/// Where it does not end with 0 within `timeout`.
pub fn run(program: &Program, variables: &[(&str, &str)], said: &[u8], timeout: Duration) -> Result<(), ChildError> {
    let until = Instant::now() + timeout;
    let mut command = Command::new(&program.path);
    command.args(&program.arguments).current_dir("/").process_group(0);
    command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command.envs(variables.iter().copied());
    command.stdin(words(said).map_err(ChildError::Start)?).stdout(Stdio::null()).stderr(Stdio::null());
    become_user(&mut command, program)?;
    let mut child = start(&mut command).map_err(ChildError::Start)?;
    let status = end_of(&mut child, until).map_err(ChildError::Wait)?;
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(ChildError::Failed(status)),
        None => Err(ChildError::TimedOut(timeout)),
    }
}

/// Held while a thread starts a program.
static STARTING: Mutex<()> = Mutex::new(());

/// As long as it is there no program starts: where threads take no signals, one that starts a program does
/// for a moment.
pub fn hold_programs() -> MutexGuard<'static, ()> {
    STARTING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A program begins with all signals open, whatever is blocked here: it has them from the thread that
/// starts it.
fn start(command: &mut Command) -> io::Result<Child> {
    let _alone = hold_programs();
    let before = SigSet::empty().thread_swap_mask(SigmaskHow::SIG_SETMASK);
    let child = command.spawn();
    if let Ok(before) = before {
        let _ = before.thread_set_mask();
    }
    child
}

/// A file in memory: who does not want to read it need not, however long it is.
fn words(said: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create("haechi-hook", MemfdFlags::CLOEXEC)?);
    file.write_all(said)?;
    file.rewind()?;
    Ok(file)
}

fn become_user(command: &mut Command, program: &Program) -> Result<(), ChildError> {
    let Some(name) = &program.user else { return Ok(()) };
    let found = User::from_name(name).map_err(|error| ChildError::User(name.clone(), error.into()))?;
    let user = found.ok_or_else(|| ChildError::NoUser(name.clone()))?;
    if user.uid.as_raw() != rustix::process::geteuid().as_raw() {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    Ok(())
}

/// How it ended; `None`: it had to be killed. It is gone in any case.
fn end_of(child: &mut Child, until: Instant) -> io::Result<Option<ExitStatus>> {
    // Not reaped before here: the number is still its own.
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let ended = pid.ok_or_else(|| io::ErrorKind::InvalidInput.into()).and_then(|pid| ends(pid, until));
    if !matches!(ended, Ok(true)) {
        if let Some(pid) = pid {
            // It may have ended this moment.
            let _ = kill_process_group(pid, Signal::KILL);
        }
        child.wait()?;
        return ended.map(|_| None);
    }
    child.wait().map(Some)
}

/// Whether a process ends before this time.
fn ends(pid: Pid, until: Instant) -> io::Result<bool> {
    let handle = pidfd_open(pid, PidfdFlags::empty())?;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&left)) {
            Err(Errno::INTR) => {}
            ready => return Ok(ready? > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(900);

    fn shell(script: &str) -> Program {
        Program { path: "/bin/sh".into(), arguments: vec!["-c".into(), script.into()], user: None }
    }

    #[test]
    fn the_end_of_a_program_is_told() {
        assert!(run(&shell("exit 0"), &[], b"", LONG).is_ok());
        let failed = run(&shell("exit 3"), &[], b"", LONG).unwrap_err();
        assert_eq!(failed.to_string(), "exit status: 3");
        let missing = Program { path: "/nowhere".into(), ..shell("") };
        assert!(matches!(run(&missing, &[], b"", LONG), Err(ChildError::Start(_))));
        let nobody = Program { user: Some("no-such-user".into()), ..shell("") };
        assert_eq!(run(&nobody, &[], b"", LONG).unwrap_err().to_string(), "there is no user `no-such-user`");
    }

    #[test]
    fn a_program_gets_its_words_and_nothing_of_our_environment() {
        let script = r#"[ "$HAECHI_STATE" = active ] && [ "$(cat)" = words ] && [ -z "$CARGO_MANIFEST_DIR" ]"#;
        assert!(run(&shell(script), &[("HAECHI_STATE", "active")], b"words", LONG).is_ok());
    }

    #[test]
    fn a_program_runs_as_the_user_that_is_named() {
        if !rustix::process::geteuid().is_root() {
            return eprintln!("SKIPPED: only root can run a program as another user");
        }
        let nobody = User::from_name("nobody").unwrap().unwrap();
        let script = format!("[ \"$(id -u) $(id -g) $(id -G)\" = \"{0} {1} {1}\" ]", nobody.uid, nobody.gid);
        let ran = run(&Program { user: Some("nobody".into()), ..shell(&script) }, &[], b"", LONG);
        assert!(ran.is_ok(), "{ran:?}");
        assert!(run(&shell(&script), &[], b"", LONG).is_err(), "else it runs as this process");
    }

    #[test]
    fn a_program_has_its_signals_open_whatever_is_blocked_here() {
        let blocked = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK).unwrap();
        let ran = run(&shell("grep -q '^SigBlk:.0*$' /proc/self/status"), &[], b"", LONG);
        let after = SigSet::thread_get_mask().unwrap();
        blocked.thread_set_mask().unwrap();
        assert!(ran.is_ok(), "{ran:?}");
        assert!(after.contains(nix::sys::signal::Signal::SIGTERM), "here they are blocked as before");
    }

    #[test]
    fn a_program_need_not_read_what_it_is_told() {
        assert!(run(&shell("exit 0"), &[], &vec![b'x'; 1 << 20], LONG).is_ok());
        assert!(run(&shell("[ $(wc -c) = 1048576 ]"), &[], &vec![b'x'; 1 << 20], LONG).is_ok());
    }

    #[test]
    fn who_takes_too_long_is_killed_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        // The child of the shell holds the end that is written to; it sleeps for far longer than this test.
        let script = format!("sh -c 'exec 3<>{0}; echo begun >&3; sleep 3000' & wait", fifo.display());
        let short = Duration::from_millis(500);
        assert!(matches!(run(&shell(&script), &[], b"", short), Err(ChildError::TimedOut(_))));
        // Where it lived on, this could be opened for writing.
        let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK;
        let opened = || rustix::fs::open(&fifo, flags, rustix::fs::Mode::empty()).err();
        let end = Instant::now() + Duration::from_secs(30);
        while opened() != Some(Errno::NXIO) {
            assert!(Instant::now() < end, "a child of it lives on");
            std::thread::yield_now();
        }
    }
}
