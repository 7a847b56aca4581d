//! Path to route, within one site.

use super::{RouterFault, SiteRoutes, patterns};

/// The routes of one site.
#[derive(Debug)]
pub(super) struct Paths {
    /// Sorted by path.
    exact: Box<[(Box<[u8]>, usize)]>,
    /// Sorted by text.
    prefixes: Box<[Prefix]>,
    /// In file order: pattern and route.
    regexes: Box<[(u32, usize)]>,
}

#[derive(Debug)]
struct Prefix {
    text: Box<[u8]>,
    route: usize,
    /// The longest other prefix that this one begins with.
    parent: Option<usize>,
}

impl Paths {
    pub(super) fn new(site: &SiteRoutes, patterns: &mut patterns::Builder) -> Result<Self, RouterFault> {
        let regexes = site.regexes.iter().map(|(pattern, route)| Ok((patterns.add(pattern)?, *route)));
        Ok(Self {
            regexes: regexes.collect::<Result<_, _>>()?,
            exact: sorted(&site.exact).into(),
            prefixes: with_parents(sorted(&site.prefixes)),
        })
    }

    pub(super) fn exact(&self, path: &[u8]) -> Option<usize> {
        let at = self.exact.binary_search_by(|(text, _)| (**text).cmp(path)).ok()?;
        self.exact.get(at).map(|(_, route)| *route)
    }

    pub(super) fn first_regex(&self, is_match: impl Fn(u32) -> bool) -> Option<(u32, usize)> {
        self.regexes.iter().copied().find(|(pattern, _)| is_match(*pattern))
    }

    /// Length and route of the longest prefix.
    ///
    /// Every prefix of `path` sorts at or before `path`, and whatever sorts between the longest
    /// one and `path` begins with it: so it is the last entry not after `path` or one of the
    /// entries that this one begins with.
    pub(super) fn longest_prefix(&self, path: &[u8]) -> Option<(usize, usize)> {
        let mut at = self.prefixes.partition_point(|prefix| *prefix.text <= *path).checked_sub(1);
        while let Some(prefix) = at.and_then(|at| self.prefixes.get(at)) {
            if path.starts_with(&prefix.text) {
                return Some((prefix.text.len(), prefix.route));
            }
            at = prefix.parent;
        }
        None
    }
}

/// By text; of equal texts only the first stays.
fn sorted(paths: &[(String, usize)]) -> Vec<(Box<[u8]>, usize)> {
    let mut sorted: Vec<_> = paths.iter().map(|(text, route)| (Box::from(text.as_bytes()), *route)).collect();
    // The sort is stable, so file order stands within equal texts.
    sorted.sort_by(|(one, _): &(Box<[u8]>, _), (other, _)| one.cmp(other));
    sorted.dedup_by(|(later, _), (earlier, _)| later == earlier);
    sorted
}

fn with_parents(sorted: Vec<(Box<[u8]>, usize)>) -> Box<[Prefix]> {
    let mut prefixes: Vec<Prefix> = Vec::with_capacity(sorted.len());
    for (text, route) in sorted {
        let mut parent = prefixes.len().checked_sub(1);
        while let Some(candidate) = parent.and_then(|at| prefixes.get(at)) {
            if text.starts_with(&candidate.text) {
                break;
            }
            parent = candidate.parent;
        }
        prefixes.push(Prefix { text, route, parent });
    }
    prefixes.into()
}
