//! Which route answers a request: first the site by its host, then the route by its path.
//!
//! In come a host and a normal path (see [`crate::message::RequestTarget`]); out go indices, which
//! mean something to whoever built the router. It is pure, built once a snapshot, and a look-up
//! neither allocates nor takes a lock; it costs the same for one site and for 5,000.
//!
//! Hosts: exact, then the longest wildcard (`*.example` stands for any depth below), then `*`.
//! Once a host has chosen its site, no other site is asked.
//!
//! Paths, as in nginx: an exact path wins at once. Else the longest prefix is remembered, the
//! regexes are tried in file order and the first that matches wins; the remembered prefix is for
//! when none does. A prefix is text, not segments: `/app` also covers `/apple`.

use regex::bytes::Captures;

use crate::telemetry::ThreadId;

mod host;
mod path;
mod patterns;

pub use host::Hosts;
use path::Paths;
use patterns::Patterns;

/// What one site brings: the hosts it is for and, for each way to match a path, the route.
#[derive(Clone, Debug, Default)]
pub struct SiteRoutes {
    /// Names, `*.name` or `*`; letters' case does not matter.
    pub hosts: Vec<String>,
    /// Whole paths.
    pub exact: Vec<(String, usize)>,
    /// Beginnings of paths.
    pub prefixes: Vec<(String, usize)>,
    /// Regexes in file order.
    pub regexes: Vec<(String, usize)>,
}

/// Why a router cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum RouterFault {
    /// The regex does not compile or grows too large.
    #[error("regex `{pattern}` cannot be used")]
    Regex {
        /// As written.
        pattern: String,
        /// What the regex engine says.
        source: Box<regex::Error>,
    },
}

/// Sites and routes, ready to be asked.
#[derive(Debug)]
pub struct Router {
    hosts: Hosts,
    sites: Box<[Paths]>,
    patterns: Patterns,
}

/// The answer of a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Index into the sites given to [`Router::new`].
    pub site: usize,
    /// The route, as numbered by the site; none: 404.
    pub route: Option<usize>,
    /// How many bytes of the normal path an exact path or a prefix covered; 0 for a regex.
    pub matched: usize,
    pattern: Option<u32>,
}

impl Router {
    /// A router over these sites for this many data-plane threads. Where two sites claim the same
    /// host, or two routes of a site the same path, the first has it.
    ///
    /// # Errors
    /// [`RouterFault`] for a regex that does not compile.
    pub fn new(sites: &[SiteRoutes], threads: usize) -> Result<Self, RouterFault> {
        let hosts = Hosts::new(sites.iter().map(|site| site.hosts.as_slice()));
        let mut patterns = patterns::Builder::default();
        let sites = sites.iter().map(|site| Paths::new(site, &mut patterns)).collect::<Result<_, _>>()?;
        Ok(Self { hosts, sites, patterns: patterns.build(threads) })
    }

    /// The site and route of a request; none: no site is for this host.
    ///
    /// `host` is in lower case without port, `path` normal; `thread` is the caller's own.
    #[must_use]
    pub fn find(&self, thread: ThreadId, host: &[u8], path: &[u8]) -> Option<Found> {
        let site = self.hosts.find(host)?;
        let nothing = Found { site, route: None, matched: 0, pattern: None };
        let Some(paths) = self.sites.get(site) else { return Some(nothing) };
        if let Some(route) = paths.exact(path) {
            return Some(Found { route: Some(route), matched: path.len(), ..nothing });
        }
        if let Some((pattern, route)) = paths.first_regex(|pattern| self.patterns.is_match(thread, pattern, path)) {
            return Some(Found { route: Some(route), pattern: Some(pattern), ..nothing });
        }
        Some(match paths.longest_prefix(path) {
            Some((matched, route)) => Found { route: Some(route), matched, ..nothing },
            None => nothing,
        })
    }

    /// What the groups of the regex that chose this route hold; none for other routes.
    #[must_use]
    pub fn captures<'p>(&self, thread: ThreadId, found: &Found, path: &'p [u8]) -> Option<Captures<'p>> {
        self.patterns.captures(thread, found.pattern?, path)
    }
}

#[cfg(test)]
mod tests;
