//! Certificate authorities that somebody is believed by.

use std::{path::Path, sync::Arc};

use rustls::RootCertStore;
use xxhash_rust::xxh3::xxh3_64;

use super::certificate::{LoadFault, parse_certificates, read};
use crate::reading::Reading;

/// The roots in one PEM file.
#[derive(Clone, Debug)]
pub struct Authorities {
    roots: Arc<RootCertStore>,
    content_hash: u64,
}

impl Authorities {
    /// Reads every certificate of a file.
    ///
    /// # Errors
    /// [`LoadFault`], also when only one of them cannot be used.
    pub fn load(path: &Path, reading: &Reading) -> Result<Self, LoadFault> {
        let text = read(path, reading)?;
        let mut roots = RootCertStore::empty();
        for certificate in parse_certificates(path, &text)? {
            roots
                .add(certificate)
                .map_err(|source| LoadFault::Certificate { path: path.to_owned(), source: source.into() })?;
        }
        Ok(Self { roots: Arc::new(roots), content_hash: xxh3_64(&text) })
    }

    /// The roots.
    #[must_use]
    pub fn roots(&self) -> &Arc<RootCertStore> {
        &self.roots
    }

    /// Changes with the file.
    #[must_use]
    pub fn content_hash(&self) -> u64 {
        self.content_hash
    }
}
