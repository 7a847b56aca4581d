//! What other hosts' adverts tell of their settings, beside ours.

use super::checksum::ChecksumForm;
use super::interval::AdvertInterval;
use super::machine::Settings;
use super::wire::{Overlap, Told};

/// A setting that differs between hosts without an advert being refused for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// It shares our addresses under another virtual router id: both hosts will hold them.
    #[error("another host shares our addresses under virtual router id {theirs}, ours is {ours}")]
    VirtualRouterId {
        /// Of the advert.
        theirs: u8,
        /// Of this instance.
        ours: u8,
    },
    /// The failover takes as long as the active one's interval says.
    #[error("another host sends every {} ms, we every {} ms", .theirs.duration().as_millis(), .ours.duration().as_millis())]
    Interval {
        /// Of the advert.
        theirs: AdvertInterval,
        /// Of this instance.
        ours: AdvertInterval,
    },
    /// Not every program believes both forms.
    #[error("another host sends checksums of the form {}, we of {}", .theirs.name(), .ours.name())]
    Checksum {
        /// Of the advert.
        theirs: ChecksumForm,
        /// Of this instance.
        ours: ChecksumForm,
    },
    /// Who becomes active is left to the addresses of the hosts.
    #[error("another host has our priority, {0}")]
    Priority(u8),
}

/// How many mismatches there are.
pub(super) const KINDS: usize = 4;

impl Mismatch {
    /// The key of the config to change.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::VirtualRouterId { .. } => "virtual_router_id",
            Self::Interval { .. } => "advert_interval",
            Self::Checksum { .. } => "checksum",
            Self::Priority(_) => "priority",
        }
    }

    /// What to do with the key.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            Self::VirtualRouterId { .. } => "set `virtual_router_id` to the same on both hosts",
            Self::Interval { .. } => "set `advert_interval` to the same on both hosts",
            Self::Checksum { .. } => "set `checksum` to what the other host sends",
            Self::Priority(_) => "give the host that should be active the higher `priority`",
        }
    }

    /// Its place among the [`KINDS`].
    pub(super) fn place(self) -> usize {
        match self {
            Self::VirtualRouterId { .. } => 0,
            Self::Interval { .. } => 1,
            Self::Priority(_) => 2,
            Self::Checksum { .. } => 3,
        }
    }
}

/// The mismatch of an advert that is believed, or refused for its virtual router id. The priority is
/// compared as it is configured: what tracking makes of it may meet another's by chance.
pub(super) fn compare(told: &Told, ours: &Settings) -> Option<Mismatch> {
    if told.vrid != ours.vrid {
        // Other virtual routers live on the link by right, with other addresses.
        let shared = told.addresses != Overlap::None;
        return shared.then_some(Mismatch::VirtualRouterId { theirs: told.vrid, ours: ours.vrid });
    }
    if told.interval != ours.interval {
        return Some(Mismatch::Interval { theirs: told.interval, ours: ours.interval });
    }
    if let Some(theirs) = told.checksum.filter(|theirs| *theirs != ours.checksum) {
        return Some(Mismatch::Checksum { theirs, ours: ours.checksum });
    }
    let priority = ours.priority.value();
    (told.priority == priority).then_some(Mismatch::Priority(priority))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vrrp::interval::Centiseconds;
    use crate::vrrp::priority::Priority;

    #[test]
    fn each_mismatch_names_its_key() {
        let interval = |centiseconds| AdvertInterval::V3(Centiseconds::new(centiseconds).unwrap());
        let ours = Settings::new(51, interval(10), Priority::new(101).unwrap());
        let checksum = Some(ChecksumForm::Keepalived);
        let like = Told { vrid: 51, priority: 100, interval: interval(10), addresses: Overlap::Same, checksum };
        let key = |told: Told| compare(&told, &ours).map(|mismatch| (mismatch.key(), mismatch.to_string()));
        assert_eq!(key(like), None);
        let of = |key: &'static str, text: &str| Some((key, text.to_owned()));
        let slower = Told { interval: interval(100), ..like };
        assert_eq!(key(slower), of("advert_interval", "another host sends every 1000 ms, we every 100 ms"));
        let other = Told { checksum: Some(ChecksumForm::Rfc9568), ..like };
        let text = "another host sends checksums of the form rfc9568, we of keepalived";
        assert_eq!(key(other), of("checksum", text));
        assert_eq!(key(Told { checksum: None, ..like }), None);
        assert_eq!(key(Told { priority: 101, ..like }), of("priority", "another host has our priority, 101"));
        let other = Told { vrid: 52, ..like };
        let text = "another host shares our addresses under virtual router id 52, ours is 51";
        assert_eq!(key(other), of("virtual_router_id", text));
        assert_eq!(key(Told { addresses: Overlap::None, ..other }), None);
    }
}
