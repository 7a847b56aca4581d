//! `[upstream.NAME.hooks]`

use std::time::Duration;

use super::Command;
use crate::diagnostic::Spanned;

/// What is run when something happens to a pool of database servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolHooks {
    /// The primary is dead and no other server takes writes.
    pub lost: Option<PoolHook>,
    /// Another server is the primary.
    pub changed: Option<PoolHook>,
}

/// A program, a URL, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolHook {
    /// What is run.
    pub command: Option<Command>,
    /// What is posted to: `http://` or `https://`.
    pub post: Option<Spanned<String>>,
    /// How long each may take.
    pub timeout: Duration,
}
