//! How often adverts are sent, and how long their absence is waited out. Version 2 counts whole
//! seconds, version 3 hundredths of one; no other value can be made.

use std::num::{NonZeroU8, NonZeroU16};
use std::time::Duration;

use super::priority::Priority;

/// The version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// RFC 3768, IPv4 only.
    V2,
    /// RFC 9568, IPv4 and IPv6.
    V3,
}

impl Version {
    /// As it stands in a packet and in a config.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::V2 => 2,
            Self::V3 => 3,
        }
    }
}

/// An interval of version 2, 1 to 255 seconds (RFC 3768 §5.3.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seconds(NonZeroU8);

impl Seconds {
    /// `None` for 0.
    #[must_use]
    pub fn new(seconds: u8) -> Option<Self> {
        NonZeroU8::new(seconds).map(Self)
    }

    /// The field of a packet.
    #[must_use]
    pub fn field(self) -> u8 {
        self.0.get()
    }
}

/// An interval of version 3, 1 to 4095 hundredths of a second (RFC 9568 §5.2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Centiseconds(NonZeroU16);

impl Centiseconds {
    /// What twelve bits hold.
    pub const MOST: u16 = 0x0fff;

    /// `None` for 0 and for what does not fit in twelve bits.
    #[must_use]
    pub fn new(centiseconds: u16) -> Option<Self> {
        NonZeroU16::new(centiseconds).filter(|value| value.get() <= Self::MOST).map(Self)
    }

    /// The field of a packet.
    #[must_use]
    pub fn field(self) -> u16 {
        self.0.get()
    }
}

/// The time between two adverts, in the unit of its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdvertInterval {
    /// Version 2.
    V2(Seconds),
    /// Version 3.
    V3(Centiseconds),
}

/// Why a duration is no interval of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntervalError {
    /// Version 2 has nothing finer or longer.
    #[error("version 2 sends every 1 s to 255 s, in whole seconds")]
    V2,
    /// Version 3 has nothing finer or longer.
    #[error("version 3 sends every 10 ms to 40.95 s, in steps of 10 ms")]
    V3,
}

impl AdvertInterval {
    /// The interval of this length, where the version has one.
    pub fn new(version: Version, length: Duration) -> Result<Self, IntervalError> {
        match version {
            Version::V2 => {
                let seconds = u8::try_from(length.as_secs()).ok().filter(|_| length.subsec_nanos() == 0);
                seconds.and_then(Seconds::new).map(Self::V2).ok_or(IntervalError::V2)
            }
            Version::V3 => {
                let centiseconds = length.as_nanos() / CENTISECOND.as_nanos();
                let whole = length.as_nanos().is_multiple_of(CENTISECOND.as_nanos());
                let field = u16::try_from(centiseconds).ok().filter(|_| whole);
                field.and_then(Centiseconds::new).map(Self::V3).ok_or(IntervalError::V3)
            }
        }
    }

    /// The version that it belongs to.
    #[must_use]
    pub fn version(self) -> Version {
        match self {
            Self::V2(_) => Version::V2,
            Self::V3(_) => Version::V3,
        }
    }

    /// The time between two adverts.
    #[must_use]
    pub fn duration(self) -> Duration {
        match self {
            Self::V2(seconds) => Duration::from_secs(seconds.field().into()),
            Self::V3(centiseconds) => CENTISECOND * u32::from(centiseconds.field()),
        }
    }

    /// What a lower priority waits longer than a higher one, so that the best backup speaks first.
    #[must_use]
    pub fn skew(self, priority: Priority) -> Duration {
        let unit = match self {
            // RFC 3768 §6.1: a part of a second, whatever the interval.
            Self::V2(_) => Duration::from_secs(1),
            // RFC 9568 §6.1: a part of the active one's interval.
            Self::V3(_) => self.duration(),
        };
        unit * (256 - u32::from(priority.value())) / 256
    }

    /// How long nothing is heard before the active one counts as gone (RFC 9568 §6.1,
    /// `Active_Down_Interval`).
    #[must_use]
    pub fn active_down(self, priority: Priority) -> Duration {
        3 * self.duration() + self.skew(priority)
    }
}

const CENTISECOND: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn each_version_has_its_own_steps_and_ends() {
        let v2 = |length| AdvertInterval::new(Version::V2, length);
        let v3 = |length| AdvertInterval::new(Version::V3, length);
        for length in [1_000 * MS, 255_000 * MS] {
            assert_eq!(v2(length).unwrap().duration(), length);
        }
        for length in [Duration::ZERO, 100 * MS, 1_500 * MS, 256_000 * MS, Duration::MAX] {
            assert_eq!(v2(length), Err(IntervalError::V2), "{length:?}");
        }
        for length in [10 * MS, 100 * MS, 40_950 * MS] {
            assert_eq!(v3(length).unwrap().duration(), length);
        }
        for length in [Duration::ZERO, MS, 15 * MS, 40_960 * MS, Duration::MAX] {
            assert_eq!(v3(length), Err(IntervalError::V3), "{length:?}");
        }
    }

    #[test]
    fn skew_and_down_interval_are_those_of_the_rfcs() {
        let hundred = Priority::new(100).unwrap();
        let times = |version, length| {
            let interval = AdvertInterval::new(version, length).unwrap();
            (interval.skew(hundred).as_micros(), interval.active_down(hundred).as_micros())
        };
        assert_eq!(times(Version::V2, 1_000 * MS), (609_375, 3_609_375));
        assert_eq!(times(Version::V2, 2_000 * MS), (609_375, 6_609_375));
        assert_eq!(times(Version::V3, 100 * MS), (60_937, 360_937));
        assert_eq!(times(Version::V3, 10 * MS), (6_093, 36_093));
    }
}
