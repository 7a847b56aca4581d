//! Signals of the operator, as words.
//!
//! In come SIGHUP, SIGTERM, SIGINT, SIGUSR1 and SIGUSR2; out comes what is wanted. What always holds: the
//! first SIGTERM or SIGINT asks for a drain and each later one to stop at once.

use std::io;

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// What the operator asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGHUP: read the config again.
    Reload,
    /// SIGUSR1: open the log files anew, they were renamed.
    ReopenLogs,
    /// SIGUSR2: become the binary that lies where this one lay.
    Upgrade,
    /// The first SIGTERM or SIGINT: take nothing new, finish what runs, end.
    Drain,
    /// Another SIGTERM or SIGINT: end now.
    Stop,
}

/// The signals of this process. From its making on, none of them ends the process by itself.
#[derive(Debug)]
pub struct Signals {
    hangup: Stream,
    terminate: Stream,
    interrupt: Stream,
    user1: Stream,
    user2: Stream,
    draining: bool,
}

impl Signals {
    /// Takes the signals over. Must be called on a tokio runtime with its I/O driver on.
    ///
    /// # Errors
    /// When a handler cannot be installed.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
            draining: false,
        })
    }

    /// Waits for the next one. Cancel safe. Equal signals in quick succession may come as one.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            // An end is not kept waiting by anything else.
            biased;
            _ = self.terminate.recv() => self.end(),
            _ = self.interrupt.recv() => self.end(),
            _ = self.hangup.recv() => Signal::Reload,
            _ = self.user1.recv() => Signal::ReopenLogs,
            _ = self.user2.recv() => Signal::Upgrade,
        }
    }

    fn end(&mut self) -> Signal {
        if std::mem::replace(&mut self.draining, true) { Signal::Stop } else { Signal::Drain }
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal as Number, getpid, kill_process};

    use super::*;

    // One test for all of it: signals are for the whole process.
    #[tokio::test]
    async fn each_signal_has_its_word_and_the_second_end_is_at_once() {
        let mut signals = Signals::listen().unwrap();
        for (number, word) in [
            (Number::HUP, Signal::Reload),
            (Number::USR1, Signal::ReopenLogs),
            (Number::USR2, Signal::Upgrade),
            (Number::TERM, Signal::Drain),
            (Number::HUP, Signal::Reload),
            (Number::INT, Signal::Stop),
            (Number::TERM, Signal::Stop),
        ] {
            kill_process(getpid(), number).unwrap();
            assert_eq!(signals.next().await, word);
        }
    }
}
