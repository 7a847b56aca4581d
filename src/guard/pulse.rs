//! Whether a worker hangs. Pure: the shell says what it heard and what the system says of the threads.
//!
//! A thread that has not come round for five seconds hangs, unless it wanted to and the machine had no
//! time for it. Time in which the guard itself did not come round counts for nobody.

use std::time::Duration;

/// A thread that says nothing for so long hangs.
const HUNG: Duration = Duration::from_secs(5);
/// Of the time between two looks no more counts.
const MOST_COUNTED: Duration = Duration::from_secs(2);

/// The threads of one worker: first the control thread, then those of the data plane.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    threads: Vec<Thread>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Thread {
    turns: u64,
    /// Since the last look.
    heard: bool,
    silent: Duration,
    time: Time,
}

/// What the system says of a thread's time, since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Time {
    /// It ran for so long.
    pub(super) ran: Duration,
    /// It could have run for so long, but others did.
    pub(super) waited: Duration,
    /// It runs now, or could.
    pub(super) runnable: bool,
}

impl Pulse {
    /// A worker with so many threads, the control thread included.
    pub(super) fn new(threads: usize) -> Self {
        Self { threads: vec![Thread::default(); threads] }
    }

    /// The control thread has come round, and each other thread so often.
    pub(super) fn tick(&mut self, turns: &[u64]) {
        let Some((control, others)) = self.threads.split_first_mut() else { return };
        control.heard = true;
        for (thread, turns) in others.iter_mut().zip(turns) {
            thread.heard |= thread.turns != *turns;
            thread.turns = *turns;
        }
    }

    /// A look at all of them, so long after the last one; the number of one that hangs. A thread that
    /// the system knows nothing of is not judged.
    pub(super) fn look(&mut self, elapsed: Duration, time: impl Fn(usize) -> Option<Time>) -> Option<usize> {
        // Of the others only the control thread tells.
        let told = self.threads.first().is_some_and(|control| control.heard);
        for (number, thread) in self.threads.iter_mut().enumerate() {
            let heard = std::mem::take(&mut thread.heard);
            let Some(time) = time(number) else { continue };
            let before = std::mem::replace(&mut thread.time, time);
            if heard {
                thread.silent = Duration::ZERO;
            } else if number == 0 || told {
                let starved = time.runnable && time.ran == before.ran;
                let waited = if starved { elapsed } else { time.waited.saturating_sub(before.waited) };
                thread.silent += elapsed.min(MOST_COUNTED).saturating_sub(waited);
            }
        }
        self.threads.iter().position(|thread| thread.silent >= HUNG)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEC: Duration = Duration::from_secs(1);
    const ASLEEP: Time = Time { ran: Duration::ZERO, waited: Duration::ZERO, runnable: false };

    /// Looks once a second for so long; after how many the worker hangs, and which thread.
    fn hangs(looks: u32, mut each: impl FnMut(u32, &mut Pulse) -> [Time; 3]) -> Option<(u32, usize)> {
        let mut pulse = Pulse::new(3);
        pulse.tick(&[1, 1]);
        (1..=looks).find_map(|look| {
            let times = each(look, &mut pulse);
            pulse.look(SEC, |number| Some(times[number])).map(|number| (look, number))
        })
    }

    #[test]
    fn who_comes_round_does_not_hang() {
        let alive = hangs(60, |look, pulse| {
            pulse.tick(&[10 * u64::from(look), 10 * u64::from(look)]);
            [ASLEEP; 3]
        });
        assert_eq!(alive, None);
    }

    #[test]
    fn a_process_that_is_stopped_hangs_after_five_seconds() {
        // The first look still finds the tick from before.
        assert_eq!(hangs(60, |_, _| [ASLEEP; 3]), Some((6, 0)));
    }

    #[test]
    fn one_thread_that_spins_hangs() {
        let spinning = hangs(60, |look, pulse| {
            pulse.tick(&[10 * u64::from(look), 7]);
            [ASLEEP, ASLEEP, Time { ran: SEC * look, waited: Duration::ZERO, runnable: true }]
        });
        assert_eq!(spinning, Some((6, 2)));
    }

    #[test]
    fn a_thread_that_gets_no_time_does_not_hang() {
        let starved = |_: u32, _: &mut Pulse| [Time { runnable: true, ..ASLEEP }; 3];
        assert_eq!(hangs(60, starved), None);
        let hardly = |look: u32, _: &mut Pulse| {
            [Time { ran: Duration::from_millis(10) * look, waited: SEC * look, runnable: true }; 3]
        };
        assert_eq!(hangs(60, hardly), None);
    }

    #[test]
    fn a_guard_that_slept_blames_nobody() {
        let mut pulse = Pulse::new(2);
        pulse.tick(&[1]);
        assert_eq!(pulse.look(SEC, |_| Some(ASLEEP)), None);
        assert_eq!(pulse.look(600 * SEC, |_| Some(ASLEEP)), None);
        pulse.tick(&[1]);
        assert_eq!(pulse.look(SEC, |_| Some(ASLEEP)), None);
    }

    #[test]
    fn threads_are_not_blamed_for_a_control_thread_that_does_not_tell() {
        let mut pulse = Pulse::new(2);
        pulse.tick(&[1]);
        let hung: Vec<_> = (0..7).map(|_| pulse.look(SEC, |_| Some(ASLEEP))).collect();
        assert_eq!(hung.iter().flatten().collect::<Vec<_>>(), [&0, &0]);
    }
}
