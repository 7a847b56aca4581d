//! The VRRP thread: it waits for adverts, reports, orders and times, and never for anything else.
//!
//! ```text
//!            ┌──────────── wait ◄────────────────────────────────────┐
//!            ▼                                                       │
//!   now ─► hear (sockets empty) ─► reports ─► orders ─► what is due ─┘
//! ```
//!
//! What was due at `now` is decided by all adverts that had come by then: the sockets are emptied after
//! the clock is read.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::facts::Facts;
use super::instance::Instance;
use super::link::Link;
use super::status::{InstanceStatus, Left, Status, Survey};
use super::team::Team;
use super::world::World;
use crate::telemetry::{Histogram, Totals};
use crate::vrrp::check::Checked;
use crate::vrrp::herald::Trouble;
use crate::vrrp::machine::Machine;
use crate::vrrp::mailbox::Receiver;
use crate::vrrp::network::Report;
use crate::vrrp::packet;
use crate::vrrp::plan::Plan;
use crate::vrrp::socket::{self, Family, LARGEST_PACKET};

/// What the owner of the host wants.
#[derive(Debug)]
pub(super) enum Order {
    Reconfigure(Vec<Plan>),
    Facts(Facts),
    HandOver,
    Drain,
    Undrain,
    Stop,
    /// The same, without waiting for another host.
    StopNow,
    /// Say how everything is.
    Survey(SyncSender<Survey>),
    /// Give every socket on a link once more.
    Sockets(SyncSender<Vec<OwnedFd>>),
}

/// Where everything comes in.
#[derive(Debug)]
pub(super) struct Ears {
    pub(super) orders: Receiver<Order>,
    pub(super) reports: Receiver<Report>,
    pub(super) checked: Receiver<Checked>,
}

/// The thread.
#[derive(Debug)]
pub(super) struct Speaker {
    pub(super) world: World,
    pub(super) teams: Vec<Team>,
    /// Plans that cannot begin yet: nothing is known of their interface, or an instance that ends is in
    /// their way.
    pub(super) waiting: Vec<Plan>,
    /// The names of all in the config, in its order.
    pub(super) names: Vec<Arc<str>>,
    /// What the program before this one has left and is not taken up yet.
    pub(super) left: Vec<Left>,
    pub(super) is_drained: bool,
    pub(super) stops: bool,
    pub(super) numbers: usize,
    beat_at: Instant,
    lateness: Histogram,
    packet: Box<[u8; LARGEST_PACKET]>,
}

/// Addresses are renewed so often, which is four times in their lifetime.
const BEAT: Duration = Duration::from_millis(500);

/// Adverts that are read from a socket in one turn: a flood keeps no timer waiting.
const MOST_ADVERTS: usize = 512;

impl Speaker {
    pub(super) fn new(world: World, plans: Vec<Plan>, left: Vec<Left>) -> Self {
        let mut speaker = Self {
            world,
            teams: Vec::new(),
            waiting: Vec::new(),
            names: Vec::new(),
            left,
            is_drained: false,
            stops: false,
            numbers: 0,
            beat_at: Instant::now() + BEAT,
            lateness: Histogram::default(),
            packet: Box::new([0; LARGEST_PACKET]),
        };
        speaker.reconfigure(Instant::now(), plans);
        speaker
    }

    /// Speaks until it has stopped, or nobody owns it any more: then it falls silent like one that died.
    pub(super) fn run(mut self, ears: &Ears) {
        loop {
            self.wait(ears);
            let now = Instant::now();
            self.hear(now);
            ears.reports.drain(|report| self.report(now, report));
            ears.checked.drain(|checked| self.check(now, &checked));
            let is_owned = ears.orders.drain(|order| self.obey(now, order));
            self.timeout(now);
            self.end(now);
            if !is_owned || self.stops && self.teams.is_empty() {
                return;
            }
        }
    }

    /// Waits until something comes or is due.
    fn wait(&self, ears: &Ears) {
        let due = self.teams.iter().filter_map(|team| team.group.poll_timeout()).min();
        let until = due.map_or(self.beat_at, |due| due.min(self.beat_at));
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        let mailboxes = [
            PollFd::new(&ears.orders, PollFlags::IN),
            PollFd::new(&ears.reports, PollFlags::IN),
            PollFd::new(&ears.checked, PollFlags::IN),
        ];
        let sockets = self.world.links.iter().flat_map(Link::sockets);
        let mut all: Vec<_> =
            mailboxes.into_iter().chain(sockets.map(|socket| PollFd::new(socket, PollFlags::IN))).collect();
        // A signal is a turn like any other.
        let _ = poll(&mut all, Some(&left));
    }

    fn hear(&mut self, now: Instant) {
        for at in 0..self.world.links.len() {
            for family in [Family::V4, Family::V6] {
                for _ in 0..MOST_ADVERTS {
                    let link = &mut self.world.links[at];
                    let Some(socket) = link.socket_mut(family) else { break };
                    match socket.receive(&mut self.packet[..]) {
                        Ok(Some(received)) => {
                            let interface = Arc::clone(&link.name);
                            self.deliver(now, &interface, family, &received);
                        }
                        Ok(None) => break,
                        // That the interface went down is reported, too.
                        Err(_) => {}
                    }
                }
            }
        }
    }

    /// Gives an advert to the instance of its virtual router. One that is of none goes to all of the link,
    /// which look whether it shares their addresses.
    fn deliver(&mut self, now: Instant, interface: &Arc<str>, family: Family, received: &socket::Received) {
        let packet = &self.packet[..];
        let vrid = packet::vrid_of(packet.get(received.message.clone()).unwrap_or_default());
        let is_of = |instance: &Instance| Some(instance.plan.settings.vrid) == vrid;
        let is_on = |instance: &Instance| instance.plan.interface == *interface && instance.plan.family == family;
        let all = || self.teams.iter().flat_map(|team| &team.instances);
        let is_known = all().any(|instance| is_on(instance) && is_of(instance));
        for team in &mut self.teams {
            for place in 0..team.instances.len() {
                let instance = &team.instances[place];
                if is_on(instance) && (is_of(instance) || !is_known) {
                    team.handle(now, place, &mut self.world, |instance, machine, _| {
                        instance.read(now, received, packet, machine);
                    });
                }
            }
        }
    }

    fn report(&mut self, now: Instant, report: Report) {
        match report {
            Report::Interface { name, now: interface } => {
                if let Some(link) = self.world.links.iter_mut().find(|link| link.name == name) {
                    link.take(interface);
                    let runs = link.runs();
                    for team in &mut self.teams {
                        team.handle_each(now, &mut self.world, |instance, machine, _| {
                            instance.take_interface(now, &name, runs, machine);
                        });
                    }
                    self.look(now);
                    self.begin(now);
                }
            }
            Report::Held { owner, failures } => {
                self.with(now, owner, |instance, machine, world| instance.held(now, failures, machine, world));
            }
            Report::Released { owner, failures } => {
                self.with(now, owner, |instance, _, world| instance.released(failures, world));
            }
            Report::VirtualMac { owner, made } => {
                self.with(now, owner, |instance, _, world| instance.virtual_mac_made(made, world));
            }
            Report::Probed { owner, presence } => {
                self.with(now, owner, |instance, machine, world| instance.probed(now, presence, machine, world));
            }
        }
    }

    fn check(&mut self, now: Instant, checked: &Checked) {
        let Checked { instance: name, place, passed, begun } = checked;
        for team in &mut self.teams {
            for at in 0..team.instances.len() {
                let plan = &team.instances[at].plan;
                // The places are those of a plan; after a change reports of the old one may still come.
                if plan.name == *name && plan.checks.iter().any(|check| check.place == *place) {
                    team.handle(now, at, &mut self.world, |instance, machine, _| {
                        instance.take_check(now, *place, *passed, *begun, machine);
                    });
                }
            }
        }
    }

    fn obey(&mut self, now: Instant, order: Order) {
        match order {
            Order::Reconfigure(plans) => self.reconfigure(now, plans),
            Order::Facts(facts) => {
                let is_first = self.world.facts.is_none();
                for team in &mut self.teams {
                    team.handle_each(now, &mut self.world, |instance, machine, _| {
                        instance.take_facts(now, &facts, machine);
                    });
                }
                self.world.facts = Some(facts);
                if is_first {
                    self.look(now);
                }
            }
            Order::HandOver => self.all(now, Machine::hand_over),
            Order::Drain => {
                self.is_drained = true;
                self.all(now, Machine::drain);
            }
            Order::Undrain => {
                self.is_drained = false;
                self.all(now, Machine::undrain);
            }
            Order::Stop => self.stop(now, Machine::stop),
            Order::StopNow => self.stop(now, Machine::stop_now),
            // Whoever asked may have gone.
            Order::Survey(answer) => drop(answer.try_send(self.survey(now))),
            Order::Sockets(answer) => {
                drop(answer.try_send(self.world.links.iter().flat_map(Link::handles).collect()));
            }
        }
    }

    fn stop(&mut self, now: Instant, how: fn(&mut Machine, Instant)) {
        self.stops = true;
        self.waiting.clear();
        for team in &mut self.teams {
            team.ends = true;
        }
        self.all(now, how);
    }

    fn timeout(&mut self, now: Instant) {
        for team in &mut self.teams {
            if let Some(due) = team.handle_timeout(now, &mut self.world) {
                self.lateness.record(now.saturating_duration_since(due));
            }
        }
        if now >= self.beat_at {
            self.beat_at = now + BEAT;
            self.world.beat();
            self.look(now);
            for team in &mut self.teams {
                team.handle_each(now, &mut self.world, |instance, machine, world| instance.beat(now, machine, world));
            }
        }
    }

    // Shorthands.

    /// Tells every instance how its link is.
    pub(super) fn look(&mut self, now: Instant) {
        self.refresh();
        for team in &mut self.teams {
            let stays = !team.ends;
            team.handle_each(now, &mut self.world, |instance, machine, world| {
                if stays {
                    instance.look_after_virtual_mac(world);
                }
                instance.look(now, machine, world);
            });
        }
    }

    /// Opens the sockets that are wanted.
    pub(super) fn refresh(&mut self) {
        for link in &mut self.world.links {
            if let Err(error) = link.refresh() {
                self.world.notes.trouble(&link.name, Trouble::Socket(error));
            }
        }
    }

    /// Gives the instance of this number something.
    fn with(&mut self, now: Instant, number: usize, input: impl FnOnce(&mut Instance, &mut Machine, &mut World)) {
        let place = |team: &Team| team.instances.iter().position(|instance| instance.number == number);
        if let Some((team, place)) = self.teams.iter_mut().find_map(|team| place(team).map(|place| (team, place))) {
            team.handle(now, place, &mut self.world, input);
        }
    }

    fn all(&mut self, now: Instant, input: impl Fn(&mut Machine, Instant)) {
        for team in &mut self.teams {
            team.handle_each(now, &mut self.world, |_, machine, _| input(machine, now));
        }
    }

    fn survey(&self, now: Instant) -> Survey {
        let mut instances: Vec<InstanceStatus> = self
            .teams
            .iter()
            .flat_map(|team| team.instances.iter().zip(team.group.members()))
            .map(|(instance, machine)| status(now, instance, machine))
            .collect();
        let place = |instance: &InstanceStatus| self.names.iter().position(|name| **name == *instance.name);
        instances.sort_by_key(|instance| place(instance).unwrap_or(usize::MAX));
        let mut lateness = Totals::default();
        self.lateness.add_to(&mut lateness);
        Survey { status: Status { instances }, lateness, notes_dropped: self.world.notes.dropped() }
    }
}

fn status(now: Instant, instance: &Instance, machine: &Machine) -> InstanceStatus {
    let plan = &instance.plan;
    InstanceStatus {
        name: plan.name.to_string(),
        interface: plan.interface.to_string(),
        virtual_router_id: plan.settings.vrid,
        version: plan.settings.interval.version().number(),
        state: machine.state().name().to_owned(),
        reason: instance.tally.reason().to_owned(),
        since: instance.tally.since(),
        leaving: machine.is_leaving(),
        holds: instance.holds(),
        priority: machine.priority().value(),
        configured_priority: plan.settings.priority.value(),
        addresses: plan.addresses.iter().map(ToString::to_string).collect(),
        source: instance.source(),
        broken: instance.broken().map(str::to_owned).collect(),
        peer: instance.tally.peer(now),
        refused: instance.tally.last_refused(now),
        counters: instance.tally.counts(now, machine),
    }
}
