//! What lies at a path: a file in all its codings, a directory, nothing.
//!
//! One look is one plain function that runs twice at most: first on the data-plane thread, where it
//! gives up with `EAGAIN` as soon as memory does not know an answer, then where it may wait.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rustix::fs::{FileType, Stat, fstat};
use rustix::io::Errno;

use super::conditional::Validators;
use super::disk;
use super::mime;
use super::negotiate::{self, Coding};
use super::tree::{Patience, Tree};
use crate::head::{Fields, Known};

/// Files up to this many bytes are kept in memory with their entry.
const SMALL: u64 = 16 * 1024;

/// A root as the looks need it.
#[derive(Debug)]
pub(super) struct Volume {
    pub tree: Tree,
    pub index: Vec<Vec<u8>>,
    pub precompressed: Vec<Coding>,
    pub cache_control: Option<String>,
    pub listing: bool,
}

/// What was found.
#[derive(Debug)]
pub(super) enum Sight {
    File(Arc<Entry>),
    /// A directory that was named without its `/`.
    Redirect,
    /// A directory to be listed.
    Directory(OwnedFd),
    Nothing,
}

/// A file, plain and in the codings that lie beside it, in the order of preference.
#[derive(Debug)]
pub(super) struct Entry {
    plain: Representation,
    coded: Vec<(Coding, Representation)>,
}

/// A file in one coding, with all that its answers need made ready.
#[derive(Debug)]
pub(super) struct Representation {
    /// The fields of a 200.
    pub fields: Fields,
    pub validators: Validators,
    pub size: u64,
    pub content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    Memory(Bytes),
    Disk(Arc<OwnedFd>),
}

impl Volume {
    /// Looks at a path beneath the root; `EAGAIN` where that takes more patience.
    pub fn look(&self, path: &[u8], patience: Patience) -> rustix::io::Result<Sight> {
        if path.is_empty() || path.ends_with(b"/") {
            return self.look_into(path, patience);
        }
        let Some(file) = self.tree.open(path, patience)? else { return Ok(Sight::Nothing) };
        let stat = fstat(&file)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => self.entry(path, file, &stat, patience).map(|entry| Sight::File(Arc::new(entry))),
            FileType::Directory => Ok(match self.look_into(&[path, b"/"].concat(), patience)? {
                Sight::Nothing => Sight::Nothing,
                _ => Sight::Redirect,
            }),
            _ => Ok(Sight::Nothing),
        }
    }

    /// A directory that has neither index nor listing is nothing.
    fn look_into(&self, directory: &[u8], patience: Patience) -> rustix::io::Result<Sight> {
        for name in &self.index {
            let path = [directory, name].concat();
            if let Some((file, stat)) = self.open_file(&path, patience)? {
                return self.entry(&path, file, &stat, patience).map(|entry| Sight::File(Arc::new(entry)));
            }
        }
        if !self.listing {
            return Ok(Sight::Nothing);
        }
        Ok(self.tree.open(directory, patience)?.map_or(Sight::Nothing, Sight::Directory))
    }

    fn open_file(&self, path: &[u8], patience: Patience) -> rustix::io::Result<Option<(OwnedFd, Stat)>> {
        let Some(file) = self.tree.open(path, patience)? else { return Ok(None) };
        let stat = fstat(&file)?;
        Ok((FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile).then_some((file, stat)))
    }

    fn entry(&self, path: &[u8], file: OwnedFd, stat: &Stat, patience: Patience) -> rustix::io::Result<Entry> {
        let mut coded = Vec::new();
        for coding in &self.precompressed {
            let beside = [path, coding.suffix().as_bytes()].concat();
            match self.open_file(&beside, patience) {
                Ok(Some((file, beside))) if beside.st_mtime >= stat.st_mtime => {
                    coded.push((*coding, self.representation(path, file, &beside, Some(*coding), patience)?));
                }
                Err(Errno::AGAIN) => return Err(Errno::AGAIN),
                // Stale, absent, or not to be read: the plain file still is.
                Ok(_) | Err(_) => {}
            }
        }
        Ok(Entry { plain: self.representation(path, file, stat, None, patience)?, coded })
    }

    fn representation(
        &self,
        path: &[u8],
        fd: OwnedFd,
        stat: &Stat,
        coding: Option<Coding>,
        patience: Patience,
    ) -> rustix::io::Result<Representation> {
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let validators = validators(stat, size, coding, SystemTime::now());
        let mut fields = Fields::default();
        fields.push("Content-Type", mime::content_type(path).as_bytes());
        if let Some(date) = validators.modified.and_then(http_date) {
            fields.push("Last-Modified", date);
        }
        fields.push("ETag", &validators.etag);
        fields.push("Accept-Ranges", "bytes");
        if let Some(value) = &self.cache_control {
            fields.push("Cache-Control", value);
        }
        if let Some(coding) = coding {
            fields.push("Content-Encoding", coding.token());
        }
        // RFC 9110 §12.5.5: also where only the plain file exists, since that may change.
        if !self.precompressed.is_empty() {
            fields.push("Vary", "Accept-Encoding");
        }
        Ok(Representation { fields, validators, size, content: content(fd, size, patience)? })
    }
}

impl Entry {
    /// The representation that this client prefers.
    pub fn choose(&self, request: &Fields) -> &Representation {
        if self.coded.is_empty() {
            return &self.plain;
        }
        let available = self.coded.iter().map(|(coding, _)| *coding);
        let chosen = negotiate::choose(|| request.all(Known::AcceptEncoding), available);
        self.coded.iter().find(|(coding, _)| Some(*coding) == chosen).map_or(&self.plain, |(_, found)| found)
    }

    /// How many files this is.
    pub fn files(&self) -> usize {
        1 + self.coded.len()
    }

    /// How many bytes this holds in memory, near enough for a bound.
    pub fn weight(&self) -> usize {
        self.coded.iter().map(|(_, coded)| coded).chain([&self.plain]).map(Representation::weight).sum()
    }
}

impl Representation {
    fn weight(&self) -> usize {
        let text = self.fields.text().len();
        let body = match &self.content {
            Content::Memory(bytes) => bytes.len(),
            Content::Disk(_) => 0,
        };
        size_of::<Self>() + text + body
    }
}

/// A small file's bytes, or the open file.
fn content(fd: OwnedFd, size: u64, patience: Patience) -> rustix::io::Result<Content> {
    if size > SMALL {
        return Ok(Content::Disk(Arc::new(fd)));
    }
    let mut bytes = vec![0; size as usize];
    let mut filled = 0;
    while let Some(rest @ [_, ..]) = bytes.get_mut(filled..) {
        let read = match patience {
            Patience::Cached => disk::read_cached(&fd, filled as u64, rest)?.ok_or(Errno::AGAIN)?,
            Patience::Blocking => disk::read(&fd, filled as u64, rest)?,
        };
        if read == 0 {
            // It was cut between the two calls: sending will find the same and say so.
            return Ok(Content::Disk(Arc::new(fd)));
        }
        filled += read;
    }
    Ok(Content::Memory(Bytes::from(bytes)))
}

fn validators(stat: &Stat, size: u64, coding: Option<Coding>, now: SystemTime) -> Validators {
    let (seconds, nanoseconds) = (stat.st_mtime, stat.st_mtime_nsec);
    let coding = coding.map_or(String::new(), |coding| format!("-{}", coding.token()));
    let etag = format!("\"{seconds:x}.{nanoseconds:x}-{size:x}{coding}\"").into_bytes();
    // RFC 9110 §8.8.2.1: no date in the future, nor one that a date field cannot write.
    let modified = u64::try_from(seconds)
        .ok()
        .and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)))
        .filter(|modified| *modified <= now && http_date(*modified).is_some());
    let settled = modified.is_some_and(|modified| now.duration_since(modified).is_ok_and(|age| age.as_secs() >= 1));
    Validators { etag, modified, settled }
}

/// A date as fields write it; `None` beyond the four digits of its year.
pub(super) fn http_date(date: SystemTime) -> Option<String> {
    const YEAR_9999: Duration = Duration::from_secs(253_370_764_800);
    let age = date.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    (age < YEAR_9999).then(|| httpdate::fmt_http_date(date))
}
