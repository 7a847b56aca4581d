//! The files that a config names, read once: from the disk, or from what another process has read.
//!
//! Whoever checks a config reads by a [`Reading`] of the disk, which remembers every byte, every list
//! of names and every fault. What it remembers, a [`Record`], goes to whoever serves by that config:
//! the same paths give the same bytes there, whatever became of the disk and whoever may read it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Nothing that a config names is read beyond this many bytes and one: its reader sees that it is too
/// large.
pub const LARGEST_FILE: usize = 16 << 20;

/// Names of one folder; a folder of more cannot be listed.
const MOST_NAMES: usize = 100_000;

/// The files that a config names.
#[derive(Debug)]
pub struct Reading(From);

#[derive(Debug)]
enum From {
    /// Certificates are read by several threads.
    Disk(Mutex<Record>),
    Record(Arc<Record>),
}

/// What was read: of files their bytes, of folders their names.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    files: BTreeMap<OsString, Found<Bytes>>,
    folders: BTreeMap<OsString, Found<Vec<OsString>>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Found<T> {
    Read(T),
    /// The number of the system's error.
    Fault(i32),
}

impl Reading {
    /// Reads from the disk, each path once.
    #[must_use]
    pub fn of_disk() -> Self {
        Self(From::Disk(Mutex::default()))
    }

    /// Gives what was read before; no other path is there.
    #[must_use]
    pub fn of_record(record: Arc<Record>) -> Self {
        Self(From::Record(record))
    }

    /// The bytes of a file, at most [`LARGEST_FILE`] and one.
    ///
    /// # Errors
    /// What the system said when it was read.
    pub fn file(&self, path: &Path) -> io::Result<Bytes> {
        match &self.0 {
            From::Record(record) => record.files.get(path.as_os_str()).map_or_else(|| Err(unread()), Found::result),
            From::Disk(record) => {
                if let Some(found) = locked(record).files.get(path.as_os_str()) {
                    return found.result();
                }
                let found = Found::of(read(path).map(Bytes::from));
                locked(record).files.entry(path.into()).or_insert(found).result()
            }
        }
    }

    /// The names in a folder, sorted.
    ///
    /// # Errors
    /// What the system said when it was listed.
    pub fn names(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        match &self.0 {
            From::Record(record) => record.folders.get(folder.as_os_str()).map_or_else(|| Err(unread()), Found::result),
            From::Disk(record) => {
                let found = Found::of(list(folder));
                locked(record).folders.entry(folder.into()).or_insert(found).result()
            }
        }
    }

    /// What was read so far.
    #[must_use]
    pub fn record(&self) -> Arc<Record> {
        match &self.0 {
            From::Record(record) => Arc::clone(record),
            From::Disk(record) => Arc::new(locked(record).clone()),
        }
    }
}

/// Keys are among what was read, so nothing of it is shown.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record").field("files", &self.files.len()).finish_non_exhaustive()
    }
}

impl<T: Clone> Found<T> {
    fn of(result: io::Result<T>) -> Self {
        match result {
            Ok(found) => Self::Read(found),
            Err(fault) => Self::Fault(fault.raw_os_error().unwrap_or(rustix::io::Errno::IO.raw_os_error())),
        }
    }

    fn result(&self) -> io::Result<T> {
        match self {
            Self::Read(found) => Ok(found.clone()),
            Self::Fault(number) => Err(io::Error::from_raw_os_error(*number)),
        }
    }
}

fn locked(record: &Mutex<Record>) -> std::sync::MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unread() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "it was not read when the config was checked")
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST_FILE as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
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

        let sent = postcard::to_stdvec(&*disk.record()).unwrap();
        let record = Reading::of_record(Arc::new(postcard::from_bytes(&sent).unwrap()));
        assert_eq!(*record.file(&path("b.crt")).unwrap(), *b"one");
        assert_eq!(record.names(folder.path()).unwrap(), ["a.key", "b.crt"]);
        let (then, never) = (record.file(&path("c")).unwrap_err(), record.file(&path("a.key")).unwrap_err());
        assert_eq!(then.to_string(), "No such file or directory (os error 2)");
        assert_eq!(never.to_string(), "it was not read when the config was checked");
    }

    #[test]
    fn a_file_without_an_end_is_read_to_the_bound() {
        let bytes = Reading::of_disk().file(Path::new("/dev/zero")).unwrap();
        assert_eq!(bytes.len(), LARGEST_FILE + 1);
    }
}
