//! Deadlines by the thousand for the price of a few.
//!
//! A timer of the runtime for each phase of each exchange costs 2 to 4 % of the whole. Here setting
//! a deadline is a store into a cell: each connection owns a [`Deadline`], a wheel of the thread
//! looks at it when its slot comes round, and puts it back when it was moved meanwhile. So an entry
//! is touched about once per timeout, not once per request. Deadlines are coarse: they fire up to
//! [`TICK`] and the sweep's own delay late; one that is set just after the thread was held up counts
//! from the last sweep and fires early by as much.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// How finely deadlines are kept.
pub const TICK: Duration = Duration::from_millis(25);
const SLOTS: usize = 1024;
const NEVER: u64 = u64::MAX;
/// Ticks that an idle connection rests before it may be ended to make room.
const DISPLACED_AFTER: u64 = 400;
/// The same for one that was never used.
const UNUSED_DISPLACED_AFTER: u64 = 40;

/// The time was up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("timed out")]
pub struct Elapsed;

/// Marks an idle connection by what it belongs to, so that a drain can end those alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag(pub u32);

/// A point in time that a task waits for beside its work, moved as often as one likes. A clone is
/// another handle to the same one.
#[derive(Clone, Debug)]
pub struct Deadline(Rc<Entry>);

#[derive(Debug, Default)]
struct Entry {
    /// The tick at which it fires; `NEVER` when it is not set.
    due: Cell<u64>,
    /// The tick whose slot holds the entry; `NEVER` when none does.
    scheduled: Cell<u64>,
    /// Where in that slot.
    place: Cell<usize>,
    fired: Cell<bool>,
    idle: Cell<Option<Tag>>,
    /// The tick from which on an idle connection may be ended to make room.
    displaceable: Cell<u64>,
    waker: RefCell<Option<Waker>>,
}

impl Entry {
    fn fire(&self) {
        self.fired.set(true);
        self.due.set(NEVER);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

impl Drop for Entry {
    /// Short connections in great numbers would else leave as many entries behind until their slots
    /// come round.
    fn drop(&mut self) {
        let _ = WHEEL.try_with(|wheel| {
            if let Ok(mut wheel) = wheel.try_borrow_mut() {
                wheel.unschedule(self);
            }
        });
    }
}

impl Default for Deadline {
    fn default() -> Self {
        let entry = Entry::default();
        entry.due.set(NEVER);
        entry.scheduled.set(NEVER);
        Self(Rc::new(entry))
    }
}

impl Deadline {
    /// Fires `after` from now on.
    pub fn set(&self, after: Duration) {
        self.0.fired.set(false);
        self.0.idle.set(None);
        WHEEL.with(|wheel| wheel.borrow_mut().set(&self.0, after));
    }

    /// Fires `after` from now on, or when the idle connections of `tag` are told to end. To make
    /// room it is ended after ten seconds at the soonest: clients keep what they have used.
    pub fn set_idle(&self, after: Duration, tag: Tag) {
        self.rest(after, tag, DISPLACED_AFTER);
    }

    /// The same for a connection that was never used: it may make room after a second.
    pub fn set_unused(&self, after: Duration, tag: Tag) {
        self.rest(after, tag, UNUSED_DISPLACED_AFTER);
    }

    /// Until it is set anew it fires when it would, but not to make room: the connection is in use.
    pub fn keep_place(&self) {
        self.0.displaceable.set(NEVER);
    }

    fn rest(&self, after: Duration, tag: Tag, displaced_after: u64) {
        self.set(after);
        self.0.idle.set(Some(tag));
        self.0.displaceable.set(WHEEL.with_borrow(|wheel| wheel.now) + displaced_after);
    }

    /// Does not fire any more.
    pub fn clear(&self) {
        self.0.fired.set(false);
        self.0.idle.set(None);
        self.0.due.set(NEVER);
    }

    /// Fires now.
    pub fn fire(&self) {
        self.0.fire();
    }

    /// Ready once it has fired.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.0.fired.get() {
            return Poll::Ready(());
        }
        let mut waker = self.0.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Whether it has fired.
    #[must_use]
    pub fn has_fired(&self) -> bool {
        self.0.fired.get()
    }

    /// Runs `future` until it ends or the deadline fires.
    ///
    /// # Errors
    /// [`Elapsed`] when the deadline fired first; `future` is then dropped.
    pub async fn within<F: Future>(&self, future: F) -> Result<F::Output, Elapsed> {
        let mut future = pin!(future);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => self.poll(cx).map(|()| Err(Elapsed)),
        })
        .await
    }
}

thread_local! {
    static WHEEL: RefCell<Wheel> = RefCell::new(Wheel::default());
}

/// Turns the wheel of this thread; to be spawned once on each thread that uses deadlines.
pub async fn run_deadlines() {
    let start = Instant::now();
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let first = WHEEL.with_borrow(|wheel| wheel.now);
    loop {
        interval.tick().await;
        let passed = u64::try_from(start.elapsed().as_nanos() / TICK.as_nanos()).unwrap_or(NEVER);
        let due = WHEEL.with_borrow_mut(|wheel| wheel.sweep(first + passed));
        for entry in due {
            entry.fire();
        }
    }
}

/// The time on this thread's wheel, in steps of [`TICK`] from an unknown beginning: for measuring
/// waits, without a system call.
#[must_use]
pub fn coarse_now() -> Duration {
    let ticks = WHEEL.with_borrow(|wheel| wheel.now);
    TICK * u32::try_from(ticks).unwrap_or(u32::MAX)
}

/// Ends the wait of up to `most` idle connections of this thread whose tag `of` wants, about those
/// that have the least time left; how many that were.
pub fn end_longest_idle(most: usize, of: impl Fn(Tag) -> bool) -> usize {
    let idle = WHEEL.with_borrow(|wheel| wheel.next_idle(most, of));
    idle.iter().for_each(|entry| entry.fire());
    idle.len()
}

/// Ends the wait of every idle connection of this thread whose tag `of` wants.
pub fn fire_idle(of: impl Fn(Tag) -> bool) {
    let idle = WHEEL.with_borrow(|wheel| wheel.idle(of));
    for entry in idle {
        entry.fire();
    }
}

/// Ticks that are at least so long.
fn ticks(after: Duration) -> u64 {
    const PER_SECOND: u64 = 1_000_000_000 / TICK.subsec_nanos() as u64;
    let of_part = after.subsec_nanos().div_ceil(TICK.subsec_nanos());
    after.as_secs().saturating_mul(PER_SECOND).saturating_add(u64::from(of_part))
}

/// The pure part: a ring of slots, one a tick.
#[derive(Debug)]
struct Wheel {
    now: u64,
    slots: Vec<Vec<Weak<Entry>>>,
}

impl Default for Wheel {
    fn default() -> Self {
        Self { now: 0, slots: (0..SLOTS).map(|_| Vec::new()).collect() }
    }
}

impl Wheel {
    fn set(&mut self, entry: &Rc<Entry>, after: Duration) {
        // One more: the present tick has partly gone by.
        let due = self.now.saturating_add(ticks(after)).saturating_add(1).min(NEVER - 1);
        entry.due.set(due);
        if due < entry.scheduled.get() {
            self.schedule(entry, due);
        }
    }

    fn schedule(&mut self, entry: &Rc<Entry>, due: u64) {
        // What is due later than the ring reaches is looked at again when the ring has gone round.
        let tick = due.clamp(self.now + 1, self.now + SLOTS as u64 - 1);
        self.unschedule(entry);
        entry.scheduled.set(tick);
        let slot = self.slot(tick);
        entry.place.set(self.slots[slot].len());
        self.slots[slot].push(Rc::downgrade(entry));
    }

    fn unschedule(&mut self, entry: &Entry) {
        let tick = entry.scheduled.replace(NEVER);
        let (slot, place) = (self.slot(tick), entry.place.get());
        let slot = &mut self.slots[slot];
        if tick == NEVER || !slot.get(place).is_some_and(|held| std::ptr::eq(held.as_ptr(), entry)) {
            return;
        }
        slot.swap_remove(place);
        if let Some(moved) = slot.get(place).and_then(Weak::upgrade) {
            moved.place.set(place);
        }
    }

    /// Moves to the tick `now`; the entries that are due.
    fn sweep(&mut self, now: u64) -> Vec<Rc<Entry>> {
        let mut due = Vec::new();
        let from = self.now + 1;
        // After a long stop of the process each slot is looked at once.
        let from = from.max(now.saturating_sub(SLOTS as u64 - 1));
        for tick in from..=now {
            self.now = tick;
            let slot = self.slot(tick);
            for entry in std::mem::take(&mut self.slots[slot]) {
                let Some(entry) = entry.upgrade() else { continue };
                entry.scheduled.set(NEVER);
                match entry.due.get() {
                    NEVER => {}
                    at if at <= now => due.push(entry),
                    at => self.schedule(&entry, at),
                }
            }
        }
        due
    }

    fn idle(&self, of: impl Fn(Tag) -> bool) -> Vec<Rc<Entry>> {
        let entries = self.slots.iter().flatten().filter_map(Weak::upgrade);
        entries.filter(|entry| entry.due.get() != NEVER && entry.idle.get().is_some_and(&of)).collect()
    }

    /// The first idle entries that the wheel comes by.
    fn next_idle(&self, most: usize, of: impl Fn(Tag) -> bool) -> Vec<Rc<Entry>> {
        let ahead = (self.now + 1..=self.now + SLOTS as u64).filter_map(|tick| self.slots.get(self.slot(tick)));
        let entries = ahead.flatten().filter_map(Weak::upgrade);
        let rested = |entry: &Entry| entry.due.get() != NEVER && entry.displaceable.get() <= self.now;
        let idle = |entry: &Rc<Entry>| rested(entry) && entry.idle.get().is_some_and(&of);
        entries.filter(idle).take(most).collect()
    }

    fn slot(&self, tick: u64) -> usize {
        usize::try_from(tick % SLOTS as u64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Rc<Entry> {
        Deadline::default().0
    }

    fn at(wheel: &mut Wheel, now: u64) -> usize {
        wheel.sweep(now).len()
    }

    #[test]
    fn fires_when_due_and_only_once() {
        let mut wheel = Wheel::default();
        let entry = entry();
        wheel.set(&entry, TICK * 4);
        assert_eq!(at(&mut wheel, 4), 0);
        assert_eq!(at(&mut wheel, 5), 1);
        assert_eq!(at(&mut wheel, 5000), 0);
    }

    #[test]
    fn a_moved_deadline_fires_at_its_last_place() {
        let mut wheel = Wheel::default();
        let entry = entry();
        wheel.set(&entry, TICK * 10);
        wheel.set(&entry, TICK * 20);
        assert_eq!(at(&mut wheel, 20), 0);
        assert_eq!(at(&mut wheel, 21), 1);
        wheel.set(&entry, TICK * 100);
        wheel.set(&entry, TICK * 2);
        assert_eq!(at(&mut wheel, 24), 1);
        assert_eq!(at(&mut wheel, 1000), 0);
    }

    #[test]
    fn beyond_the_ring_and_over_a_long_stop() {
        let mut wheel = Wheel::default();
        let (far, near) = (entry(), entry());
        wheel.set(&far, TICK * 5000);
        wheel.set(&near, TICK * 3);
        let mut fired = 0;
        for now in 1..=5000 {
            fired += at(&mut wheel, now);
        }
        assert_eq!(fired, 1);
        assert_eq!(at(&mut wheel, 5001), 1);
        wheel.set(&near, TICK * 3);
        assert_eq!(at(&mut wheel, 5001 + 100_000), 1);
    }

    #[test]
    fn a_dropped_entry_and_a_cleared_one_do_not_fire() {
        let mut wheel = Wheel::default();
        let cleared = entry();
        wheel.set(&cleared, TICK);
        cleared.due.set(NEVER);
        wheel.set(&entry(), TICK);
        assert_eq!(at(&mut wheel, 10), 0);
    }

    #[test]
    fn idle_ones_are_found_by_tag() {
        let mut wheel = Wheel::default();
        let (one, two) = (entry(), entry());
        for (entry, tag) in [(&one, 1), (&two, 2)] {
            wheel.set(entry, TICK * 3000);
            entry.idle.set(Some(Tag(tag)));
        }
        assert_eq!(wheel.idle(|tag| tag == Tag(2)).len(), 1);
        assert!(Rc::ptr_eq(&wheel.idle(|tag| tag == Tag(2))[0], &two));
    }

    #[test]
    fn those_with_the_least_time_left_are_found_first() {
        let mut wheel = Wheel::default();
        let entries: Vec<_> = (0..5).map(|_| entry()).collect();
        for (at, entry) in [8, 10, 20, 5, 40].into_iter().zip(&entries) {
            wheel.set(entry, TICK * at);
            entry.idle.set((at != 5).then_some(Tag(1)));
        }
        entries[0].displaceable.set(1);
        let found = wheel.next_idle(2, |tag| tag == Tag(1));
        assert_eq!(found.len(), 2);
        assert!(Rc::ptr_eq(&found[0], &entries[1]) && Rc::ptr_eq(&found[1], &entries[2]));
    }

    #[test]
    fn the_wheel_holds_each_entry_once_and_no_dropped_one() {
        let held = || WHEEL.with_borrow(|wheel| wheel.slots.iter().map(Vec::len).sum::<usize>());
        let mut all: Vec<_> = (0..4).map(|_| Deadline::default()).collect();
        for deadline in &all {
            deadline.set(TICK * 100);
        }
        all[1].set(TICK * 50);
        assert_eq!(held(), 4);
        drop(all.remove(0));
        drop(all.remove(1));
        assert_eq!(held(), 2);
        WHEEL.with_borrow_mut(|wheel| assert_eq!(wheel.sweep(60).len(), 1));
        drop(all);
        assert_eq!(held(), 0);
    }

    #[tokio::test]
    async fn within_ends_a_future_that_waits_too_long() {
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                let turning = tokio::task::spawn_local(run_deadlines());
                let deadline = Deadline::default();
                deadline.set(TICK);
                assert_eq!(deadline.within(std::future::pending::<()>()).await, Err(Elapsed));
                deadline.set(Duration::from_secs(60));
                assert_eq!(deadline.within(async { 1 }).await, Ok(1));
                turning.abort();
            })
            .await;
    }
}
