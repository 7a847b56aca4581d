//! The operator's word on who is the primary.

use std::sync::Arc;

use super::machine::Machine;
use super::settings::Role;
use crate::codec::gtid::GtidSet;

/// A word that was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Confirmed {
    /// The server's place in the pool.
    pub place: usize,
    /// Its name.
    pub server: Arc<str>,
    /// Transactions of the last primary that are given up; `None`: none is known to be lost.
    pub lost: Option<GtidSet>,
    /// Servers that take writes as well: they get nothing until they are seen read-only.
    pub dismissed: Vec<Arc<str>>,
}

/// Why a word is not taken.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConfirmFault {
    /// Its pool is one for readers.
    #[error("this upstream has no primary: its role is `replica`")]
    NoPrimary,
    /// No server has this name.
    #[error("no server is called `{0}`; there are {1}")]
    NoServer(String, String),
    /// The newest check had no answer.
    #[error("`{server}` does not answer: {why}")]
    Silent {
        /// Its name.
        server: Arc<str>,
        /// What the newest check met.
        why: Arc<str>,
    },
    /// It takes no writes.
    #[error("`{0}` is read-only: promote it first, haechi only follows")]
    ReadOnly(Arc<str>),
    /// What it gets from another comes into what it writes.
    #[error("`{server}` replicates from `{source_server}`: stop that first (STOP REPLICA)")]
    Replicates {
        /// Its name.
        server: Arc<str>,
        /// Its source's.
        source_server: Arc<str>,
    },
    /// It lacks transactions, and nobody has said that they may be lost.
    #[error(
        "`{server}` lacks transactions that `{primary}` was seen to have: {missing}; with --accept-data-loss they are given up"
    )]
    Missing {
        /// Its name.
        server: Arc<str>,
        /// The last primary's.
        primary: String,
        /// Those.
        missing: GtidSet,
    },
}

/// Whether this server can be the primary by the operator's word.
pub(super) fn confirm(pool: &Machine, server: &str, accept_loss: bool) -> Result<Confirmed, ConfirmFault> {
    if pool.settings.role != Role::Primary {
        return Err(ConfirmFault::NoPrimary);
    }
    let found = pool.members.iter().enumerate().find(|(_, member)| *member.name == *server);
    let Some((place, member)) = found else {
        let names: Vec<String> = pool.members.iter().map(|member| format!("`{}`", member.name)).collect();
        return Err(ConfirmFault::NoServer(server.to_owned(), names.join(", ")));
    };
    let server = Arc::clone(&member.name);
    let Some(seen) = member.fresh() else {
        let why = member.failure.as_ref().map_or_else(|| "it was not asked yet".into(), |(_, why)| Arc::clone(why));
        return Err(ConfirmFault::Silent { server, why });
    };
    if !seen.writable {
        return Err(ConfirmFault::ReadOnly(server));
    }
    if let Some(source) = pool.source_in_pool(place).and_then(|source| pool.members.get(source)) {
        return Err(ConfirmFault::Replicates { server, source_server: Arc::clone(&source.name) });
    }
    let lost = pool.missing(place);
    if let Some(missing) = lost.clone().filter(|_| !accept_loss) {
        let primary = pool.memory.primary.as_ref().map(|known| known.server.to_string()).unwrap_or_default();
        return Err(ConfirmFault::Missing { server, primary, missing });
    }
    let rivals = pool.members.iter().enumerate().filter(|(other, _)| *other != place);
    let dismissed = rivals
        .filter(|(_, rival)| rival.may_be_writable(pool.settings.fall))
        .map(|(_, rival)| Arc::clone(&rival.name))
        .collect();
    Ok(Confirmed { place, server, lost, dismissed })
}
