//! Instances that move together: all of them active here, or none. A host that has lost one of its
//! networks cannot serve between them.

use std::time::Instant;

use super::machine::{Machine, Output, State};

/// A sync group, or a single instance.
///
/// One that takes no part takes all out; one that is beaten hands over all; and a silence counts when
/// every member has heard it.
#[derive(Debug)]
pub struct Group {
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    machine: Machine,
    was_active: bool,
}

impl Group {
    /// These move together from here on.
    #[must_use]
    pub fn new(machines: Vec<Machine>) -> Self {
        let together = machines.len() > 1;
        let member = |mut machine: Machine| {
            machine.join_group(together);
            Member { was_active: machine.state() == State::Active, machine }
        };
        Self { members: machines.into_iter().map(member).collect() }
    }

    /// The members, each on its own again, in the order in which they were given.
    #[must_use]
    pub fn into_members(self) -> Vec<Machine> {
        self.members.into_iter().map(|member| member.machine).collect()
    }

    /// The members, in the order in which they were given.
    pub fn members(&self) -> impl Iterator<Item = &Machine> {
        self.members.iter().map(|member| &member.machine)
    }

    /// Gives the member at `place` what happened to it, and has the others follow.
    pub fn handle(&mut self, now: Instant, place: usize, input: impl FnOnce(&mut Machine)) {
        if let Some(member) = self.members.get_mut(place) {
            input(&mut member.machine);
        }
        self.follow(now);
    }

    /// Gives every member the same: a drain, a stop.
    pub fn handle_all(&mut self, now: Instant, input: impl Fn(&mut Machine)) {
        self.handle_each(now, |_, machine| input(machine));
    }

    /// Gives every member, by its place, what happened to it at once; the others follow then.
    pub fn handle_each(&mut self, now: Instant, mut input: impl FnMut(usize, &mut Machine)) {
        let members = self.members.iter_mut().enumerate();
        members.for_each(|(place, member)| input(place, &mut member.machine));
        self.follow(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.handle_all(now, |machine| machine.handle_timeout(now));
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.members().filter_map(Machine::poll_timeout).min()
    }

    /// The next thing to do, and for which member; to be drained after every call.
    pub fn poll_output(&mut self) -> Option<(usize, Output)> {
        let mut members = self.members.iter_mut().enumerate();
        members.find_map(|(place, member)| Some((place, member.machine.poll_output()?)))
    }

    fn follow(&mut self, now: Instant) {
        if self.members.iter().any(Member::was_beaten) {
            self.members.iter_mut().for_each(|member| member.machine.follow_group(now));
        }
        let unfit = self.members().filter(|machine| machine.own_fault().is_some()).count();
        for member in &mut self.members {
            let others = unfit - usize::from(member.machine.own_fault().is_some());
            member.machine.handle_group(now, others > 0);
        }
        if self.members().all(|machine| machine.is_ready() || machine.state() == State::Active) {
            self.members.iter_mut().for_each(|member| member.machine.claim_with_group(now));
        }
        for member in &mut self.members {
            member.was_active = member.machine.state() == State::Active;
        }
    }
}

impl Member {
    fn was_beaten(&self) -> bool {
        self.was_active && self.machine.state() == State::Backup
    }
}

#[cfg(test)]
mod tests;
