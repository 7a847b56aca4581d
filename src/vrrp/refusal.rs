//! Why an advert was not believed, and what the operator has to change.

/// Why an advert was not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The source is an address of ours.
    #[error("it comes from our own address")]
    Ourselves,
    /// TTL or hop limit is not 255, so a router may have passed it on (RFC 9568 §7.1).
    #[error("its TTL is not 255")]
    Ttl,
    /// Unicast peers are listed and it is none of them, or it was sent to us alone and none are.
    #[error("it comes from no peer")]
    NotAPeer,
    /// Longer or shorter than its number of addresses makes it.
    #[error("its length is wrong")]
    Length,
    /// Not the version that this instance speaks, or none that exists.
    #[error("its version is another")]
    Version,
    /// Neither checksum form fits.
    #[error("its checksum is wrong")]
    Checksum,
    /// Another virtual router.
    #[error("its virtual router id is another")]
    VirtualRouterId,
    /// Version 2: not the type of authentication that we use; or a trailer that we do not expect, or
    /// none where we do.
    #[error("its type of authentication is another")]
    AuthType,
    /// Version 2: the password is not ours.
    #[error("its password is another")]
    Secret,
    /// The trailer's key is unknown, or its HMAC is not what our key makes.
    #[error("its HMAC is wrong")]
    Hmac,
    /// The trailer's time is too far from our clock.
    #[error("its time is too far from ours")]
    Stale,
    /// The sequence did not grow: a copy.
    #[error("it repeats an older one")]
    Replay,
    /// Version 2: another interval (RFC 3768 §7.1); version 3: none.
    #[error("its interval is another")]
    Interval,
    /// Other virtual addresses than ours.
    #[error("its virtual addresses are others")]
    AddressList,
}

impl Refusal {
    /// Every cause, in the order in which they are looked for.
    pub const ALL: [Self; 14] = [
        Self::Ourselves,
        Self::Ttl,
        Self::NotAPeer,
        Self::Length,
        Self::Version,
        Self::Checksum,
        Self::VirtualRouterId,
        Self::AuthType,
        Self::Secret,
        Self::Hmac,
        Self::Stale,
        Self::Replay,
        Self::Interval,
        Self::AddressList,
    ];

    /// The word that metrics and the log use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ourselves => "ourselves",
            Self::Ttl => "ttl",
            Self::NotAPeer => "not_a_peer",
            Self::Length => "length",
            Self::Version => "version",
            Self::Checksum => "checksum",
            Self::VirtualRouterId => "virtual_router_id",
            Self::AuthType => "auth_type",
            Self::Secret => "secret",
            Self::Hmac => "hmac",
            Self::Stale => "stale",
            Self::Replay => "replay",
            Self::Interval => "interval",
            Self::AddressList => "address_list",
        }
    }

    /// What to change where the sender ought to be believed.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            Self::Ourselves => "two hosts have this address, or the network sends frames back: give each host its own",
            Self::Ttl => "VRRP stays on one link: a router stands between the hosts, or it is forged",
            Self::NotAPeer => "list its address under `peers`, or drop `peers` on both hosts to use multicast",
            Self::Length => "the sender is broken, or sends a trailer that we do not know",
            Self::Version => "set `version` to the same on both hosts",
            Self::Checksum => "the packet was damaged on its way, or a NAT changed its addresses",
            Self::VirtualRouterId => "set `virtual_router_id` to the same on both hosts, if they are a pair",
            Self::AuthType => "set `auth_pass` or `auth_hmac` on both hosts or on none",
            Self::Secret => "set `auth_pass` to the same on both hosts; its first 8 bytes count",
            Self::Hmac => "give both hosts the same keys under `auth_hmac`, with the same ids",
            Self::Stale => "the clocks of the hosts differ: run NTP on both",
            Self::Replay => "somebody sends copies of old adverts, or the sender's clock was set back",
            Self::Interval => "set `advert_interval` to the same on both hosts",
            Self::AddressList => "list the same `addresses` on both hosts",
        }
    }

    /// Whether the sender holds our virtual addresses all the same: it is well-formed, speaks of our
    /// virtual router, and only a setting keeps us from believing it.
    #[must_use]
    pub fn is_of_a_rival(self) -> bool {
        match self {
            Self::Version
            | Self::AuthType
            | Self::Secret
            | Self::Hmac
            | Self::Stale
            | Self::Interval
            | Self::AddressList => true,
            Self::Ourselves
            | Self::Ttl
            | Self::NotAPeer
            | Self::Length
            | Self::Checksum
            | Self::VirtualRouterId
            | Self::Replay => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_listed_at_its_place_under_a_name_of_its_own() {
        for (at, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, at);
            assert!(Refusal::ALL.into_iter().filter(|other| other.name() == refusal.name()).count() == 1);
            assert!(!refusal.hint().is_empty() && !refusal.to_string().is_empty());
        }
    }
}
