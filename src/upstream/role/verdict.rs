//! What a server of a pool gets, and why.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::codec::gtid::GtidSet;

/// What a server gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everybody.
    Serves,
    /// Those who are connected stay; nobody comes.
    Keeps,
    /// Nobody, and who is connected is cut.
    Out,
}

/// Why a server gets what it gets.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// No check has ended yet.
    NotSeen,
    /// It is the primary.
    Primary {
        /// Of the decision.
        epoch: u64,
    },
    /// The primary, and a newest check without an answer does not make it a dead one yet.
    Unanswered {
        /// Checks without an answer.
        failures: u32,
        /// How many make a dead one.
        fall: u32,
    },
    /// It did not answer `fall` checks in a row.
    Silent(Arc<str>),
    /// It takes no writes.
    ReadOnly,
    /// It is writable, and others have not been looked at yet.
    Learning,
    /// It is writable, but not seen so often enough yet.
    Rising {
        /// Checks in a row.
        seen: u32,
        /// How many are needed.
        rise: u32,
    },
    /// It is the new primary as soon as that is on the disk.
    Recording {
        /// Of the decision.
        epoch: u64,
    },
    /// More than one server takes writes.
    Double {
        /// Their names.
        servers: Vec<Arc<str>>,
    },
    /// A server takes writes and replicates from another of the pool.
    Entangled {
        /// The one.
        server: Arc<str>,
        /// The other.
        source: Arc<str>,
    },
    /// It is writable, and the last primary may be too: it has not answered for less than `fall` checks.
    MayBeDouble {
        /// The last primary.
        primary: Arc<str>,
    },
    /// It lacks transactions that the last primary was seen to have.
    Missing {
        /// The last primary.
        primary: Arc<str>,
        /// Those.
        gtids: GtidSet,
    },
    /// It was the primary before, and takes writes as if it were still.
    Deposed {
        /// The one that is.
        primary: Arc<str>,
    },
    /// The operator has named another one.
    Dismissed {
        /// That one.
        primary: Arc<str>,
    },
    /// Whether there was another primary cannot be read any more.
    Doubtful,
    /// It follows closely.
    Follows {
        /// How far behind it was as it became ready.
        within: Duration,
    },
    /// It takes writes: readers are sent to replicas.
    Writable,
    /// It replicates from nobody.
    FollowsNobody,
    /// Its replication does not run.
    Stopped(Box<str>),
    /// It does not know how far behind it is.
    LagUnknown,
    /// It is too far behind.
    Lags {
        /// How far.
        lag: Duration,
        /// How far it may be.
        max: Duration,
    },
    /// The primary, in place of replicas of which none can.
    Fallback,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSeen => f.write_str("its role is not known yet"),
            Self::Primary { epoch } => write!(f, "the primary, epoch {epoch}"),
            Self::Unanswered { failures, fall } => {
                write!(f, "the primary, without an answer for {failures} of {fall} checks")
            }
            Self::Silent(why) => write!(f, "no answer: {why}"),
            Self::ReadOnly => f.write_str("read-only"),
            Self::Learning => f.write_str("writable; the other servers have not been looked at yet"),
            Self::Rising { seen, rise } => write!(f, "seen in its role for {seen} of {rise} checks"),
            Self::Recording { epoch } => write!(f, "writable; epoch {epoch} is not on the disk yet"),
            Self::Double { servers } => write!(f, "{} take writes: no new ones go to any", servers.join(" and ")),
            Self::Entangled { server, source } => {
                write!(f, "{server} takes writes and replicates from {source}: no new ones go to any")
            }
            Self::MayBeDouble { primary } => {
                write!(f, "writable, but {primary} is not known to be dead or read-only yet")
            }
            Self::Missing { primary, gtids } => write!(f, "lacks transactions that {primary} had: {gtids}"),
            Self::Deposed { primary } => write!(f, "an old primary: {primary} is since"),
            Self::Dismissed { primary } => write!(f, "passed over by the operator, who has named {primary}"),
            Self::Doubtful => f.write_str("writable, but what was known of the last primary cannot be read"),
            Self::Follows { within } => write!(f, "follows within {within:?}"),
            Self::Writable => f.write_str("takes writes"),
            Self::FollowsNobody => f.write_str("replicates from nobody"),
            Self::Stopped(what) => write!(f, "does not replicate {what}"),
            Self::LagUnknown => f.write_str("does not know how far behind it is"),
            Self::Lags { lag, max } => write!(f, "{lag:?} behind, more than {max:?}"),
            Self::Fallback => f.write_str("the primary, as no replica can serve"),
        }
    }
}

/// How a pool is as a whole.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// Not every server has been looked at, or not often enough.
    Learning,
    /// One server is the primary. Of replicas: so many serve.
    Serving {
        /// Servers that get somebody.
        servers: usize,
    },
    /// Nobody new gets anywhere: the last primary does not answer just now, and another is writable.
    Unsure,
    /// More than one server takes writes, or one that replicates from another of the pool.
    Double {
        /// All that are concerned, by their place in the pool.
        servers: Vec<usize>,
    },
    /// The one writable server is not accepted.
    Refused {
        /// By its place in the pool.
        server: usize,
        /// Why.
        reason: Reason,
    },
    /// No server takes writes. Of replicas: none serves.
    Lost(Loss),
    /// Readers are served by the primary.
    Fallback,
}

/// How a primary was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// There was none yet.
    Never,
    /// It is seen read-only: somebody has taken its role away.
    ReadOnly,
    /// It does not answer.
    Silent,
    /// It is in the pool no more.
    Gone,
}

impl Standing {
    /// As it stands in logs, metrics and /status.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Learning => "learning",
            Self::Serving { .. } => "serving",
            Self::Unsure => "unsure",
            Self::Double { .. } => "double_primary",
            Self::Refused { .. } => "refused",
            Self::Lost(_) => "lost",
            Self::Fallback => "fallback",
        }
    }
}

impl Verdict {
    /// As it stands in logs and /status.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Serves => "serves",
            Self::Keeps => "keeps",
            Self::Out => "out",
        }
    }
}

impl Loss {
    /// As hooks are told it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::ReadOnly => "read_only",
            Self::Silent => "silent",
            Self::Gone => "gone",
        }
    }
}
