//! Certificates minted for a test.

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// A certificate authority of a test.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate in PEM.
    pub pem: String,
}

impl Authority {
    /// A new one, with a name to tell it from others.
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A server's certificate for these names, with a key of its own: certificate, key.
    pub fn mint(&self, names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        (self.mint_for(&key, names), key.serialize_pem())
    }

    /// A server's certificate for these names and a key at hand.
    pub fn mint_for(&self, key: &KeyPair, names: &[&str]) -> String {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let common = names[0].clone();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, common);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.signed_by(key, &self.issuer).expect("a certificate").pem()
    }

    /// A client's certificate for this common name.
    pub fn mint_client(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        (params.signed_by(&key, &self.issuer).expect("a certificate").pem(), key.serialize_pem())
    }

    /// Writes `NAME.crt` and `NAME.key` for these names into a folder.
    pub fn write(&self, folder: &Path, file: &str, names: &[&str]) {
        let (cert, key) = self.mint(names);
        write_pair(folder, file, &cert, &key);
    }
}

/// Writes `NAME.crt` and `NAME.key`.
pub fn write_pair(folder: &Path, file: &str, cert: &str, key: &str) {
    fs::create_dir_all(folder).expect("a folder for certificates");
    fs::write(folder.join(format!("{file}.crt")), cert).expect("a certificate");
    fs::write(folder.join(format!("{file}.key")), key).expect("a key");
}

/// A client's TLS that trusts this authority and offers no protocol.
pub fn trusting(authority: &Authority) -> Arc<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).expect("a certificate")).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Arc::new(config.expect("versions").with_root_certificates(roots).with_no_client_auth())
}
