//! A bounded queue between two threads whose end can be polled beside sockets.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender, TryRecvError, TrySendError};

use rustix::event::{EventfdFlags, eventfd};

/// Where messages are put in. When the last clone is gone the receiver learns of it.
#[derive(Debug)]
pub struct Sender<T> {
    queue: SyncSender<T>,
    bell: Bell,
}

/// Where messages come out; readable where one may wait.
#[derive(Debug)]
pub struct Receiver<T> {
    queue: mpsc::Receiver<T>,
    bell: Bell,
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The queue is full: the other thread does not keep up.
    #[error("the queue is full")]
    Full,
    /// The other thread is gone.
    #[error("nobody reads the queue")]
    Closed,
}

/// A queue for at most `capacity` messages.
///
/// # Errors
/// Where the process may open no more files.
pub fn mailbox<T>(capacity: usize) -> io::Result<(Sender<T>, Receiver<T>)> {
    let bell = Bell(Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?));
    let (queue, waiting) = mpsc::sync_channel(capacity);
    Ok((Sender { queue, bell: bell.clone() }, Receiver { queue: waiting, bell }))
}

impl<T> Sender<T> {
    /// Puts a message in, without waiting.
    ///
    /// # Errors
    /// Where the queue is full, or nobody reads it.
    pub fn offer(&self, message: T) -> Result<(), Refused> {
        let sent = self.queue.try_send(message).map_err(|error| match error {
            TrySendError::Full(_) => Refused::Full,
            TrySendError::Disconnected(_) => Refused::Closed,
        });
        self.bell.ring();
        sent
    }

    /// Puts a message in, and waits until there is room for it.
    ///
    /// # Errors
    /// Where nobody reads the queue.
    pub fn send(&self, message: T) -> Result<(), Refused> {
        let sent = self.queue.send(message).map_err(|_| Refused::Closed);
        self.bell.ring();
        sent
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), bell: self.bell.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        // The receiver looks, and where it was the last sender it finds the queue closed: this side of
        // the queue must be gone by then.
        let (closed, _) = mpsc::sync_channel(0);
        self.queue = closed;
        self.bell.ring();
    }
}

impl<T> Receiver<T> {
    /// The messages that wait now, each handed to `take`. Whether more may come: `false` when every
    /// sender is gone.
    pub fn drain(&self, mut take: impl FnMut(T)) -> bool {
        // First the bell, then the queue: what is put in between rings again.
        self.bell.silence();
        loop {
            match self.queue.try_recv() {
                Ok(message) => take(message),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }
}

impl<T> AsFd for Receiver<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.0.as_fd()
    }
}

#[derive(Clone, Debug)]
struct Bell(Arc<OwnedFd>);

impl Bell {
    /// The counter cannot come near its end, and a write to it fails in no other way.
    fn ring(&self) {
        let _ = rustix::io::write(&*self.0, &1_u64.to_ne_bytes());
    }

    fn silence(&self) {
        let _ = rustix::io::read(&*self.0, &mut [0; 8]);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    fn wait(receiver: &Receiver<u32>) {
        poll(&mut [PollFd::new(receiver, PollFlags::IN)], None).unwrap();
    }

    #[test]
    fn what_is_sent_wakes_the_receiver() {
        let (sender, receiver) = mailbox(2).unwrap();
        let sending = thread::spawn(move || (0..100).for_each(|number| sender.send(number).unwrap()));
        let mut got = Vec::new();
        loop {
            wait(&receiver);
            if !receiver.drain(|number| got.push(number)) {
                break;
            }
        }
        sending.join().unwrap();
        assert_eq!(got, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_full_queue_holds_nobody_up() {
        let (sender, receiver) = mailbox(1).unwrap();
        assert_eq!(sender.offer(1), Ok(()));
        assert_eq!(sender.offer(2), Err(Refused::Full));
        drop(receiver);
        assert_eq!(sender.offer(3), Err(Refused::Closed));
    }

    #[test]
    fn the_last_sender_that_goes_is_heard_of() {
        let (sender, receiver) = mailbox::<u32>(1).unwrap();
        let clone = sender.clone();
        drop(sender);
        assert!(receiver.drain(|_| ()));
        drop(clone);
        wait(&receiver);
        assert!(!receiver.drain(|_| ()));
    }
}
