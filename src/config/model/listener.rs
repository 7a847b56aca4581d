//! `[listener.NAME]`

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::HostPattern;
use crate::diagnostic::Spanned;
use crate::net::{Endpoint, Transport};

/// `[listener.NAME]`: addresses on which clients are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name in the file, in logs and in metrics.
    pub name: Spanned<String>,
    /// The addresses; never empty.
    pub bind: Vec<Spanned<SocketAddr>>,
    /// What is served.
    pub mode: Spanned<Mode>,
    /// Who serves, with every mode but HTTP; not there where `sni` says it all.
    pub upstream: Option<Spanned<String>>,
    /// Who serves by the host that clients ask for in TLS that passes through; empty: it is not looked at.
    pub sni: Vec<(Spanned<HostPattern>, Spanned<String>)>,
    /// Every request is answered by a redirect to this port of https.
    pub redirect_to_https: Option<Spanned<u16>>,
    /// The protocols that are spoken.
    pub protocols: Spanned<Protocols>,
    /// TLS; `None`: plain.
    pub tls: Option<Tls>,
    /// A PROXY header is required, from `trusted_proxies`.
    pub proxy_protocol: bool,
    /// Peers whose PROXY headers and X-Forwarded-* fields are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How long the client may take.
    pub timeouts: ListenerTimeouts,
    /// How much the client may send.
    pub limits: ListenerLimits,
    /// What becomes of the `Server` field of answers.
    pub server_header: ServerHeader,
    /// The field that carries the request's id both ways; `None`: no id.
    pub request_id: Option<Spanned<String>>,
    /// What requests to an upstream say in Via.
    pub via: Via,
    /// Who is let in.
    pub access: Access,
}

impl Listener {
    /// What carries its clients' bytes.
    #[must_use]
    pub fn transport(&self) -> Transport {
        match self.mode.value {
            Mode::Http | Mode::Tcp => Transport::Tcp,
            Mode::Udp => Transport::Udp,
        }
    }

    /// What it listens on.
    pub fn endpoints(&self) -> impl Iterator<Item = Spanned<Endpoint>> {
        let transport = self.transport();
        self.bind.iter().map(move |bind| Spanned::new(Endpoint { transport, address: bind.value }, bind.span))
    }

    /// The addresses that take connections.
    pub fn tcp_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.endpoints().map(|endpoint| endpoint.value).filter(|e| e.transport == Transport::Tcp).map(|e| e.address)
    }
}

/// `access = { allow = [..], deny = [..] }`: who is let in, by address. The most specific network decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Networks that are let in; where there are any, nobody else is.
    pub allow: Vec<IpNet>,
    /// Networks that are not.
    pub deny: Vec<IpNet>,
}

/// So many in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceRate {
    /// How many.
    pub count: NonZeroU32,
    /// In which time.
    pub period: Duration,
    /// How many at once after a pause; `None`: `count`.
    pub burst: Option<NonZeroU32>,
}

/// What a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Exchanges, by sites and their routes.
    Http,
    /// Connections, passed on to an upstream byte by byte.
    Tcp,
    /// Datagrams, passed on to an upstream.
    Udp,
}

impl Mode {
    /// The word of the file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// The protocols that a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocols {
    /// HTTP/1.1 and HTTP/1.0.
    pub http1: bool,
    /// HTTP/2, offered by ALPN.
    pub h2: bool,
    /// HTTP/2 by prior knowledge on a plain listener (RFC 9113 §3.3).
    pub h2c: bool,
}

/// `[listener.NAME.tls]`: at least one of `certificates` and `directory` is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Pairs named one by one, in file order.
    pub certificates: Vec<Spanned<CertificatePair>>,
    /// A folder of NAME.crt and NAME.key.
    pub directory: Option<Spanned<PathBuf>>,
    /// The oldest version that is accepted.
    pub min_version: TlsVersion,
    /// The CAs of client certificates; `None`: clients are not asked for one.
    pub client_ca: Option<Spanned<PathBuf>>,
    /// Whether a client must show a certificate; means nothing without `client_ca`.
    pub client_auth: ClientAuth,
}

/// A certificate chain and its private key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificatePair {
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

/// Whether a client must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// A handshake without a valid one fails.
    Required,
    /// One that is shown must be valid.
    Optional,
}

/// `listener.NAME.timeouts`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerTimeouts {
    /// The whole TLS handshake.
    pub handshake: Duration,
    /// A whole request head, from its first byte.
    pub head: Duration,
    /// Between two bytes of a request body.
    pub body: Duration,
    /// Between two bytes that the client takes.
    pub send: Duration,
    /// A connection without an exchange; of other modes a session without a byte either way.
    pub idle: Duration,
    /// A tunnel without a byte either way.
    pub tunnel: Duration,
    /// A whole session of a tcp listener; `None`: no limit.
    pub total: Option<Duration>,
}

/// `listener.NAME.limits`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerLimits {
    /// Open connections.
    pub connections: u32,
    /// Bytes of a request head.
    pub head: usize,
    /// Fields of a request head.
    pub headers: usize,
    /// Bytes of a request target.
    pub uri: usize,
    /// Bytes of a request body.
    pub body: u64,
    /// HTTP/2 streams open at once on one connection.
    pub streams: u32,
    /// HTTP/2 frames that carry nothing of a request, in one second on one connection.
    pub control_frames: u32,
    /// Bytes a second that a request body must come at; 0: any rate.
    pub body_rate: u64,
    /// Bytes a second that a client must take; 0: any rate.
    pub send_rate: u64,
    /// TLS handshakes under way at once on a thread.
    pub handshakes: usize,
    /// Flows of a udp listener at once.
    pub flows: usize,
    /// What one source may do.
    pub source: SourceLimits,
}

/// `listener.NAME.limits.source_*`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceLimits {
    /// Connections, or flows, open at once; `None`: any number.
    pub connections: Option<u32>,
    /// New connections, or flows; `None`: any number.
    pub connection_rate: Option<SourceRate>,
    /// Requests; `None`: any number.
    pub request_rate: Option<SourceRate>,
    /// Leading bits of an IPv4 address that make a source.
    pub prefix: u8,
    /// Leading bits of an IPv6 address that make a source.
    pub prefix_v6: u8,
    /// Sources that are remembered.
    pub remembered: usize,
}

/// What becomes of the `Server` field of answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerHeader {
    /// The upstream's passes as it is.
    Pass,
    /// None is sent.
    Remove,
    /// This is sent in its place.
    Text(Spanned<String>),
}

/// What requests to an upstream say in Via (RFC 9110 §7.6.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// Nothing of haechi.
    Off,
    /// That they came through a haechi.
    Plain,
    /// That they came through this one: the name is nobody else's on their way.
    Named(String),
}
