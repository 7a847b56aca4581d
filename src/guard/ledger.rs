//! What is kept of pools of database servers on the disk, so that a restart does not forget who the primary was.
//!
//! One file in the folder `process.state`: a line with its form and the hash of the rest, then JSON for
//! people to read. It is written beside itself, synced and renamed, so that a crash leaves the old or the
//! new one. A thread writes it: a disk that hangs holds no signal and no worker up.
//!
//! What always holds: a new epoch is written at once and told when it is on the disk; that a primary has got
//! on, which each check finds, is written once a second at most. A file that is there and cannot be
//! read is put aside under another name and makes the memory unreadable: it is never taken for none.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use aws_lc_rs::digest::{SHA256, digest};
use tokio::sync::mpsc;

use super::child::{Event, What};
use crate::control::{PoolMemory, Pools};
use crate::diagnostic::Causes;

const FILE: &str = "database.state";
const FIRST_WORDS: &str = "haechi database state 1 sha256 ";
/// A file that is longer is none of ours.
const MOST_BYTES: u64 = 64 << 20;

/// What is known of pools, and the thread that writes it down.
#[derive(Debug)]
pub(super) struct Ledger {
    folder: PathBuf,
    /// What is on the disk, or on its way there.
    written: Pools,
    /// More is known than that.
    behind: bool,
    pages: Option<Sender<Page>>,
    events: mpsc::Sender<Event>,
}

/// What is to be written.
struct Page {
    folder: PathBuf,
    pools: Pools,
}

/// Why the memory of pools cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum LedgerFault {
    /// The file or its folder.
    #[error("{} cannot be used", path.display())]
    File { path: PathBuf, source: io::Error },
    /// It is not what was written.
    #[error("{} is damaged: {why}", path.display())]
    Damaged { path: PathBuf, why: &'static str },
}

impl Ledger {
    /// Takes up what the program before knew; else what lies in the folder.
    pub(super) fn open(folder: PathBuf, left: Option<Pools>, events: mpsc::Sender<Event>) -> (Self, Pools) {
        let pools = left.unwrap_or_else(|| {
            read(&folder).unwrap_or_else(|fault| {
                tracing::error!(
                    fault = %Causes(&fault),
                    "what was known of databases' primaries is lost: no server gets writes before \
                     `haechi db confirm UPSTREAM SERVER`"
                );
                let lost = Pools { known: Vec::new(), unreadable: true };
                // What could be read lies aside now; the next start must not take that for a first one.
                if let Err(fault) = write(&folder, &lost) {
                    tracing::error!(fault = %Causes(&fault), "that it is lost outlives no restart");
                }
                lost
            })
        });
        (Self { folder, written: pools.clone(), behind: false, pages: None, events }, pools)
    }

    /// The folder is another one from now on; what is known is written there too.
    pub(super) fn move_to(&mut self, folder: &Path, pools: &Pools) {
        if self.folder != folder {
            self.folder = folder.to_owned();
            if !pools.known.is_empty() {
                self.write(pools);
            }
        }
    }

    /// So much is known now.
    pub(super) fn note(&mut self, pools: &Pools) {
        let same_epochs = pools.known.iter().all(|pool| {
            let written = self.written.known.iter().find(|written| written.upstream == pool.upstream);
            written.map_or(pool.epoch == 0, |written| written.epoch == pool.epoch)
        });
        if !same_epochs {
            self.write(pools);
        } else if self.written != *pools {
            self.behind = true;
        }
    }

    /// Writes what is known beyond what is written. To be called once a second, and at the end.
    pub(super) fn catch_up(&mut self, pools: &Pools) {
        if std::mem::take(&mut self.behind) {
            self.write(pools);
        }
    }

    /// Writes here and now what is known, as the process ends.
    pub(super) fn finish(&mut self, pools: &Pools) {
        // The thread has written what it was given before its end.
        self.pages = None;
        if (self.behind || !self.written.known.is_empty())
            && let Err(fault) = write(&self.folder, pools)
        {
            tracing::error!(fault = %Causes(&fault), "what is known of databases' primaries is not kept");
        }
    }

    fn write(&mut self, pools: &Pools) {
        self.behind = false;
        self.written = pools.clone();
        let page = Page { folder: self.folder.clone(), pools: pools.clone() };
        let pages = match &self.pages {
            Some(pages) => pages,
            None => match start(self.events.clone()) {
                Ok(pages) => self.pages.insert(pages),
                Err(error) => {
                    tracing::error!(%error, "no thread to keep what is known of databases' primaries");
                    self.behind = true;
                    return;
                }
            },
        };
        // The thread ends only after its sender.
        let _ = pages.send(page);
    }
}

fn start(events: mpsc::Sender<Event>) -> io::Result<Sender<Page>> {
    let (pages, waiting) = channel();
    thread::Builder::new().name("ledger".into()).spawn(move || run(&waiting, &events))?;
    Ok(pages)
}

fn run(pages: &Receiver<Page>, events: &mpsc::Sender<Event>) {
    while let Ok(mut page) = pages.recv() {
        // The newest one says all that those before it do.
        while let Ok(newer) = pages.try_recv() {
            page = newer;
        }
        if let Err(fault) = write(&page.folder, &page.pools) {
            // The guard still knows it, and passes it on to every worker and through an upgrade.
            tracing::error!(fault = %Causes(&fault), "what is known of databases' primaries outlives no restart");
        }
        let kept = page.pools.known.iter().map(|pool| (pool.upstream.clone(), pool.epoch)).collect();
        if events.blocking_send(Event { worker: 0, what: What::Kept(kept) }).is_err() {
            return;
        }
    }
}

/// What lies in a folder; where there is no file, nothing is known.
fn read(folder: &Path) -> Result<Pools, LedgerFault> {
    let path = folder.join(FILE);
    let file = |source| LedgerFault::File { path: path.clone(), source };
    let length = match fs::metadata(&path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Pools::default()),
        Err(error) => return Err(file(error)),
    };
    let decoded =
        if length > MOST_BYTES { Err("it is too long") } else { decode(&fs::read_to_string(&path).map_err(file)?) };
    decoded.map_err(|why| {
        // So that the next writing does not take away what people may still read of it.
        let aside = folder.join(format!("{FILE}.damaged"));
        if let Err(error) = fs::rename(&path, &aside) {
            tracing::error!(%error, "the damaged file stays where it is");
        }
        LedgerFault::Damaged { path: path.clone(), why }
    })
}

fn write(folder: &Path, pools: &Pools) -> Result<(), LedgerFault> {
    let path = folder.join(FILE);
    let beside = folder.join(format!("{FILE}.new"));
    let written = || {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(encode(pools).as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, &path)?;
        // The new name is on the disk only with its folder.
        File::open(folder)?.sync_all()
    };
    written().map_err(|source| LedgerFault::File { path: path.clone(), source })
}

fn encode(pools: &Pools) -> String {
    let body = serde_json::to_string_pretty(pools).unwrap_or_default();
    format!("{FIRST_WORDS}{}\n{body}\n", hash(&body))
}

fn decode(text: &str) -> Result<Pools, &'static str> {
    let (first, body) = text.split_once('\n').ok_or("it has no first line")?;
    let told = first.strip_prefix(FIRST_WORDS).ok_or("its form is not known")?;
    let body = body.strip_suffix('\n').ok_or("its end is missing")?;
    if told != hash(body) {
        return Err("it is not what was written");
    }
    serde_json::from_str(body).map_err(|_| "it says nothing that can be understood")
}

fn hash(body: &str) -> String {
    digest(&SHA256, body.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Puts what a worker says of its pools in the place of what was known; of pools that it does not have the
/// memory stays.
pub(super) fn merge(known: &mut Pools, told: Vec<PoolMemory>) {
    for pool in told {
        match known.known.iter_mut().find(|old| old.upstream == pool.upstream) {
            Some(old) => *old = pool,
            None => known.known.push(pool),
        }
    }
    // Every pool that the config had then is listed by now, and the operator has spoken on each.
    known.unreadable &= known.known.is_empty() || known.known.iter().any(|pool| pool.doubtful);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{GtidDialect, KnownPrimary};

    fn pools(epoch: u64) -> Pools {
        let primary = KnownPrimary {
            server: "db1".to_owned(),
            identity: "server_id 1".to_owned(),
            dialect: Some(GtidDialect::MariaDb),
            gtids: "0-1-100".to_owned(),
        };
        let pool =
            PoolMemory { upstream: "db".to_owned(), epoch, primary: Some(primary), aside: vec![], doubtful: false };
        Pools { known: vec![pool], unreadable: false }
    }

    #[test]
    fn what_is_written_is_read_and_a_folder_is_made_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("lib").join("haechi");
        assert_eq!(read(&place).unwrap(), Pools::default());
        write(&place, &pools(3)).unwrap();
        write(&place, &pools(4)).unwrap();
        assert_eq!(read(&place).unwrap(), pools(4));
        let names: Vec<_> = fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, [FILE], "nothing is left beside it");
    }

    #[test]
    fn a_damaged_file_is_never_taken_for_none_and_is_kept_aside() {
        let whole = encode(&pools(3));
        let changed = whole.replace("0-1-100", "0-1-900");
        let cut = &whole[..whole.len() / 2];
        for text in [changed.as_str(), cut, "", "\n", "haechi database state 2 sha256 00\n{}\n"] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(FILE), text).unwrap();
            let (_, pools) = Ledger::open(folder.path().to_owned(), None, mpsc::channel(1).0);
            assert!(pools.unreadable, "{text}");
            assert_eq!(fs::read_to_string(folder.path().join("database.state.damaged")).unwrap(), text);
            let (_, pools) = Ledger::open(folder.path().to_owned(), None, mpsc::channel(1).0);
            assert!(pools.unreadable, "not even by who starts once more");
        }
    }

    #[test]
    fn a_new_epoch_is_written_at_once_and_progress_when_it_is_time() {
        let folder = tempfile::tempdir().unwrap();
        let (events, mut told) = mpsc::channel(4);
        let (mut ledger, known) = Ledger::open(folder.path().to_owned(), None, events);
        assert_eq!(known, Pools::default());
        ledger.note(&pools(1));
        let Some(Event { what: What::Kept(kept), .. }) = told.blocking_recv() else { panic!("not kept") };
        assert_eq!(kept, [("db".to_owned(), 1)]);
        assert_eq!(read(folder.path()).unwrap(), pools(1));

        let mut later = pools(1);
        later.known[0].primary.as_mut().unwrap().gtids = "0-1-200".to_owned();
        ledger.note(&later);
        assert_eq!(read(folder.path()).unwrap(), pools(1));
        ledger.catch_up(&later);
        assert!(told.blocking_recv().is_some());
        assert_eq!(read(folder.path()).unwrap(), later);
        ledger.finish(&pools(2));
        assert_eq!(read(folder.path()).unwrap(), pools(2));
    }
}
