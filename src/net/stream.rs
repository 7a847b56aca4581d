//! A byte stream to a client or to a server, whatever carries it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio_rustls::TlsStream;

use super::{Buffer, Socket};

/// A connected stream. An enum and not a trait object: the set is closed, and a plain socket stays
/// visible as one, so that files and bodies can be moved into it by the kernel.
#[derive(Debug)]
pub enum Stream {
    /// A plain socket.
    Tcp(Socket),
    /// TLS over a socket; boxed, as it is large.
    Tls(Box<TlsStream<Socket>>),
    /// A pipe in memory: the engine is tested and fuzzed over it.
    Memory(DuplexStream),
}

impl Stream {
    /// Reads into `bytes`; 0 is the end of the stream.
    ///
    /// # Errors
    /// Those of the socket and of TLS.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => stream.poll_recv(cx, bytes),
            Self::Tls(stream) => poll_into(stream, cx, bytes),
            Self::Memory(stream) => poll_into(stream, cx, bytes),
        }
    }

    /// Reads once behind what `input` holds, which must have room; 0 is the end of the stream. An input
    /// that holds nothing gets its block, of `size` bytes, only when there may be something to read,
    /// and gives it back when there was nothing: who waits holds no memory.
    ///
    /// # Errors
    /// Those of the socket and of TLS.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, input: &mut Buffer, size: usize) -> Poll<io::Result<usize>> {
        let read = self.poll_fill_ready(cx, input, size);
        match &read {
            Poll::Ready(Ok(n)) => input.filled(*n),
            Poll::Pending if input.is_empty() && input.capacity() > 0 => *input = Buffer::none(),
            Poll::Ready(Err(_)) | Poll::Pending => {}
        }
        read
    }

    fn poll_fill_ready(&mut self, cx: &mut Context<'_>, input: &mut Buffer, size: usize) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_readable(cx))?;
            if input.is_empty() && input.capacity() < size {
                *input = Buffer::with_capacity(size);
            }
            match self {
                Self::Tcp(stream) => match stream.recv(input.spare()) {
                    Poll::Pending => {}
                    read => return read,
                },
                Self::Tls(_) | Self::Memory(_) => return self.poll_read(cx, input.spare()),
            }
        }
    }

    /// Writes some of `bytes`.
    ///
    /// # Errors
    /// Those of the socket and of TLS.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => stream.poll_send(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Memory(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    /// Writes some of `first` and then of `second`, in one call where both hold something.
    ///
    /// # Errors
    /// Those of the socket and of TLS.
    pub fn poll_write_two(&mut self, cx: &mut Context<'_>, first: &[u8], second: &[u8]) -> Poll<io::Result<usize>> {
        if second.is_empty() {
            return self.poll_write(cx, first);
        }
        if first.is_empty() {
            return self.poll_write(cx, second);
        }
        let slices = [IoSlice::new(first), IoSlice::new(second)];
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, &slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, &slices),
            Self::Memory(stream) => Pin::new(stream).poll_write_vectored(cx, &slices),
        }
    }

    /// Writes some of `bytes`, to which more is added at once: a plain socket may wait for that
    /// before it fills a packet.
    ///
    /// # Errors
    /// Those of the socket and of TLS.
    pub fn poll_write_more(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => stream.poll_send_more(cx, bytes),
            Self::Tls(_) | Self::Memory(_) => self.poll_write(cx, bytes),
        }
    }

    /// Sends what a layer below holds back. Always ready on a plain socket.
    ///
    /// # Errors
    /// Those of the socket and of TLS.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Memory(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    /// Ends the sending side: FIN, after close_notify where there is TLS.
    ///
    /// # Errors
    /// Those of the socket and of TLS.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Memory(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    /// Ready when a read may find something, without a buffer to read into: an idle connection
    /// waits here. May be ready for nothing.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Tls(stream) => {
                let (socket, session) = stream.get_ref();
                // Text that rustls has decrypted already would never make the socket readable.
                if session.wants_read() { socket.poll_read_ready(cx) } else { Poll::Ready(Ok(())) }
            }
            Self::Memory(_) => Poll::Ready(Ok(())),
        }
    }

    /// Whether the peer has closed, or sent what nobody asked for: an idle upstream connection of
    /// which this is true must not be used again. No system call when the reactor has seen nothing.
    #[must_use]
    pub fn has_news(&self) -> bool {
        let socket = match self {
            Self::Tcp(stream) => stream,
            // What rustls has decrypted already, a goodbye among it, would never show at the socket.
            Self::Tls(stream) if !stream.get_ref().1.wants_read() => return true,
            Self::Tls(stream) => stream.get_ref().0,
            Self::Memory(_) => return false,
        };
        // Reading nothing tells readiness alone; a byte is only taken when the connection is lost anyway.
        !matches!(socket.try_read(&mut [0; 1]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Ready when the peer has broken the connection off: nobody need wait for what it is to be sent.
    /// A peer that only ended its sending, or has sent something, is not told from one that is there.
    pub fn poll_failed(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self.poll_readable(cx) {
            Poll::Ready(Err(_)) => Poll::Ready(()),
            Poll::Ready(Ok(())) if self.has_failed() => Poll::Ready(()),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    }

    /// Whether the socket has met an error that no read or write has told yet: a reset, mostly.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        let socket = match self {
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
            Self::Memory(_) => return false,
        };
        socket.has_failed()
    }

    /// The socket, where bytes go through it unchanged.
    #[must_use]
    pub fn plain(&self) -> Option<&Socket> {
        match self {
            Self::Tcp(stream) => Some(stream),
            Self::Tls(_) | Self::Memory(_) => None,
        }
    }

    /// Makes a close reset the connection at once: the peer must not take what it got for whole.
    pub fn reset_on_close(&self) {
        let socket = match self {
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
            Self::Memory(_) => return,
        };
        // Failing only means an ordinary close.
        let _ = socket2::SockRef::from(&**socket).set_linger(Some(std::time::Duration::ZERO));
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, into),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, into),
            Self::Memory(stream) => Pin::new(stream).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Self::poll_write(self.get_mut(), cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_flush(self.get_mut(), cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_shutdown(self.get_mut(), cx)
    }
}

fn poll_into(stream: &mut (impl AsyncRead + Unpin), cx: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
    let mut into = ReadBuf::new(bytes);
    ready!(Pin::new(stream).poll_read(cx, &mut into))?;
    Poll::Ready(Ok(into.filled().len()))
}
