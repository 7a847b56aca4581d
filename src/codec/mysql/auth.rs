//! How a password is shown to be known.

use aws_lc_rs::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA512, digest};
use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPublicEncryptingKey, PublicEncryptingKey};
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;

use super::Fault;

/// The logins that are spoken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plugin {
    /// `mysql_native_password`: MySQL until 8.4, and MariaDB's default.
    Native,
    /// `caching_sha2_password`: MySQL's default since 8.0.
    CachingSha2,
    /// `client_ed25519` of MariaDB.
    Ed25519,
}

impl Plugin {
    pub(super) fn from_name(name: &[u8]) -> Option<Self> {
        [Self::Native, Self::CachingSha2, Self::Ed25519].into_iter().find(|plugin| plugin.name().as_bytes() == name)
    }

    /// As it stands in packets.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "mysql_native_password",
            Self::CachingSha2 => "caching_sha2_password",
            Self::Ed25519 => "client_ed25519",
        }
    }

    /// The answer to a challenge; empty for an empty password, as every server expects it.
    #[must_use]
    pub fn answer(self, password: &[u8], challenge: &[u8]) -> Vec<u8> {
        match self {
            Self::Ed25519 => sign(password, challenge).to_vec(),
            _ if password.is_empty() => Vec::new(),
            // SHA1(password) XOR SHA1(challenge, SHA1(SHA1(password)))
            Self::Native => {
                let once = hash(&SHA1_FOR_LEGACY_USE_ONLY, &[password]);
                let twice = hash(&SHA1_FOR_LEGACY_USE_ONLY, &[&once]);
                xor(&once, &hash(&SHA1_FOR_LEGACY_USE_ONLY, &[challenge, &twice]))
            }
            // SHA256(password) XOR SHA256(SHA256(SHA256(password)), challenge)
            Self::CachingSha2 => {
                let once = hash(&SHA256, &[password]);
                let twice = hash(&SHA256, &[&once]);
                xor(&once, &hash(&SHA256, &[&twice, challenge]))
            }
        }
    }
}

/// A whole password for the server's RSA key, which comes as PEM: `caching_sha2_password` asks for it
/// where there is no TLS. The challenge is mixed in, so that nobody can send it a second time.
pub(super) fn encrypt(password: &[u8], challenge: &[u8], pem: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut secret = password.to_vec();
    secret.push(0);
    if challenge.is_empty() {
        return Err(Fault::Malformed("challenge"));
    }
    let mixed: Vec<u8> = secret.iter().zip(challenge.iter().cycle()).map(|(a, b)| a ^ b).collect();
    let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| Fault::PublicKey)?;
    let key = PublicEncryptingKey::from_der(&der).map_err(|_| Fault::PublicKey)?;
    let key = OaepPublicEncryptingKey::new(key).map_err(|_| Fault::PublicKey)?;
    let mut sealed = vec![0; key.ciphertext_size()];
    let written = key.encrypt(&OAEP_SHA1_MGF1SHA1, &mixed, &mut sealed, None).map_err(|_| Fault::PublicKey)?.len();
    sealed.truncate(written);
    Ok(sealed)
}

/// A signature of RFC 8032 §5.1.6, but with a key that is the SHA-512 of a password of any length in
/// place of 32 random bytes: no library for signatures takes that.
fn sign(password: &[u8], challenge: &[u8]) -> [u8; 64] {
    let key = digest(&SHA512, password);
    let (low, prefix) = key.as_ref().split_at(32);
    let mut scalar = [0; 32];
    scalar.copy_from_slice(low);
    let secret = Scalar::from_bytes_mod_order(clamp_integer(scalar));
    let public = EdwardsPoint::mul_base(&secret).compress();
    let nonce = wide(&[prefix, challenge]);
    let point = EdwardsPoint::mul_base(&nonce).compress();
    let response = nonce + wide(&[point.as_bytes(), public.as_bytes(), challenge]) * secret;
    let mut signature = [0; 64];
    let (first, second) = signature.split_at_mut(32);
    first.copy_from_slice(point.as_bytes());
    second.copy_from_slice(response.as_bytes());
    signature
}

fn wide(parts: &[&[u8]]) -> Scalar {
    let mut bytes = [0; 64];
    bytes.copy_from_slice(&hash(&SHA512, parts));
    Scalar::from_bytes_mod_order_wide(&bytes)
}

fn hash(algorithm: &'static Algorithm, parts: &[&[u8]]) -> Vec<u8> {
    digest(algorithm, &parts.concat()).as_ref().to_vec()
}

fn xor(one: &[u8], other: &[u8]) -> Vec<u8> {
    one.iter().zip(other).map(|(a, b)| a ^ b).collect()
}
