//! The machines of a group beside their instances.

use std::time::Instant;

use super::instance::Instance;
use super::world::World;
use crate::vrrp::group::Group;
use crate::vrrp::machine::{Fault, Machine, State};

/// Instances that move together, or one alone.
#[derive(Debug)]
pub(super) struct Team {
    pub(super) group: Group,
    /// At the places that they have in the group.
    pub(super) instances: Vec<Instance>,
    /// They are not in the config any more.
    pub(super) ends: bool,
}

impl Team {
    pub(super) fn new(members: Vec<(Instance, Machine)>, ends: bool) -> Self {
        let (instances, machines) = members.into_iter().unzip();
        Self { group: Group::new(machines), instances, ends }
    }

    pub(super) fn into_members(self) -> impl Iterator<Item = (Instance, Machine)> {
        self.instances.into_iter().zip(self.group.into_members())
    }

    /// Gives one member something, and does what follows.
    pub(super) fn handle(
        &mut self,
        now: Instant,
        place: usize,
        world: &mut World,
        input: impl FnOnce(&mut Instance, &mut Machine, &mut World),
    ) {
        let Some(instance) = self.instances.get_mut(place) else { return };
        self.group.handle(now, place, |machine| input(instance, machine, world));
        self.carry_out(world);
    }

    /// Gives each member something, and does what follows.
    pub(super) fn handle_each(
        &mut self,
        now: Instant,
        world: &mut World,
        mut input: impl FnMut(&mut Instance, &mut Machine, &mut World),
    ) {
        let instances = &mut self.instances;
        self.group.handle_each(now, |place, machine| {
            if let Some(instance) = instances.get_mut(place) {
                input(instance, machine, world);
            }
        });
        self.carry_out(world);
    }

    /// Does what is due. When it was due, if anything was.
    pub(super) fn handle_timeout(&mut self, now: Instant, world: &mut World) -> Option<Instant> {
        let due = self.group.poll_timeout().filter(|due| *due <= now)?;
        self.group.handle_timeout(now);
        self.carry_out(world);
        Some(due)
    }

    /// Whether all is over: no member takes part, and nothing of theirs is left.
    pub(super) fn is_over(&mut self, world: &mut World) -> bool {
        let stopped = self.group.members().all(|machine| machine.state() == State::Fault(Fault::Stopped));
        if !stopped {
            return false;
        }
        // Each is asked: what is left of it goes by that.
        self.instances.iter_mut().filter_map(|instance| (!instance.is_buried(world)).then_some(())).count() == 0
    }

    fn carry_out(&mut self, world: &mut World) {
        while let Some((place, output)) = self.group.poll_output() {
            if let Some(instance) = self.instances.get_mut(place) {
                instance.carry_out(output, world);
            }
        }
    }
}
