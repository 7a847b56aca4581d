//! What the operator wrote about an instance, as far as the machine goes by it.

use std::time::Duration;

use crate::vrrp::announce::Schedule;
use crate::vrrp::interval::AdvertInterval;
use crate::vrrp::priority::Priority;

/// How long after a link came back nothing is claimed: switches learn, neighbours are asked anew.
pub const HOLD_DOWN: Duration = Duration::from_secs(1);

/// What an instance goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The virtual router.
    pub vrid: u8,
    /// The time between two of our adverts; tells the version.
    pub interval: AdvertInterval,
    /// Before tracking lowers it.
    pub priority: Priority,
    /// Whether it takes over from a living host of lower priority. An address owner always does.
    pub preempt: bool,
    /// How long it has to be well before it does.
    pub preempt_delay: Duration,
    /// How long after a link came back nothing is claimed, usually [`HOLD_DOWN`].
    pub hold_down: Duration,
    /// Who goes first when both hosts may be serving.
    pub on_partition: OnPartition,
    /// When the network is told.
    pub announcements: Schedule,
}

/// What is done when another host serves the virtual addresses and its adverts do not come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnPartition {
    /// Claim, as the RFC says: somebody may not reach the other host.
    #[default]
    Serve,
    /// Do not, for three down intervals: two at once do harm.
    Stop,
}
