//! The thread that writes the access log, and what it writes to.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;

use super::access_log::{Batch, Message, Shared};

/// How long a blocked output is waited for before the writer looks at its orders again.
const LOOK_AGAIN: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// A pipe that is writable takes this much without blocking (POSIX: `PIPE_BUF`, 4096 on Linux).
const PIPE_BYTES: usize = 4096;

/// Writes batches in the order in which they come.
pub(super) struct Writer {
    shared: Arc<Shared>,
    batches: Receiver<Message>,
    output: Option<Output>,
    finish_by: Option<Instant>,
    failing: bool,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, batches: Receiver<Message>) -> Self {
        Self { shared, batches, output: None, finish_by: None, failing: false }
    }

    /// Runs until it is told to finish or every sender is gone.
    pub(super) fn run(mut self) {
        while let Some(message) = self.next() {
            self.take_orders();
            if let Message::Lines(batch) = message {
                self.write(&batch);
            }
        }
    }

    fn next(&self) -> Option<Message> {
        match self.finish_by {
            None => self.batches.recv().ok(),
            Some(_) => self.batches.try_recv().ok(),
        }
    }

    fn take_orders(&mut self) {
        let mut orders = self.shared.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let (output, finish_by) = (orders.output.take(), orders.finish_by);
        drop(orders);
        self.finish_by = finish_by;
        if let Some(output) = output {
            self.output = output;
            self.failing = false;
        }
    }

    fn write(&mut self, batch: &Batch) {
        // A line torn by an error must not run into the next one.
        let mend: &[u8] = if self.output.as_ref().is_some_and(|output| output.torn) { b"\n" } else { b"" };
        let lost = if self.write_all(mend).is_empty() {
            memchr::memchr_iter(b'\n', self.write_all(&batch.bytes)).count() as u64
        } else {
            batch.lines
        };
        self.shared.lost.fetch_add(lost, Relaxed);
    }

    /// Writes these bytes, waiting for an output that blocks; returns what could not be written.
    fn write_all<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let mut rest = bytes;
        while !rest.is_empty() {
            // The log was turned off: nobody wants the rest, so it is not lost.
            let Some(output) = &mut self.output else { return &[] };
            match output.write_some(rest) {
                Ok(0) => {
                    if self.finish_by.is_some_and(|by| Instant::now() >= by) {
                        return rest;
                    }
                    let torn = output.torn;
                    self.take_orders();
                    if torn && self.output.as_ref().is_some_and(|output| !output.torn) {
                        rest = after_line(rest);
                    }
                }
                Ok(written) => {
                    rest = rest.get(written..).unwrap_or_default();
                    if self.failing {
                        self.failing = false;
                        tracing::info!("access log is written again");
                    }
                }
                Err(error) => {
                    if !self.failing {
                        self.failing = true;
                        tracing::warn!(%error, "access log cannot be written, lines are lost");
                    }
                    return rest;
                }
            }
        }
        rest
    }
}

/// An open destination.
#[derive(Debug)]
pub(super) struct Output {
    file: File,
    /// Regular files never block in the sense of poll; what does is written in small pieces.
    may_block: bool,
    /// The last byte written did not end its line.
    torn: bool,
}

impl Output {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let may_block = !file.metadata()?.is_file();
        Ok(Self { file, may_block, torn: false })
    }

    /// Writes some of it, `Ok(0)` where the output took nothing within [`LOOK_AGAIN`].
    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.may_block && !is_writable(self.file.as_fd())? {
            return Ok(0);
        }
        let piece = if self.may_block { whole_lines(bytes, PIPE_BYTES) } else { bytes };
        match self.file.write(piece) {
            Ok(written) => {
                self.torn = written > 0 && piece.get(written - 1) != Some(&b'\n');
                Ok(written)
            }
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => Ok(0),
            Err(error) => Err(error),
        }
    }
}

pub(super) fn open_file(path: &Path) -> io::Result<File> {
    // A FIFO without a reader can only be opened for both ways; nothing here may wait for one.
    let is_fifo = std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo());
    let flags = OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let mut options = OpenOptions::new();
    options.append(true).read(is_fifo).create(!is_fifo).mode(0o640);
    options.custom_flags(flags.bits().cast_signed()).open(path)
}

fn is_writable(file: BorrowedFd<'_>) -> io::Result<bool> {
    match poll(&mut [PollFd::from_borrowed_fd(file, PollFlags::OUT)], Some(&LOOK_AGAIN)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// As many whole lines as fit into `most` bytes, or that many bytes of a longer one.
fn whole_lines(bytes: &[u8], most: usize) -> &[u8] {
    let Some(piece) = bytes.get(..most) else { return bytes };
    match memchr::memrchr(b'\n', piece) {
        Some(end) => piece.get(..=end).unwrap_or(piece),
        None => piece,
    }
}

fn after_line(bytes: &[u8]) -> &[u8] {
    memchr::memchr(b'\n', bytes).and_then(|end| bytes.get(end + 1..)).unwrap_or_default()
}
