//! What must not be forgotten of a pool, by a reload, a crash, an upgrade or a restart.

use crate::codec::gtid::{Dialect, GtidFault, GtidSet};
use crate::control;

/// Who was the primary last, and who must not be without somebody's word.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// How often it was decided who the primary is; the higher of two is the later.
    pub epoch: u64,
    /// The last confirmed primary; `None`: there was none yet.
    pub primary: Option<Known>,
    /// Servers that get nothing until they are seen read-only, whoever else is there.
    pub aside: Vec<Aside>,
    /// What was kept cannot be read, so that there may have been a primary: none is accepted without
    /// the operator's word.
    pub doubtful: bool,
}

/// A primary that was confirmed.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// Its name in the pool.
    pub server: Box<str>,
    /// [`super::Seen::identity`].
    pub identity: Box<str>,
    /// What it was last seen to have executed; `None`: its product has no such sets.
    pub gtids: Option<GtidSet>,
}

/// A server that is passed over until it is seen read-only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aside {
    /// Its name in the pool.
    pub server: Box<str>,
    /// [`super::Seen::identity`].
    pub identity: Box<str>,
    /// Why.
    pub why: Why,
}

/// Why a server is set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It was the primary, and another one is since it died: it does not know that yet.
    Deposed,
    /// The operator has named another one while it was writable. It is no rival of that one.
    Dismissed,
}

impl Memory {
    /// Nothing can be read of what was known.
    #[must_use]
    pub fn doubtful() -> Self {
        Self { doubtful: true, ..Self::default() }
    }

    /// As it is kept by the guard.
    #[must_use]
    pub fn letter(&self, upstream: &str) -> control::PoolMemory {
        let primary = self.primary.as_ref().map(|known| control::KnownPrimary {
            server: known.server.to_string(),
            identity: known.identity.to_string(),
            dialect: known.gtids.as_ref().map(|gtids| match gtids.dialect() {
                Dialect::MySql => control::GtidDialect::MySql,
                Dialect::MariaDb => control::GtidDialect::MariaDb,
            }),
            gtids: known.gtids.as_ref().map(ToString::to_string).unwrap_or_default(),
        });
        let aside = self.aside.iter().map(|aside| control::SetAside {
            server: aside.server.to_string(),
            identity: aside.identity.to_string(),
            dismissed: aside.why == Why::Dismissed,
        });
        control::PoolMemory {
            upstream: upstream.to_owned(),
            epoch: self.epoch,
            primary,
            aside: aside.collect(),
            doubtful: self.doubtful,
        }
    }
}

impl TryFrom<&control::PoolMemory> for Memory {
    type Error = GtidFault;

    fn try_from(kept: &control::PoolMemory) -> Result<Self, GtidFault> {
        let known = |known: &control::KnownPrimary| {
            let dialect = known.dialect.map(|dialect| match dialect {
                control::GtidDialect::MySql => Dialect::MySql,
                control::GtidDialect::MariaDb => Dialect::MariaDb,
            });
            let gtids = dialect.map(|dialect| GtidSet::parse(dialect, &known.gtids)).transpose()?;
            Ok(Known { server: known.server.as_str().into(), identity: known.identity.as_str().into(), gtids })
        };
        let aside = kept.aside.iter().map(|aside| Aside {
            server: aside.server.as_str().into(),
            identity: aside.identity.as_str().into(),
            why: if aside.dismissed { Why::Dismissed } else { Why::Deposed },
        });
        Ok(Self {
            epoch: kept.epoch,
            primary: kept.primary.as_ref().map(known).transpose()?,
            aside: aside.collect(),
            doubtful: kept.doubtful,
        })
    }
}
