//! Knows when the files of the config have changed.
//!
//! In go the paths that the running config was made from; out comes one word for every settled
//! change of their contents. Two eyes look: the kernel's events on each file, on its folder and on
//! the folder of every symbolic link on the way to it (editors rename, ConfigMaps swap a link),
//! and a look at the contents every two seconds, because a bind-mounted file may change without
//! an event here. Neither is believed: a change counts when two readings [`settle::STABLE`] apart
//! agree with each other and differ from what was followed last, so that a half-written file,
//! often valid TOML, is not acted on.
//!
//! The rules are in [`settle`] (pure) and the readings in `prints`; the thread here only waits.

mod events;
mod paths;
mod prints;
pub mod settle;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Instant;

use xxhash_rust::xxh3::xxh3_128;

use self::events::Events;
use self::prints::Prints;
use self::settle::{Input, Settle};

/// Follows files and folders from a thread of its own, until it is dropped.
#[derive(Debug)]
pub struct Watch {
    orders: SyncSender<Order>,
    changes: tokio::sync::mpsc::Receiver<()>,
    /// Where the kernel tells of events, if it does.
    source: Option<Arc<OwnedFd>>,
}

impl Watch {
    /// Starts with nothing to follow, awake at every event of the kernel.
    ///
    /// # Errors
    /// When no thread can be started. A kernel that gives no events is no error: it is logged, and
    /// changes are then seen by looking.
    pub fn start() -> io::Result<Self> {
        Self::spawn(true)
    }

    /// Starts with nothing to follow and asks the kernel for no events: a change is seen within
    /// [`settle::LOOK`] and [`settle::STABLE`].
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start_without_events() -> io::Result<Self> {
        Self::spawn(false)
    }

    /// Replaces what is followed. What was followed before keeps the contents it is compared with,
    /// so a change that falls between the reading of a config and this call is not lost.
    pub fn follow(&self, paths: Vec<Followed>) {
        // The thread lives as long as `self`; were it gone, there would be nobody to tell.
        let _ = self.orders.send(Order::Follow(paths));
    }

    /// Waits for the next settled change. Changes that come while nobody waits are one change.
    /// Cancel safe. Pending for ever if the thread has died.
    pub async fn changed(&mut self) {
        if self.changes.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    fn spawn(with_events: bool) -> io::Result<Self> {
        // Few places are enough: an event that finds no room is covered by those that wait.
        let (orders, inbox) = mpsc::sync_channel(16);
        let (announce, changes) = tokio::sync::mpsc::channel(1);
        let events = if with_events { kernel_events(orders.clone()) } else { None };
        let source = events.as_ref().map(Events::source);
        thread::Builder::new().name("watch".into()).spawn(move || run(&inbox, &announce, events))?;
        Ok(Self { orders, changes, source })
    }

    /// What the kernel tells of events by, once more. While somebody holds it an exec does not wait for its end,
    /// which takes the kernel some 14 ms.
    #[must_use]
    pub fn handle(&self) -> Option<OwnedFd> {
        self.source.as_ref()?.try_clone().ok()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Without room for it the thread finds `changes` closed at its next look.
        let _ = self.orders.try_send(Order::Stop);
    }
}

/// A path whose contents matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    path: PathBuf,
    endings: Vec<String>,
    read: Option<u64>,
    /// Which folder it is counts, not what lies in it.
    place: bool,
}

impl Followed {
    /// A file; or a folder with the names and contents of the files right in it, dotfiles left out.
    /// It need not exist.
    #[must_use]
    pub fn path(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), endings: Vec::new(), read: None, place: false }
    }

    /// A file that has been read already and held `contents`: anything else there now is a change.
    #[must_use]
    pub fn read(path: impl Into<PathBuf>, contents: &[u8]) -> Self {
        Self::known(path, xxh3_128(contents))
    }

    /// A file that has been read already; what it held has this hash by XXH3.
    #[must_use]
    pub fn known(path: impl Into<PathBuf>, hash: u128) -> Self {
        Self { read: Some(prints::of_hash(hash)), ..Self::path(path) }
    }

    /// A folder of which only that it is the same one matters: a deployment may have moved another to
    /// its path, by a rename, a link or a mount.
    #[must_use]
    pub fn place(path: impl Into<PathBuf>) -> Self {
        Self { place: true, ..Self::path(path) }
    }

    /// A folder with the names and contents of those files right in it whose names have one of
    /// these endings (".toml"), dotfiles left out.
    #[must_use]
    pub fn folder(path: impl Into<PathBuf>, endings: &[&str]) -> Self {
        Self { endings: endings.iter().map(|&ending| ending.into()).collect(), ..Self::path(path) }
    }

    /// The path as it is written: compared far quicker than part by part.
    fn name(&self) -> &OsStr {
        self.path.as_os_str()
    }
}

#[derive(Debug)]
enum Order {
    Follow(Vec<Followed>),
    Touched,
    Stop,
}

fn run(inbox: &mpsc::Receiver<Order>, announce: &tokio::sync::mpsc::Sender<()>, mut events: Option<Events>) {
    let mut prints = Prints::default();
    let mut settle = Settle::new(prints.followed(), Instant::now());
    let mut last = prints.followed();
    loop {
        let wait = settle.poll_timeout().saturating_duration_since(Instant::now());
        match inbox.recv_timeout(wait) {
            Ok(Order::Follow(paths)) => {
                let now = Instant::now();
                // Armed before the first reading: what changes after it is not missed.
                rearm(events.as_mut(), &paths);
                prints.follow(now, paths);
                last = prints.followed();
                settle = Settle::new(last, now);
            }
            Ok(Order::Touched) => settle.handle(Instant::now(), Input::Touched),
            Err(RecvTimeoutError::Timeout) => {
                let now = Instant::now();
                let print = prints.look(now);
                if print != last {
                    // Links and files may be other ones now.
                    rearm(events.as_mut(), prints.paths());
                    last = print;
                }
                settle.handle(now, Input::Print(print));
            }
            Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return,
        }
        if settle.poll_output().is_some() {
            prints.settle();
            // Full: the change before this one has not been taken yet and will find these contents.
            let _ = announce.try_send(());
        }
        if announce.is_closed() {
            return;
        }
    }
}

fn kernel_events(wake: SyncSender<Order>) -> Option<Events> {
    Events::start(move || _ = wake.try_send(Order::Touched))
        .inspect_err(|fault| {
            tracing::warn!(%fault, "no file events from the kernel; files are looked at every {:?}", settle::LOOK);
        })
        .ok()
}

fn rearm(events: Option<&mut Events>, followed: &[Followed]) {
    let Some(events) = events else { return };
    let paths = paths::to_watch(followed);
    events.watch(paths.iter().map(PathBuf::as_path), |path, fault| {
        // What is not there is followed all the same, so that its coming is seen.
        if fault.kind() != io::ErrorKind::NotFound {
            tracing::debug!(path = %path.display(), %fault, "no file events here; looked at every {:?}", settle::LOOK);
        }
    });
}
