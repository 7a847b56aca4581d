//! Growing byte buffers for what is about to be sent, used again by the thread.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// A `Vec<u8>` that comes empty from a pool of the thread and goes back when dropped.
#[derive(Debug, Default)]
pub struct Scratch(Vec<u8>);

/// Capacity from which on one is large.
const LARGE: usize = 16 * 1024;
/// Larger ones are freed: one huge head must not stay in the pool for ever.
const MOST_CAPACITY: usize = 64 * 1024;
const POOLED: usize = 256;
const POOLED_LARGE: usize = 32;

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static LARGE_POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

impl Scratch {
    /// An empty one with some room.
    #[must_use]
    pub fn new() -> Self {
        Self(POOL.with_borrow_mut(Vec::pop).unwrap_or_else(|| Vec::with_capacity(2048)))
    }

    /// An empty one with room for what many exchanges have to send together.
    #[must_use]
    pub fn large() -> Self {
        Self(LARGE_POOL.with_borrow_mut(Vec::pop).unwrap_or_else(|| Vec::with_capacity(MOST_CAPACITY)))
    }

    /// One without memory, for a connection that has nothing to send.
    #[must_use]
    pub fn none() -> Self {
        Self(Vec::new())
    }
}

impl Deref for Scratch {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0);
        if bytes.capacity() == 0 || bytes.capacity() > MOST_CAPACITY {
            return;
        }
        bytes.clear();
        let (pool, most) = if bytes.capacity() < LARGE { (&POOL, POOLED) } else { (&LARGE_POOL, POOLED_LARGE) };
        let _ = pool.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            if pool.len() < most {
                pool.push(bytes);
            }
        });
    }
}
