//! Why a handshake came to nothing, by category.

use std::io;

use rustls::{AlertDescription, Error, InvalidMessage, PeerIncompatible};

/// The category of a failed handshake: a label of metrics and a word of logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HandshakeFailure {
    /// The client's versions are too old or too new.
    NoSharedVersion,
    /// No cipher suite, key-exchange group or signature scheme in common.
    NoSharedCipher,
    /// The client asked by ALPN for none of the protocols offered.
    NoSharedProtocol,
    /// The client does not know the authority of our certificate.
    UnknownCa,
    /// The client does not like our certificate for another reason: its date, its name.
    CertificateRefused,
    /// A client certificate is required and none came.
    ClientCertMissing,
    /// The client's certificate is not of a known authority, is out of date or is broken.
    ClientCertInvalid,
    /// The client went away.
    ClientClosed,
    /// The client was too slow.
    Timeout,
    /// What came is not TLS, often plain HTTP.
    NotTls,
    /// The client broke the rules of TLS.
    Protocol,
    /// Anything else, our own faults among it.
    Other,
}

impl HandshakeFailure {
    /// Every category, for counters made in advance.
    pub const ALL: [Self; 12] = [
        Self::NoSharedVersion,
        Self::NoSharedCipher,
        Self::NoSharedProtocol,
        Self::UnknownCa,
        Self::CertificateRefused,
        Self::ClientCertMissing,
        Self::ClientCertInvalid,
        Self::ClientClosed,
        Self::Timeout,
        Self::NotTls,
        Self::Protocol,
        Self::Other,
    ];

    /// The category of an error that a TLS stream gave.
    #[must_use]
    pub fn of(error: &io::Error) -> Self {
        if let Some(error) = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>()) {
            return Self::of_tls(error);
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected => Self::ClientClosed,
            io::ErrorKind::TimedOut => Self::Timeout,
            _ => Self::Other,
        }
    }

    /// The category of an error of rustls itself.
    #[must_use]
    pub fn of_tls(error: &Error) -> Self {
        match error {
            Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion) => {
                Self::NotTls
            }
            Error::PeerIncompatible(
                PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                | PeerIncompatible::SupportedVersionsExtensionRequired
                | PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled,
            ) => Self::NoSharedVersion,
            Error::PeerIncompatible(_) => Self::NoSharedCipher,
            Error::NoApplicationProtocol => Self::NoSharedProtocol,
            Error::NoCertificatesPresented => Self::ClientCertMissing,
            Error::InvalidCertificate(_) => Self::ClientCertInvalid,
            Error::AlertReceived(alert) => Self::of_alert(*alert),
            Error::InvalidMessage(_)
            | Error::InappropriateMessage { .. }
            | Error::InappropriateHandshakeMessage { .. }
            | Error::PeerMisbehaved(_)
            | Error::PeerSentOversizedRecord
            | Error::DecryptError => Self::Protocol,
            _ => Self::Other,
        }
    }

    /// The label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoSharedVersion => "no_shared_version",
            Self::NoSharedCipher => "no_shared_cipher",
            Self::NoSharedProtocol => "no_shared_protocol",
            Self::UnknownCa => "unknown_ca",
            Self::CertificateRefused => "certificate_refused",
            Self::ClientCertMissing => "client_cert_missing",
            Self::ClientCertInvalid => "client_cert_invalid",
            Self::ClientClosed => "client_closed",
            Self::Timeout => "timeout",
            Self::NotTls => "not_tls",
            Self::Protocol => "protocol",
            Self::Other => "other",
        }
    }

    /// What the client says is wrong (RFC 8446 §6.2).
    fn of_alert(alert: AlertDescription) -> Self {
        match alert {
            AlertDescription::UnknownCA => Self::UnknownCa,
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied
            | AlertDescription::UnrecognisedName => Self::CertificateRefused,
            AlertDescription::ProtocolVersion => Self::NoSharedVersion,
            AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => Self::NoSharedCipher,
            AlertDescription::NoApplicationProtocol => Self::NoSharedProtocol,
            AlertDescription::UserCanceled | AlertDescription::CloseNotify => Self::ClientClosed,
            _ => Self::Protocol,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_socket_have_a_category() {
        let of = |kind: io::ErrorKind| HandshakeFailure::of(&kind.into()).name();
        assert_eq!(of(io::ErrorKind::UnexpectedEof), "client_closed");
        assert_eq!(of(io::ErrorKind::ConnectionReset), "client_closed");
        assert_eq!(of(io::ErrorKind::TimedOut), "timeout");
        assert_eq!(of(io::ErrorKind::PermissionDenied), "other");
        let wrapped = io::Error::new(io::ErrorKind::InvalidData, Error::AlertReceived(AlertDescription::UnknownCA));
        assert_eq!(HandshakeFailure::of(&wrapped).name(), "unknown_ca");
    }

    #[test]
    fn every_category_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = HandshakeFailure::ALL.iter().map(|failure| failure.name()).collect();
        assert_eq!(names.len(), HandshakeFailure::ALL.len());
    }
}
