//! TLS towards an upstream.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    pki_types::{InvalidDnsNameError, ServerName},
    version::{TLS12, TLS13},
};

use super::{Authorities, Certificate, LoadFault, Pair};
use crate::reading::Reading;

/// How an upstream is reached by TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboundSpec {
    /// PEM of the authorities to believe; none: the system's.
    pub ca: Option<PathBuf>,
    /// The name that every server's certificate must have, also sent as SNI; none: each server's
    /// own host.
    pub server_name: Option<String>,
    /// Shown to servers that ask for a client certificate.
    pub certificate: Option<Pair>,
    /// Protocols asked for by ALPN, best first.
    pub alpn: Vec<Vec<u8>>,
}

/// A client config for one upstream.
#[derive(Clone, Debug)]
pub struct OutboundTls {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

/// Why an upstream cannot be reached by TLS.
#[derive(Debug, thiserror::Error)]
pub enum OutboundFault {
    /// A file cannot be used.
    #[error(transparent)]
    Load(#[from] LoadFault),
    /// No `ca` is written and the system has none either.
    #[error("the system has no certificate authorities; name a file by `ca`")]
    NoSystemRoots(#[source] Option<rustls_native_certs::Error>),
    /// Neither a DNS name nor an address.
    #[error("`{name}` is not a server name")]
    ServerName {
        /// As written.
        name: String,
        /// What is wrong with it.
        source: InvalidDnsNameError,
    },
    /// Versions, suites and key do not fit together.
    #[error("the TLS settings cannot be used")]
    Config(#[source] rustls::Error),
}

impl OutboundTls {
    /// Reads the files and makes the config.
    ///
    /// # Errors
    /// The first [`OutboundFault`].
    pub fn load(spec: &OutboundSpec, reading: &Reading) -> Result<Self, OutboundFault> {
        let roots = match &spec.ca {
            Some(path) => Arc::clone(Authorities::load(path, reading)?.roots()),
            None => Arc::new(system_roots()?),
        };
        let builder = ClientConfig::builder_with_provider(super::provider())
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(OutboundFault::Config)?
            .with_root_certificates(roots);
        let mut config = match &spec.certificate {
            Some(pair) => {
                let certificate = Certificate::load(pair, reading)?;
                let certified = certificate
                    .certified(reading)
                    .ok_or(OutboundFault::Config(rustls::Error::NoCertificatesPresented))?;
                builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols.clone_from(&spec.alpn);
        config.resumption = Resumption::in_memory_sessions(SESSION_LIMIT);
        let server_name = spec.server_name.as_deref().map(parse_name).transpose()?;
        Ok(Self { config: Arc::new(config), server_name })
    }

    /// The config for a connection.
    #[must_use]
    pub fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    /// The configured name, where there is one.
    #[must_use]
    pub fn configured_name(&self) -> Option<&ServerName<'static>> {
        self.server_name.as_ref()
    }

    /// The name that a server's certificate must have: the configured one, else `host`, the
    /// server's own name or address.
    ///
    /// # Errors
    /// [`OutboundFault::ServerName`] if `host` is neither.
    pub fn server_name(&self, host: &str) -> Result<ServerName<'static>, OutboundFault> {
        self.server_name.as_ref().map_or_else(|| parse_name(host), |name| Ok(name.clone()))
    }
}

/// Servers whose sessions are remembered; one upstream rarely has more.
const SESSION_LIMIT: usize = 64;

fn parse_name(name: &str) -> Result<ServerName<'static>, OutboundFault> {
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    ServerName::try_from(bare.to_owned()).map_err(|source| OutboundFault::ServerName { name: name.to_owned(), source })
}

fn system_roots() -> Result<RootCertStore, OutboundFault> {
    let mut found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // A system store may hold odd ones; those that cannot be read are left out.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(OutboundFault::NoSystemRoots(found.errors.pop()));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::tls::tests::minted::{Authority, new_folder};

    #[test]
    fn a_server_is_verified_by_the_written_name_or_its_own() {
        let folder = new_folder();
        let ca = folder.path().join("ca.pem");
        fs::write(&ca, Authority::new("ca").pem()).unwrap();
        let spec = OutboundSpec { ca: Some(ca), ..OutboundSpec::default() };
        let named = OutboundTls::load(
            &OutboundSpec { server_name: Some("was.internal".into()), ..spec.clone() },
            &Reading::of_disk(),
        )
        .unwrap();
        let unnamed = OutboundTls::load(&spec, &Reading::of_disk()).unwrap();
        assert_eq!(named.server_name("10.0.0.1").unwrap().to_str(), "was.internal");
        for host in ["10.0.0.1", "was1.internal", "::1"] {
            assert_eq!(unnamed.server_name(host).unwrap().to_str(), host);
        }
        assert_eq!(unnamed.server_name("[::1]").unwrap().to_str(), "::1");
        assert_eq!(unnamed.server_name("a b").unwrap_err().to_string(), "`a b` is not a server name");
        let fault = OutboundTls::load(&OutboundSpec { server_name: Some("-".into()), ..spec }, &Reading::of_disk())
            .unwrap_err();
        assert_eq!(fault.to_string(), "`-` is not a server name");
    }

    #[test]
    fn files_that_cannot_be_used_are_named() {
        let folder = new_folder();
        let missing = folder.path().join("ca.pem");
        let fault = OutboundTls::load(
            &OutboundSpec { ca: Some(missing.clone()), ..OutboundSpec::default() },
            &Reading::of_disk(),
        )
        .unwrap_err();
        assert_eq!(fault.to_string(), format!("`{}` cannot be read", missing.display()));
    }
}
