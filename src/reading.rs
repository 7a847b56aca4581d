//! The files that a config names, read once: from the disk, or from what another process has read.
//!
//! Whoever checks a config reads by a [`Reading`] of the disk, which remembers every byte, every list
//! of names and every fault. What it remembers, a [`Record`], goes to whoever serves by that config:
//! the same paths give the same bytes there, whatever became of the disk and whoever may read it.
//!
//! The bytes lie in a file in memory, once for all processes that have it open; whoever wants them gets a
//! copy, and knows by their hash whether they are what they were.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

/// Nothing that a config names is read beyond this many bytes and one: its reader sees that it is too
/// large.
pub const LARGEST_FILE: usize = 16 << 20;

/// Names of one folder; a folder of more cannot be listed.
const MOST_NAMES: usize = 100_000;

/// The files that a config names. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Reading(Arc<From>);

#[derive(Debug)]
enum From {
    /// Certificates are read by several threads.
    Disk(Mutex<Gathered>),
    Record(Record),
}

/// What was read from the disk so far.
#[derive(Debug, Default)]
struct Gathered {
    index: Index,
    /// There with the first text.
    memory: Option<Memory>,
}

/// What was read: of files their bytes, of folders their names.
#[derive(Clone, Debug)]
pub struct Record {
    index: Arc<Index>,
    memory: Arc<Memory>,
}

/// Which paths were read, and where their bytes lie.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    files: BTreeMap<OsString, Found<Text>>,
    folders: BTreeMap<OsString, Found<Vec<OsString>>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Found<T> {
    Read(T),
    /// The number of the system's error.
    Fault(i32),
}

/// The contents of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Text {
    at: u64,
    length: u32,
    hash: u128,
    /// Whether every user of the host may read it.
    exposed: bool,
}

/// A file in memory that only grows.
#[derive(Debug)]
struct Memory {
    file: File,
    length: u64,
}

impl Reading {
    /// Reads from the disk, each path once.
    #[must_use]
    pub fn of_disk() -> Self {
        Self(Arc::new(From::Disk(Mutex::default())))
    }

    /// Gives what was read before; no other path is there.
    #[must_use]
    pub fn of_record(record: Record) -> Self {
        Self(Arc::new(From::Record(record)))
    }

    /// The bytes of a file, at most [`LARGEST_FILE`] and one.
    ///
    /// # Errors
    /// What the system said when it was read.
    pub fn file(&self, path: &Path) -> io::Result<Bytes> {
        match &*self.0 {
            From::Record(record) => record.memory.bytes(record.index.text(path)?),
            From::Disk(gathered) => {
                if let Some(known) = locked(gathered).known(path) {
                    return known;
                }
                let read = read(path);
                let mut gathered = locked(gathered);
                // Where another thread was quicker, it has said what this path holds.
                match gathered.known(path) {
                    Some(known) => known,
                    None => gathered.keep(path, read),
                }
            }
        }
    }

    /// A hash of the bytes of a file.
    ///
    /// # Errors
    /// What the system said when it was read.
    pub fn hash(&self, path: &Path) -> io::Result<u128> {
        match &*self.0 {
            From::Record(record) => Ok(record.index.text(path)?.hash),
            From::Disk(gathered) => {
                self.file(path)?;
                Ok(locked(gathered).index.text(path)?.hash)
            }
        }
    }

    /// Whether every user of the host could read this file when it was read.
    #[must_use]
    pub fn is_exposed(&self, path: &Path) -> bool {
        match &*self.0 {
            From::Record(record) => record.index.is_exposed(path),
            From::Disk(gathered) => locked(gathered).index.is_exposed(path),
        }
    }

    /// The names in a folder, sorted.
    ///
    /// # Errors
    /// What the system said when it was listed.
    pub fn names(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        match &*self.0 {
            From::Record(record) => {
                record.index.folders.get(folder.as_os_str()).map_or_else(|| Err(unread()), Found::result)
            }
            From::Disk(gathered) => {
                let found = list(folder).map_or_else(|fault| Found::fault(&fault), Found::Read);
                locked(gathered).index.folders.entry(folder.into()).or_insert(found).result()
            }
        }
    }

    /// What was read so far. From then on no file can be read that was not read before.
    ///
    /// # Errors
    /// When the system has no memory for it.
    pub fn record(&self) -> io::Result<Record> {
        match &*self.0 {
            From::Record(record) => Ok(record.clone()),
            From::Disk(gathered) => {
                let mut gathered = locked(gathered);
                let memory = Memory { file: gathered.memory()?.file.try_clone()?, length: gathered.memory()?.length };
                // Nobody whom it is passed to can change what others read.
                fcntl_add_seals(
                    &memory.file,
                    SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL,
                )?;
                Ok(Record { index: Arc::new(gathered.index.clone()), memory: Arc::new(memory) })
            }
        }
    }
}

impl Gathered {
    fn memory(&mut self) -> io::Result<&mut Memory> {
        if self.memory.is_none() {
            self.memory = Some(Memory::new()?);
        }
        self.memory.as_mut().ok_or_else(unread)
    }

    fn known(&self, path: &Path) -> Option<io::Result<Bytes>> {
        let text = self.index.files.get(path.as_os_str())?.result();
        Some(text.and_then(|text| self.memory.as_ref().ok_or_else(unread)?.bytes(text)))
    }

    fn keep(&mut self, path: &Path, read: io::Result<(Vec<u8>, bool)>) -> io::Result<Bytes> {
        let found = match &read {
            Ok((bytes, exposed)) => Found::Read(Text { exposed: *exposed, ..self.memory()?.append(bytes)? }),
            Err(fault) => Found::fault(fault),
        };
        self.index.files.insert(path.into(), found);
        Ok(read?.0.into())
    }
}

impl Record {
    /// One that another process has made; `memory` is what [`Self::memory`] gave there.
    #[must_use]
    pub fn new(index: Arc<Index>, memory: OwnedFd) -> Self {
        // Its length is only of use to who appends.
        Self { index, memory: Arc::new(Memory { file: memory.into(), length: 0 }) }
    }

    /// Which paths were read.
    #[must_use]
    pub fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// Where the bytes lie.
    ///
    /// # Errors
    /// When the process may open no more files.
    pub fn memory(&self) -> io::Result<OwnedFd> {
        self.memory.file.as_fd().try_clone_to_owned()
    }

    /// A hash by XXH3 of what a file holds; `None` for one that was not read, or not to its end.
    #[must_use]
    pub fn hash(&self, path: &Path) -> Option<u128> {
        let text = self.index.text(path).ok()?;
        (text.length as usize <= LARGEST_FILE).then_some(text.hash)
    }
}

impl Index {
    fn is_exposed(&self, path: &Path) -> bool {
        self.text(path).is_ok_and(|text| text.exposed)
    }

    fn text(&self, path: &Path) -> io::Result<Text> {
        self.files.get(path.as_os_str()).map_or_else(|| Err(unread()), Found::result)
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").field("files", &self.files.len()).finish_non_exhaustive()
    }
}

impl Memory {
    fn new() -> io::Result<Self> {
        let file = memfd_create("haechi-files", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        Ok(Self { file: file.into(), length: 0 })
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<Text> {
        let length = u32::try_from(bytes.len()).map_err(|_| io::Error::from(rustix::io::Errno::FBIG))?;
        self.file.write_all_at(bytes, self.length)?;
        let text = Text { at: self.length, length, hash: xxh3_128(bytes), exposed: false };
        self.length += u64::from(length);
        Ok(text)
    }

    fn bytes(&self, text: Text) -> io::Result<Bytes> {
        let mut bytes = vec![0; text.length as usize];
        self.file.read_exact_at(&mut bytes, text.at)?;
        Ok(bytes.into())
    }
}

impl<T: Clone> Found<T> {
    fn fault(fault: &io::Error) -> Self {
        Self::Fault(fault.raw_os_error().unwrap_or(rustix::io::Errno::IO.raw_os_error()))
    }

    fn result(&self) -> io::Result<T> {
        match self {
            Self::Read(found) => Ok(found.clone()),
            Self::Fault(number) => Err(io::Error::from_raw_os_error(*number)),
        }
    }
}

fn locked(gathered: &Mutex<Gathered>) -> MutexGuard<'_, Gathered> {
    gathered.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unread() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "it was not read when the config was checked")
}

/// The bytes of a file, and whether every user of the host may read it.
fn read(path: &Path) -> io::Result<(Vec<u8>, bool)> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    let exposed = file.metadata()?.mode() & 0o004 != 0;
    file.take(LARGEST_FILE as u64 + 1).read_to_end(&mut bytes)?;
    Ok((bytes, exposed))
}

fn list(folder: &Path) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        if names.len() == MOST_NAMES {
            return Err(rustix::io::Errno::FBIG.into());
        }
        names.push(entry?.file_name());
    }
    names.sort_unstable();
    Ok(names)
}

/// The paths of those names in a folder that have this extension.
#[must_use]
pub fn with_extension(folder: &Path, names: &[OsString], extension: &str) -> Vec<PathBuf> {
    let paths = names.iter().map(|name| folder.join(name));
    paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_gives_what_the_disk_gave_then() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("b.crt"), "one").unwrap();
        fs::write(path("a.key"), [0xff]).unwrap();
        let disk = Reading::of_disk();
        assert_eq!(*disk.file(&path("b.crt")).unwrap(), *b"one");
        assert_eq!(disk.names(folder.path()).unwrap(), ["a.key", "b.crt"]);
        assert_eq!(disk.file(&path("c")).unwrap_err().kind(), io::ErrorKind::NotFound);

        fs::write(path("b.crt"), "two").unwrap();
        fs::write(path("c"), "now").unwrap();
        assert_eq!(*disk.file(&path("b.crt")).unwrap(), *b"one", "each path is read once");

        let sent = disk.record().unwrap();
        let index = postcard::from_bytes(&postcard::to_stdvec(sent.index()).unwrap()).unwrap();
        let record = Reading::of_record(Record::new(Arc::new(index), sent.memory().unwrap()));
        assert_eq!(record.hash(&path("b.crt")).unwrap(), xxh3_128(b"one"));
        assert_eq!(*record.file(&path("b.crt")).unwrap(), *b"one");
        assert_eq!(record.names(folder.path()).unwrap(), ["a.key", "b.crt"]);
        let (then, never) = (record.file(&path("c")).unwrap_err(), record.file(&path("a.key")).unwrap_err());
        assert_eq!(then.to_string(), "No such file or directory (os error 2)");
        assert_eq!(never.to_string(), "it was not read when the config was checked");
    }

    #[test]
    fn what_is_passed_on_can_be_changed_by_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "one").unwrap();
        let disk = Reading::of_disk();
        disk.file(&path).unwrap();
        let record = disk.record().unwrap();
        let memory = File::from(record.memory().unwrap());
        assert!(memory.write_all_at(b"two", 0).is_err() && memory.set_len(0).is_err());
        fs::write(folder.path().join("b"), "late").unwrap();
        assert!(disk.file(&folder.path().join("b")).is_err());
        assert_eq!(*disk.file(&path).unwrap(), *b"one");
    }

    #[test]
    fn a_record_knows_which_files_all_may_read() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let disk = Reading::of_disk();
        let paths = [("open", 0o644), ("closed", 0o640)].map(|(name, mode)| {
            let path = folder.path().join(name);
            fs::write(&path, "secret").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            disk.file(&path).unwrap();
            assert_eq!(disk.is_exposed(&path), mode == 0o644);
            path
        });
        let record = Reading::of_record(disk.record().unwrap());
        assert_eq!(paths.map(|path| record.is_exposed(&path)), [true, false]);
    }

    #[test]
    fn a_file_without_an_end_is_read_to_the_bound() {
        let bytes = Reading::of_disk().file(Path::new("/dev/zero")).unwrap();
        assert_eq!(bytes.len(), LARGEST_FILE + 1);
    }
}
