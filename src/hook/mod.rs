//! What an operator wants to be run or asked when something happens: a program with the words on its
//! standard input, or a URL that they are posted to.
//!
//! Both block the thread that calls them, until the end or their timeout: whoever has hooks has a thread for
//! them. What always holds: a program that takes too long is killed with all that it started.

mod child;
mod post;

use std::path::PathBuf;

pub use child::{ChildError, hold_programs, run};
pub use post::{PostError, post};

use crate::config;

/// A program with its arguments, and whom it runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its whole path.
    pub path: PathBuf,
    /// What it is started with.
    pub arguments: Vec<String>,
    /// `None`: as this process does.
    pub user: Option<String>,
}

impl Program {
    /// A program as it was written; where no user was, it runs as `user`.
    #[must_use]
    pub fn of(written: &config::Command, user: Option<&str>) -> Self {
        Self {
            path: written.program.value.clone(),
            arguments: written.arguments.clone(),
            user: written.user.as_ref().map(|user| user.value.clone()).or_else(|| user.map(str::to_owned)),
        }
    }
}
