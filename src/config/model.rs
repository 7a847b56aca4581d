//! What the operator wrote, in types: every value read, every constant default filled in.
//!
//! Holding a [`Config`] needs no system call. Names are still names and paths are still paths;
//! `snapshot` turns them into objects. What a later step may complain about carries its [`Span`].

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use crate::diagnostic::{SourceFile, Sources, Span, Spanned};

/// A whole configuration: the main file and what it includes.
#[derive(Clone, Debug)]
pub struct Config {
    /// The files it was read from, for messages of later steps.
    pub sources: Sources,
    /// The folder of the main file.
    pub directory: PathBuf,
    /// The folders that an `include` with `*` looks into: a file that appears there belongs to the config.
    pub include_folders: Vec<PathBuf>,
    /// `[process]`
    pub process: Process,
    /// `[admin]`
    pub admin: Admin,
    /// `[log]`
    pub log: Log,
    /// `[listener.*]` in file order.
    pub listeners: Vec<Listener>,
    /// `[[site]]` in file order, included files after the main one.
    pub sites: Vec<Site>,
    /// `[upstream.*]` in file order, included files after the main one.
    pub upstreams: Vec<Upstream>,
    /// `[error_pages]`: status and file, for every site without a page of its own.
    pub error_pages: Vec<(u16, Spanned<PathBuf>)>,
}

impl Config {
    /// Every config file that was read, the main one first.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.sources.files().iter().map(SourceFile::location).collect()
    }

    /// Every file and folder that the config names and that is read when it is compiled:
    /// certificates, keys, CAs and error pages. Site roots are not among them.
    #[must_use]
    pub fn referenced_files(&self) -> Vec<PathBuf> {
        let mut paths: Vec<&Path> = Vec::new();
        for tls in self.listeners.iter().filter_map(|listener| listener.tls.as_ref()) {
            paths.extend(tls.certificates.iter().flat_map(|pair| [&*pair.value.cert, &*pair.value.key]));
            paths.extend(tls.directory.iter().map(|directory| &*directory.value));
            paths.extend(tls.client_ca.iter().map(|ca| &*ca.value));
        }
        for tls in self.upstreams.iter().filter_map(|upstream| upstream.tls.as_ref()) {
            paths.extend(tls.ca.iter().map(|ca| &*ca.value));
            paths.extend(tls.certificate.iter().flat_map(|pair| [&*pair.value.cert, &*pair.value.key]));
        }
        let pages = self.sites.iter().flat_map(|site| &site.error_pages).chain(&self.error_pages);
        paths.extend(pages.map(|(_, page)| &*page.value));
        paths.sort_unstable();
        paths.dedup();
        paths.into_iter().map(Path::to_path_buf).collect()
    }
}

/// `[process]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Worker threads; 0: one per core.
    pub workers: usize,
    /// On stop: how long keep-alive connections are wound down before the rest begins.
    pub handover_grace: Duration,
    /// How long a drain may last.
    pub shutdown_grace: Duration,
}

/// `[admin]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where /metrics, /status and /healthz answer.
    pub bind: Spanned<SocketAddr>,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Diagnostics at this level and above go to stderr.
    pub level: LogLevel,
    /// The access log.
    pub access: AccessLog,
}

/// How much is said on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// `log.access`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// Where the lines go.
    pub to: AccessLogTarget,
    /// What a line looks like.
    pub format: AccessLogFormat,
}

/// Where access log lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLogTarget {
    /// Standard output.
    Stdout,
    /// A file, opened anew on SIGUSR1.
    File(Spanned<PathBuf>),
}

/// The form of an access log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// One JSON object a line.
    Json,
    /// The combined format of Apache and nginx.
    Combined,
    /// No access log.
    Off,
}

/// `[listener.NAME]`: addresses on which clients are served over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name in the file, in logs and in metrics.
    pub name: Spanned<String>,
    /// The addresses; never empty.
    pub bind: Vec<Spanned<SocketAddr>>,
    /// Every request is answered by a redirect to this port of https.
    pub redirect_to_https: Option<Spanned<u16>>,
    /// The protocols that are spoken.
    pub protocols: Spanned<Protocols>,
    /// TLS; `None`: plain.
    pub tls: Option<Tls>,
    /// Peers whose X-Forwarded-* fields are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How long the client may take.
    pub timeouts: ListenerTimeouts,
    /// How much the client may send.
    pub limits: ListenerLimits,
    /// What becomes of the `Server` field of answers.
    pub server_header: ServerHeader,
    /// The field that carries the request's id both ways; `None`: no id.
    pub request_id: Option<Spanned<String>>,
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
    /// A connection without an exchange.
    pub idle: Duration,
    /// A tunnel without a byte either way.
    pub tunnel: Duration,
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

/// `[[site]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Where the site begins in its file.
    pub span: Span,
    /// The hosts it answers for; never empty.
    pub hosts: Vec<Spanned<HostPattern>>,
    /// The listeners it is on; `None`: every one that does not only redirect.
    pub listeners: Option<Vec<Spanned<String>>>,
    /// Its routes in file order.
    pub routes: Vec<Route>,
    /// Status and file of its own error pages.
    pub error_pages: Vec<(u16, Spanned<PathBuf>)>,
}

/// A host of a site: lower case, no port, no final dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// This host; an IPv6 address stands in brackets, as in a `Host` field.
    Exact(String),
    /// `*.` and this: any host that ends in a dot and this.
    Wildcard(String),
    /// `*`: any host, and none.
    Any,
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Wildcard(suffix) => write!(f, "*.{suffix}"),
            Self::Any => f.write_str("*"),
        }
    }
}

/// `[[site.route]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where the route begins in its file.
    pub span: Span,
    /// Which paths it answers.
    pub matcher: Matcher,
    /// How it answers.
    pub action: Action,
    /// Limits narrower than the listener's.
    pub limits: RouteLimits,
    /// What is done to the fields that go to the upstream.
    pub request_headers: HeaderRules,
    /// What is done to the fields that go to the client.
    pub response_headers: HeaderRules,
}

/// Which paths a route answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Matcher {
    /// `path_exact`
    Exact(Spanned<String>),
    /// `path`: a prefix, byte for byte.
    Prefix(Spanned<String>),
    /// `path_regex`: found anywhere in the path unless anchored. Known to compile.
    Regex(Spanned<String>),
}

impl Matcher {
    /// The text that was written, whatever its kind.
    #[must_use]
    pub fn text(&self) -> &Spanned<String> {
        match self {
            Self::Exact(text) | Self::Prefix(text) | Self::Regex(text) => text,
        }
    }
}

/// How a route answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// From files of a folder.
    Files(Files),
    /// By an upstream.
    Proxy(Proxy),
    /// By a redirect.
    Redirect(Redirect),
    /// By a fixed answer.
    Respond(Respond),
}

/// `files = { .. }`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The folder.
    pub root: Spanned<PathBuf>,
    /// The matched prefix is taken off before the path is looked up.
    pub strip_prefix: bool,
    /// Names tried in this order where the path is a folder.
    pub index: Vec<String>,
    /// Compressed neighbours that are served where the client takes them, the preferred one first.
    pub precompressed: Vec<Precompressed>,
    /// The `Cache-Control` of answers.
    pub cache_control: Option<Spanned<String>>,
    /// The path below `root`, beginning with `/`, that answers for one that is not there.
    pub fallback: Option<Spanned<String>>,
    /// A folder without an index file is listed.
    pub listing: bool,
    /// Names that begin with a dot are served.
    pub hidden: bool,
    /// What is done about symbolic links.
    pub symlinks: Symlinks,
}

/// A content coding whose compressed neighbour of a file may be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precompressed {
    /// `.br`
    Br,
    /// `.gz`
    Gzip,
    /// `.zst`
    Zstd,
}

/// What is done about symbolic links below a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symlinks {
    /// Followed where the target is inside the root.
    Inside,
    /// Followed wherever they lead.
    Follow,
    /// Never followed.
    Deny,
}

/// `proxy = { .. }`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// The name of the upstream; known to be defined.
    pub upstream: Spanned<String>,
    /// The matched prefix is taken off the path.
    pub strip_prefix: bool,
    /// The path that is sent: `${path}`, `${path_rest}`, and `${1}` and on for a regex's captures.
    pub rewrite: Option<Spanned<String>>,
    /// The `Host` that is sent; `None`: the client's.
    pub host: Option<Spanned<String>>,
    /// Bytes of an answer that may be read ahead of a slow client.
    pub read_ahead: usize,
    /// The request field that carries the subject of the client's certificate.
    pub client_certificate_header: Option<Spanned<String>>,
}

/// `redirect = { .. }`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The whole `Location`; `${path}` and `${query}` may stand in it.
    pub to: Spanned<String>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// `respond = { .. }`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Respond {
    /// 200 to 599.
    pub status: u16,
    /// The body.
    pub body: String,
    /// Its `Content-Type`.
    pub content_type: Spanned<String>,
}

/// Route limits narrower than the listener's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteLimits {
    /// Bytes of a request body.
    pub body: Option<u64>,
}

/// Header rules: first `remove`, then `set`, then `add`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderRules {
    /// The field has this value alone.
    pub set: Vec<(Spanned<String>, String)>,
    /// The field gets this value too.
    pub add: Vec<(Spanned<String>, String)>,
    /// The field goes.
    pub remove: Vec<Spanned<String>>,
}

/// `[upstream.NAME]`: a named group of servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Its name in the file, in logs and in metrics.
    pub name: Spanned<String>,
    /// How a server is chosen.
    pub balance: Balance,
    /// The servers in file order; never empty, never all backup.
    pub servers: Vec<Server>,
    /// TLS to the servers; `None`: plain.
    pub tls: Option<UpstreamTls>,
    /// How long a server may take.
    pub timeouts: UpstreamTimeouts,
    /// Connections open at once to one server; `None`: no limit.
    pub max_connections: Option<u32>,
    /// Exchanges that may wait for a connection to one server.
    pub max_queue: u32,
    /// The active check; `None`: none is made.
    pub health: Option<Health>,
}

/// How a server is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Balance {
    /// In turn, smoothly weighted.
    RoundRobin,
    /// The fewest exchanges for its weight.
    LeastConn,
    /// The less busy of two at random.
    Random,
    /// By the client's address.
    IpHash {
        /// Leading bits of an IPv4 address that count, 1 to 32.
        prefix: u8,
        /// Leading bits of an IPv6 address that count, 1 to 128.
        prefix_v6: u8,
    },
    /// By something in the request.
    Hash(HashKey),
}

/// What of a request is hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashKey {
    /// The value of this field.
    Header(String),
    /// The value of this cookie.
    Cookie(String),
}

/// One server of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Where it listens.
    pub address: Spanned<HostPort>,
    /// Its share, 1 to 256.
    pub weight: u16,
    /// Its name in logs and metrics; `None`: the address.
    pub name: Option<Spanned<String>>,
    /// Used only where no other server is up.
    pub backup: bool,
    /// Gets no new sessions.
    pub drain: bool,
}

/// An address that needs no resolver, or a name that does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPort {
    /// A literal address.
    Ip(SocketAddr),
    /// A DNS name in lower case.
    Name {
        /// The name.
        host: String,
        /// The port.
        port: u16,
    },
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// `upstream.NAME.tls`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTls {
    /// The CAs that are believed; `None`: those of the system.
    pub ca: Option<Spanned<PathBuf>>,
    /// The name that is asked for and checked; `None`: the server's host.
    pub server_name: Option<Spanned<String>>,
    /// The certificate that haechi shows.
    pub certificate: Option<Spanned<CertificatePair>>,
}

/// `upstream.NAME.timeouts`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamTimeouts {
    /// Connecting, TLS included.
    pub connect: Duration,
    /// Until the first byte of an answer, and between two bytes of it.
    pub response: Duration,
    /// A pooled connection without an exchange.
    pub idle: Duration,
    /// Waiting for a connection where `max_connections` is reached.
    pub queue: Duration,
}

/// `[upstream.NAME.health]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// What is asked.
    pub kind: HealthKind,
    /// The `Host` of the request; `None`: the server's address.
    pub host: Option<String>,
    /// The statuses that mean healthy.
    pub expect: Vec<RangeInclusive<u16>>,
    /// Text that a healthy answer holds.
    pub body: Option<String>,
    /// From one check to the next.
    pub interval: Duration,
    /// How long one check may take.
    pub timeout: Duration,
    /// Checks in a row that must pass before a server is up.
    pub rise: u32,
    /// Checks in a row that must fail before a server is down.
    pub fall: u32,
}

/// What a health check asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthKind {
    /// A GET of this path.
    Http {
        /// Path and query.
        path: String,
    },
    /// A connection, closed at once.
    Tcp,
}
