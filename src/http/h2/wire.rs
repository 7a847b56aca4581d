//! The bytes under the `h2` crate: writes are gathered, frame heads are counted.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Shared;
use crate::codec::h2::{Control, FrameBudget};
use crate::net::Gather;

/// A client's connection as the crate sees it; clones share it.
#[derive(Clone)]
pub(super) struct Wire {
    gather: Gather,
    watch: Rc<Watch>,
}

struct Watch {
    shared: Rc<Shared>,
    budget: RefCell<FrameBudget>,
    flood: Cell<Option<Control>>,
    /// Bytes sent that stand in the listener's counter.
    counted: Cell<u64>,
}

impl Wire {
    /// A connection whose client may send `limit` control frames a second.
    pub(super) fn new(gather: Gather, shared: Rc<Shared>, limit: u32) -> Self {
        let budget = RefCell::new(FrameBudget::new(limit, shared.worker.local.now.get()));
        let watch = Watch { shared, budget, flood: Cell::new(None), counted: Cell::new(0) };
        Self { gather, watch: Rc::new(watch) }
    }

    /// Counts what the client's socket has taken since the last time.
    pub(super) fn count_sent(&self) {
        let taken = self.gather.taken();
        let before = self.watch.counted.replace(taken);
        self.watch.shared.cells().bytes_out.add(taken - before);
    }

    /// What the client floods us with, where it does. Nothing of it is read any more.
    pub(super) fn flood(&self) -> Option<Control> {
        self.watch.flood.get()
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.count_sent();
        let Self { gather, watch } = &mut *self;
        if watch.flood.get().is_some() {
            return Poll::Pending;
        }
        let before = into.filled().len();
        ready!(Pin::new(&mut *gather).poll_read(cx, into))?;
        let read = into.filled().get(before..).unwrap_or_default();
        let Shared { worker, .. } = &*watch.shared;
        watch.shared.cells().bytes_in.add(read.len() as u64);
        watch.flood.set(watch.budget.borrow_mut().handle(worker.local.now.get(), read, gather.taken()));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.gather).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.gather).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.gather.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.gather).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.gather).poll_shutdown(cx)
    }
}
