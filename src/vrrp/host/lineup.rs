//! Which instances there are: those of the config, those that end, and those that wait to begin.

use std::sync::Arc;
use std::time::Instant;

use super::instance::Instance;
use super::link::Link;
use super::speaker::Speaker;
use super::team::Team;
use crate::vrrp::herald::Note;
use crate::vrrp::machine::Machine;
use crate::vrrp::plan::Plan;

impl Speaker {
    /// Instances that stay keep their state, those that are gone hand over, new ones begin as backups.
    pub(super) fn reconfigure(&mut self, now: Instant, plans: Vec<Plan>) {
        if self.stops {
            return;
        }
        self.names = plans.iter().map(|plan| Arc::clone(&plan.name)).collect();
        let (ending, running): (Vec<_>, Vec<_>) = self.teams.drain(..).partition(|team| team.ends);
        let mut running: Vec<_> = running.into_iter().flat_map(Team::into_members).collect();
        let mut members = Vec::new();
        self.waiting.clear();
        for plan in plans {
            let stays = running.iter().position(|(instance, _)| instance.plan.is_same_router(&plan));
            let Some((mut instance, mut machine)) = stays.map(|at| running.remove(at)) else {
                self.waiting.push(plan);
                continue;
            };
            if instance.plan.written != plan.written {
                machine.reconfigure(now, plan.settings);
                instance.reconfigure(plan, &mut self.world);
            }
            members.push((instance, machine));
        }
        self.teams = ending;
        for gone in running {
            let mut team = Team::new(vec![gone], true);
            team.handle_each(now, &mut self.world, |_, machine, _| machine.stop(now));
            self.teams.push(team);
        }
        self.group(now, members);
        self.watch();
        self.look(now);
        self.begin(now);
    }

    fn watch(&mut self) {
        let running = self.teams.iter().flat_map(|team| team.instances.iter().map(|instance| &instance.plan));
        let plans: Vec<&Plan> = running.chain(&self.waiting).collect();
        self.world.watch(&plans);
    }

    /// Begins with those that wait for nothing any more.
    pub(super) fn begin(&mut self, now: Instant) {
        let is_free = |speaker: &Self, plan: &Plan| {
            let is_known = speaker.world.link(&plan.interface).is_some_and(Link::is_known);
            let mut others = speaker.teams.iter().filter(|team| team.ends).flat_map(|team| &team.instances);
            is_known && !others.any(|other| other.plan.collides(plan))
        };
        let waiting = std::mem::take(&mut self.waiting);
        let (free, waiting): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|plan| is_free(self, plan));
        self.waiting = waiting;
        if free.is_empty() {
            return;
        }
        let (ending, running): (Vec<_>, Vec<_>) = self.teams.drain(..).partition(|team| team.ends);
        self.teams = ending;
        let mut members: Vec<_> = running.into_iter().flat_map(Team::into_members).collect();
        for plan in free {
            self.numbers += 1;
            let mut machine = Machine::new(plan.settings, now);
            if self.is_drained {
                machine.drain(now);
            }
            let left = self.left.iter().position(|left| *left.name == *plan.name);
            let left = left.map(|at| self.left.swap_remove(at));
            members.push((Instance::new(self.numbers, plan, left, now), machine));
        }
        self.group(now, members);
    }

    /// Puts those together that are in a group, and tells all what is known already.
    pub(super) fn group(&mut self, now: Instant, members: Vec<(Instance, Machine)>) {
        let mut groups: Vec<Vec<(Instance, Machine)>> = Vec::new();
        for (instance, machine) in members {
            let group = &instance.plan.group;
            let at = group.as_ref().and_then(|_| groups.iter().position(|other| other[0].0.plan.group == *group));
            match at {
                Some(at) => groups[at].push((instance, machine)),
                None => groups.push(vec![(instance, machine)]),
            }
        }
        self.refresh();
        let known = self.world.links.iter().filter(|link| link.is_known());
        let known: Vec<_> = known.map(|link| (Arc::clone(&link.name), link.runs())).collect();
        let facts = self.world.facts.clone();
        for members in groups {
            let mut team = Team::new(members, false);
            team.handle_each(now, &mut self.world, |instance, machine, world| {
                for (name, runs) in &known {
                    instance.take_interface(now, name, *runs, machine);
                }
                if let Some(facts) = &facts {
                    instance.take_facts(now, facts, machine);
                }
                instance.look_after_virtual_mac(world);
                instance.look(now, machine, world);
            });
            self.teams.push(team);
        }
    }

    /// Lets those go that are over, and those begin that they were in the way of.
    pub(super) fn end(&mut self, now: Instant) {
        let mut gone = Vec::new();
        let world = &mut self.world;
        self.teams.retain_mut(|team| {
            let is_over = team.ends && team.is_over(world);
            if is_over {
                gone.extend(team.instances.iter().map(|instance| Arc::clone(&instance.plan.name)));
            }
            !is_over
        });
        if gone.is_empty() {
            return;
        }
        gone.retain(|name| !self.names.contains(name));
        gone.into_iter().for_each(|name| self.world.notes.put(Note::Gone(name)));
        self.watch();
        self.begin(now);
    }
}
