//! A stream whose writes are gathered and go out once a turn of the loop.
//!
//! HTTP/2 shares one connection among many exchanges. Written frame by frame it costs a system call
//! (and a TLS record) for each; gathered, one for all the streams that were ready in a turn.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Scratch, Stream};

/// Bytes that are gathered at most; a writer waits for the socket beyond.
const MOST: usize = 64 * 1024;

/// A handle of a gathering stream; clones share it. A flush sends nothing: whoever drives the
/// connection calls [`Gather::poll_turn`] when the writers have had theirs.
#[derive(Clone, Debug)]
pub struct Gather(Rc<RefCell<Gathered>>);

#[derive(Debug)]
struct Gathered {
    stream: Stream,
    /// What waits to be sent; without memory while nothing does.
    out: Scratch,
    sent: usize,
    /// Bytes taken from writers so far.
    taken: u64,
    /// Whether the tasks that were ready have been let pass since something was gathered.
    waited: bool,
}

impl Gather {
    /// A stream that gathers.
    #[must_use]
    pub fn new(stream: Stream) -> Self {
        Self(Rc::new(RefCell::new(Gathered { stream, out: Scratch::none(), sent: 0, taken: 0, waited: false })))
    }

    /// Bytes taken from writers so far.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.0.borrow().taken
    }

    /// To be called at the end of each poll of the task that drives the connection. What was
    /// gathered goes out in the poll after the next, when the tasks that are ready now have run and
    /// added theirs. Ready when there is nothing to send.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn poll_turn(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut gathered = self.0.borrow_mut();
        if gathered.out.is_empty() {
            return gathered.stream.poll_flush(cx);
        }
        if !gathered.waited {
            gathered.waited = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        gathered.poll_send(cx)
    }

    /// Sends what was gathered, at once.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_send(cx)
    }
}

impl Gathered {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.out.get(self.sent..).filter(|rest| !rest.is_empty()) {
            let n = ready!(self.stream.poll_write(cx, rest))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += n;
        }
        self.out = Scratch::none();
        self.sent = 0;
        self.waited = false;
        self.stream.poll_flush(cx)
    }

    /// Takes what there is room for; waits for the stream where there is none.
    fn poll_take(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.out.len() >= MOST {
            ready!(self.poll_send(cx))?;
        }
        if self.out.capacity() == 0 {
            self.out = Scratch::large();
        }
        let taken = bytes.len().min(MOST - self.out.len());
        self.out.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        self.taken += taken as u64;
        Poll::Ready(Ok(taken))
    }
}

impl AsyncRead for Gather {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        AsyncRead::poll_read(Pin::new(&mut self.0.borrow_mut().stream), cx, into)
    }
}

impl AsyncWrite for Gather {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_take(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut gathered = self.0.borrow_mut();
        let mut taken = 0;
        for piece in pieces {
            match gathered.poll_take(cx, piece) {
                Poll::Ready(Ok(n)) => taken += n,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if taken == 0 => return Poll::Pending,
                Poll::Pending => break,
            }
            if gathered.out.len() >= MOST {
                break;
            }
        }
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut gathered = self.0.borrow_mut();
        ready!(gathered.poll_send(cx))?;
        gathered.stream.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn what_is_written_goes_out_together_and_only_when_told() {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let gather = Gather::new(Stream::Memory(near));
        let mut writer = gather.clone();
        writer.write_all(b"one").await.unwrap();
        writer.flush().await.unwrap();
        let slices = [io::IoSlice::new(b"two"), io::IoSlice::new(b"three")];
        assert_eq!(writer.write_vectored(&slices).await.unwrap(), 8);
        let mut byte = [0; 32];
        tokio::select! {
            biased;
            _ = far.read(&mut byte) => panic!("nothing may go out before the turn ends"),
            () = tokio::task::yield_now() => {}
        }
        poll_fn(|cx| gather.poll_turn(cx)).await.unwrap();
        assert_eq!(far.read(&mut byte).await.unwrap(), 11);
        assert_eq!(&byte[..11], b"onetwothree");
        assert_eq!(gather.taken(), 11);
        assert_eq!(gather.0.borrow().out.capacity(), 0, "at rest it holds no memory");
    }

    #[tokio::test]
    async fn what_is_gathered_is_bounded() {
        let (near, mut far) = tokio::io::duplex(1000);
        let mut writer = Gather::new(Stream::Memory(near));
        assert_eq!(writer.write(&vec![1; MOST + 5]).await.unwrap(), MOST);
        poll_fn(|cx| {
            assert!(Pin::new(&mut writer).poll_write(cx, b"more").is_pending());
            Poll::Ready(())
        })
        .await;
        let reading = tokio::spawn(async move {
            let mut all = Vec::new();
            far.read_to_end(&mut all).await.map(|_| all)
        });
        writer.write_all(b"more").await.unwrap();
        writer.shutdown().await.unwrap();
        let all = reading.await.unwrap().unwrap();
        assert_eq!((all.len(), &all[MOST..]), (MOST + 4, &b"more"[..]));
    }
}
