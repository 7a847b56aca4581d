//! A client's stream under the crate that speaks HTTP/2, its bytes counted.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Shared;
use crate::net::Stream;

/// What the crate reads from and writes to.
pub(super) struct Metered {
    pub(super) stream: Stream,
    pub(super) shared: Rc<Shared>,
}

impl AsyncRead for Metered {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(AsyncRead::poll_read(Pin::new(&mut self.stream), cx, into))?;
        self.shared.cells().bytes_in.add((into.filled().len() - before) as u64);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(self.stream.poll_write(cx, bytes))?;
        self.shared.cells().bytes_out.add(written as u64);
        self.shared.written.set(self.shared.written.get() + written as u64);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_shutdown(cx)
    }
}
