//! What a finished handshake agreed on, for the log, the metrics and the upstream.

use rustls::{HandshakeKind, ProtocolVersion, ServerConnection, crypto::SupportedKxGroup};

use super::subject;
use crate::net::TlsFacts;

/// Reads the facts off a connection whose handshake is over.
#[must_use]
pub fn facts(connection: &ServerConnection) -> TlsFacts {
    let suite = connection.negotiated_cipher_suite().map(|suite| suite.suite());
    let group = connection.negotiated_key_exchange_group().map(SupportedKxGroup::name);
    let client = connection.peer_certificates().and_then(|chain| chain.first());
    TlsFacts {
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
