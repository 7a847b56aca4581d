//! Tasks that serve one stream after another.
//!
//! An exchange needs a few KiB of state. In a task of its own each stream would allocate, move and
//! free as much; a lane keeps the place for the next stream, warm in the cache.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::{Stream, stream_task};
use crate::head::RequestHead;

/// Lanes without a stream that a thread keeps; what is above ends.
const MOST_IDLE: usize = 512;

thread_local! {
    static IDLE: RefCell<Vec<Rc<Lane>>> = const { RefCell::new(Vec::new()) };
}

/// Where a lane is handed its next stream.
#[derive(Default)]
struct Lane {
    next: RefCell<Option<Stream>>,
    waker: RefCell<Option<Waker>>,
}

/// Serves the stream in a task of this thread.
pub(super) fn serve(stream: Stream) {
    let Some(lane) = IDLE.with_borrow_mut(Vec::pop) else {
        let lane = Rc::new(Lane::default());
        lane.next.replace(Some(stream));
        tokio::task::spawn_local(run(Place(lane)));
        return;
    };
    lane.next.replace(Some(stream));
    if let Some(waker) = lane.waker.borrow().as_ref() {
        waker.wake_by_ref();
    }
}

async fn run(place: Place) {
    let lane = &place.0;
    let mut head = RequestHead::default();
    loop {
        let handed = poll_fn(|cx| {
            if lane.next.borrow().is_some() {
                return Poll::Ready(());
            }
            if !lane.waker.borrow().as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
                lane.waker.replace(Some(cx.waker().clone()));
            }
            Poll::Pending
        });
        handed.await;
        stream_task(&lane.next, &mut head).await;
        head.clear();
        if !place.rest() {
            return;
        }
    }
}

/// A lane as its task holds it. When the task ends nobody finds the lane any more.
struct Place(Rc<Lane>);

impl Place {
    /// Lets the lane be found; false when enough others can be.
    fn rest(&self) -> bool {
        IDLE.with_borrow_mut(|idle| {
            let wanted = idle.len() < MOST_IDLE;
            if wanted {
                idle.push(Rc::clone(&self.0));
            }
            wanted
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // The list is gone when the thread is ending.
        let _ = IDLE.try_with(|idle| idle.borrow_mut().retain(|lane| !Rc::ptr_eq(lane, &self.0)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_lanes_are_bounded_and_go_with_their_tasks() {
        let mut places: Vec<_> = (0..=MOST_IDLE).map(|_| Place(Rc::default())).collect();
        let found = places.iter().filter(|place| place.rest()).count();
        assert_eq!(found, MOST_IDLE);
        let gone = Rc::clone(&places.remove(0).0);
        IDLE.with_borrow(|idle| {
            assert_eq!(idle.len(), MOST_IDLE - 1);
            assert!(idle.iter().all(|lane| !Rc::ptr_eq(lane, &gone)));
        });
    }
}
