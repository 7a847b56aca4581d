//! Host to site, or to whatever else is numbered.

use std::collections::HashMap;

/// Exact names, wildcards and the site for all others.
#[derive(Debug, Default)]
pub struct Hosts {
    exact: HashMap<Box<[u8]>, usize>,
    /// `*.example` stands here as `example`.
    below: HashMap<Box<[u8]>, usize>,
    /// The longest key of `below`, in bytes.
    below_length: usize,
    any: Option<usize>,
}

impl Hosts {
    /// Of each, by its number, the names: exact, `*.example` or `*`. Of two with the same name the first has it.
    pub fn new<'s>(sites: impl Iterator<Item = &'s [String]>) -> Self {
        let mut hosts = Self::default();
        for (site, names) in sites.enumerate() {
            for name in names {
                hosts.add(&name.to_ascii_lowercase(), site);
            }
        }
        hosts
    }

    /// Whose host this is: exact, then the longest wildcard, then `*`.
    #[must_use]
    pub fn find(&self, host: &[u8]) -> Option<usize> {
        if let Some(site) = self.exact.get(host) {
            return Some(*site);
        }
        if self.below_length > 0 {
            // The suffixes come longest first.
            let suffixes = memchr::memchr_iter(b'.', host).map(|dot| &host[dot + 1..]);
            let mut fitting = suffixes.filter(|suffix| suffix.len() <= self.below_length);
            if let Some(site) = fitting.find_map(|suffix| self.below.get(suffix)) {
                return Some(*site);
            }
        }
        self.any
    }

    fn add(&mut self, name: &str, site: usize) {
        if name == "*" {
            self.any.get_or_insert(site);
        } else if let Some(parent) = name.strip_prefix("*.") {
            self.below.entry(parent.as_bytes().into()).or_insert(site);
            self.below_length = self.below_length.max(parent.len());
        } else {
            self.exact.entry(name.as_bytes().into()).or_insert(site);
        }
    }
}
