//! The certificates of a listener, found by the name that the client asks for.
//!
//! Every pair is read and checked when the store is made, so that a start or `haechi check` tells
//! every fault: 5,000 pairs take two cores 0.1 s with P-256 keys and 0.5 s with RSA-2048. A reload takes
//! over what did not change, by a hash of the files; so does a worker that follows one that died. What a
//! handshake needs of a pair is made when it is first asked for; from then on a handshake asks two hash maps
//! and clones one `Arc`.

use std::{
    collections::HashMap,
    ffi::OsStr,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::certificate::{Certificate, Known, LoadFault, Pair, content_hash};
use crate::reading::{Reading, with_extension};

/// Which certificates a listener shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreSpec {
    /// Those listed, in order.
    pub certificates: Vec<Pair>,
    /// A directory: every NAME.crt in it with its NAME.key.
    pub directory: Option<PathBuf>,
}

/// Certificates by name.
///
/// An exact name wins over a wildcard, which stands for one label (RFC 6125 §6.4.3). Without a
/// name, or for a name that no certificate has, the first listed is shown, else the first of the
/// directory by name. Where several have the same name, the first whose key fits the client's
/// signature schemes is shown, keys other than RSA before RSA: they sign at a fraction of the cost.
#[derive(Debug)]
pub struct Store {
    certificates: Vec<Arc<Certificate>>,
    exact: HashMap<Box<str>, Twins>,
    /// `*.example` stands here as `example`.
    below: HashMap<Box<str>, Twins>,
    default: Twins,
    /// What the pairs were loaded by.
    reading: Reading,
}

/// A thread for fewer pairs than this costs more than it saves.
const MIN_SHARE: usize = 64;

/// The certificates of one name, best first.
type Twins = Vec<Arc<Certificate>>;

impl Store {
    /// Reads every pair; of `previous`, the store of the snapshot before, unchanged ones are kept, and
    /// those that are `known` are not checked again.
    ///
    /// # Errors
    /// Every fault of every file.
    pub fn load(
        spec: &StoreSpec,
        previous: Option<&Self>,
        known: &Known,
        reading: &Reading,
    ) -> Result<Self, Vec<LoadFault>> {
        let mut faults = Vec::new();
        let mut pairs = spec.certificates.clone();
        if let Some(directory) = &spec.directory {
            for pair in pairs_in(directory, reading) {
                pair.map_or_else(|fault| faults.push(fault), |pair| pairs.push(pair));
            }
        }
        let mut certificates = Vec::with_capacity(pairs.len());
        for loaded in load_all(&pairs, previous, known, reading) {
            loaded.map_or_else(|fault| faults.push(fault), |certificate| certificates.push(certificate));
        }
        if certificates.is_empty() && faults.is_empty() {
            faults.push(LoadFault::Empty { directory: spec.directory.clone() });
        }
        if faults.is_empty() { Ok(Self::new(certificates, reading.clone())) } else { Err(faults) }
    }

    /// Every certificate, listed ones first.
    #[must_use]
    pub fn certificates(&self) -> &[Arc<Certificate>] {
        &self.certificates
    }

    /// What a client is shown that asks for this name (in lower case); `fits` says whether it can
    /// verify the key. If none fits, the best one is shown and the handshake says why it fails.
    pub fn find(&self, name: Option<&str>, fits: impl Fn(&Certificate) -> bool) -> Option<&Arc<Certificate>> {
        let exact = name.and_then(|name| self.exact.get(name));
        let below = name.and_then(|name| name.split_once('.')).and_then(|(_, parent)| self.below.get(parent));
        let named = exact.into_iter().chain(below).flatten();
        let choices = || named.clone().chain(self.default.iter().filter(|_| exact.is_none() && below.is_none()));
        choices().find(|certificate| fits(certificate)).or_else(|| choices().next())
    }

    fn new(certificates: Vec<Arc<Certificate>>, reading: Reading) -> Self {
        let default = default_twins(&certificates);
        let mut store = Self { certificates, exact: HashMap::new(), below: HashMap::new(), default, reading };
        for certificate in &store.certificates {
            for name in certificate.names() {
                let (map, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut store.below, parent),
                    None => (&mut store.exact, name.as_str()),
                };
                map.entry(name.into()).or_default().push(Arc::clone(certificate));
            }
        }
        for twins in store.exact.values_mut().chain(store.below.values_mut()) {
            // The sort is stable, so the listed order stands within a kind.
            twins.sort_by_key(|certificate| certificate.is_rsa());
        }
        store
    }
}

impl ResolvesServerCert for Store {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        let fits = |certificate: &Certificate| {
            certificate.certified(&self.reading).is_some_and(|certified| certified.key.choose_scheme(schemes).is_some())
        };
        self.find(hello.server_name(), fits).and_then(|certificate| certificate.certified(&self.reading))
    }
}

/// The first certificate and those that share its first name.
fn default_twins(certificates: &[Arc<Certificate>]) -> Twins {
    let Some((first, others)) = certificates.split_first() else { return Twins::new() };
    let name = first.names().first();
    let shares_name = |other: &&Arc<Certificate>| name.is_some_and(|name| other.names().contains(name));
    [first].into_iter().chain(others.iter().filter(shares_name)).cloned().collect()
}

/// In the order of their names.
fn pairs_in(directory: &Path, reading: &Reading) -> Vec<Result<Pair, LoadFault>> {
    let names = match reading.names(directory) {
        Ok(names) => names,
        Err(source) => return vec![Err(LoadFault::Unreadable { path: directory.to_owned(), source })],
    };
    let pair = |cert: PathBuf| {
        let key = cert.with_extension("key");
        let is_there = |key: &OsStr| names.binary_search_by(|name| name.as_os_str().cmp(key)).is_ok();
        if key.file_name().is_some_and(is_there) {
            Ok(Pair { cert, key })
        } else {
            Err(LoadFault::Lonely { cert, key })
        }
    };
    with_extension(directory, &names, "crt").into_iter().map(pair).collect()
}

/// Thousands of pairs are a second's work for one core, so the cores share it.
fn load_all(
    pairs: &[Pair],
    previous: Option<&Store>,
    known: &Known,
    reading: &Reading,
) -> Vec<Result<Arc<Certificate>, LoadFault>> {
    let before: HashMap<&Path, &Arc<Certificate>> = previous
        .iter()
        .flat_map(|store| &store.certificates)
        .map(|certificate| (certificate.pair().cert.as_path(), certificate))
        .collect();
    let load = |pair: &Pair| {
        let hash = content_hash(pair, reading)?;
        if let Some(certificate) = before.get(pair.cert.as_path()).filter(|before| before.is_of(pair, hash)) {
            return Ok(Arc::clone(certificate));
        }
        match known.find(pair, hash) {
            Some(known) => Ok(Arc::new(Certificate::of_known(pair, known))),
            None => Certificate::load(pair, reading).map(Arc::new),
        }
    };
    let share = pairs.len().div_ceil(thread::available_parallelism().map_or(1, usize::from)).max(MIN_SHARE);
    let mut loaded: Vec<_> = pairs.iter().map(|_| None).collect();
    thread::scope(|scope| {
        for (pairs, slots) in pairs.chunks(share).zip(loaded.chunks_mut(share)) {
            scope.spawn(move || {
                for (pair, slot) in pairs.iter().zip(slots) {
                    *slot = Some(load(pair));
                }
            });
        }
    });
    loaded.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests;
