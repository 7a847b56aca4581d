//! A certificate for trying haechi out on one's own machine.

use std::{
    ffi::OsString,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use time::{Duration, OffsetDateTime};

/// Why no certificate was minted.
#[derive(Debug, thiserror::Error)]
pub enum MintFault {
    /// A file cannot be written.
    #[error("`{path}` cannot be written")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The certificate cannot be made.
    #[error("no certificate could be made")]
    Certificate(#[from] rcgen::Error),
}

/// Mints a self-signed certificate for localhost, 127.0.0.1 and `::1`, good for a year, and writes it and
/// its key (readable by the owner only) to these files. It is for development: nobody trusts it.
///
/// # Errors
/// [`MintFault`]. Files that are there already are replaced, each as a whole.
pub fn mint(cert: &Path, key: &Path) -> Result<(), MintFault> {
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "haechi development");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // A clock that is a little slow must not refuse what was minted just now.
    params.not_before = OffsetDateTime::now_utc() - Duration::days(1);
    params.not_after = OffsetDateTime::now_utc() + Duration::days(365);
    let signing_key = KeyPair::generate()?;
    let certificate = params.self_signed(&signing_key)?;
    write(key, signing_key.serialize_pem().as_bytes(), 0o600)?;
    write(cert, certificate.pem().as_bytes(), 0o644)
}

/// Whole or not at all, and never readable by more than `mode` says.
fn write(path: &Path, text: &[u8], mode: u32) -> Result<(), MintFault> {
    let mut unfinished = OsString::from(path);
    unfinished.push(".new");
    let written = (|| {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        OpenOptions::new().write(true).create_new(true).mode(mode).open(&unfinished)?.write_all(text)?;
        fs::rename(&unfinished, path)
    })();
    written.map_err(|source| MintFault::Unwritable { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, time::SystemTime};

    use super::*;
    use crate::tls::{Certificate, Pair, certificate::Validity, tests::minted::new_folder};

    #[test]
    fn a_minted_pair_loads_and_its_key_is_private() {
        let folder = new_folder();
        let pair = Pair { cert: folder.path().join("certs/dev.crt"), key: folder.path().join("certs/dev.key") };
        for _ in 0..2 {
            mint(&pair.cert, &pair.key).unwrap();
        }
        let certificate = Certificate::load(&pair, &crate::reading::Reading::of_disk()).unwrap();
        assert_eq!(certificate.names(), ["localhost"]);
        assert_eq!(certificate.validity(SystemTime::now()), Validity::Valid);
        assert_eq!(fs::metadata(&pair.key).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path().join("certs")).unwrap().count(), 2);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let folder = new_folder();
        let blocked = folder.path().join("file");
        fs::write(&blocked, "").unwrap();
        let fault = mint(&blocked.join("a.crt"), &blocked.join("a.key")).unwrap_err();
        assert!(fault.to_string().ends_with("a.key` cannot be written"), "{fault}");
    }
}
