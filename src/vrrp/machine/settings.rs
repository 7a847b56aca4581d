//! What the operator wrote about an instance, as far as the machine goes by it.

use std::time::Duration;

use crate::vrrp::announce::Schedule;
use crate::vrrp::checksum::ChecksumForm;
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
    /// The checksum that we send, to compare it with others'.
    pub checksum: ChecksumForm,
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

impl Settings {
    /// What must be said, and the defaults of the rest: it preempts without delay, and serves in doubt.
    #[must_use]
    pub fn new(vrid: u8, interval: AdvertInterval, priority: Priority) -> Self {
        Self {
            vrid,
            interval,
            checksum: ChecksumForm::default(),
            priority,
            preempt: true,
            preempt_delay: Duration::ZERO,
            hold_down: HOLD_DOWN,
            on_partition: OnPartition::default(),
            announcements: Schedule::default(),
        }
    }
}

/// What is done when another host serves the virtual addresses and its adverts do not come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnPartition {
    /// Claim, as the RFC says: somebody may not reach the other host.
    #[default]
    Serve,
    /// Do not, as long as a host that is known serves, and for three down intervals where a stranger
    /// does: two at once do harm.
    Stop,
}
