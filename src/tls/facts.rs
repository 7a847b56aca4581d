//! What a finished handshake agreed on, for the log, the metrics and the upstream.

use rustls::{HandshakeKind, ProtocolVersion, ServerConnection, crypto::SupportedKxGroup};

use super::subject;

/// The facts of one TLS connection; they do not change while it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite, as rustls names it.
    pub cipher: &'static str,
    /// The key-exchange group; empty for a resumed TLS 1.2 session, which has none.
    pub group: &'static str,
    /// The name that the client asked for, in lower case.
    pub server_name: Option<Box<str>>,
    /// The protocol agreed on by ALPN.
    pub alpn: Option<Box<[u8]>>,
    /// Whether a ticket spared the certificate.
    pub resumed: bool,
    /// The subject of the client's verified certificate, as RFC 4514 writes it, all in printable
    /// ASCII. None also for a subject of more than 2 KiB: half a name would be another name.
    pub client_subject: Option<Box<str>>,
}

impl TlsFacts {
    /// Reads them off a connection whose handshake is over.
    #[must_use]
    pub fn of(connection: &ServerConnection) -> Self {
        let suite = connection.negotiated_cipher_suite().map(|suite| suite.suite());
        let group = connection.negotiated_key_exchange_group().map(SupportedKxGroup::name);
        let client = connection.peer_certificates().and_then(|chain| chain.first());
        Self {
            version: match connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
                Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
                _ => "unknown",
            },
            cipher: suite.and_then(|suite| suite.as_str()).unwrap_or("unknown"),
            group: group.and_then(|group| group.as_str()).unwrap_or_default(),
            server_name: connection.server_name().map(Into::into),
            alpn: connection.alpn_protocol().map(Into::into),
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            client_subject: client.and_then(|certificate| subject::of(certificate)),
        }
    }

    /// Whether the connection speaks HTTP/2 (RFC 9113 §3.2).
    #[must_use]
    pub fn is_h2(&self) -> bool {
        self.alpn.as_deref() == Some(b"h2")
    }
}
