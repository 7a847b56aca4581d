//! One certificate chain with its key, read from PEM files.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use rustls::{
    Error, InconsistentKeys, SignatureAlgorithm,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    sign::CertifiedKey,
};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use xxhash_rust::xxh3::xxh3_128;

use crate::control::KnownCertificate;
use crate::diagnostic::Causes;
use crate::reading::Reading;

/// Where a chain and its key are; both may be in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// PEM: the server's certificate first, then those that lead to the root.
    pub cert: PathBuf,
    /// PEM: PKCS #8, PKCS #1 or SEC 1, not encrypted.
    pub key: PathBuf,
}

/// A certificate that may be shown.
///
/// Of one that was checked, here or by another process, only what a choice needs is kept until it is first
/// shown: of thousands few are asked for, and a worker that takes over must not spend its first half
/// second on the others.
#[derive(Debug)]
pub struct Certificate {
    pair: Pair,
    content_hash: u128,
    names: Vec<String>,
    not_before: SystemTime,
    not_after: SystemTime,
    is_rsa: bool,
    certified: OnceLock<Arc<CertifiedKey>>,
}

/// Certificates that another process has checked, by their file.
#[derive(Debug, Default)]
pub struct Known(HashMap<PathBuf, KnownCertificate>);

impl Known {
    /// These are known.
    #[must_use]
    pub fn new(certificates: Vec<KnownCertificate>) -> Self {
        Self(certificates.into_iter().map(|known| (PathBuf::from(&known.cert), known)).collect())
    }

    /// What is known of a pair whose files hold what has this hash.
    pub(super) fn find(&self, pair: &Pair, hash: u128) -> Option<&KnownCertificate> {
        self.0.get(&pair.cert).filter(|known| known.key == *pair.key && known.hash == hash)
    }
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadFault {
    /// Missing, or not for us to read.
    #[error("`{path}` cannot be read")]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Larger than a PEM file of certificates is.
    #[error("`{path}` is larger than {FILE_LIMIT_BYTES} bytes; is it a certificate or key?")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Its PEM sections cannot be decoded.
    #[error("`{path}` is not valid PEM")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// No CERTIFICATE section.
    #[error("`{path}` holds no certificate")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A certificate that no client would take.
    #[error("`{path}` holds a certificate that cannot be used")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No PRIVATE KEY section.
    #[error("`{path}` holds no private key")]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The key asks for a passphrase.
    #[error("the private key in `{path}` is encrypted; it must be stored without a passphrase")]
    EncryptedKey {
        /// The file.
        path: PathBuf,
    },
    /// A key of a kind or size that is not supported.
    #[error("the private key in `{path}` cannot be used")]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Error,
    },
    /// Certificate and key are not a pair.
    #[error("the private key in `{key}` does not belong to the certificate in `{cert}`")]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// A directory has NAME.crt without NAME.key.
    #[error("`{cert}` has no key beside it (`{key}`)")]
    Lonely {
        /// The certificate's file.
        cert: PathBuf,
        /// Where the key should be.
        key: PathBuf,
    },
    /// A listener would have nothing to show.
    #[error("there is no certificate to show{}", directory.as_ref().map(|path| format!(": `{}` holds no NAME.crt with NAME.key", path.display())).unwrap_or_default())]
    Empty {
        /// The directory that was looked through.
        directory: Option<PathBuf>,
    },
}

impl LoadFault {
    /// The file that it is about; of a pair the certificate.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Unreadable { path, .. }
            | Self::TooLarge { path }
            | Self::Pem { path, .. }
            | Self::NoCertificate { path }
            | Self::Certificate { path, .. }
            | Self::NoKey { path }
            | Self::EncryptedKey { path }
            | Self::Key { path, .. } => Some(path),
            Self::Mismatch { cert, .. } | Self::Lonely { cert, .. } => Some(cert),
            Self::Empty { directory } => directory.as_deref(),
        }
    }
}

/// How a certificate stands with the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// Now is within its dates.
    Valid,
    /// Its first date is to come.
    NotYet,
    /// Its last date is over.
    Expired,
}

/// More than any chain or bundle of authorities takes; it stops a wrong path from filling memory.
const FILE_LIMIT_BYTES: usize = 4 << 20;

/// Of what both files of a pair hold: changes when either does.
pub(super) fn content_hash(pair: &Pair, reading: &Reading) -> Result<u128, LoadFault> {
    let hash =
        |path: &PathBuf| reading.hash(path).map_err(|source| LoadFault::Unreadable { path: path.clone(), source });
    let (cert, key) = (hash(&pair.cert)?, hash(&pair.key)?);
    Ok(xxh3_128(&[cert.to_le_bytes(), key.to_le_bytes()].concat()))
}

impl Certificate {
    /// Reads a pair and checks that it is one.
    ///
    /// # Errors
    /// [`LoadFault`]. A certificate out of its dates is no fault, see [`Certificate::validity`]:
    /// a client may still take it, and a start that fails helps nobody.
    pub fn load(pair: &Pair, reading: &Reading) -> Result<Self, LoadFault> {
        let content_hash = content_hash(pair, reading)?;
        let certified = certified(pair, reading)?;
        let (names, not_before, not_after) = match certified.cert.first().map(|leaf| X509Certificate::from_der(leaf)) {
            Some(Ok((_, leaf))) => {
                let validity = leaf.validity();
                let time = |seconds: i64| UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
                (names(&leaf), time(validity.not_before.timestamp()), time(validity.not_after.timestamp()))
            }
            Some(Err(fault)) => {
                return Err(LoadFault::Certificate { path: pair.cert.clone(), source: fault.into() });
            }
            None => return Err(LoadFault::NoCertificate { path: pair.cert.clone() }),
        };
        match certified.keys_match() {
            // A key that cannot tell its public half is no reason to refuse it.
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(Error::InconsistentKeys(_)) => {
                return Err(LoadFault::Mismatch { cert: pair.cert.clone(), key: pair.key.clone() });
            }
            Err(source) => {
                return Err(LoadFault::Certificate { path: pair.cert.clone(), source: source.into() });
            }
        }
        let is_rsa = certified.key.algorithm() == SignatureAlgorithm::RSA;
        let pair = pair.clone();
        Ok(Self { pair, content_hash, names, not_before, not_after, is_rsa, certified: OnceLock::new() })
    }

    /// One that another process has checked.
    pub(super) fn of_known(pair: &Pair, known: &KnownCertificate) -> Self {
        Self {
            pair: pair.clone(),
            content_hash: known.hash,
            names: known.names.clone(),
            not_before: UNIX_EPOCH + Duration::from_secs(known.not_before),
            not_after: UNIX_EPOCH + Duration::from_secs(known.not_after),
            is_rsa: known.is_rsa,
            certified: OnceLock::new(),
        }
    }

    /// What another process need not check again.
    #[must_use]
    pub fn known(&self) -> KnownCertificate {
        let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        KnownCertificate {
            cert: self.pair.cert.clone().into(),
            key: self.pair.key.clone().into(),
            hash: self.content_hash,
            names: self.names.clone(),
            not_before: seconds(self.not_before),
            not_after: seconds(self.not_after),
            is_rsa: self.is_rsa,
        }
    }

    /// The files that it comes from.
    #[must_use]
    pub fn pair(&self) -> &Pair {
        &self.pair
    }

    /// The DNS names that it is for, in lower case: those of the subject alternative name, or the
    /// common name where there are none.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The end of its validity.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// Whether it may be used at this time; anything but `Valid` deserves a warning.
    #[must_use]
    pub fn validity(&self, now: SystemTime) -> Validity {
        if now > self.not_after {
            Validity::Expired
        } else if now < self.not_before {
            Validity::NotYet
        } else {
            Validity::Valid
        }
    }

    /// What a handshake needs of it, made of its files when it is first asked for; `reading` is one by
    /// which it was loaded, or taken over. `None` where that fails, although it did not when it was checked.
    #[must_use]
    pub fn certified(&self, reading: &Reading) -> Option<Arc<CertifiedKey>> {
        if let Some(certified) = self.certified.get() {
            return Some(Arc::clone(certified));
        }
        let made = certified(&self.pair, reading)
            .inspect_err(|fault| tracing::error!("a certificate cannot be shown: {}", Causes(fault)))
            .ok()?;
        Some(Arc::clone(self.certified.get_or_init(|| Arc::new(made))))
    }

    pub(super) fn is_of(&self, pair: &Pair, hash: u128) -> bool {
        self.content_hash == hash && self.pair == *pair
    }

    pub(super) fn is_rsa(&self) -> bool {
        self.is_rsa
    }
}

/// The chain and the key that lie in the files of a pair.
fn certified(pair: &Pair, reading: &Reading) -> Result<CertifiedKey, LoadFault> {
    let chain = parse_certificates(&pair.cert, &read(&pair.cert, reading)?)?;
    let key = parse_key(&pair.key, &read(&pair.key, reading)?)?;
    let key = super::provider()
        .key_provider
        .load_private_key(key)
        .map_err(|source| LoadFault::Key { path: pair.key.clone(), source })?;
    Ok(CertifiedKey::new(chain, key))
}

/// Every certificate of a PEM text, at least one.
pub(super) fn parse_certificates(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, LoadFault> {
    let certificates = CertificateDer::pem_slice_iter(text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| LoadFault::Pem { path: path.to_owned(), source })?;
    if certificates.is_empty() {
        return Err(LoadFault::NoCertificate { path: path.to_owned() });
    }
    Ok(certificates)
}

pub(super) fn parse_key(path: &Path, text: &[u8]) -> Result<PrivateKeyDer<'static>, LoadFault> {
    let path = || path.to_owned();
    PrivateKeyDer::from_pem_slice(text).map_err(|source| match source {
        pem::Error::NoItemsFound if memchr::memmem::find(text, b"ENCRYPTED PRIVATE KEY").is_some() => {
            LoadFault::EncryptedKey { path: path() }
        }
        pem::Error::NoItemsFound => LoadFault::NoKey { path: path() },
        source => LoadFault::Pem { path: path(), source },
    })
}

pub(super) fn read(path: &Path, reading: &Reading) -> Result<Bytes, LoadFault> {
    let text = reading.file(path).map_err(|source| LoadFault::Unreadable { path: path.to_owned(), source })?;
    if text.len() > FILE_LIMIT_BYTES {
        return Err(LoadFault::TooLarge { path: path.to_owned() });
    }
    Ok(text)
}

fn names(leaf: &X509Certificate<'_>) -> Vec<String> {
    let alternative = leaf.subject_alternative_name().ok().flatten();
    let general = alternative.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    let mut names: Vec<String> = general
        .iter()
        .filter_map(|name| if let GeneralName::DNSName(name) = name { Some(name.to_ascii_lowercase()) } else { None })
        .collect();
    // RFC 6125 §6.4.4: the common name counts only where no alternative name does.
    if general.is_empty() {
        names.extend(
            leaf.subject().iter_common_name().filter_map(|name| Some(name.as_str().ok()?.to_ascii_lowercase())),
        );
    }
    names
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::tls::tests::minted::{Authority, Folder, new_folder};

    fn message(fault: &LoadFault, folder: &Folder) -> String {
        fault.to_string().replace(&format!("{}/", folder.path().display()), "")
    }

    #[test]
    fn a_pair_is_read_with_its_names_and_dates() {
        let folder = new_folder();
        let pair = Authority::new("ca").server(&["B.example", "*.b.example"]).write(&folder, "b");
        let reading = Reading::of_disk();
        let certificate = Certificate::load(&pair, &reading).unwrap();
        assert_eq!(certificate.names(), ["b.example", "*.b.example"]);
        assert_eq!(certificate.certified(&reading).unwrap().cert.len(), 1);
        let now = SystemTime::now();
        assert_eq!(certificate.validity(now), Validity::Valid);
        assert_eq!(certificate.validity(certificate.not_after() + Duration::from_secs(1)), Validity::Expired);
        assert_eq!(certificate.validity(UNIX_EPOCH), Validity::NotYet);
    }

    #[test]
    fn one_that_is_known_is_not_checked_again() {
        let folder = new_folder();
        let pair = Authority::new("ca").server(&["b.example"]).write(&folder, "b");
        let reading = Reading::of_disk();
        let checked = Certificate::load(&pair, &reading).unwrap();
        let known = Known::new(vec![checked.known()]);
        let hash = content_hash(&pair, &reading).unwrap();
        let later = Certificate::of_known(&pair, known.find(&pair, hash).unwrap());
        assert_eq!((later.names(), later.validity(SystemTime::now())), (checked.names(), Validity::Valid));
        assert_eq!((later.known(), later.is_rsa()), (checked.known(), checked.is_rsa()));

        fs::write(&pair.key, "another").unwrap();
        let hash = content_hash(&pair, &Reading::of_disk()).unwrap();
        assert!(known.find(&pair, hash).is_none(), "what changed is checked anew");
    }

    #[test]
    fn what_a_handshake_needs_is_made_once_and_when_it_is_needed() {
        let folder = new_folder();
        let pair = Authority::new("ca").server(&["b.example"]).write(&folder, "b");
        let reading = Reading::of_disk();
        let certificate = Certificate::load(&pair, &reading).unwrap();
        assert!(certificate.certified.get().is_none());
        fs::remove_file(&pair.key).unwrap();
        let certified = certificate.certified(&reading).unwrap();
        assert!(Arc::ptr_eq(&certified, &certificate.certified(&reading).unwrap()));
    }

    #[test]
    fn a_common_name_counts_where_there_is_no_alternative_name() {
        let folder = new_folder();
        let pair = Authority::new("ca").named("Old.example").write(&folder, "old");
        assert_eq!(Certificate::load(&pair, &Reading::of_disk()).unwrap().names(), ["old.example"]);
    }

    #[test]
    fn each_broken_pair_is_told_by_its_file() {
        let folder = new_folder();
        let authority = Authority::new("ca");
        let good = authority.server(&["a"]).write(&folder, "good");
        let other = authority.server(&["b"]).write(&folder, "other");
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let fault = |cert: &Path, key: &Path| {
            let fault =
                Certificate::load(&Pair { cert: cert.into(), key: key.into() }, &Reading::of_disk()).unwrap_err();
            message(&fault, &folder)
        };
        assert_eq!(fault(&folder.path().join("none"), &good.key), "`none` cannot be read");
        assert_eq!(
            fault(&good.cert, &other.key),
            "the private key in `other.key` does not belong to the certificate in `good.crt`"
        );
        assert_eq!(fault(&good.key, &good.key), "`good.key` holds no certificate");
        assert_eq!(fault(&good.cert, &good.cert), "`good.crt` holds no private key");
        let locked =
            file("locked", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
        assert_eq!(
            fault(&good.cert, &locked),
            "the private key in `locked` is encrypted; it must be stored without a passphrase"
        );
        let cut = file("cut", "-----BEGIN CERTIFICATE-----\nAAAA\n");
        assert_eq!(fault(&cut, &good.key), "`cut` is not valid PEM");
        let junk = file("junk", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        assert_eq!(fault(&junk, &good.key), "`junk` holds a certificate that cannot be used");
        let odd = file("odd", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
        assert_eq!(fault(&good.cert, &odd), "the private key in `odd` cannot be used");
        let huge = file("huge", &"x".repeat(FILE_LIMIT_BYTES + 1));
        assert!(fault(&huge, &good.key).starts_with("`huge` is larger than"));
        assert!(fault(folder.path(), &good.key).ends_with("cannot be read"));
    }

    #[test]
    fn one_file_may_hold_both() {
        let folder = new_folder();
        let pair = Authority::new("ca").server(&["a"]).write(&folder, "a");
        let both = folder.path().join("both.pem");
        fs::write(&both, [fs::read(&pair.key).unwrap(), fs::read(&pair.cert).unwrap()].concat()).unwrap();
        assert!(Certificate::load(&Pair { cert: both.clone(), key: both }, &Reading::of_disk()).is_ok());
    }
}
