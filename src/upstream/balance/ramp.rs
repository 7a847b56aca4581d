//! Slow start: a server that comes back gets its share little by little.

use std::time::{Duration, Instant};

use super::Server;

/// The weights of one choice.
#[derive(Clone, Copy, Debug)]
pub struct Ramp {
    /// How long a server takes to its whole weight.
    pub over: Duration,
    /// The time of the choice.
    pub now: Instant,
}

/// What a whole weight is multiplied by, so that a part of it is a whole number.
const WHOLE: u32 = 256;
/// The part that a server begins with: enough to be asked at all.
const FIRST: u32 = WHOLE / 16;

impl Ramp {
    /// The weight of a server now: all are multiplied alike, and of one that has just come up it is less.
    pub(super) fn weight(self, server: &Server) -> u32 {
        let share = server.state.up_for(self.now).map_or(WHOLE, |up_for| share(up_for, self.over));
        server.weight * share
    }
}

/// The share of a server that is up again for so long.
fn share(up_for: Duration, over: Duration) -> u32 {
    if up_for >= over {
        return WHOLE;
    }
    let part = up_for.as_micros() * u128::from(WHOLE) / over.as_micros().max(1);
    u32::try_from(part).unwrap_or(WHOLE).clamp(FIRST, WHOLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_grows_from_small_to_whole() {
        let over = Duration::from_secs(32);
        let at = |seconds| share(Duration::from_secs(seconds), over);
        assert_eq!([at(0), at(1), at(2), at(8), at(16), at(31), at(32), at(900)], [16, 16, 16, 64, 128, 248, 256, 256]);
        assert_eq!(share(Duration::ZERO, Duration::ZERO), WHOLE);
    }
}
