//! Reads that may wait for a disk, kept away from the threads that must not.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;

use rustix::io::{Errno, ReadWriteFlags};
use tokio::sync::Semaphore;

/// The places for slow reads that all threads of the process share; a copy is the same places.
///
/// Whoever finds none free waits in order; there are never more waiting than exchanges.
#[derive(Clone, Debug)]
pub struct Disk {
    slots: Arc<Semaphore>,
}

/// A read on its way: the buffer comes back with the count of bytes that were read.
pub(super) type SlowRead = Pin<Box<dyn Future<Output = io::Result<(Vec<u8>, usize)>> + Send>>;

impl Disk {
    /// At most this many reads at once; at least one.
    #[must_use]
    pub fn new(slots: usize) -> Self {
        Self { slots: Arc::new(Semaphore::new(slots.clamp(1, Semaphore::MAX_PERMITS))) }
    }

    /// Does `work` where it may wait. It is done to its end even if nobody waits for it any more.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(io::Error::other)?;
        let job = move || {
            let done = work();
            drop(slot);
            done
        };
        tokio::task::spawn_blocking(job).await.map_err(io::Error::other)
    }

    /// Reads up to `count` bytes at `offset` into `buffer`, which is at least as long.
    pub(super) fn read(&self, file: Arc<OwnedFd>, offset: u64, mut buffer: Vec<u8>, count: usize) -> SlowRead {
        let disk = self.clone();
        Box::pin(async move {
            disk.run(move || {
                let read = read(&file, offset, buffer.get_mut(..count).unwrap_or_default())?;
                Ok((buffer, read))
            })
            .await?
        })
    }
}

/// Reads what memory holds at `offset`; `None` where the disk, or a file system that cannot tell,
/// would be asked.
pub(super) fn read_cached(file: impl AsFd, offset: u64, buffer: &mut [u8]) -> rustix::io::Result<Option<usize>> {
    match rustix::io::preadv2(file, &mut [IoSliceMut::new(buffer)], offset, ReadWriteFlags::NOWAIT) {
        Ok(read) => Ok(Some(read)),
        Err(Errno::AGAIN | Errno::INTR | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Reads at `offset`, however long it takes.
pub(super) fn read(file: impl AsFd, offset: u64, buffer: &mut [u8]) -> rustix::io::Result<usize> {
    rustix::io::retry_on_intr(|| rustix::io::pread(&file, &mut *buffer, offset))
}
