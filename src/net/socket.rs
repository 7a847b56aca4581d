//! A plain socket, read and written by the kernel's own calls.
//!
//! The C library's `recv` and `send` are cancellation points of a thread: each writes twice to a
//! word of the thread on its way, for nothing here.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// A connected TCP socket.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    nagle: Cell<Nagle>,
}

/// What Nagle's algorithm (RFC 896) may hold back: small packets while an earlier one is not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nagle {
    /// Nothing: TCP_NODELAY is set.
    Off,
    /// Nothing yet, as nothing was sent. Many sessions end before there is a second packet.
    Unsent,
    /// What comes next.
    Sent,
}

/// One whose TCP_NODELAY is set already.
impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        Self { stream, nagle: Cell::new(Nagle::Off) }
    }
}

impl Deref for Socket {
    type Target = TcpStream;

    fn deref(&self) -> &TcpStream {
        &self.stream
    }
}

impl Socket {
    /// Connects to `address`. What is written to it never waits for an acknowledgement.
    ///
    /// # Errors
    /// Those of the network.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
        match rustix::net::connect(&socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let socket = Self { stream: TcpStream::from_std(socket.into())?, nagle: Cell::new(Nagle::Unsent) };
        poll_fn(|cx| socket.stream.poll_write_ready(cx)).await?;
        // Only where there is one is it worth a call to ask which.
        if socket.has_failed() {
            return Err(socket.stream.take_error()?.unwrap_or_else(|| io::ErrorKind::ConnectionAborted.into()));
        }
        Ok(socket)
    }

    /// Whether it has met an error that no read or write has told yet, as far as the reactor has heard.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.stream.try_io(Interest::ERROR, || Ok(())).is_ok()
    }

    /// To be called before anything is written.
    #[inline]
    pub(super) fn before_sending(&self) {
        match self.nagle.get() {
            Nagle::Off => {}
            Nagle::Unsent => self.nagle.set(Nagle::Sent),
            Nagle::Sent => {
                // Failing only means that some packets wait.
                let _ = self.stream.set_nodelay(true);
                self.nagle.set(Nagle::Off);
            }
        }
    }

    /// Reads into `bytes`; 0 is the end of the stream.
    ///
    /// # Errors
    /// Those of the socket.
    #[inline]
    pub fn poll_recv(&self, cx: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            // Asked first, as it counts what the task does: one that always finds something lets
            // others have a turn.
            ready!(self.stream.poll_read_ready(cx))?;
            if let Poll::Ready(read) = self.recv(bytes) {
                return Poll::Ready(read);
            }
        }
    }

    /// Reads into `bytes` where the reactor holds the socket for readable. Pending without a wake-up
    /// to come: ask for readiness then.
    #[inline]
    pub(super) fn recv(&self, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
        self.tried(Interest::READABLE, bytes.len(), || {
            rustix::net::recv(&self.stream, &mut *bytes, RecvFlags::empty()).map(|(n, _)| n)
        })
    }

    /// Writes some of `bytes`.
    ///
    /// # Errors
    /// Those of the socket.
    #[inline]
    pub fn poll_send(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send_with(cx, bytes, SendFlags::NOSIGNAL)
    }

    /// Writes some of `bytes`, to which more will follow at once: they may wait for it.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_send_more(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send_with(cx, bytes, SendFlags::NOSIGNAL | SendFlags::MORE)
    }

    #[inline]
    fn poll_send_with(&self, cx: &mut Context<'_>, bytes: &[u8], flags: SendFlags) -> Poll<io::Result<usize>> {
        // What waits for more is no packet yet.
        if !flags.contains(SendFlags::MORE) {
            self.before_sending();
        }
        loop {
            let done = self.tried(Interest::WRITABLE, bytes.len(), || rustix::net::send(&self.stream, bytes, flags));
            if let Poll::Ready(done) = done {
                return Poll::Ready(done);
            }
            ready!(self.stream.poll_write_ready(cx))?;
        }
    }

    /// Makes `call`, which moves at most `most` bytes, where the reactor holds the socket for ready.
    /// When fewer were moved the socket is empty, or full: the reactor is told so, and the call that
    /// would find it out is spared.
    #[inline]
    fn tried(
        &self,
        interest: Interest,
        most: usize,
        mut call: impl FnMut() -> Result<usize, Errno>,
    ) -> Poll<io::Result<usize>> {
        let mut moved = None;
        let result = self.stream.try_io(interest, || {
            let n = loop {
                match call() {
                    Err(Errno::INTR) => {}
                    result => break result?,
                }
            };
            moved = Some(n);
            if 0 < n && n < most { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        match (moved, result) {
            (Some(n), _) => Poll::Ready(Ok(n)),
            (None, Err(error)) if error.kind() != io::ErrorKind::WouldBlock => Poll::Ready(Err(error)),
            (None, _) => Poll::Pending,
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let n = ready!(self.poll_recv(cx, into.initialize_unfilled()))?;
        into.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut filled = slices.iter().filter(|slice| !slice.is_empty());
        match (filled.next(), filled.next()) {
            (Some(only), None) => self.poll_send(cx, only),
            _ => {
                self.before_sending();
                Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
