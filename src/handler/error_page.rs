//! Pages that say in the operator's own words why there is no normal answer.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::reading::Reading;

/// The body of refusals with one status.
#[derive(Clone, Debug)]
pub struct ErrorPage {
    /// Its media type, by the file's name.
    pub content_type: Vec<u8>,
    /// What the file held when the config was taken.
    pub body: Bytes,
}

/// Pages by status.
#[derive(Clone, Debug, Default)]
pub struct ErrorPages(Vec<(u16, ErrorPage)>);

/// A page cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PageFault {
    /// The file cannot be read.
    #[error("cannot read the error page `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It would have to be held in memory.
    #[error("the error page `{}` is larger than 1 MiB", .0.display())]
    TooLarge(PathBuf),
}

/// Bytes that a page may have.
const MOST: usize = 1024 * 1024;

impl ErrorPage {
    /// Reads a page.
    ///
    /// # Errors
    /// [`PageFault`]
    pub fn load(path: &Path, reading: &Reading) -> Result<Self, PageFault> {
        let read = reading.file(path).map_err(|source| PageFault::Read { path: path.to_owned(), source })?;
        if read.len() > MOST {
            return Err(PageFault::TooLarge(path.to_owned()));
        }
        let mut content_type = mime_guess::from_path(path).first_or_octet_stream().essence_str().to_owned();
        if content_type.starts_with("text/") || content_type == "application/json" {
            content_type.push_str("; charset=utf-8");
        }
        Ok(Self { content_type: content_type.into_bytes(), body: read })
    }
}

impl ErrorPages {
    /// The page for this status.
    #[must_use]
    pub fn of(&self, status: u16) -> Option<&ErrorPage> {
        self.0.iter().find(|(of, _)| *of == status).map(|(_, page)| page)
    }

    /// Adds the page for this status.
    pub fn push(&mut self, status: u16, page: ErrorPage) {
        self.0.push((status, page));
    }
}
