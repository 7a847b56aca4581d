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
use xxhash_rust::xxh3::Xxh3Default;

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
/// One that another process has checked is parsed when it is first shown: a worker that takes over
/// must not spend its first half second on thousands that nobody asks for.
#[derive(Debug)]
pub struct Certificate {
    pair: Pair,
    content_hash: u128,
    names: Vec<String>,
    not_before: SystemTime,
    not_after: SystemTime,
    is_rsa: bool,
    certified: OnceLock<Arc<CertifiedKey>>,
    /// Of one that is not parsed yet.
    text: Option<PairText>,
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

    /// What is known of a pair that holds this text.
    pub(super) fn find(&self, pair: &Pair, text: &PairText) -> Option<&KnownCertificate> {
        self.0.get(&pair.cert).filter(|known| known.key == *pair.key && known.hash == text.hash)
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

/// The text of a pair's files, a key among it: nothing of it is shown.
pub(super) struct PairText {
    cert: Bytes,
    key: Bytes,
    /// Changes when either file does.
    pub(super) hash: u128,
}

impl std::fmt::Debug for PairText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PairText").finish_non_exhaustive()
    }
}

impl PairText {
    pub(super) fn read(pair: &Pair, reading: &Reading) -> Result<Self, LoadFault> {
        let (cert, key) = (read(&pair.cert, reading)?, read(&pair.key, reading)?);
        let mut hash = Xxh3Default::new();
        hash.update(&(cert.len() as u64).to_le_bytes());
        hash.update(&cert);
        hash.update(&key);
        Ok(Self { hash: hash.digest128(), cert, key })
    }
}

impl Certificate {
    /// Reads a pair and checks that it is one.
    ///
    /// # Errors
    /// [`LoadFault`]. A certificate out of its dates is no fault, see [`Certificate::validity`]:
    /// a client may still take it, and a start that fails helps nobody.
    pub fn load(pair: &Pair, reading: &Reading) -> Result<Self, LoadFault> {
        Self::parse(pair, &PairText::read(pair, reading)?)
    }

    pub(super) fn parse(pair: &Pair, text: &PairText) -> Result<Self, LoadFault> {
        let chain = parse_certificates(&pair.cert, &text.cert)?;
        let key = parse_key(&pair.key, &text.key)?;
        let path = || pair.cert.clone();
        let (names, not_before, not_after) = match chain.first().map(|leaf| X509Certificate::from_der(leaf)) {
            Some(Ok((_, leaf))) => {
                let validity = leaf.validity();
                let time = |seconds: i64| UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
                (names(&leaf), time(validity.not_before.timestamp()), time(validity.not_after.timestamp()))
            }
            Some(Err(fault)) => return Err(LoadFault::Certificate { path: path(), source: fault.into() }),
            None => return Err(LoadFault::NoCertificate { path: path() }),
        };
        let key = super::provider()
            .key_provider
            .load_private_key(key)
            .map_err(|source| LoadFault::Key { path: pair.key.clone(), source })?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            // A key that cannot tell its public half is no reason to refuse it.
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(Error::InconsistentKeys(_)) => {
                return Err(LoadFault::Mismatch { cert: path(), key: pair.key.clone() });
            }
            Err(source) => return Err(LoadFault::Certificate { path: path(), source: source.into() }),
        }
        let is_rsa = certified.key.algorithm() == SignatureAlgorithm::RSA;
        let (pair, content_hash) = (pair.clone(), text.hash);
        let certified = OnceLock::from(Arc::new(certified));
        Ok(Self { pair, content_hash, names, not_before, not_after, is_rsa, certified, text: None })
    }

    /// One that another process has checked, to be parsed when it is shown.
    pub(super) fn unparsed(pair: &Pair, text: PairText, known: &KnownCertificate) -> Self {
        Self {
            pair: pair.clone(),
            content_hash: text.hash,
            names: known.names.clone(),
            not_before: UNIX_EPOCH + Duration::from_secs(known.not_before),
            not_after: UNIX_EPOCH + Duration::from_secs(known.not_after),
            is_rsa: known.is_rsa,
            certified: OnceLock::new(),
            text: Some(text),
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

    /// What a handshake needs of it; `None` where it was checked by another process and cannot be
    /// parsed by this one.
    #[must_use]
    pub fn certified(&self) -> Option<Arc<CertifiedKey>> {
        if let Some(certified) = self.certified.get() {
            return Some(Arc::clone(certified));
        }
        let parsed = Self::parse(&self.pair, self.text.as_ref()?)
            .inspect_err(|fault| tracing::error!("a certificate cannot be shown: {}", Causes(fault)))
            .ok()?;
        let certified = parsed.certified.into_inner()?;
        Some(Arc::clone(self.certified.get_or_init(|| certified)))
    }

    pub(super) fn is_of(&self, pair: &Pair, hash: u128) -> bool {
        self.content_hash == hash && self.pair == *pair
    }

    pub(super) fn is_rsa(&self) -> bool {
        self.is_rsa
    }
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
        let certificate = Certificate::load(&pair, &Reading::of_disk()).unwrap();
        assert_eq!(certificate.names(), ["b.example", "*.b.example"]);
        assert_eq!(certificate.certified().unwrap().cert.len(), 1);
        let now = SystemTime::now();
        assert_eq!(certificate.validity(now), Validity::Valid);
        assert_eq!(certificate.validity(certificate.not_after() + Duration::from_secs(1)), Validity::Expired);
        assert_eq!(certificate.validity(UNIX_EPOCH), Validity::NotYet);
    }

    #[test]
    fn one_that_is_known_is_parsed_when_it_is_shown() {
        let folder = new_folder();
        let pair = Authority::new("ca").server(&["b.example"]).write(&folder, "b");
        let text = || PairText::read(&pair, &Reading::of_disk()).unwrap();
        let checked = Certificate::parse(&pair, &text()).unwrap();
        let known = Known::new(vec![checked.known()]);
        let later = Certificate::unparsed(&pair, text(), known.find(&pair, &text()).unwrap());
        assert_eq!((later.names(), later.validity(SystemTime::now())), (checked.names(), Validity::Valid));
        assert_eq!((later.known(), later.is_rsa()), (checked.known(), checked.is_rsa()));
        assert!(later.certified.get().is_none());
        assert_eq!(later.certified().unwrap().cert, checked.certified().unwrap().cert);
        assert!(Arc::ptr_eq(&later.certified().unwrap(), &later.certified().unwrap()), "parsed once");

        fs::write(&pair.key, "another").unwrap();
        assert!(known.find(&pair, &text()).is_none(), "what changed is checked anew");
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
