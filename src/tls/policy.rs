//! What a TLS listener offers and asks for.

use std::sync::Arc;

use rustls::{
    Error, ServerConfig, SupportedProtocolVersion,
    server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{Authorities, Store, Tickets};

/// The rules of a TLS listener.
#[derive(Clone, Debug)]
pub struct ServerPolicy {
    /// The oldest version that is spoken.
    pub min_version: MinVersion,
    /// Protocols offered by ALPN, best first; a client that asks for none of them is refused
    /// (RFC 7301 §3.2). Empty: ALPN is ignored.
    pub alpn: Vec<Vec<u8>>,
    /// What is asked of the client.
    pub client_auth: ClientAuth,
}

/// The oldest TLS version of a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinVersion {
    /// 1.2 and 1.3.
    #[default]
    Tls12,
    /// 1.3 only.
    Tls13,
}

/// Whether clients show a certificate.
#[derive(Clone, Debug, Default)]
pub enum ClientAuth {
    /// They are not asked.
    #[default]
    None,
    /// They may; one that is shown must be good.
    Optional(Authorities),
    /// They must.
    Required(Authorities),
}

/// Why a policy makes no config.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFault {
    /// The authorities cannot be used to verify clients.
    #[error("the client authorities cannot be used")]
    Authorities(#[source] VerifierBuilderError),
    /// Versions and cipher suites do not fit together.
    #[error("the TLS versions cannot be used")]
    Versions(#[source] Error),
}

/// The config of a listener. Sessions are resumed by tickets alone, so the threads share no
/// session cache; TLS 1.3 clients get one ticket, not two, a connection.
///
/// # Errors
/// [`PolicyFault`].
pub fn server_config(
    store: Arc<Store>,
    policy: &ServerPolicy,
    tickets: &Tickets,
) -> Result<Arc<ServerConfig>, PolicyFault> {
    let mut config = ServerConfig::builder_with_provider(super::provider())
        .with_protocol_versions(policy.min_version.versions())
        .map_err(PolicyFault::Versions)?
        .with_client_cert_verifier(policy.client_auth.verifier().map_err(PolicyFault::Authorities)?)
        .with_cert_resolver(store);
    config.alpn_protocols.clone_from(&policy.alpn);
    config.ticketer = tickets.marked(policy.client_auth.mark());
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

impl MinVersion {
    fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        static BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
        static NEWEST: &[&SupportedProtocolVersion] = &[&TLS13];
        match self {
            Self::Tls12 => BOTH,
            Self::Tls13 => NEWEST,
        }
    }
}

impl ClientAuth {
    fn verifier(&self) -> Result<Arc<dyn ClientCertVerifier>, VerifierBuilderError> {
        let builder = |authorities: &Authorities| {
            WebPkiClientVerifier::builder_with_provider(Arc::clone(authorities.roots()), super::provider())
        };
        match self {
            Self::None => Ok(WebPkiClientVerifier::no_client_auth()),
            Self::Optional(authorities) => builder(authorities).allow_unauthenticated().build(),
            Self::Required(authorities) => builder(authorities).build(),
        }
    }

    /// Differs between policies whose tickets must not open each other's doors.
    fn mark(&self) -> u64 {
        match self {
            Self::None => 0,
            Self::Optional(authorities) => xxh3_64_with_seed(b"optional", authorities.content_hash()),
            Self::Required(authorities) => xxh3_64_with_seed(b"required", authorities.content_hash()),
        }
    }
}
