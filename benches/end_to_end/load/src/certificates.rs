//! Certificates for the names h0.bench.test, h1.bench.test and on.

use std::fs;
use std::path::Path;

use rcgen::{CertificateParams, DnType, KeyPair};

use crate::Outcome;

/// The name of host `k`, the same for client, certificate and contender.
pub fn host(k: usize) -> String {
    format!("h{k}.bench.test")
}

pub fn write(directory: &Path, count: usize) -> Outcome<()> {
    fs::create_dir_all(directory)?;
    for k in 0..count {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::new([host(k)])?;
        parameters.distinguished_name.push(DnType::CommonName, host(k));
        let certificate = parameters.self_signed(&key)?.pem();
        let key = key.serialize_pem();
        fs::write(directory.join(format!("h{k}.crt")), &certificate)?;
        fs::write(directory.join(format!("h{k}.key")), &key)?;
        fs::write(directory.join(format!("h{k}.pem")), certificate + &key)?;
    }
    Ok(())
}
