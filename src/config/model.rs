//! What the operator wrote, in types: every value read, every constant default filled in.
//!
//! Holding a [`Config`] needs no system call. Names are still names and paths are still paths;
//! `snapshot` turns them into objects. What a later step may complain about carries its span.

mod database;
mod listener;
mod pool;
mod site;
mod upstream;
mod vrrp;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use database::*;
pub use listener::*;
pub use pool::*;
pub use site::*;
pub use upstream::*;
pub use vrrp::*;

use crate::diagnostic::{SourceFile, Sources, Spanned};

/// A whole configuration: the main file and what it includes.
#[derive(Clone, Debug)]
pub struct Config {
    /// The files it was read from, for messages of later steps.
    pub sources: Sources,
    /// The folder of the main file.
    pub directory: PathBuf,
    /// The folders that an `include` with `*` looks into: a file that appears there belongs to the config.
    pub include_folders: Vec<PathBuf>,
    /// `[process]`
    pub process: Process,
    /// `[admin]`
    pub admin: Admin,
    /// `[log]`
    pub log: Log,
    /// `[listener.*]` in file order.
    pub listeners: Vec<Listener>,
    /// `[[site]]` in file order, included files after the main one.
    pub sites: Vec<Site>,
    /// `[upstream.*]` in file order, included files after the main one.
    pub upstreams: Vec<Upstream>,
    /// `[vrrp.*]` in file order.
    pub vrrp: Vec<Vrrp>,
    /// `[error_pages]`: status and file, for every site without a page of its own.
    pub error_pages: Vec<(u16, Spanned<PathBuf>)>,
}

impl Config {
    /// Every config file that was read, the main one first.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.sources.files().iter().map(SourceFile::location).collect()
    }

    /// Every file and folder that the config names and that is read when it is compiled:
    /// certificates, keys, CAs, passwords and error pages. Those of [`Self::file_roots`] are not among them.
    #[must_use]
    pub fn referenced_files(&self) -> Vec<PathBuf> {
        let mut paths: Vec<&Path> = Vec::new();
        for tls in self.listeners.iter().filter_map(|listener| listener.tls.as_ref()) {
            paths.extend(tls.certificates.iter().flat_map(|pair| [&*pair.value.cert, &*pair.value.key]));
            paths.extend(tls.directory.iter().map(|directory| &*directory.value));
            paths.extend(tls.client_ca.iter().map(|ca| &*ca.value));
        }
        let databases = || self.upstreams.iter().filter_map(Upstream::database_check);
        for tls in self
            .upstreams
            .iter()
            .filter_map(|upstream| upstream.tls.as_ref())
            .chain(databases().filter_map(|check| check.tls.as_ref()))
        {
            paths.extend(tls.ca.iter().map(|ca| &*ca.value));
            paths.extend(tls.certificate.iter().flat_map(|pair| [&*pair.value.cert, &*pair.value.key]));
        }
        paths.extend(databases().filter_map(|check| match &check.password {
            Some(Password::File(path)) => Some(&*path.value),
            Some(Password::Written(_)) | None => None,
        }));
        let pages = self.sites.iter().flat_map(|site| &site.error_pages).chain(&self.error_pages);
        paths.extend(pages.map(|(_, page)| &*page.value));
        paths.sort_unstable();
        paths.dedup();
        paths.into_iter().map(Path::to_path_buf).collect()
    }

    /// The folders that files are served from; they are opened when the config is compiled.
    #[must_use]
    pub fn file_roots(&self) -> Vec<PathBuf> {
        let routes = self.sites.iter().flat_map(|site| &site.routes);
        let mut roots: Vec<PathBuf> = routes
            .filter_map(|route| match &route.action {
                Action::Files(files) => Some(files.root.value.clone()),
                Action::Proxy(_) | Action::Redirect(_) | Action::Respond(_) => None,
            })
            .collect();
        roots.sort_unstable();
        roots.dedup();
        roots
    }
}

/// `[process]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Worker threads; 0: one per core.
    pub workers: usize,
    /// The user that the worker runs as; `None`: whoever starts haechi.
    pub user: Option<Spanned<String>>,
    /// Open connections of all listeners; 0: by the files that the process may open.
    pub connections: u32,
    /// Exchanges under way at once; 0: as many as connections.
    pub exchanges: u32,
    /// How late a thread may come round before it sheds load.
    pub lag: Duration,
    /// On stop: how long keep-alive connections are wound down before the rest begins.
    pub handover_grace: Duration,
    /// How long a drain may last.
    pub shutdown_grace: Duration,
    /// Where the last primaries of databases are kept.
    pub state: PathBuf,
}

/// `[admin]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where /metrics, /status and /healthz answer.
    pub bind: Spanned<SocketAddr>,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Diagnostics at this level and above go to stderr.
    pub level: LogLevel,
    /// The access log.
    pub access: AccessLog,
}

/// How much is said on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// `log.access`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// Where the lines go.
    pub to: AccessLogTarget,
    /// What a line looks like.
    pub format: AccessLogFormat,
}

/// Where access log lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLogTarget {
    /// Standard output.
    Stdout,
    /// A file, opened anew on SIGUSR1.
    File(Spanned<PathBuf>),
}

/// The form of an access log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// One JSON object a line.
    Json,
    /// The combined format of Apache and nginx.
    Combined,
    /// No access log.
    Off,
}
