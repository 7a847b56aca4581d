//! TLS of listeners and upstreams: from files to configs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

use bytes::Bytes;

use super::Listener;
use crate::config::{self, Protocols, TlsVersion};
use crate::diagnostic::{Causes, Diagnostic, Severity, Span};
use crate::reading::Reading;
use crate::tls::certificate::Validity;
use crate::tls::{
    Authorities, ClientAuth, Known, LoadFault, MinVersion, OutboundSpec, OutboundTls, Pair, ServerPolicy, Store,
    StoreSpec, Tickets, server_config,
};
use crate::upstream::Outbound;
use crate::upstream::health::Secret;

/// The TLS of a listener, ready to be used.
#[derive(Debug)]
pub struct Secure {
    /// For each handshake.
    pub config: Arc<rustls::ServerConfig>,
    /// The certificates, by name.
    pub store: Arc<Store>,
}

/// Reads what a config names, and gathers every fault.
pub(super) struct Certificates<'r> {
    reading: &'r Reading,
    known: &'r Known,
    faults: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

impl<'r> Certificates<'r> {
    pub(super) fn new(reading: &'r Reading, known: &'r Known) -> Self {
        Self { reading, known, faults: Vec::new(), warnings: Vec::new() }
    }

    /// Faults, and what is to be known though it is none.
    pub(super) fn into_parts(self) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
        (self.faults, self.warnings)
    }

    /// The TLS of a listener; of `before`, the same listener as it runs, unchanged certificates are
    /// kept.
    pub(super) fn listener(
        &mut self,
        tls: &config::Tls,
        protocols: Protocols,
        tickets: &Tickets,
        before: Option<&Listener>,
    ) -> Option<Secure> {
        if tls.certificates.is_empty() && tls.directory.is_none() {
            // The config's own check has told of it.
            return None;
        }
        let before = before.and_then(|listener| listener.tls.as_ref()).map(|secure| &*secure.store);
        let (store, client_auth) = self.read(tls, before)?;
        let policy = ServerPolicy {
            min_version: match tls.min_version {
                TlsVersion::Tls12 => MinVersion::Tls12,
                TlsVersion::Tls13 => MinVersion::Tls13,
            },
            alpn: alpn(protocols),
            client_auth,
        };
        match server_config(Arc::clone(&store), &policy, tickets) {
            Ok(config) => Some(Secure { config, store }),
            Err(fault) => {
                let span = tls.client_ca.as_ref().map_or_else(|| first_span(tls), |ca| ca.span);
                self.faults.push(Diagnostic::error(span, Causes(&fault).to_string()));
                None
            }
        }
    }

    /// The files that the TLS of a listener names.
    fn read(&mut self, tls: &config::Tls, before: Option<&Store>) -> Option<(Arc<Store>, ClientAuth)> {
        let spec = StoreSpec {
            certificates: tls.certificates.iter().map(|pair| pair_of(&pair.value)).collect(),
            directory: tls.directory.as_ref().map(|directory| directory.value.clone()),
        };
        let store = match Store::load(&spec, before, self.known, self.reading) {
            Ok(store) => {
                self.warn_of(&store, tls);
                Some(Arc::new(store))
            }
            Err(faults) => {
                for fault in faults {
                    let span = span_of(&fault, tls);
                    self.faults.push(Diagnostic::error(span, Causes(&fault).to_string()));
                }
                None
            }
        };
        // The CA is read even where a certificate is at fault: all faults are told at once.
        let client_auth = self.client_auth(tls)?;
        Some((store?, client_auth))
    }

    /// A certificate that is out of date is shown all the same: a restart must not end a service
    /// that some clients still take.
    fn warn_of(&mut self, store: &Store, tls: &config::Tls) {
        let now = SystemTime::now();
        for certificate in store.certificates() {
            let what = match certificate.validity(now) {
                Validity::Valid => continue,
                Validity::Expired => "has expired",
                Validity::NotYet => "is not valid yet",
            };
            let path = &certificate.pair().cert;
            let message = format!("the certificate in `{}` {what}", path.display());
            let span = span_of_path(Some(path), tls);
            self.warnings.push(Diagnostic { severity: Severity::Warning, ..Diagnostic::error(span, message) });
        }
    }

    fn client_auth(&mut self, tls: &config::Tls) -> Option<ClientAuth> {
        let Some(ca) = &tls.client_ca else { return Some(ClientAuth::None) };
        match Authorities::load(&ca.value, self.reading) {
            Ok(authorities) => Some(match tls.client_auth {
                config::ClientAuth::Required => ClientAuth::Required(authorities),
                config::ClientAuth::Optional => ClientAuth::Optional(authorities),
            }),
            Err(fault) => {
                self.faults.push(Diagnostic::error(ca.span, Causes(&fault).to_string()));
                None
            }
        }
    }

    /// TLS to an upstream. Where nothing changed it is the very one of `before`: checks and resting
    /// connections then go on.
    pub(super) fn outbound(
        &mut self,
        tls: &config::UpstreamTls,
        alpn: &[&[u8]],
        name: Span,
        before: Option<&Outbound>,
    ) -> Option<Outbound> {
        let spec = OutboundSpec {
            ca: tls.ca.as_ref().map(|ca| ca.value.clone()),
            server_name: tls.server_name.as_ref().map(|name| name.value.clone()),
            certificate: tls.certificate.as_ref().map(|pair| pair_of(&pair.value)),
            alpn: alpn.iter().map(|name| name.to_vec()).collect(),
        };
        if let Some(before) =
            before.filter(|before| before.spec == spec && before.files == contents(&spec, self.reading))
        {
            return Some(before.clone());
        }
        match OutboundTls::load(&spec, self.reading) {
            Ok(tls) => {
                static NEXT: AtomicU64 = AtomicU64::new(1);
                let number = NEXT.fetch_add(1, Relaxed);
                Some(Outbound { number, tls: Arc::new(tls), files: contents(&spec, self.reading), spec })
            }
            Err(fault) => {
                let span = tls
                    .ca
                    .as_ref()
                    .map(|ca| ca.span)
                    .or_else(|| tls.server_name.as_ref().map(|name| name.span))
                    .or_else(|| tls.certificate.as_ref().map(|pair| pair.span))
                    .unwrap_or(name);
                self.faults.push(Diagnostic::error(span, Causes(&fault).to_string()));
                None
            }
        }
    }
}

impl Certificates<'_> {
    /// A password of a check, written or in a file.
    pub(super) fn password(&mut self, written: Option<&config::Password>) -> Secret {
        const MOST: usize = 1024;
        let path = match written {
            None => return Secret(Arc::default()),
            Some(config::Password::Written(text)) => return Secret(text.as_bytes().into()),
            Some(config::Password::File(path)) => path,
        };
        let shown = path.value.display();
        let bytes = match self.reading.file(&path.value) {
            Ok(bytes) => bytes,
            Err(fault) => {
                self.faults.push(Diagnostic::error(path.span, format!("`{shown}` cannot be read: {fault}")));
                return Secret(Arc::default());
            }
        };
        let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let password = line.strip_suffix(b"\r").unwrap_or(line);
        if password.is_empty() || password.len() > MOST || password.iter().any(|byte| matches!(byte, 0 | b'\n')) {
            let message = format!("`{shown}` holds no password: one line of 1 to {MOST} bytes");
            self.faults.push(Diagnostic::error(path.span, message));
        }
        if self.reading.is_exposed(&path.value) {
            let message = format!("every user of this host may read the password in `{shown}`");
            let warning = Diagnostic { severity: Severity::Warning, ..Diagnostic::error(path.span, message) };
            self.warnings.push(warning.hint("`chmod 600`: the worker gets it from the guard"));
        }
        Secret(password.into())
    }
}

/// What the files of an outbound TLS hold now; a file that cannot be read has no contents, and
/// loading says why.
fn contents(spec: &OutboundSpec, reading: &Reading) -> Vec<Option<Bytes>> {
    let pair = spec.certificate.iter().flat_map(|pair| [&pair.cert, &pair.key]);
    spec.ca.iter().chain(pair).map(|path: &PathBuf| reading.file(path).ok()).collect()
}

fn pair_of(pair: &config::CertificatePair) -> Pair {
    Pair { cert: pair.cert.clone(), key: pair.key.clone() }
}

fn alpn(protocols: Protocols) -> Vec<Vec<u8>> {
    let offered = [(protocols.h2, &b"h2"[..]), (protocols.http1, &b"http/1.1"[..])];
    offered.into_iter().filter(|(spoken, _)| *spoken).map(|(_, name)| name.to_vec()).collect()
}

fn first_span(tls: &config::Tls) -> Span {
    let listed = tls.certificates.first().map(|pair| pair.span);
    listed.or_else(|| tls.directory.as_ref().map(|directory| directory.span)).unwrap_or_default()
}

/// Where the pair was written that a fault is about, else where the directory was.
fn span_of(fault: &LoadFault, tls: &config::Tls) -> Span {
    span_of_path(fault.path(), tls)
}

fn span_of_path(path: Option<&Path>, tls: &config::Tls) -> Span {
    let named = |pair: &&crate::diagnostic::Spanned<config::CertificatePair>| {
        path.is_some_and(|path| path == pair.value.cert || path == pair.value.key)
    };
    let pair = tls.certificates.iter().find(named).map(|pair| pair.span);
    pair.or_else(|| tls.directory.as_ref().map(|directory| directory.span)).unwrap_or_else(|| first_span(tls))
}
