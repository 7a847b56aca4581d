//! Payload on its way to the `h2` crate, in blocks that the thread uses again.

use std::cell::RefCell;

use bytes::Buf;

use super::Unsent;

/// A copy of some payload. What fills a quarter of a block lies in one of the thread's pool: asked
/// of the allocator, a thousand bytes at a time cost more than the copy.
#[derive(Debug, Default)]
pub struct Piece {
    bytes: Vec<u8>,
    read: usize,
    /// Where it counts for as long as it waits.
    unsent: Option<Unsent>,
}

/// Bytes in a block. So many that a small body is one piece, so few that what waits for a client's
/// window holds at most four times its length.
const BLOCK: usize = 2048;
/// What the crate keeps beside each, about: bodies that come in crumbs are bounded by this.
const BESIDE: usize = 256;
const POOLED: usize = 256;

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

impl Piece {
    /// A copy of `data`, which counts as `unsent` until it is dropped.
    #[must_use]
    pub fn copy_of(data: &[u8], unsent: &Unsent) -> Self {
        let bytes = if (BLOCK / 4..=BLOCK).contains(&data.len()) {
            let mut bytes = POOL.with_borrow_mut(Vec::pop).unwrap_or_else(|| Vec::with_capacity(BLOCK));
            bytes.extend_from_slice(data);
            bytes
        } else {
            data.to_vec()
        };
        unsent.add(bytes.capacity() + BESIDE);
        Self { bytes, read: 0, unsent: Some(unsent.clone()) }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len() - self.read
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.get(self.read..).unwrap_or_default()
    }

    fn advance(&mut self, n: usize) {
        self.read = (self.read + n).min(self.bytes.len());
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        if let Some(unsent) = &self.unsent {
            unsent.remove(bytes.capacity() + BESIDE);
        }
        if bytes.capacity() != BLOCK {
            return;
        }
        bytes.clear();
        // The pool is gone when the thread is ending.
        let _ = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            if pool.len() < POOLED {
                pool.push(bytes);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn it_is_read_as_what_it_was_made_of() {
        for length in [0, 1, BLOCK / 4 - 1, BLOCK / 4, 1000, BLOCK, BLOCK + 1, 100_000] {
            let data: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let mut piece = Piece::copy_of(&data, &Unsent::default());
            assert_eq!((piece.remaining(), piece.chunk()), (length, &data[..]));
            piece.advance(length / 3);
            assert_eq!((piece.remaining(), piece.chunk()), (length - length / 3, &data[length / 3..]));
            piece.advance(length);
            assert!(!piece.has_remaining());
        }
    }

    #[test]
    fn blocks_come_back_empty() {
        let unsent = Unsent::default();
        drop(Piece::copy_of(&[1; 1000], &unsent));
        let held = POOL.with_borrow(Vec::len);
        let piece = Piece::copy_of(&[2; 600], &unsent);
        assert_eq!((POOL.with_borrow(Vec::len), piece.chunk()), (held - 1, &[2; 600][..]));
        drop(piece);
        drop(Piece::copy_of(&[3; 10], &unsent));
        assert_eq!(POOL.with_borrow(Vec::len), held);
    }

    #[test]
    fn it_counts_for_as_long_as_it_is_held() {
        let unsent = Unsent::default();
        let room = || match unsent.poll_room(&Context::from_waker(Waker::noop())) {
            Poll::Ready(room) => room,
            Poll::Pending => 0,
        };
        let pieces = [1, 1000, 10_000].map(|length| Piece::copy_of(&vec![1; length], &unsent));
        assert_eq!(room(), Unsent::MOST - (1 + BLOCK + 10_000 + 3 * BESIDE));
        drop(pieces);
        assert_eq!(room(), Unsent::MOST);
    }
}
