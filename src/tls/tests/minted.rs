//! Certificates for tests: an authority and what it signs.

use std::fs;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, DnValue, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize,
};
use rustls::pki_types::CertificateDer;
pub(crate) use tempfile::TempDir as Folder;

use crate::tls::Pair;

/// An empty directory that goes when the test ends.
pub(crate) fn new_folder() -> Folder {
    tempfile::tempdir().unwrap()
}

pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

pub(crate) struct Signed {
    certificate: rcgen::Certificate,
    key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    /// PEM of the authority's own certificate.
    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// A server certificate (ECDSA) for these names.
    pub(crate) fn server(&self, names: &[&str]) -> Signed {
        self.sign(&server_params(names), &KeyPair::generate().unwrap())
    }

    pub(crate) fn rsa_server(&self, names: &[&str]) -> Signed {
        self.sign(&server_params(names), &KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap())
    }

    /// One with a common name and nothing else.
    pub(crate) fn named(&self, common_name: &str) -> Signed {
        self.subject(&[(DnType::CommonName, common_name.into())])
    }

    /// A client certificate with this subject.
    pub(crate) fn subject(&self, attributes: &[(DnType, DnValue)]) -> Signed {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in attributes {
            params.distinguished_name.push(kind.clone(), value.clone());
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(&params, &KeyPair::generate().unwrap())
    }

    fn sign(&self, params: &CertificateParams, key: &KeyPair) -> Signed {
        Signed { certificate: params.signed_by(key, &self.issuer).unwrap(), key: key.serialize_pem() }
    }
}

impl Signed {
    /// The same key with a certificate for another name: cheap, when thousands are needed.
    pub(crate) fn renamed(&self, authority: &Authority, name: &str) -> Self {
        authority.sign(&server_params(&[name]), &KeyPair::from_pem(&self.key).unwrap())
    }

    /// Writes NAME.crt and NAME.key.
    pub(crate) fn write(&self, folder: &Folder, name: &str) -> Pair {
        let pair =
            Pair { cert: folder.path().join(format!("{name}.crt")), key: folder.path().join(format!("{name}.key")) };
        fs::write(&pair.cert, self.certificate.pem()).unwrap();
        fs::write(&pair.key, &self.key).unwrap();
        pair
    }

    pub(crate) fn der(&self) -> &CertificateDer<'static> {
        self.certificate.der()
    }
}

fn server_params(names: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}
