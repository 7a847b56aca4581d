//! One instance for each config file, and a word with the one that runs.
//!
//! Two processes on one config would share its ports in silence (SO_REUSEPORT), so each takes a
//! lock whose name is made of the config's path; the kernel lets it go when the process ends,
//! however it ends, so there is no stale pid file. Beside the lock is a Unix socket that answers
//! one line with one line:
//!
//! ```text
//! status  →  what the app says about itself, one JSON object
//! reload  →  what became of it, one JSON object
//! upgrade →  why not, one JSON object; or nothing, where it happens
//! db …    →  what the worker says of pools of database servers, one JSON object
//! other   →  {"error":"unknown order"}
//! ```
//!
//! Folder and names: `/run/haechi/HASH.lock` and `.sock`; where that cannot be written,
//! `$XDG_RUNTIME_DIR/haechi`, else `/tmp/haechi-UID`. The folder is this user's alone.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use xxhash_rust::xxh3::xxh3_64;

/// Longest order in bytes.
const MOST_ORDER_BYTES: u64 = 1024;

/// Longest answer in bytes.
const MOST_ANSWER_BYTES: u64 = 4 << 20;

/// How long the other side may take to send its line or to take ours.
const PATIENCE: Duration = Duration::from_secs(5);

/// Orders heard at once; more wait to be accepted.
const MOST_TALKS: usize = 8;

/// The right to run one config, held until it is dropped or the process ends.
#[derive(Debug)]
pub struct Instance {
    /// Locked as long as it is open.
    lock: File,
    socket: PathBuf,
    listener: UnixListener,
}

impl Instance {
    /// Takes the right to run `config`.
    ///
    /// # Errors
    /// [`InstanceFault::Held`] when another process has it; else what keeps it from being taken.
    pub fn claim(config: &Path) -> Result<Self, InstanceFault> {
        Self::claim_in(&folder()?, config)
    }

    fn claim_in(folder: &Path, config: &Path) -> Result<Self, InstanceFault> {
        let place = Place::of(folder, config)?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(&place.lock)
            .map_err(|source| InstanceFault::file(&place.lock, source))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(InstanceFault::Held { config: config.into(), holder: holder(&place.socket) });
            }
            Err(TryLockError::Error(source)) => return Err(InstanceFault::file(&place.lock, source)),
        }
        // Left there by a process that was killed; the lock proves that nobody listens.
        let _ = fs::remove_file(&place.socket);
        let listener =
            UnixListener::bind(&place.socket).map_err(|source| InstanceFault::file(&place.socket, source))?;
        listener.set_nonblocking(true).map_err(|source| InstanceFault::file(&place.socket, source))?;
        Ok(Self { lock, socket: place.socket, listener })
    }

    /// Goes on with a right that the program before had in this process.
    #[must_use]
    pub fn adopt(lock: OwnedFd, listener: OwnedFd, socket: PathBuf) -> Self {
        Self { lock: lock.into(), socket, listener: listener.into() }
    }

    /// Lock, listener and the listener's path, to be passed on by [`Self::adopt`].
    ///
    /// # Errors
    /// When the process may open no more files.
    pub fn handles(&self) -> io::Result<(OwnedFd, OwnedFd, &Path)> {
        Ok((self.lock.try_clone()?.into(), self.listener.try_clone()?.into(), &self.socket))
    }

    /// Hears orders for ever and passes each on to `app`. Must be polled on a tokio runtime.
    ///
    /// # Errors
    /// When the runtime does not take the socket.
    pub async fn hear(&self, app: mpsc::Sender<Asked>) -> io::Result<()> {
        let listener = tokio::net::UnixListener::from_std(self.listener.try_clone()?)?;
        let mut talks = JoinSet::new();
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    talks.spawn(talk(stream, app.clone()));
                }
                Err(fault) => {
                    // Out of file descriptors, most likely: no use in asking again at once.
                    tracing::warn!(%fault, "the control socket takes no connection");
                    tokio::time::sleep(PATIENCE).await;
                }
            }
            while talks.try_join_next().is_some() {}
            if talks.len() >= MOST_TALKS {
                talks.join_next().await;
            }
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // The lock file stays: were it removed, two could hold locks on two files of its name.
        let _ = fs::remove_file(&self.socket);
    }
}

/// What can be asked of a running instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// How it is.
    Status,
    /// Read the config again.
    Reload,
    /// Become the binary that lies where this one lay.
    Upgrade,
    /// Give the virtual addresses away, and take no part any more.
    Drain,
    /// Take part again.
    Undrain,
    /// Pools of database servers, and why they are as they are.
    Explain {
        /// One upstream's name; `None`: all of them.
        upstream: Option<String>,
    },
    /// The operator says who a pool's primary is.
    Confirm {
        /// The upstream's name.
        upstream: String,
        /// The server's.
        server: String,
        /// Transactions that it lacks are given up.
        accept_loss: bool,
    },
}

impl Order {
    /// The order as it is sent. Names in a config have no blanks.
    #[must_use]
    pub fn line(&self) -> String {
        match self {
            Self::Status => "status".to_owned(),
            Self::Reload => "reload".to_owned(),
            Self::Upgrade => "upgrade".to_owned(),
            Self::Drain => "drain".to_owned(),
            Self::Undrain => "undrain".to_owned(),
            Self::Explain { upstream: None } => "db explain".to_owned(),
            Self::Explain { upstream: Some(upstream) } => format!("db explain {upstream}"),
            Self::Confirm { upstream, server, accept_loss } => {
                format!("db confirm {upstream} {server}{}", if *accept_loss { " accept-data-loss" } else { "" })
            }
        }
    }

    fn of(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let confirm = |upstream: &str, server: &str, accept_loss| Self::Confirm {
            upstream: upstream.to_owned(),
            server: server.to_owned(),
            accept_loss,
        };
        Some(match *words {
            ["status"] => Self::Status,
            ["reload"] => Self::Reload,
            ["upgrade"] => Self::Upgrade,
            ["drain"] => Self::Drain,
            ["undrain"] => Self::Undrain,
            ["db", "explain"] => Self::Explain { upstream: None },
            ["db", "explain", upstream] => Self::Explain { upstream: Some(upstream.to_owned()) },
            ["db", "confirm", upstream, server] => confirm(upstream, server, false),
            ["db", "confirm", upstream, server, "accept-data-loss"] => confirm(upstream, server, true),
            _ => return None,
        })
    }
}

/// An order that waits for its answer.
#[derive(Debug)]
pub struct Asked {
    /// What is asked.
    pub order: Order,
    reply: oneshot::Sender<String>,
}

impl Asked {
    /// Answers with one line of JSON, given without its line end.
    pub fn answer(self, line: String) {
        // Whoever asked may have left.
        let _ = self.reply.send(line);
    }
}

/// Asks the instance that runs `config`; blocks until it answers. A reload may take its time.
///
/// # Errors
/// [`InstanceFault::File`] when none runs, or it went away without an answer.
pub fn ask(config: &Path, order: &Order) -> Result<String, InstanceFault> {
    let user = rustix::process::geteuid().as_raw();
    // The service may run as a user of its own; only root and systemd make folders in /run.
    let trusted = |folder: &&PathBuf| folder.starts_with("/run") || is_private(folder, user);
    let folders = folders(user);
    let running = folders
        .iter()
        .filter(trusted)
        .find(|folder| Place::of(folder, config).is_ok_and(|place| place.socket.exists()));
    ask_in(running.unwrap_or(&folders[0]), config, order)
}

fn ask_in(folder: &Path, config: &Path, order: &Order) -> Result<String, InstanceFault> {
    let socket = Place::of(folder, config)?.socket;
    let speak = || {
        let mut stream = UnixStream::connect(&socket)?;
        writeln!(stream, "{}", order.line())?;
        let mut answer = String::new();
        BufReader::new(stream.take(MOST_ANSWER_BYTES)).read_line(&mut answer)?;
        match answer.strip_suffix('\n') {
            Some(line) => Ok(line.to_owned()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    };
    speak().map_err(|source| InstanceFault::file(&socket, source))
}

/// Why a config cannot be run, or its instance not be asked.
#[derive(Debug, thiserror::Error)]
pub enum InstanceFault {
    /// Another process runs this config.
    #[error("{} is already served by {}", config.display(), Holder(*holder))]
    Held {
        /// The config.
        config: PathBuf,
        /// The process, where it can be seen from here.
        holder: Option<i32>,
    },
    /// The config's path leads nowhere.
    #[error("{} cannot be found", config.display())]
    Config {
        /// The config.
        config: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// None of the places for lock and socket is a folder of this user's alone.
    #[error("no folder for the lock: none of {tried:?} is this user's alone or can be made")]
    Folder {
        /// The places.
        tried: Vec<PathBuf>,
    },
    /// The lock or the control socket cannot be used.
    #[error("{} cannot be used", path.display())]
    File {
        /// Which of them.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl InstanceFault {
    fn file(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.into(), source }
    }
}

struct Holder(Option<i32>);

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(pid) => write!(f, "process {pid}"),
            None => f.write_str("another process"),
        }
    }
}

/// Where the lock and the socket of a config are.
struct Place {
    lock: PathBuf,
    socket: PathBuf,
}

impl Place {
    fn of(folder: &Path, config: &Path) -> Result<Self, InstanceFault> {
        let path = config.canonicalize().map_err(|source| InstanceFault::Config { config: config.into(), source })?;
        let name = format!("{:016x}", xxh3_64(path.as_os_str().as_bytes()));
        Ok(Self { lock: folder.join(format!("{name}.lock")), socket: folder.join(format!("{name}.sock")) })
    }
}

fn folder() -> Result<PathBuf, InstanceFault> {
    let user = rustix::process::geteuid().as_raw();
    let mut folders = folders(user);
    match folders.iter().position(|folder| made_private(folder, user)) {
        Some(usable) => Ok(folders.swap_remove(usable)),
        None => Err(InstanceFault::Folder { tried: folders }),
    }
}

/// Where lock and socket may be, the best place first.
fn folders(user: u32) -> Vec<PathBuf> {
    let session = std::env::var_os("XDG_RUNTIME_DIR").map(|session| Path::new(&session).join("haechi"));
    let last = PathBuf::from(format!("/tmp/haechi-{user}"));
    [Some(PathBuf::from("/run/haechi")), session, Some(last)].into_iter().flatten().collect()
}

/// Makes the folder where it is not, and tells whether nobody else can write to it.
fn made_private(folder: &Path, user: u32) -> bool {
    let _ = DirBuilder::new().mode(0o700).create(folder);
    is_private(folder, user)
}

/// A link is no folder: whoever made it could turn it elsewhere.
fn is_private(folder: &Path, user: u32) -> bool {
    fs::symlink_metadata(folder)
        .is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == user && metadata.mode() & 0o022 == 0)
}

/// The process at the other end. The kernel tells it, so a hanging one is named too.
fn holder(socket: &Path) -> Option<i32> {
    let stream = UnixStream::connect(socket).ok()?;
    let peer = rustix::net::sockopt::socket_peercred(&stream).ok()?;
    Some(peer.pid.as_raw_nonzero().get())
}

async fn talk(mut stream: tokio::net::UnixStream, app: mpsc::Sender<Asked>) {
    let (read, mut write) = stream.split();
    let mut line = String::new();
    let mut limited = tokio::io::BufReader::new(read.take(MOST_ORDER_BYTES));
    if !matches!(timeout(PATIENCE, limited.read_line(&mut line)).await, Ok(Ok(_))) {
        return;
    }
    let mut answer = match Order::of(line.trim_end()) {
        Some(order) => answered(order, &app).await,
        None => r#"{"error":"unknown order"}"#.into(),
    };
    answer.push('\n');
    // A client that has left, or does not read, has its answer lost.
    let _ = timeout(PATIENCE, write.write_all(answer.as_bytes())).await;
}

async fn answered(order: Order, app: &mpsc::Sender<Asked>) -> String {
    let (reply, answer) = oneshot::channel();
    if app.send(Asked { order, reply }).await.is_ok()
        && let Ok(line) = answer.await
    {
        return line;
    }
    r#"{"error":"stopping"}"#.into()
}

#[cfg(test)]
mod tests;
