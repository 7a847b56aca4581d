//! Files of a mounted volume, answered over HTTP (RFC 9110 §8, §13, §14).
//!
//! A request comes in with a normalised path and its fields; a status, fields and a body that is
//! still a file go out. The driver moves that body: by sendfile on a plain socket, by
//! [`FileBody::poll_fill`] through TLS and HTTP/2.
//!
//! What always holds here:
//! - nothing outside the root is opened: the rules of [`resolve`] refuse first, the kernel's
//!   `openat2` second;
//! - the thread never waits for a disk: what is not in memory is fetched by a bounded [`Disk`];
//! - a small file that was asked for within the last second costs no system call, and one that is
//!   replaced or edited is seen within a second.

mod answer;
mod body;
pub mod conditional;
mod disk;
mod files;
mod listing;
mod look;
mod mime;
mod multipart;
pub mod negotiate;
pub mod range;
pub mod resolve;
mod tree;

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use rustix::io::Errno;

pub use answer::Answer;
pub use body::{FileBody, FileRanges};
pub use disk::Disk;
pub use files::{Bounds, Files};
pub use negotiate::Coding;
pub use tree::Symlinks;

use crate::head::{Fields, Method};
use look::{Sight, Volume};
use tree::{Patience, Tree};

/// How a folder is served.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The folder.
    pub root: PathBuf,
    /// What a request path begins with that is no part of the path beneath the root; a `/` at its
    /// end makes no difference.
    pub strip_prefix: Option<Vec<u8>>,
    /// The names that stand for a directory; the first that exists is served.
    pub index: Vec<String>,
    /// Codings whose files may lie beside the plain ones, the preferred first. A coded file that is
    /// older than the plain one is stale and not served.
    pub precompressed: Vec<Coding>,
    /// The value of Cache-Control.
    pub cache_control: Option<String>,
    /// The path beneath the root that answers where there is nothing.
    pub fallback: Option<String>,
    /// Whether a directory without an index is shown as a list.
    pub listing: bool,
    /// Whether names that begin with a dot are served.
    pub hidden: bool,
    /// Which symbolic links are followed.
    pub symlinks: Symlinks,
}

impl Spec {
    /// This folder with the defaults: `index.html`, links that stay inside, nothing else.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            strip_prefix: None,
            index: vec!["index.html".to_owned()],
            precompressed: Vec::new(),
            cache_control: None,
            fallback: None,
            listing: false,
            hidden: false,
            symlinks: Symlinks::default(),
        }
    }
}

/// Why a root cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum OpenFault {
    /// The folder is not there, is no folder, or may not be read.
    #[error("cannot open the folder `{}`", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An index or fallback that no request could reach.
    #[error("`{0}` names no file beneath the folder")]
    Name(String),
    /// A Cache-Control value that cannot stand in a field (RFC 9110 §5.5).
    #[error("`{}` is no field value", .0.escape_debug())]
    CacheControl(String),
}

/// Why a file was not served.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// There is nothing here, or nothing that is shown: 404.
    #[error("no such file")]
    NotFound,
    /// The system or the rule for links forbids it: 403.
    #[error("not allowed to read the file")]
    Forbidden(#[source] io::Error),
    /// The disk failed: 500.
    #[error("cannot read the file")]
    Disk(#[source] io::Error),
}

impl Failure {
    /// Its name in logs and as a label.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotFound => "file_not_found",
            Self::Forbidden(_) => "file_forbidden",
            Self::Disk(_) => "file_unreadable",
        }
    }

    /// The status that tells the client.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::NotFound => 404,
            Self::Forbidden(_) => 403,
            Self::Disk(_) => 500,
        }
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        match errno {
            // XDEV and LOOP: a link that leads out, or any link where none is followed.
            Errno::ACCESS | Errno::PERM | Errno::XDEV | Errno::LOOP => Self::Forbidden(errno.into()),
            _ => Self::Disk(errno.into()),
        }
    }
}

/// What is asked of a root.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    /// The method.
    pub method: Method,
    /// The path, normalised and percent-decoded but for %2F, %5C and %00.
    pub path: &'r [u8],
    /// The query as sent, without its `?`; it is kept when a directory is redirected.
    pub query: Option<&'r [u8]>,
    /// The request's fields.
    pub fields: &'r Fields,
}

/// A folder that is served. Immutable, shared by every thread.
///
/// The folder is opened once; another that is moved to its path is a reason to reload.
#[derive(Debug)]
pub struct Root {
    /// Tells this root's entries in [`Files`] from every other's, those of older snapshots included.
    id: u64,
    strip_prefix: Option<Vec<u8>>,
    fallback: Option<Vec<u8>>,
    hidden: bool,
    volume: Arc<Volume>,
}

impl Root {
    /// Opens the folder.
    ///
    /// # Errors
    /// [`OpenFault`] names the path or value that cannot be served.
    pub fn open(spec: Spec) -> Result<Self, OpenFault> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let tree = Tree::open_root(&spec.root, spec.symlinks)
            .map_err(|source| OpenFault::Folder { path: spec.root, source })?;
        let beneath = |name: &String| {
            let slashed = [b"/", name.trim_start_matches('/').as_bytes()].concat();
            match resolve::resolve(&slashed, None, spec.hidden) {
                None | Some([] | [.., b'/']) => Err(OpenFault::Name(name.clone())),
                Some(path) => Ok(path.to_vec()),
            }
        };
        if let Some(value) = &spec.cache_control
            && !value.bytes().all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f))
        {
            return Err(OpenFault::CacheControl(value.clone()));
        }
        Ok(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            fallback: spec.fallback.as_ref().map(beneath).transpose()?,
            volume: Arc::new(Volume {
                tree,
                index: spec.index.iter().map(beneath).collect::<Result<_, _>>()?,
                precompressed: spec.precompressed,
                cache_control: spec.cache_control,
                listing: spec.listing,
            }),
            strip_prefix: spec.strip_prefix,
            hidden: spec.hidden,
        })
    }

    /// Answers a request; `now` decides whether what `files` remembers is fresh.
    ///
    /// # Errors
    /// [`Failure`] gives the status.
    pub async fn serve(&self, files: &Files, now: Instant, request: Request<'_>) -> Result<Answer, Failure> {
        match request.method {
            Method::Get | Method::Head => {}
            Method::Options => return Ok(Answer::allow(files, 204)),
            _ => return Ok(Answer::allow(files, 405)),
        }
        let prefix = self.strip_prefix.as_deref();
        let path = resolve::resolve(request.path, prefix, self.hidden).ok_or(Failure::NotFound)?;
        if let Some(entry) = files.fresh(self.id, path, now) {
            return Ok(Answer::of(files, &entry, &request));
        }
        match self.find(files, now, path).await? {
            Sight::File(entry) => return Ok(Answer::of(files, &entry, &request)),
            Sight::Redirect => return Ok(Answer::redirect(files, &with_slash(&request))),
            Sight::Directory(directory) => return self.list(files, directory, &request).await,
            Sight::Nothing => {}
        }
        let fallback = self.fallback.as_deref().ok_or(Failure::NotFound)?;
        match self.find(files, now, fallback).await? {
            Sight::File(entry) => Ok(Answer::of(files, &entry, &request)),
            _ => Err(Failure::NotFound),
        }
    }

    /// What lies at a path beneath the root, from memory while that is fresh.
    async fn find(&self, files: &Files, now: Instant, path: &[u8]) -> Result<Sight, Failure> {
        if let Some(entry) = files.fresh(self.id, path, now) {
            return Ok(Sight::File(entry));
        }
        let sight = match self.volume.look(path, Patience::Cached) {
            Err(Errno::AGAIN) => {
                let (volume, path) = (Arc::clone(&self.volume), path.to_vec());
                files.disk().run(move || volume.look(&path, Patience::Blocking)).await.map_err(Failure::Disk)?
            }
            known => known,
        };
        match &sight {
            Ok(Sight::File(entry)) => files.keep(self.id, path, Arc::clone(entry), now),
            _ => files.forget(self.id, path),
        }
        Ok(sight?)
    }

    async fn list(&self, files: &Files, directory: OwnedFd, request: &Request<'_>) -> Result<Answer, Failure> {
        let (path, hidden, links) = (request.path.to_vec(), self.hidden, self.volume.tree.follows_links());
        let page = files.disk().run(move || {
            let (names, cut) = listing::read(&directory, hidden, links)?;
            Ok::<_, Errno>(listing::render(&path, names, cut))
        });
        let page = page.await.map_err(Failure::Disk)??;
        Ok(Answer::page(files, Bytes::from(page), request.method))
    }
}

/// What a path must not show of itself in a link or a Location (RFC 3986 §3.3).
const PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The request's target with a `/` behind its path. It begins with one slash alone: two would name
/// another host.
fn with_slash(request: &Request<'_>) -> String {
    let start = request.path.iter().position(|byte| *byte != b'/').unwrap_or(request.path.len());
    let path = percent_encode(request.path.get(start..).unwrap_or_default(), PATH);
    match request.query.and_then(|query| std::str::from_utf8(query).ok()) {
        Some(query) if query.bytes().all(|byte| byte.is_ascii_graphic()) => format!("/{path}/?{query}"),
        _ => format!("/{path}/"),
    }
}

#[cfg(test)]
mod tests;
