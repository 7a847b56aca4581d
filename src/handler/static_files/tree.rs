//! The folder itself: opens what lies beneath it, and nothing else.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2, readlinkat};
use rustix::io::Errno;

/// As many symbolic links as the kernel follows in one path.
const MAX_LINKS: usize = 40;
/// The kernel asks to try again where a directory moved while a path went through it.
const MAX_TRIES: usize = 8;

/// Which symbolic links beneath a root are followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Symlinks {
    /// Those that stay beneath the root at every step; an absolute one never does.
    #[default]
    Inside,
    /// None.
    Deny,
    /// All, wherever they lead.
    Follow,
}

/// Whether an answer may be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// Only what memory knows; anything else is `EAGAIN`.
    Cached,
    /// The disk may be asked.
    Blocking,
}

/// How this kernel, or what confines this process, lets files be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// By `openat2`; `cached`: it can refuse to wait (Linux 5.12).
    Openat2 { cached: bool },
    /// Name by name: there is no `openat2` before Linux 5.6 and under some seccomp filters.
    Walk,
}

#[derive(Debug)]
pub(super) struct Tree {
    root: OwnedFd,
    symlinks: Symlinks,
    way: Way,
}

impl Tree {
    pub fn open_root(path: &Path, symlinks: Symlinks) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(CWD, path, flags, Mode::empty())?;
        // A handle on a folder is had for the asking; whether its names may be looked up is not.
        openat(&root, ".", flags, Mode::empty())?;
        let cached = ResolveFlags::BENEATH | ResolveFlags::CACHED;
        let way = match openat2(&root, ".", flags, Mode::empty(), cached) {
            Err(Errno::NOSYS | Errno::PERM) => Way::Walk,
            Err(Errno::INVAL) => Way::Openat2 { cached: false },
            _ => Way::Openat2 { cached: true },
        };
        Ok(Self { root, symlinks, way })
    }

    /// Opens a path beneath the root for reading; `None` where nothing is there.
    ///
    /// `EAGAIN` says that patience is needed; `EXDEV` and `ELOOP` that a link is not to be followed.
    pub fn open(&self, path: &[u8], patience: Patience) -> rustix::io::Result<Option<OwnedFd>> {
        let path = if path.is_empty() { b"." } else { path };
        let opened = match (self.way, patience) {
            (Way::Openat2 { cached: true }, Patience::Cached) => self.open_at_once(path, ResolveFlags::CACHED),
            (_, Patience::Cached) => Err(Errno::AGAIN),
            (Way::Openat2 { .. }, Patience::Blocking) => (1..MAX_TRIES)
                .map(|_| self.open_at_once(path, ResolveFlags::empty()))
                .find(|opened| !matches!(opened, Err(Errno::AGAIN)))
                .unwrap_or(Err(Errno::BUSY)),
            (Way::Walk, Patience::Blocking) => match self.symlinks {
                Symlinks::Follow => openat(&self.root, path, READ, Mode::empty()),
                Symlinks::Inside => walk(&self.root, path, MAX_LINKS),
                Symlinks::Deny => walk(&self.root, path, 0),
            },
        };
        match opened {
            Ok(file) => Ok(Some(file)),
            // NXIO: a socket, or a device without a driver.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::NXIO | Errno::NODEV) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    pub fn follows_links(&self) -> bool {
        self.symlinks != Symlinks::Deny
    }

    fn open_at_once(&self, path: &[u8], patience: ResolveFlags) -> rustix::io::Result<OwnedFd> {
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let policy = match self.symlinks {
            Symlinks::Inside => beneath,
            Symlinks::Deny => beneath | ResolveFlags::NO_SYMLINKS,
            Symlinks::Follow => ResolveFlags::empty(),
        };
        openat2(&self.root, path, READ, Mode::empty(), policy | patience)
    }
}

/// NONBLOCK and NOCTTY: a FIFO must not hold the thread, a terminal must not take the process; both
/// are shut again when their kind is seen.
const READ: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// Opens a path name by name, so that no link is followed that this function did not read.
fn walk(root: &OwnedFd, path: &[u8], mut links: usize) -> rustix::io::Result<OwnedFd> {
    let names = |path: &[u8]| -> Vec<Vec<u8>> {
        path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".").map(<[u8]>::to_vec).collect()
    };
    let mut ahead = VecDeque::from(names(path));
    let mut behind: Vec<OwnedFd> = Vec::new();
    let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    while let Some(name) = ahead.pop_front() {
        if name == b".." {
            behind.pop().ok_or(Errno::XDEV)?;
            continue;
        }
        let here = behind.last().unwrap_or(root).as_fd();
        let is_file = ahead.is_empty() && !path.ends_with(b"/");
        let flags = if is_file { READ | OFlags::NOFOLLOW } else { step };
        match openat(here, name.as_slice(), flags, Mode::empty()) {
            Ok(file) if is_file => return Ok(file),
            Ok(directory) => behind.push(directory),
            Err(errno @ (Errno::LOOP | Errno::NOTDIR)) => {
                let Ok(target) = readlinkat(here, name.as_slice(), Vec::new()) else { return Err(errno) };
                links = links.checked_sub(1).ok_or(Errno::LOOP)?;
                if target.as_bytes().starts_with(b"/") {
                    return Err(Errno::XDEV);
                }
                for name in names(target.as_bytes()).into_iter().rev() {
                    ahead.push_front(name);
                }
            }
            Err(errno) => return Err(errno),
        }
    }
    let here = behind.last().unwrap_or(root);
    openat(here, ".", READ | OFlags::DIRECTORY, Mode::empty())
}

#[cfg(test)]
mod tests;
