//! A worker that was started before the guard's binary was exchanged. It serves until the next one does.
//!
//! No word passes: what the two binaries would say may differ. Its end of the socket is only kept open;
//! when it is closed the worker lets nobody in any more, drains and ends, as it would without a guard.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid};
use tokio::sync::mpsc;

use super::child::{Event, What};

/// A worker of the binary before.
#[derive(Debug)]
pub(super) struct Predecessor {
    /// As of other workers.
    pub(super) number: u64,
    /// Its number in the system.
    pub(super) pid: u32,
    /// The end of its socket; `None`: it was told to leave.
    link: Option<OwnedFd>,
    process: OwnedFd,
    until: Option<Instant>,
}

impl Predecessor {
    /// Takes it over. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// Where it has ended.
    pub(super) fn adopt(number: u64, pid: u32, link: OwnedFd, events: mpsc::Sender<Event>) -> io::Result<Self> {
        let id = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
        let process = pidfd_open(id, PidfdFlags::empty())?;
        let waited = process.try_clone()?;
        tokio::task::spawn_blocking(move || {
            let ended = waitid(WaitId::PidFd(waited.as_fd()), WaitIdOptions::EXITED);
            let why = match ended {
                Ok(Some(status)) => format!("{status:?}"),
                Ok(None) => "it has ended".to_owned(),
                Err(error) => error.to_string(),
            };
            // Nobody hears it where the guard itself has ended.
            let _ = events.blocking_send(Event { worker: number, what: What::Left(why) });
        });
        Ok(Self { number, pid, link: Some(link), process, until: None })
    }

    /// Has it leave; it is killed where it is not gone by then.
    pub(super) fn leave(&mut self, until: Instant) {
        self.link = None;
        self.until.get_or_insert(until);
    }

    /// Ends it, whatever it does.
    pub(super) fn end(&mut self) {
        let _ = pidfd_send_signal(&self.process, Signal::KILL);
    }

    /// Kills it where its time is over.
    pub(super) fn look(&self, now: Instant) {
        if self.until.is_some_and(|until| until <= now) {
            let _ = pidfd_send_signal(&self.process, Signal::KILL);
        }
    }
}
