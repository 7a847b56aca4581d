//! What the kernel tells about files and folders (inotify).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

/// What may change a folder's names or what a file in it holds. Not each write: our own log may lie
/// beside the config, and would wake us with each batch of lines. Who writes a file closes it.
const FOLDER: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF);

/// A file that is followed itself may be written by who keeps it open.
const FILE: WatchFlags = FOLDER.union(WatchFlags::MODIFY);

/// The kernel's events for the paths that are watched, until it is dropped.
#[derive(Debug)]
pub(super) struct Events {
    inotify: Arc<OwnedFd>,
    watched: Vec<i32>,
    /// The thread that reads ends when this end of a pipe is gone.
    _alive: OwnedFd,
}

impl Events {
    /// Calls `touched` from a thread of its own for every batch of events.
    ///
    /// # Errors
    /// When the system has no descriptor, instance or thread left.
    pub(super) fn start(touched: impl Fn() + Send + 'static) -> io::Result<Self> {
        let inotify = Arc::new(inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?);
        let (ended, alive) = pipe_with(PipeFlags::CLOEXEC)?;
        let read = Arc::clone(&inotify);
        thread::Builder::new().name("file-events".into()).spawn(move || run(&read, &ended, &touched))?;
        Ok(Self { inotify, watched: Vec::new(), _alive: alive })
    }

    /// Where the kernel tells of them.
    pub(super) fn source(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.inotify)
    }

    /// Watches these paths and no others. Ones that stay are watched anew: there may be another file
    /// of that name. `fault` is told what cannot be watched.
    pub(super) fn watch<'p>(&mut self, paths: impl IntoIterator<Item = &'p Path>, fault: impl Fn(&Path, io::Error)) {
        for watched in self.watched.drain(..) {
            // The kernel has dropped the watch of a file that is gone.
            let _ = inotify::remove_watch(&self.inotify, watched);
        }
        for path in paths {
            match add(&self.inotify, path) {
                Ok(watched) => self.watched.push(watched),
                Err(error) => fault(path, error.into()),
            }
        }
    }
}

fn add(inotify: &OwnedFd, path: &Path) -> Result<i32, Errno> {
    inotify::add_watch(inotify, path, if path.is_dir() { FOLDER } else { FILE })
}

fn run(inotify: &OwnedFd, ended: &OwnedFd, touched: &impl Fn()) {
    loop {
        let mut waits = [PollFd::new(inotify, PollFlags::IN), PollFd::new(ended, PollFlags::IN)];
        match poll(&mut waits, None) {
            Ok(_) if !waits[1].revents().is_empty() => return,
            Ok(_) if has_changes(inotify) => touched(),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => {
                let fault = io::Error::from(error);
                return tracing::warn!(%fault, "no more file events from the kernel; files are looked at instead");
            }
        }
    }
}

/// Takes what there is. The end of a watch, which we mostly asked for, is no change.
fn has_changes(inotify: &OwnedFd) -> bool {
    let mut room = [MaybeUninit::uninit(); 4096];
    let mut reader = Reader::new(inotify, &mut room);
    let mut found = false;
    while let Ok(event) = reader.next() {
        found |= !event.events().contains(ReadFlags::IGNORED);
    }
    found
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, OpenOptions};
    use std::io::Write;

    use super::*;

    #[test]
    fn neither_reading_nor_a_log_beside_the_config_wakes_us() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let mut log = OpenOptions::new().create(true).append(true).open(file("access.log")).unwrap();
        fs::write(file("haechi.toml"), "a").unwrap();
        let inotify = inotify::init(CreateFlags::NONBLOCK).unwrap();
        for path in [folder.path(), &file("haechi.toml")] {
            add(&inotify, path).unwrap();
        }
        log.write_all(b"a line\n").unwrap();
        fs::read(file("haechi.toml")).unwrap();
        assert!(!has_changes(&inotify));

        let mut open = File::create(file("haechi.toml")).unwrap();
        assert!(has_changes(&inotify), "emptied");
        open.write_all(b"b").unwrap();
        assert!(has_changes(&inotify), "written, and still open");
        drop(open);
        assert!(has_changes(&inotify), "closed");
        fs::write(file("other.toml"), "").unwrap();
        assert!(has_changes(&inotify), "another file");
    }
}
