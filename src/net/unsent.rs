//! What waits to be sent on a connection that many exchanges share.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Bounds the payload that the exchanges of one connection have handed over and that its socket has
/// not taken. Each client says itself how much it wants ahead of its reading, and says it for each
/// stream: a hundred of them would else hold a hundred times what one may.
///
/// Clones share it. Who waits has its turn before others when half of the room is free again.
#[derive(Clone, Debug, Default)]
pub struct Unsent(Rc<Ledger>);

#[derive(Debug, Default)]
struct Ledger {
    held: Cell<usize>,
    waiting: RefCell<Vec<Waker>>,
}

impl Unsent {
    /// Bytes that may wait.
    pub const MOST: usize = 1024 * 1024;

    /// How much may be handed over; never ready with 0.
    pub fn poll_room(&self, cx: &Context<'_>) -> Poll<usize> {
        let mut waiting = self.0.waiting.borrow_mut();
        let room = Self::MOST.saturating_sub(self.0.held.get());
        if room > 0 && waiting.is_empty() {
            return Poll::Ready(room);
        }
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    pub(super) fn add(&self, bytes: usize) {
        self.0.held.set(self.0.held.get() + bytes);
    }

    pub(super) fn remove(&self, bytes: usize) {
        let left = self.0.held.get().saturating_sub(bytes);
        self.0.held.set(left);
        if left <= Self::MOST / 2 && !self.0.waiting.borrow().is_empty() {
            self.0.waiting.take().into_iter().for_each(Waker::wake);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn who_finds_no_room_is_woken_when_half_is_free_and_goes_first() {
        let unsent = Unsent::default();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let (waiter, other) = (Context::from_waker(&waker), Context::from_waker(Waker::noop()));
        assert_eq!(unsent.poll_room(&waiter), Poll::Ready(Unsent::MOST));
        unsent.add(Unsent::MOST - 1);
        assert_eq!(unsent.poll_room(&waiter), Poll::Ready(1));
        unsent.add(10);
        assert_eq!(unsent.poll_room(&waiter), Poll::Pending);
        assert_eq!(unsent.poll_room(&waiter), Poll::Pending);
        unsent.remove(100);
        assert_eq!(unsent.poll_room(&other), Poll::Pending, "others came first");
        assert_eq!(woken.0.load(Ordering::SeqCst), 0);
        unsent.remove(Unsent::MOST / 2);
        assert_eq!(woken.0.load(Ordering::SeqCst), 1, "each is woken once");
        assert!(unsent.poll_room(&waiter).is_ready());
    }
}
