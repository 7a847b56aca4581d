//! Read buffers that an idle connection gives back.

use std::cell::RefCell;

/// Bytes read and not yet used, in a block that comes from a pool of the thread and goes back to
/// it when the buffer is dropped.
///
/// `start..end` is what is held; whoever reads fills `spare`.
#[derive(Debug, Default)]
pub struct Buffer {
    block: Box<[u8]>,
    start: usize,
    end: usize,
}

/// Blocks kept for reuse by each thread; what is above is freed.
const POOLED_SMALL: usize = 256;
const POOLED_LARGE: usize = 32;

thread_local! {
    static SMALL: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
    static LARGE: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

impl Buffer {
    /// Bytes in a small block: room for a head of default size and most bodies.
    pub const SMALL: usize = 16 * 1024;
    /// Bytes in a large block, for bodies that go on: a quarter less CPU than small ones.
    pub const LARGE: usize = 256 * 1024;

    /// A buffer without a block: what an idle connection holds.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// A buffer for at least `capacity` bytes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        let block = if capacity == 0 {
            Box::default()
        } else if capacity <= Self::SMALL {
            pooled(&SMALL, Self::SMALL)
        } else if capacity <= Self::LARGE {
            pooled(&LARGE, Self::LARGE)
        } else {
            vec![0; capacity].into_boxed_slice()
        };
        Self { block, start: 0, end: 0 }
    }

    /// What is held.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.block[self.start..self.end]
    }

    /// Bytes held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Bytes that the block has room for in all.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.block.len()
    }

    /// Forgets the first `n` bytes (all, if there are fewer).
    pub fn consume(&mut self, n: usize) {
        self.start += n.min(self.len());
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// The room behind what is held; moves what is held to the front when there is none left.
    /// Empty only when the block is full.
    pub fn spare(&mut self) -> &mut [u8] {
        if self.end == self.block.len() && self.start > 0 {
            self.block.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        &mut self.block[self.end..]
    }

    /// Takes the first `n` bytes of `spare` as held.
    pub fn filled(&mut self, n: usize) {
        self.end = (self.end + n).min(self.block.len());
    }

    /// Takes as much of `bytes` as there is room for; how much that was.
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        let spare = self.spare();
        let taken = bytes.len().min(spare.len());
        spare[..taken].copy_from_slice(&bytes[..taken]);
        self.filled(taken);
        taken
    }

    /// Moves what is held into a block for at least `capacity` bytes.
    pub fn grow(&mut self, capacity: usize) {
        if capacity > self.capacity() {
            let mut larger = Self::with_capacity(capacity);
            larger.append(self.data());
            *self = larger;
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let block = std::mem::take(&mut self.block);
        let (pool, most) = match block.len() {
            Self::SMALL => (&SMALL, POOLED_SMALL),
            Self::LARGE => (&LARGE, POOLED_LARGE),
            _ => return,
        };
        // The pool is gone when the thread is ending; the block is then simply freed.
        let _ = pool.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            if pool.len() < most {
                pool.push(block);
            }
        });
    }
}

fn pooled(pool: &'static std::thread::LocalKey<RefCell<Vec<Box<[u8]>>>>, size: usize) -> Box<[u8]> {
    pool.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; size].into_boxed_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spare_moves_what_is_held_to_the_front_only_when_full() {
        let mut buffer = Buffer::with_capacity(10);
        assert_eq!(buffer.capacity(), Buffer::SMALL);
        let text = vec![7; Buffer::SMALL];
        assert_eq!(buffer.append(&text), Buffer::SMALL);
        assert_eq!(buffer.append(b"x"), 0);
        buffer.consume(Buffer::SMALL - 3);
        assert_eq!(buffer.append(b"abc"), 3);
        assert_eq!(buffer.data(), [7, 7, 7, b'a', b'b', b'c']);
        buffer.grow(Buffer::SMALL + 1);
        assert_eq!(buffer.data(), [7, 7, 7, b'a', b'b', b'c']);
        assert_eq!(buffer.capacity(), Buffer::LARGE);
    }

    #[test]
    fn blocks_come_back() {
        drop(Buffer::with_capacity(1));
        let before = SMALL.with_borrow(Vec::len);
        let buffer = Buffer::with_capacity(1);
        assert_eq!(SMALL.with_borrow(Vec::len), before - 1);
        drop(buffer);
        assert_eq!(SMALL.with_borrow(Vec::len), before);
    }
}
