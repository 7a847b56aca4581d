//! What part a database server takes in its group, and who gets writes and reads by it.
//!
//! In comes what the checks saw of each server, an [`Answer`]; out go verdicts, a [`Memory`] to be kept and
//! [`Event`]s to be told. [`Machine`] decides: it is pure, and there is one for each upstream whose check
//! has a role. [`Pools`] holds those that run.
//!
//! What always holds: a server starts without a role and gets nobody; it has one only by completed checks;
//! haechi follows whoever promotes and promotes nobody.

mod confirm;
mod decision;
mod event;
mod machine;
mod member;
mod memory;
pub mod observation;
mod pools;
mod primary;
mod replica;
mod seen;
mod settings;
mod status;
#[cfg(test)]
mod tests;
mod verdict;

pub use confirm::{ConfirmFault, Confirmed};
pub use decision::Decision;
pub use event::Event;
pub use machine::{Input, Machine, Named, Output};
pub use memory::{Aside, Known, Memory, Why};
pub use observation::{
    Answer, Channel, Identity, Observation, PostgresAnswer, RedisAnswer, RedisRole, Thread, Writable,
};
pub use pools::Pools;
pub use seen::{Following, Seen, Source};
pub use settings::{Fallback, Role, Settings};
pub use status::{AsideStatus, DecisionStatus, KnownStatus, MemberCounts, MemberStatus, PoolCounts, PoolStatus};
pub use verdict::{Loss, Reason, Standing, Verdict};
