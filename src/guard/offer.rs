//! A config as the guard reads it: with the bytes of every file that it names, for a worker that may
//! not read them itself.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::sockets::Bound;
use super::watch::{Followed, Watch};
use crate::app;
use crate::config::{AccessLogFormat, AccessLogTarget, Config, Process};
use crate::diagnostic::{Causes, Diagnostic, Faults};
use crate::reading::{Reading, Record, with_extension};
use crate::snapshot::names_of;
use crate::telemetry::open_file;
use crate::upstream::discovery::Names;

/// A config that may come to be served, with all that it needs open.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) read: Read,
    /// Sockets of addresses that are new.
    pub(super) bound: Bound,
    /// The access log's file, where it goes to one.
    pub(super) log: Option<File>,
}

/// A config and what its files hold.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) config: Config,
    pub(super) record: Record,
}

impl Read {
    /// Reads the config at `path` and every file that it names.
    ///
    /// # Errors
    /// Every fault of its texts; with them those of the other files. A file that is at fault alone is
    /// the worker's to tell.
    pub(super) fn from_disk(path: &Path) -> Result<Self, Faults> {
        let reading = Reading::of_disk();
        let config = app::read(path, &reading)?;
        for named in config.referenced_files() {
            gather(&named, &reading);
        }
        let record = reading.record().map_err(|error| {
            Faults::from(Diagnostic::anywhere(format!(
                "there is no memory for the files that the config names: {error}"
            )))
        })?;
        Ok(Self { config, record })
    }
}

/// Reads a file, or the certificates and keys of a folder.
fn gather(path: &Path, reading: &Reading) {
    // What cannot be read is remembered as such.
    if !path.is_dir() {
        let _ = reading.hash(path);
    } else if let Ok(names) = reading.names(path) {
        for certificate in with_extension(path, &names, "crt") {
            let _ = reading.hash(&certificate);
            let _ = reading.hash(&certificate.with_extension("key"));
        }
    }
}

/// Opens the access log's file, where it goes to one.
///
/// # Errors
/// Where it is written, and why it cannot be opened.
pub(super) fn open_log(config: &Config) -> Result<Option<File>, Diagnostic> {
    let access = &config.log.access;
    match &access.to {
        AccessLogTarget::File(path) if access.format != AccessLogFormat::Off => {
            open_file(&path.value).map(Some).map_err(|fault| Diagnostic::error(path.span, Causes(&fault).to_string()))
        }
        AccessLogTarget::File(_) | AccessLogTarget::Stdout => Ok(None),
    }
}

/// Everything whose change means a reload.
pub(super) fn follow(watch: &Watch, read: &Read) {
    let config = &read.config;
    let mut followed: Vec<Followed> =
        config.sources.files().iter().map(|file| Followed::read(file.location(), file.text.as_bytes())).collect();
    followed.extend(config.include_folders.iter().map(|folder| Followed::folder(folder, &[".toml"])));
    followed.extend(config.referenced_files().into_iter().map(|path| match read.record.hash(&path) {
        Some(hash) => Followed::known(path, hash),
        None => Followed::path(path),
    }));
    followed.extend(config.file_roots().into_iter().map(Followed::place));
    if !names_of(config).is_empty() {
        followed.extend(Names::SYSTEM_FILES.map(PathBuf::from).map(Followed::path));
    }
    watch.follow(followed);
}

/// How many data-plane threads a config asks for.
pub(super) fn threads(process: &Process) -> usize {
    match process.workers {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        workers => workers,
    }
}
