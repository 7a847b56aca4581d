//! Which server gets the next exchange.
//!
//! In come the servers of an upstream and the key of an exchange, out goes one server or none. All
//! of it is pure: no I/O, no clock, no allocation; the only things written are cells of the calling
//! thread, by plain loads and stores.
//!
//! What always holds, for `ip_hash` and `hash`: the choice depends on the key and on the identities
//! and weights of the usable servers, on nothing else. So it is the same on every thread, after
//! every restart and on both hosts of a pair; when a server is lost only its clients move, and they
//! come back when it returns.

use std::net::IpAddr;
use std::sync::Arc;

use super::Server;
use crate::telemetry::ThreadId;

mod dice;
mod hash;
mod least_conn;
mod ramp;
mod random;
mod rendezvous;
mod round_robin;
#[cfg(test)]
mod tests;

pub use hash::{HashOn, IpHash};
pub use least_conn::LeastConn;
pub use ramp::Ramp;
pub use random::Random;
pub use round_robin::RoundRobin;

/// What an exchange is balanced by.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// The client's address, after PROXY header and trusted proxies.
    pub client: IpAddr,
    /// The value of the header or cookie that [`Balance::Hash`] names, where the request has it;
    /// without it the client's address stands in.
    pub hashed: Option<&'a [u8]>,
}

/// How an upstream chooses among its usable servers.
#[derive(Debug)]
pub enum Balance {
    /// In turn, smoothly by weight.
    RoundRobin(RoundRobin),
    /// The one with the fewest leases in use for its weight.
    LeastConn(LeastConn),
    /// The less loaded of two random ones.
    Random(Random),
    /// By the client's address.
    IpHash(IpHash),
    /// By a header or a cookie.
    Hash(HashOn),
}

impl Balance {
    /// Whether the choice reads [`super::ServerState::active`], so that leases must count there.
    #[must_use]
    pub fn reads_active(&self) -> bool {
        matches!(self, Self::LeastConn(_) | Self::Random(_))
    }

    /// Chooses a server as [`super::Upstream::pick`] tells.
    #[must_use]
    pub fn pick<'s>(
        &self,
        servers: &'s [Arc<Server>],
        thread: ThreadId,
        key: &Key<'_>,
        tried: &[u32],
        ramp: Option<Ramp>,
    ) -> Option<&'s Arc<Server>> {
        let all = Candidates { servers, tier: Tier::PRIMARY, tried, ramp };
        match self {
            Self::RoundRobin(turns) => all.first(Tier::NEW_SESSIONS, |candidates| turns.pick(candidates, thread)),
            Self::LeastConn(least) => all.first(Tier::NEW_SESSIONS, |candidates| least.pick(candidates, thread)),
            Self::Random(random) => all.first(Tier::NEW_SESSIONS, |candidates| random.pick(candidates, thread)),
            Self::IpHash(hash) => {
                let key = hash.key(key.client);
                all.first(Tier::EVERY, |candidates| rendezvous::choose(candidates, key))
            }
            Self::Hash(_) => {
                let key = hash::key(key);
                all.first(Tier::EVERY, |candidates| rendezvous::choose(candidates, key))
            }
        }
    }
}

/// A group of servers of the same rank.
#[derive(Clone, Copy)]
struct Tier {
    backup: bool,
    drain: bool,
}

impl Tier {
    const PRIMARY: Self = Self { backup: false, drain: false };
    const BACKUP: Self = Self { backup: true, drain: false };

    /// The tiers that get new sessions, best first.
    const NEW_SESSIONS: &[Self] = &[Self::PRIMARY, Self::BACKUP];
    /// Whoever comes by a hash may have a session on a draining server, so that one is a better
    /// answer than none.
    const EVERY: &[Self] =
        &[Self::PRIMARY, Self::BACKUP, Self { backup: false, drain: true }, Self { backup: true, drain: true }];
}

/// The servers that may be chosen for one exchange.
#[derive(Clone, Copy)]
struct Candidates<'s, 't> {
    servers: &'s [Arc<Server>],
    tier: Tier,
    tried: &'t [u32],
    ramp: Option<Ramp>,
}

impl<'s> Candidates<'s, '_> {
    /// What `choose` finds in the best tier where it finds something.
    fn first(
        self,
        tiers: &[Tier],
        choose: impl Fn(Candidates<'s, '_>) -> Option<&'s Arc<Server>>,
    ) -> Option<&'s Arc<Server>> {
        tiers.iter().find_map(|tier| choose(Candidates { tier: *tier, ..self }))
    }

    /// The weight that counts now.
    fn weight(&self, server: &Server) -> u32 {
        self.ramp.map_or(server.weight, |ramp| ramp.weight(server))
    }

    fn iter(self) -> impl Iterator<Item = &'s Arc<Server>> {
        self.positions().map(|(_, server)| server)
    }

    /// The candidates with their place in the upstream's list.
    fn positions(self) -> impl Iterator<Item = (usize, &'s Arc<Server>)> {
        self.servers.iter().enumerate().filter(move |(_, server)| {
            server.backup == self.tier.backup
                && server.drain == self.tier.drain
                && server.address.is_some()
                && server.state.health().is_usable()
                && !self.tried.contains(&server.state.id)
        })
    }
}

/// Whether `left` has less to do for its weight than `right`, the exchange to come included.
/// `None`: as much, or nothing either: a light server that rests is not passed over for ever.
fn less_loaded(left: (u32, u32), right: (u32, u32)) -> Option<bool> {
    let ((left_active, left_weight), (right_active, right_weight)) = (left, right);
    if left_active == 0 && right_active == 0 {
        return None;
    }
    let left = (u64::from(left_active) + 1) * u64::from(right_weight);
    let right = (u64::from(right_active) + 1) * u64::from(left_weight);
    (left != right).then_some(left < right)
}

/// Spreads every bit of `x` over the whole word: Stafford's 13th variant of the murmur3 finaliser.
const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
