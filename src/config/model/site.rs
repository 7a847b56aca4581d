//! `[[site]]` and its routes

use std::fmt;
use std::path::PathBuf;

use super::Access;
use crate::diagnostic::{Span, Spanned};

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
    /// Who is answered.
    pub access: Access,
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
