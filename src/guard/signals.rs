//! Signals of the operator, as words.
//!
//! In come SIGHUP, SIGTERM, SIGINT, SIGUSR1 and SIGUSR2; out comes what is wanted. What always holds: the
//! first SIGTERM or SIGINT asks for a drain and each later one to stop at once; and none is lost where
//! another program takes this one's place.
//!
//! The main thread alone takes signals, all others have them blocked. So while it holds them ([`hold`]) they
//! wait in the kernel, also over an exec, until the next program listens.

use std::future::poll_fn;
use std::io;
use std::marker::PhantomData;
use std::task::Poll;

use nix::sys::signal::{SigSet, SigmaskHow, Signal as Number, raise};
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// Every signal that has a word.
const NUMBERS: [Number; 5] = [Number::SIGHUP, Number::SIGTERM, Number::SIGINT, Number::SIGUSR1, Number::SIGUSR2];

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

/// Until it is gone, signals wait in the kernel and reach neither this thread nor those that it starts
/// meanwhile.
#[derive(Debug)]
#[must_use]
pub struct Held {
    /// `None`: the system has refused what it never refuses.
    before: Option<SigSet>,
    /// It is this thread's.
    _thread: PhantomData<*const ()>,
}

/// Lets signals wait for now.
pub fn hold() -> Held {
    let all: SigSet = NUMBERS.into_iter().collect();
    Held { before: all.thread_swap_mask(SigmaskHow::SIG_BLOCK).ok(), _thread: PhantomData }
}

/// Has this thread, and those that it starts, never take a signal.
pub fn leave_to_main_thread() {
    std::mem::forget(hold());
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            let _ = before.thread_set_mask();
        }
    }
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

    /// Has the main thread, which must be the caller, take signals from here on, those too that have waited.
    ///
    /// # Errors
    /// When the system refuses, which it never does.
    pub fn open(&self) -> io::Result<()> {
        Ok(NUMBERS.into_iter().collect::<SigSet>().thread_unblock()?)
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

    /// Holds signals, those too that have come and were not told yet: whoever listens next hears them, be it
    /// another program.
    pub async fn pass_on(&mut self) -> Held {
        let held = hold();
        // What a handler has taken is known to the streams once the runtime has looked at its sockets.
        tokio::task::yield_now().await;
        let mut streams =
            [&mut self.hangup, &mut self.terminate, &mut self.interrupt, &mut self.user1, &mut self.user2];
        poll_fn(|cx| {
            for (stream, number) in streams.iter_mut().zip(NUMBERS) {
                if stream.poll_recv(cx).is_ready() {
                    // To this very thread, which holds it.
                    let _ = raise(number);
                }
            }
            Poll::Ready(())
        })
        .await;
        held
    }

    fn end(&mut self) -> Signal {
        if std::mem::replace(&mut self.draining, true) { Signal::Stop } else { Signal::Drain }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nix::sys::signal::Signal::{SIGHUP, SIGUSR1};
    use rustix::process::{Signal as Number, getpid, kill_process};
    use tokio::time::timeout;

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

        // What came before signals are passed on, or while they are held, comes to who listens next.
        for [before, meanwhile] in [[SIGHUP, SIGUSR1], [SIGUSR1, SIGHUP]] {
            raise(before).unwrap();
            let held = signals.pass_on().await;
            raise(meanwhile).unwrap();
            let told = timeout(Duration::from_millis(10), signals.next()).await;
            assert!(told.is_err(), "{told:?} was told while it was held");
            drop(held);
            let told = [signals.next().await, signals.next().await];
            assert_eq!(told, [Signal::Reload, Signal::ReopenLogs]);
        }
    }
}
