//! The body of an answer, a file as long as it can be one.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use rustix::io::Errno;
use rustix::net::{SendFlags, sockopt};
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::disk::{self, Disk, SlowRead};
use crate::net::{Pipe, Socket, Source};

/// How much of a file is read at once for those who need it in memory, in bytes.
const READ_STEP: u64 = 128 * 1024;
/// The same where many bodies are under way to one client.
const SMALL_STEP: u64 = 16 * 1024;
/// How much of a file one sendfile is asked to move, in bytes.
const SEND_STEP: u64 = 2 * 1024 * 1024;
/// How far apart a file is looked for in memory before it is sent, in bytes.
const LOOK_STEP: usize = 1024 * 1024;
/// After how many bytes [`FileBody::poll_send`] lets others have a turn.
const TURN: u64 = SEND_STEP;
/// From how many bytes on a body is sent through a pipe that holds more of it at once than sendfile's
/// own, and the socket is corked meanwhile: else each acknowledgement sends the odd bytes at the end of
/// a step as a packet of its own.
const LARGE_FROM: u64 = 1024 * 1024;

/// A stretch of a body.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    /// These bytes; never empty.
    Text(Bytes),
    /// These bytes of the file; never empty.
    Span(Range<u64>),
}

impl Piece {
    fn length(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Span(span) => span.end - span.start,
        }
    }
}

/// What follows the head of an answer.
#[derive(Debug)]
pub enum FileBody {
    /// No bytes; `length` is what Content-Length says (not 0 for HEAD and 304).
    Empty {
        /// The length of the body that is not sent, in bytes.
        length: u64,
    },
    /// A small body, in memory.
    Memory(Bytes),
    /// Stretches of a file.
    File(FileRanges),
}

impl FileBody {
    /// How many bytes are still to come; before the first is taken, the Content-Length.
    #[must_use]
    pub fn length(&self) -> u64 {
        match self {
            Self::Empty { length } => *length,
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(ranges) => ranges.pieces.iter().map(Piece::length).sum(),
        }
    }

    /// Brings the next bytes into [`data`](Self::data); false at the end of the body.
    ///
    /// # Errors
    /// What the disk says; `UnexpectedEof` where the file became shorter while it was sent. The
    /// body cannot be ended then and the connection must break.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        match self {
            Self::Empty { .. } => Poll::Ready(Ok(false)),
            Self::Memory(bytes) => Poll::Ready(Ok(!bytes.is_empty())),
            Self::File(ranges) => ranges.poll_fill(cx),
        }
    }

    /// Whether much of a file may be read at once.
    pub fn allow_large(&mut self, large: bool) {
        if let Self::File(ranges) = self {
            ranges.step = if large { READ_STEP } else { SMALL_STEP };
        }
    }

    /// The bytes that can be taken now.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        match self {
            Self::Empty { .. } => &[],
            Self::Memory(bytes) => bytes,
            Self::File(ranges) => ranges.data(),
        }
    }

    /// Takes the first `n` bytes of [`data`](Self::data), or all where there are fewer.
    pub fn consume(&mut self, n: usize) {
        match self {
            Self::Empty { .. } => {}
            Self::Memory(bytes) => bytes.advance(n.min(bytes.len())),
            Self::File(ranges) => ranges.consume(n),
        }
    }

    /// Sends to a plain socket, uncopied what is a file in memory; true when all is sent.
    ///
    /// Adds what it sent to `sent`, before it waits too. False says that it is somebody else's
    /// turn, not that the socket is full.
    ///
    /// # Errors
    /// Those of [`poll_fill`](Self::poll_fill) and those of the socket.
    pub fn poll_send(&mut self, cx: &mut Context<'_>, socket: &Socket, sent: &mut u64) -> Poll<io::Result<bool>> {
        let start = *sent;
        let length = self.length();
        if let Self::File(ranges) = self
            && !ranges.corked
            && length >= LARGE_FROM
        {
            ranges.corked = cork(socket, true);
            ranges.pipe = ranges.pipe.take().or_else(|| Pipe::new(Source::File));
        }
        while *sent - start < TURN {
            let step = if let Self::File(ranges) = self
                && let Some(pipe) = ranges.pipe.as_mut().filter(|pipe| !pipe.is_empty())
            {
                let Poll::Ready(drained) = pipe.poll_drain(cx, socket) else {
                    ranges.resident_until = 0;
                    return Poll::Pending;
                };
                Ok(drained?)
            } else if let Self::File(ranges) = self
                && let Some(span) = ranges.resident()?
            {
                let left = TURN - (*sent - start);
                let span = span.start..span.end.min(span.start + left);
                match ranges.fill_pipe(&span) {
                    Some(filled) => filled.map(|()| 0),
                    None => send_file(socket, &ranges.file, span),
                }
            } else if ready!(self.poll_fill(cx))? {
                send_bytes(socket, self.data(), self.length())
            } else {
                if let Self::File(ranges) = self
                    && ranges.corked
                {
                    ranges.corked = cork(socket, false);
                }
                return Poll::Ready(Ok(true));
            };
            match step {
                Ok(n) => {
                    *sent += n as u64;
                    self.advance(n);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if let Self::File(ranges) = self {
                        ranges.resident_until = 0;
                    }
                    ready!(socket.poll_write_ready(cx))?;
                }
                Err(error) => match self {
                    Self::File(ranges) if !ranges.copies && is_no_sendfile(&error) => ranges.copies = true,
                    _ => return Poll::Ready(Err(error)),
                },
            }
        }
        Poll::Ready(Ok(false))
    }

    /// Passes over bytes that were sent, by whichever way.
    fn advance(&mut self, n: usize) {
        match self {
            Self::File(ranges) if ranges.data().is_empty() => ranges.pass(n as u64),
            _ => self.consume(n),
        }
    }
}

/// One or more stretches of an open file, with the framing of multipart/byteranges between them.
pub struct FileRanges {
    file: Arc<OwnedFd>,
    pieces: VecDeque<Piece>,
    disk: Disk,
    /// Bytes of the span at the front, from `read_from` to `read_to`.
    buffer: Vec<u8>,
    read_from: usize,
    read_to: usize,
    slow: Option<SlowRead>,
    step: u64,
    /// Up to where in the file memory was found to hold the span at the front; 0 after a wait, when
    /// whatever was there may be gone.
    resident_until: u64,
    /// Whether the file system has no sendfile.
    copies: bool,
    /// Whether the socket holds packets back that are not full.
    corked: bool,
    /// On their way to the socket: the first bytes of the span at the front.
    pipe: Option<Pipe>,
}

impl FileRanges {
    pub(super) fn new(file: Arc<OwnedFd>, pieces: impl IntoIterator<Item = Piece>, disk: Disk) -> Self {
        Self {
            file,
            pieces: pieces.into_iter().collect(),
            disk,
            buffer: Vec::new(),
            read_from: 0,
            read_to: 0,
            slow: None,
            step: READ_STEP,
            resident_until: 0,
            copies: false,
            corked: false,
            pipe: None,
        }
    }

    /// Brings some of a span that is in memory into the pipe, where there is one.
    fn fill_pipe(&mut self, span: &Range<u64>) -> Option<io::Result<()>> {
        let filled = self.pipe.as_mut()?.fill(&self.file, span.start, (span.end - span.start) as usize);
        Some(filled.and_then(|n| if n == 0 { Err(truncated()) } else { Ok(()) }))
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        // What it holds is read anew.
        self.pipe = self.pipe.take().filter(Pipe::is_empty);
        loop {
            if !self.data().is_empty() {
                return Poll::Ready(Ok(true));
            }
            if let Some(slow) = &mut self.slow {
                let done = ready!(slow.as_mut().poll(cx));
                self.slow = None;
                let (buffer, read) = done?;
                self.keep(buffer, read)?;
                continue;
            }
            let Some(Piece::Span(span)) = self.pieces.front() else { return Poll::Ready(Ok(false)) };
            let (offset, count) = (span.start, (span.end - span.start).min(self.step) as usize);
            let mut buffer = std::mem::take(&mut self.buffer);
            if buffer.len() < count {
                buffer.resize(count, 0);
            }
            match disk::read_cached(&self.file, offset, buffer.get_mut(..count).unwrap_or_default())? {
                Some(read) => self.keep(buffer, read)?,
                None => self.slow = Some(self.disk.read(Arc::clone(&self.file), offset, buffer, count)),
            }
        }
    }

    fn keep(&mut self, buffer: Vec<u8>, read: usize) -> io::Result<()> {
        if read == 0 {
            return Err(truncated());
        }
        self.buffer = buffer;
        (self.read_from, self.read_to) = (0, read);
        Ok(())
    }

    fn data(&self) -> &[u8] {
        match self.pieces.front() {
            Some(Piece::Text(text)) => text,
            Some(Piece::Span(_)) => self.buffer.get(self.read_from..self.read_to).unwrap_or_default(),
            None => &[],
        }
    }

    fn consume(&mut self, n: usize) {
        let n = n.min(self.data().len());
        if let Some(Piece::Span(_)) = self.pieces.front() {
            self.read_from += n;
        }
        self.pass(n as u64);
    }

    /// Shortens the piece at the front, and drops it at its end.
    fn pass(&mut self, n: u64) {
        let Some(piece) = self.pieces.front_mut() else { return };
        let n = n.min(piece.length());
        match piece {
            Piece::Text(text) => text.advance(n as usize),
            Piece::Span(span) => span.start += n,
        }
        if piece.length() == 0 {
            self.pieces.pop_front();
            self.resident_until = 0;
        }
    }

    /// What sendfile can move without waiting for the disk; `None` where bytes must be read first.
    fn resident(&mut self) -> io::Result<Option<Range<u64>>> {
        if self.copies || self.slow.is_some() || !self.data().is_empty() {
            return Ok(None);
        }
        let Some(Piece::Span(span)) = self.pieces.front() else { return Ok(None) };
        let end = if self.resident_until > span.start {
            self.resident_until
        } else {
            // Memory loses and gains files in stretches: where both ends of one are held, so is the rest.
            let end = span.end.min(span.start + SEND_STEP);
            let goes_on = span.start > 0 && self.resident_until == span.start;
            for offset in (span.start..end).step_by(LOOK_STEP).skip(usize::from(goes_on)).chain([end - 1]) {
                if disk::read_cached(&self.file, offset, &mut [0])?.is_none() {
                    return Ok(None);
                }
            }
            self.resident_until = end;
            end
        };
        Ok(Some(span.start..end))
    }
}

impl std::fmt::Debug for FileRanges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileRanges").field("file", &self.file).field("pieces", &self.pieces).finish_non_exhaustive()
    }
}

/// Corks a socket or takes the cork out, which sends what is left; whether it is corked then.
fn cork(socket: &TcpStream, corked: bool) -> bool {
    sockopt::set_tcp_cork(socket, corked).is_ok() && corked
}

fn send_file(socket: &TcpStream, file: &OwnedFd, span: Range<u64>) -> io::Result<usize> {
    let mut offset = span.start;
    let count = (span.end - span.start) as usize;
    let sent =
        socket.try_io(Interest::WRITABLE, || Ok(rustix::fs::sendfile(socket, file, Some(&mut offset), count)?))?;
    if sent == 0 { Err(truncated()) } else { Ok(sent) }
}

fn send_bytes(socket: &TcpStream, data: &[u8], length: u64) -> io::Result<usize> {
    let more = if length > data.len() as u64 { SendFlags::MORE } else { SendFlags::empty() };
    socket.try_io(Interest::WRITABLE, || Ok(rustix::net::send(socket, data, SendFlags::NOSIGNAL | more)?))
}

fn is_no_sendfile(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP))
}

fn truncated() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was sent")
}

#[cfg(test)]
mod tests;
