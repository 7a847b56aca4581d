//! The access log: from the threads that serve to one thread that writes.
//!
//! Each data-plane thread formats into a buffer of its own and hands it over when it is full or when
//! its owner ticks. The queue to the writer is bounded: while it is full a thread keeps its buffer,
//! and when that is full too, lines are dropped and counted. So a log that cannot be written, a full
//! disk or a pipe that nobody reads, never holds up an exchange.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{io, mem};

use crossbeam_utils::CachePadded;
use thiserror::Error;

use super::access_format::Format;
use super::access_record::Record;
use super::access_writer::{self, Output, Writer};
use super::stamp::Stamp;
use super::{Counter, PerThread, ThreadId};

/// A full buffer is handed over.
const BUFFER_BYTES: usize = 64 << 10;

/// How many buffers wait for the writer at most.
const QUEUE: usize = 64;

/// The access log of the process: one for its whole life, switched at a reload.
#[derive(Debug)]
pub struct AccessLog {
    shared: Arc<Shared>,
    queue: SyncSender<Message>,
    ended: Mutex<Receiver<()>>,
}

/// A destination that is open, in wait for [`AccessLog::switch`].
#[derive(Debug)]
pub struct Opened {
    output: Output,
    format: Format,
}

/// Why the access log's file could not be opened.
#[derive(Debug, Error)]
#[error("access log `{}` cannot be opened", path.display())]
pub struct OpenFault {
    path: PathBuf,
    source: io::Error,
}

/// Opens the access log's file to append to; made where there is none.
///
/// # Errors
/// When it can be neither opened nor made.
pub fn open_file(path: &Path) -> Result<File, OpenFault> {
    access_writer::open_file(path).map_err(|source| OpenFault { path: path.to_owned(), source })
}

/// What became of the lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineCounts {
    /// Lines formatted and buffered.
    pub logged: u64,
    /// Lines dropped because the writer was behind and every buffer full.
    pub dropped: u64,
    /// Lines lost because writing failed.
    pub lost: u64,
}

impl AccessLog {
    /// Starts the writer's thread; the log is off until [`Self::switch`]. There is one
    /// [`ThreadLog`] for each of `threads` data-plane threads.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(threads: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            format: CachePadded::new(AtomicU8::new(OFF)),
            lines: PerThread::new(threads),
            orders: Mutex::default(),
            lost: AtomicU64::new(0),
        });
        let (queue, batches) = mpsc::sync_channel(QUEUE);
        let (ending, ended) = mpsc::sync_channel(0);
        let writer = Writer::new(Arc::clone(&shared), batches);
        std::thread::Builder::new().name("access-log".into()).spawn(move || {
            writer.run();
            drop(ending);
        })?;
        Ok(Self { shared, queue, ended: Mutex::new(ended) })
    }

    /// From now on lines go there; `None` turns the log off. What is still queued goes to the new
    /// destination too.
    pub fn switch(&self, to: Option<Opened>) {
        let (format, output) = match to {
            Some(Opened { output, format }) => (encode(format), Some(output)),
            None => (OFF, None),
        };
        self.order(|orders| orders.output = Some(output));
        self.shared.format.store(format, Relaxed);
    }

    /// The end of the log that this thread writes to. One a thread: its counters have one writer.
    #[must_use]
    pub fn thread(&self, thread: ThreadId) -> ThreadLog {
        ThreadLog {
            shared: Arc::clone(&self.shared),
            queue: self.queue.clone(),
            thread,
            buffer: Vec::new(),
            lines: 0,
            stamp: Stamp::default(),
        }
    }

    /// What became of the lines so far.
    #[must_use]
    pub fn line_counts(&self) -> LineCounts {
        let mut counts = LineCounts { lost: self.shared.lost.load(Relaxed), ..LineCounts::default() };
        for cells in self.shared.lines.iter() {
            counts.logged += cells.logged.value();
            counts.dropped += cells.dropped.value();
        }
        counts
    }

    /// Writes out what is queued and ends the writer; gives up after `patience`. Lines that come
    /// later are dropped.
    pub fn finish(&self, patience: Duration) {
        self.shared.format.store(OFF, Relaxed);
        let by = Instant::now() + patience;
        self.order(|orders| orders.finish_by = Some(by));
        // An error is the good end here: the writer has dropped its half.
        let _ = self.ended.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(patience);
    }

    fn order(&self, give: impl FnOnce(&mut Orders)) {
        give(&mut self.shared.orders.lock().unwrap_or_else(PoisonError::into_inner));
        // A full queue keeps the writer awake, and it looks at its orders before each batch.
        let _ = self.queue.try_send(Message::Nudge);
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.order(|orders| _ = orders.finish_by.get_or_insert_with(Instant::now));
    }
}

impl Opened {
    /// The standard output.
    ///
    /// # Errors
    /// When there is none, or no file descriptor left.
    pub fn stdout(format: Format) -> io::Result<Self> {
        Self::file(File::from(io::stdout().as_fd().try_clone_to_owned()?), format)
    }

    /// A file, a FIFO or a device that is open to append to.
    ///
    /// # Errors
    /// When the system does not say what it is.
    pub fn file(file: File, format: Format) -> io::Result<Self> {
        Ok(Self { output: Output::new(file)?, format })
    }
}

/// One thread's end of the access log.
#[derive(Debug)]
pub struct ThreadLog {
    shared: Arc<Shared>,
    queue: SyncSender<Message>,
    thread: ThreadId,
    buffer: Vec<u8>,
    lines: u64,
    stamp: Stamp,
}

impl ThreadLog {
    /// Whether records are wanted; the caller need not gather what nobody reads.
    #[inline]
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.shared.format.load(Relaxed) != OFF
    }

    /// Formats a line into this thread's buffer. Never blocks.
    pub fn record(&mut self, record: &Record<'_>) {
        let Some(format) = decode(self.shared.format.load(Relaxed)) else { return };
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush();
            if !self.buffer.is_empty() {
                self.shared.lines.of(self.thread).dropped.add(1);
                return;
            }
        }
        if self.buffer.capacity() == 0 {
            self.buffer.reserve(BUFFER_BYTES + BUFFER_BYTES / 16);
        }
        format.write(&mut self.buffer, record, &mut self.stamp);
        self.lines += 1;
        self.shared.lines.of(self.thread).logged.add(1);
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush();
        }
    }

    /// Hands over what is buffered; the owner calls it every 100 ms or so, and when it goes idle.
    /// While the queue is full the lines stay here. Never blocks.
    pub fn flush(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        let batch = Batch { bytes: mem::take(&mut self.buffer), lines: mem::take(&mut self.lines) };
        match self.queue.try_send(Message::Lines(batch)) {
            Err(TrySendError::Full(Message::Lines(batch))) => {
                self.buffer = batch.bytes;
                self.lines = batch.lines;
            }
            Err(TrySendError::Disconnected(Message::Lines(batch))) => {
                self.shared.lines.of(self.thread).dropped.add(batch.lines);
            }
            Ok(()) | Err(_) => {}
        }
    }
}

impl Drop for ThreadLog {
    fn drop(&mut self) {
        self.flush();
        self.shared.lines.of(self.thread).dropped.add(self.lines);
    }
}

/// What the threads and the writer share.
#[derive(Debug)]
pub(super) struct Shared {
    /// Read for every record and hardly ever written, so on a cache line of its own.
    format: CachePadded<AtomicU8>,
    lines: PerThread<LineCells>,
    /// For the writer; looked at before each batch and while its output blocks.
    pub(super) orders: Mutex<Orders>,
    /// Lines that the writer could not write.
    pub(super) lost: AtomicU64,
}

#[derive(Debug, Default)]
struct LineCells {
    logged: Counter,
    dropped: Counter,
}

/// What the control side wants of the writer.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// Write there from now on; `Some(None)`: nowhere.
    pub(super) output: Option<Option<Output>>,
    /// Write what is queued and end, not later than this.
    pub(super) finish_by: Option<Instant>,
}

/// What comes by the queue.
#[derive(Debug)]
pub(super) enum Message {
    /// Lines to write.
    Lines(Batch),
    /// There are new orders.
    Nudge,
}

/// Whole lines of one thread.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) lines: u64,
}

const OFF: u8 = 0;

fn encode(format: Format) -> u8 {
    match format {
        Format::Json => 1,
        Format::Combined => 2,
    }
}

fn decode(format: u8) -> Option<Format> {
    match format {
        1 => Some(Format::Json),
        2 => Some(Format::Combined),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
