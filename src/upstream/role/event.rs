//! What operators and hooks are told of a pool.

use std::sync::Arc;

use super::verdict::{Loss, Reason};
use crate::codec::gtid::GtidSet;

/// Something that began or ended in a pool.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Another server is the primary, or the first one.
    Changed {
        /// The one before.
        old: Option<Arc<str>>,
        /// The one now.
        new: Arc<str>,
        /// The number of the decision.
        epoch: u64,
        /// Whether the operator has said so.
        by_operator: bool,
    },
    /// The primary is dead or gone, and no other takes writes.
    Lost {
        /// Its name.
        server: Arc<str>,
        /// How.
        how: Loss,
        /// The number of the decision that made it the primary.
        epoch: u64,
    },
    /// The primary that was lost is back.
    Found,
    /// More than one server takes writes, or one that replicates from another of the pool.
    Double {
        /// Their names.
        servers: Vec<Arc<str>>,
    },
    /// No more so.
    DoubleOver,
    /// The one server that takes writes is not accepted.
    Refused {
        /// Its name.
        server: Arc<str>,
        /// Why.
        reason: Reason,
    },
    /// A server has transactions that the primary has not.
    Errant {
        /// Its name.
        server: Arc<str>,
        /// Those.
        gtids: GtidSet,
    },
}
