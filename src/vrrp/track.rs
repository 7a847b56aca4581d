//! What an instance depends on, besides VRRP: facts that are reported, and what they come to together.
//! No I/O, no clock.

/// One thing that is tracked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// What the log and `/status` call it, such as "upstream was".
    pub name: Box<str>,
    /// What is asked of it.
    pub kind: Kind,
    /// What follows while it does not hold.
    pub effect: Effect,
}

/// What is asked of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The worker serves. Does not hold before it is reported.
    Worker,
    /// The listeners are bound. Does not hold before it is reported.
    Listeners,
    /// A network interface is up. Does not hold before it is reported.
    Interface,
    /// So many servers of an upstream are healthy.
    Upstream {
        /// Fewer break it.
        at_least: usize,
    },
    /// A command ends with 0.
    Exec {
        /// Passes in a row that mend it.
        rise: u32,
        /// Failures in a row that break it.
        fall: u32,
    },
}

/// What a broken subject does to the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Takes this much from the priority.
    Lower(u8),
    /// The instance is not fit to be active at all.
    Fault,
}

/// What is reported about a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// It holds, or a command passed; or not.
    Holds(bool),
    /// So many servers are healthy.
    Healthy(usize),
}

/// What all subjects come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracking {
    /// The instance may be active.
    Fit {
        /// What is taken from its priority.
        lowered_by: u8,
        /// Nothing is left that has not been looked at since the link came up. Before that nobody is
        /// preempted.
        settled: bool,
    },
    /// It must not be.
    Unfit,
}

impl Tracking {
    /// Nothing is tracked, or all holds.
    pub const WELL: Self = Self::Fit { lowered_by: 0, settled: true };
}

/// Sums up what is reported.
#[derive(Clone, Debug)]
pub struct Tracker {
    facts: Vec<Fact>,
}

#[derive(Clone, Debug)]
struct Fact {
    subject: Subject,
    /// `None` before the first report.
    holds: Option<bool>,
    /// Whether a report came since the last [`Tracker::unsettle`].
    settled: bool,
    /// Reports in a row that speak against `holds`.
    against: u32,
}

impl Tracker {
    /// Tracks these; places in the list are how reports name them.
    #[must_use]
    pub fn new(subjects: Vec<Subject>) -> Self {
        let fact = |subject: Subject| {
            let at_once = subject.kind.is_known_at_once();
            Fact { subject, holds: at_once.then_some(false), settled: at_once, against: 0 }
        };
        Self { facts: subjects.into_iter().map(fact).collect() }
    }

    /// Takes in a report about the subject at `place`.
    pub fn handle(&mut self, place: usize, report: Report) {
        let Some(fact) = self.facts.get_mut(place) else { return };
        let holds = match (report, fact.subject.kind) {
            (Report::Healthy(healthy), Kind::Upstream { at_least }) => healthy >= at_least,
            (Report::Healthy(healthy), _) => healthy > 0,
            (Report::Holds(holds), _) => holds,
        };
        fact.settled = true;
        fact.take(holds);
    }

    /// The link came back: what was found out over the network before counts, but waits for its next
    /// report, which has to come from a check that began later.
    pub fn unsettle(&mut self) {
        let over_the_network = self.facts.iter_mut().filter(|fact| !fact.subject.kind.is_known_at_once());
        over_the_network.for_each(|fact| fact.settled = false);
    }

    /// What it all comes to.
    #[must_use]
    pub fn sum(&self) -> Tracking {
        let mut lowered_by = 0_u8;
        for fact in self.broken() {
            match fact.effect {
                Effect::Fault => return Tracking::Unfit,
                Effect::Lower(amount) => lowered_by = lowered_by.saturating_add(amount),
            }
        }
        Tracking::Fit { lowered_by, settled: self.facts.iter().all(|fact| fact.settled) }
    }

    /// The subjects that do not hold.
    pub fn broken(&self) -> impl Iterator<Item = &Subject> {
        self.facts.iter().filter(|fact| fact.holds == Some(false)).map(|fact| &fact.subject)
    }
}

impl Kind {
    /// Facts of this host, which the shell knows from the start and is told when they change.
    fn is_known_at_once(self) -> bool {
        match self {
            Self::Worker | Self::Listeners | Self::Interface => true,
            Self::Upstream { .. } | Self::Exec { .. } => false,
        }
    }
}

impl Fact {
    /// The first report decides; later ones need a row where the kind asks for one.
    fn take(&mut self, holds: bool) {
        if self.holds == Some(holds) {
            self.against = 0;
            return;
        }
        let needed = match self.subject.kind {
            Kind::Exec { rise, .. } if holds => rise,
            Kind::Exec { fall, .. } => fall,
            _ => 1,
        };
        self.against += 1;
        if self.holds.is_none() || self.against >= needed {
            self.holds = Some(holds);
            self.against = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(kind: Kind, effect: Effect) -> Subject {
        Subject { name: "it".into(), kind, effect }
    }

    fn fit(lowered_by: u8, settled: bool) -> Tracking {
        Tracking::Fit { lowered_by, settled }
    }

    #[test]
    fn nothing_tracked_is_well() {
        assert_eq!(Tracker::new(Vec::new()).sum(), Tracking::WELL);
    }

    #[test]
    fn decreases_add_up_and_one_fault_is_enough() {
        let upstream = Kind::Upstream { at_least: 2 };
        let subjects = vec![
            subject(upstream, Effect::Lower(20)),
            subject(upstream, Effect::Lower(250)),
            subject(Kind::Interface, Effect::Fault),
        ];
        let mut tracker = Tracker::new(subjects);
        assert_eq!(tracker.sum(), Tracking::Unfit, "an interface is down until it is said to be up");
        tracker.handle(2, Report::Holds(true));
        assert_eq!(tracker.sum(), fit(0, false));
        tracker.handle(0, Report::Healthy(1));
        assert_eq!(tracker.sum(), fit(20, false));
        tracker.handle(1, Report::Healthy(0));
        assert_eq!(tracker.sum(), fit(255, true));
        tracker.handle(0, Report::Healthy(2));
        tracker.handle(1, Report::Healthy(3));
        assert_eq!(tracker.sum(), Tracking::WELL);
        tracker.handle(2, Report::Holds(false));
        assert_eq!((tracker.sum(), tracker.broken().count()), (Tracking::Unfit, 1));
        tracker.handle(9, Report::Holds(true));
    }

    #[test]
    fn a_command_needs_a_row_after_its_first_result() {
        let mut tracker = Tracker::new(vec![subject(Kind::Exec { rise: 2, fall: 3 }, Effect::Lower(10))]);
        let mut sums = |results: &[bool]| -> Vec<bool> {
            let sum = |holds: &bool| {
                tracker.handle(0, Report::Holds(*holds));
                tracker.sum() == Tracking::WELL
            };
            results.iter().map(sum).collect()
        };
        assert_eq!(sums(&[true, false, false, true]), [true; 4]);
        assert_eq!(sums(&[false, false, false]), [true, true, false]);
        assert_eq!(sums(&[true, false, true, true]), [false, false, false, true]);
    }

    #[test]
    fn after_the_link_returns_old_verdicts_count_but_are_not_settled() {
        let upstream = subject(Kind::Upstream { at_least: 1 }, Effect::Lower(10));
        let mut tracker = Tracker::new(vec![upstream, subject(Kind::Worker, Effect::Fault)]);
        tracker.handle(0, Report::Healthy(0));
        tracker.handle(1, Report::Holds(true));
        tracker.unsettle();
        assert_eq!(tracker.sum(), fit(10, false));
        tracker.handle(0, Report::Healthy(1));
        assert_eq!(tracker.sum(), Tracking::WELL);
    }
}
