//! What the followed files held last, as hashes of their contents.

use std::collections::HashMap;
use std::fs::{self, File, Metadata, OpenOptions};
use std::hash::Hasher;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant, UNIX_EPOCH};

use rustix::fs::OFlags;
use xxhash_rust::xxh3::Xxh3;

use super::Followed;

/// A file is not read beyond this; its length counts in any case.
const MOST_BYTES: u64 = 16 << 20;

/// Bytes of a file that are read at once.
const BUFFER: usize = 64 << 10;

/// Names of one folder beyond this many are not looked at.
const MOST_NAMES: usize = 100_000;

/// File systems keep times as coarse as this: a file written twice within it may look untouched.
const COARSE: Duration = Duration::from_secs(2);

/// The prints of all followed paths: those acted on and those seen last.
#[derive(Debug, Default)]
pub(super) struct Prints {
    /// By path, each one once.
    paths: Vec<Followed>,
    /// One for each path, in their order.
    followed: Vec<u64>,
    looked: Vec<u64>,
    files: Files,
}

impl Prints {
    /// Follows `paths` instead. One that was followed before is compared with what it held then.
    pub(super) fn follow(&mut self, now: Instant, mut paths: Vec<Followed>) {
        // What was read for the config comes first: it counts, whatever else the path is followed for.
        paths.sort_by(|one, other| (one.name(), one.read.is_none()).cmp(&(other.name(), other.read.is_none())));
        paths.dedup_by(|later, first| later.name() == first.name());
        let held: Vec<u64> = paths
            .iter()
            .map(|path| path.read.or_else(|| self.held(path)).unwrap_or_else(|| self.files.print(now, path)))
            .collect();
        self.paths = paths;
        self.looked.clone_from(&held);
        self.followed = held;
    }

    /// What a path held that was followed in the same way before.
    fn held(&self, path: &Followed) -> Option<u64> {
        let at = self.paths.binary_search_by(|before| before.name().cmp(path.name())).ok()?;
        let same = self.paths.get(at).is_some_and(|before| before.endings == path.endings);
        self.followed.get(at).copied().filter(|_| same)
    }

    /// Reads everything; the print of it all.
    pub(super) fn look(&mut self, now: Instant) -> u64 {
        self.looked = self.paths.iter().map(|path| self.files.print(now, path)).collect();
        self.files.forget_unseen(now);
        self.whole(&self.looked)
    }

    /// What was seen last is what is followed from here on.
    pub(super) fn settle(&mut self) {
        self.followed.clone_from(&self.looked);
    }

    /// The print of what is followed.
    pub(super) fn followed(&self) -> u64 {
        self.whole(&self.followed)
    }

    /// What is followed.
    pub(super) fn paths(&self) -> &[Followed] {
        &self.paths
    }

    fn whole(&self, prints: &[u64]) -> u64 {
        let mut hash = Xxh3::new();
        for (path, print) in self.paths.iter().zip(prints) {
            add(&mut hash, path.path.as_os_str().as_bytes(), *print);
        }
        hash.digest()
    }
}

/// The print of a file whose contents have this hash.
pub(super) fn of_hash(hash: u128) -> u64 {
    (hash >> 64) as u64
}

fn add(hash: &mut Xxh3, name: &[u8], print: u64) {
    hash.write_usize(name.len());
    hash.update(name);
    hash.write_u64(print);
}

/// Prints of single files, so that thousands of certificates are not read every two seconds.
#[derive(Debug, Default)]
struct Files {
    known: HashMap<Box<Path>, Known>,
    /// To read into.
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Known {
    stamp: Stamp,
    since: Instant,
    seen: Instant,
    certain: bool,
    print: u64,
}

impl Files {
    fn print(&mut self, now: Instant, followed: &Followed) -> u64 {
        match fs::metadata(&followed.path) {
            Ok(metadata) if followed.place => identity(&metadata),
            Ok(metadata) if metadata.is_dir() => self.folder(now, followed),
            Ok(metadata) => self.file(now, &followed.path, &metadata),
            Err(fault) => absent(&fault),
        }
    }

    fn folder(&mut self, now: Instant, followed: &Followed) -> u64 {
        let entries = match fs::read_dir(&followed.path) {
            Ok(entries) => entries,
            Err(fault) => return absent(&fault),
        };
        let mut names: Vec<_> = entries
            .filter_map(|entry| Some(entry.ok()?.file_name()))
            .filter(|name| is_wanted(name.as_bytes(), &followed.endings))
            .take(MOST_NAMES)
            .collect();
        names.sort_unstable();
        let mut hash = Xxh3::new();
        for name in names {
            let path = followed.path.join(&name);
            let print = match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => continue,
                Ok(metadata) => self.file(now, &path, &metadata),
                Err(fault) => absent(&fault),
            };
            add(&mut hash, name.as_bytes(), print);
        }
        hash.digest()
    }

    fn file(&mut self, now: Instant, path: &Path, metadata: &Metadata) -> u64 {
        let stamp = Stamp::of(metadata);
        let since = match self.known.get_mut(path) {
            Some(known) if known.stamp == stamp => {
                known.seen = now;
                if known.certain {
                    return known.print;
                }
                known.since
            }
            _ => now,
        };
        let print =
            if metadata.is_file() { read(path, &mut self.buffer).unwrap_or_else(|fault| absent(&fault)) } else { 0 };
        // Only a reading well after the stamp was first seen proves that the stamp tells the contents.
        let certain = now >= since + COARSE;
        self.known.insert(path.into(), Known { stamp, since, seen: now, certain, print });
        print
    }

    fn forget_unseen(&mut self, now: Instant) {
        self.known.retain(|_, known| known.seen == now);
    }
}

/// What changes when a file does, hashed: which file it is, its length, and when it was last written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp(u128);

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let mut hash = Xxh3::new();
        for number in [metadata.dev(), metadata.ino(), metadata.len()] {
            hash.write_u64(number);
        }
        for time in [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()] {
            hash.write_i64(time);
        }
        Self(hash.digest128())
    }
}

/// Which folder it is. Its birth counts too: a new one often gets the number of one that was removed.
fn identity(metadata: &Metadata) -> u64 {
    let born = metadata.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
    let mut hash = Xxh3::new();
    hash.write_u64(metadata.dev());
    hash.write_u64(metadata.ino());
    hash.write_u128(born.map_or(0, |born| born.as_nanos()));
    hash.digest()
}

fn is_wanted(name: &[u8], endings: &[String]) -> bool {
    !name.starts_with(b".") && (endings.is_empty() || endings.iter().any(|ending| name.ends_with(ending.as_bytes())))
}

fn read(path: &Path, buffer: &mut Vec<u8>) -> io::Result<u64> {
    // Not blocking: in the meantime there may be a pipe of that name.
    let mut file: File =
        OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    let mut hash = Xxh3::new();
    buffer.resize(BUFFER, 0);
    let mut left = MOST_BYTES;
    while left > 0 {
        let n = file.read(buffer)?;
        if n == 0 {
            return Ok(of_hash(hash.digest128()));
        }
        hash.update(&buffer[..n]);
        left = left.saturating_sub(n as u64);
    }
    hash.write_u64(file.metadata()?.len());
    Ok(of_hash(hash.digest128()))
}

/// The print of what cannot be read, one for each cause.
fn absent(fault: &io::Error) -> u64 {
    u64::from(fault.raw_os_error().unwrap_or(0).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_again_until_its_stamp_is_proven() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "one").unwrap();
        let start = Instant::now();
        let mut files = Files::default();
        let followed = Followed::path(&path);

        let first = files.print(start, &followed);
        assert!(!files.known[&*path].certain);
        assert_eq!(files.print(start + COARSE, &followed), first);
        assert!(files.known[&*path].certain);

        fs::write(&path, "other").unwrap();
        assert_ne!(files.print(start + COARSE, &followed), first);
        assert!(!files.known[&*path].certain);
    }

    #[test]
    fn a_print_of_a_read_file_is_that_of_its_contents() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let contents = vec![b'x'; 200_000];
        fs::write(&path, &contents).unwrap();
        let print = Files::default().print(Instant::now(), &Followed::path(&path));
        assert_eq!(Followed::read(&path, &contents).read, Some(print));
    }

    #[test]
    fn a_folder_tells_names_and_contents_but_not_dotfiles_or_other_endings() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let print = || Files::default().print(Instant::now(), &Followed::folder(folder.path(), &[".toml"]));
        write("a.toml", "1");
        let first = print();
        write(".a.toml.swp", "x");
        write("a.toml~", "x");
        assert_eq!(print(), first);
        write("b.toml", "");
        let second = print();
        assert_ne!(second, first);
        write("b.toml", "2");
        assert_ne!(print(), second);
    }

    #[test]
    fn what_is_forgotten_is_what_is_no_longer_there() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "").unwrap();
        fs::write(folder.path().join("b"), "").unwrap();
        let mut prints = Prints::default();
        prints.follow(Instant::now(), vec![Followed::path(folder.path())]);
        assert_eq!(prints.files.known.len(), 2);
        fs::remove_file(folder.path().join("a")).unwrap();
        prints.look(Instant::now());
        assert_eq!(prints.files.known.len(), 1);
    }

    #[test]
    fn a_path_that_stays_is_compared_with_what_it_held_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "one").unwrap();
        let now = Instant::now();
        let mut prints = Prints::default();
        prints.follow(now, vec![Followed::path(&path)]);
        fs::write(&path, "two").unwrap();
        prints.follow(now, vec![Followed::path(&path), Followed::path(folder.path().join("b"))]);
        assert_ne!(prints.look(now), prints.followed());
    }
}
