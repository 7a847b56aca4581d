//! So many in a time, with a burst: a token bucket that keeps one moment and counts nothing, pure.
//!
//! It is the generic cell rate algorithm (ITU-T I.371, virtual scheduling): the one thing kept is when
//! the bucket will be full again.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// How often something may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// From one to the next where they come evenly.
    apart: Duration,
    /// The time that a full bucket takes to fill.
    depth: Duration,
}

impl Rate {
    /// `count` in each `period`; after a pause `burst` of them may come at once.
    #[must_use]
    pub fn new(count: NonZeroU32, period: Duration, burst: NonZeroU32) -> Self {
        let apart = (period / count.get()).max(Duration::from_nanos(1));
        Self { apart, depth: apart.saturating_mul(burst.get()) }
    }
}

/// What is left of a rate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bucket {
    /// When it is full again; `None`: it is.
    full_at: Option<Instant>,
}

impl Bucket {
    /// Takes one out.
    ///
    /// # Errors
    /// How long it is until there is one; nothing was taken.
    pub fn take(&mut self, rate: &Rate, now: Instant) -> Result<(), Duration> {
        // A rate that was lowered meanwhile must not be waited for longer than it says.
        let missing = self.missing(now).min(rate.depth);
        let after = missing.saturating_add(rate.apart);
        if after > rate.depth {
            return Err(after.saturating_sub(rate.depth));
        }
        self.full_at = now.checked_add(after);
        Ok(())
    }

    /// Whether nothing is missing: as good as a new one.
    #[must_use]
    pub fn is_full(&self, now: Instant) -> bool {
        self.missing(now).is_zero()
    }

    fn missing(&self, now: Instant) -> Duration {
        self.full_at.map_or(Duration::ZERO, |full_at| full_at.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(count: u32, period: Duration, burst: u32) -> Rate {
        Rate::new(NonZeroU32::new(count).unwrap(), period, NonZeroU32::new(burst).unwrap())
    }

    #[test]
    fn a_burst_goes_and_then_one_at_a_time() {
        let (mut bucket, now) = (Bucket::default(), Instant::now());
        let rate = rate(10, Duration::from_secs(1), 3);
        let taken = (0..5).map(|_| bucket.take(&rate, now)).collect::<Vec<_>>();
        let wait = Duration::from_millis(100);
        assert_eq!(taken, [Ok(()), Ok(()), Ok(()), Err(wait), Err(wait)]);
        assert!(!bucket.is_full(now));
        assert_eq!(bucket.take(&rate, now + wait / 2), Err(wait / 2));
        assert_eq!(bucket.take(&rate, now + wait), Ok(()));
        assert!(bucket.is_full(now + wait * 4));
    }

    #[test]
    fn another_rate_by_a_reload_is_no_sentence_for_hours() {
        let (mut bucket, now) = (Bucket::default(), Instant::now());
        for _ in 0..100 {
            bucket.take(&rate(1, Duration::from_secs(60), 100), now).unwrap();
        }
        let faster = rate(10, Duration::from_secs(1), 5);
        assert_eq!(bucket.take(&faster, now), Err(Duration::from_millis(100)));
    }

    proptest! {
        /// However they come: in any stretch of time go at most the burst and what the rate gives.
        #[test]
        fn no_stretch_of_time_has_more_than_the_rate_and_a_burst(
            count in 1..50_u32,
            burst in 1..20_u32,
            gaps in prop::collection::vec(0..200_u64, 1..300),
        ) {
            let rate = rate(count, Duration::from_secs(1), burst);
            let mut bucket = Bucket::default();
            let mut now = Instant::now();
            let mut gone = Vec::new();
            for gap in gaps {
                now += Duration::from_millis(gap);
                match bucket.take(&rate, now) {
                    Ok(()) => gone.push(now),
                    Err(wait) => {
                        // What it says is true, and no later than true.
                        prop_assert!(wait > Duration::ZERO);
                        prop_assert_eq!({ bucket }.take(&rate, now + wait), Ok(()));
                        let (mut early, just_before) = (bucket, now + wait - Duration::from_nanos(1));
                        prop_assert!(early.take(&rate, just_before).is_err());
                    }
                }
            }
            for (at, first) in gone.iter().enumerate() {
                for (further, last) in gone.iter().enumerate().skip(at) {
                    let most = f64::from(burst) + last.duration_since(*first).as_secs_f64() * f64::from(count) + 1e-6;
                    prop_assert!((further - at + 1) as f64 <= most);
                }
            }
        }
    }
}
