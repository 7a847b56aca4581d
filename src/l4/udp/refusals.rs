//! Servers that refused datagrams lately, pure.
//!
//! A server where nobody listens answers with an ICMP message, which the next call on the flow's socket tells.
//! For a while other servers are preferred: for a second at first, for twice as long each time that it
//! refuses again, until it answers something or was not heard of for long.

use std::time::{Duration, Instant};

/// Which servers refused, by the ids of their states.
#[derive(Debug, Default)]
pub struct Refusals(Vec<Refusal>);

#[derive(Debug)]
struct Refusal {
    server: u32,
    until: Instant,
    pause: Duration,
}

impl Refusals {
    /// How long a server is passed over that refused for the first time.
    pub const FIRST: Duration = Duration::from_secs(1);
    /// How long at most.
    pub const LONGEST: Duration = Duration::from_secs(30);

    /// This server refused; whether that is news.
    pub fn refused(&mut self, now: Instant, server: u32) -> bool {
        let Some(known) = self.0.iter_mut().find(|known| known.server == server) else {
            self.0.push(Refusal { server, until: now + Self::FIRST, pause: Self::FIRST });
            return true;
        };
        // Of the many flows that hear the same only the first counts.
        if known.until > now {
            return false;
        }
        // Some servers never answer, a collector of logs for one: that it was well is seen by the silence.
        let is_old = now.saturating_duration_since(known.until) > Self::LONGEST;
        known.pause = if is_old { Self::FIRST } else { (known.pause * 2).min(Self::LONGEST) };
        known.until = now + known.pause;
        true
    }

    /// This server answered.
    pub fn answered(&mut self, server: u32) {
        if !self.0.is_empty() {
            self.0.retain(|known| known.server != server);
        }
    }

    /// Whether another server is to be preferred to this one.
    #[must_use]
    pub fn avoids(&self, now: Instant, server: u32) -> bool {
        self.0.iter().any(|known| known.server == server && known.until > now)
    }

    /// The servers that others are to be preferred to.
    pub fn avoided(&self, now: Instant) -> impl Iterator<Item = u32> {
        self.0.iter().filter(move |known| known.until > now).map(|known| known.server)
    }

    /// Forgets the servers for which this does not hold, so that no more are known than there are.
    pub fn keep(&mut self, mut lives: impl FnMut(u32) -> bool) {
        self.0.retain(|known| lives(known.server));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_further_refusal_doubles_the_pause_until_there_is_an_answer() {
        let (mut refusals, start) = (Refusals::default(), Instant::now());
        let mut now = start;
        let mut pauses = Vec::new();
        for _ in 0..7 {
            assert!(refusals.refused(now, 7));
            assert!(!refusals.refused(now, 7), "the same, heard by another flow");
            let before = now;
            while refusals.avoids(now, 7) {
                now += Duration::from_secs(1);
            }
            pauses.push((now - before).as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        now += Refusals::LONGEST + Duration::from_secs(1);
        refusals.refused(now, 7);
        assert!(!refusals.avoids(now + Refusals::FIRST, 7), "it was well for long");
        now += Refusals::FIRST;
        refusals.answered(7);
        refusals.refused(now, 7);
        assert!(!refusals.avoids(now + Refusals::FIRST, 7));
    }

    #[test]
    fn servers_that_are_gone_are_forgotten() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        refusals.refused(now, 1);
        refusals.refused(now, 2);
        refusals.keep(|server| server == 2);
        assert_eq!(refusals.avoided(now).collect::<Vec<_>>(), [2]);
    }
}
