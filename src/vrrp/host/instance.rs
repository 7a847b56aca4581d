//! What of an instance lies outside its machine: what its orders become on the wire and in the kernel,
//! what it tracks, and what is told of it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ipnet::IpNet;

use super::facts::Facts;
use super::home::Home;
use super::link::Link;
use super::status::Left;
use super::tally::Tally;
use super::world::World;
use crate::vrrp::NetworkError;
use crate::vrrp::authentication::Utc;
use crate::vrrp::herald::{Note, Trouble};
use crate::vrrp::machine::{Event, Fault, Machine, OnPartition, Output, Probed, State};
use crate::vrrp::neighbour::Mac;
use crate::vrrp::netlink::{Interface, Route};
use crate::vrrp::network::Order;
use crate::vrrp::plan::{Origin, Plan};
use crate::vrrp::probe::{Known, Presence, Question};
use crate::vrrp::socket;
use crate::vrrp::track::{Report, Tracker, Tracking};
use crate::vrrp::wire::{Datagram, Received};

/// One instance.
#[derive(Debug)]
pub(super) struct Instance {
    /// Names it in orders and reports; never used again.
    pub(super) number: usize,
    pub(super) plan: Plan,
    pub(super) tally: Tally,
    tracker: Tracker,
    /// The link came back: what was looked at over the network before does not count.
    looked_since: Option<Instant>,
    /// It was active in the program before this one, and goes on as soon as it can.
    resumes: bool,
    /// It took part in the program before this one, and what it tracks has not been reported since: that is
    /// taken to be well.
    trusted_until: Option<Instant>,
    /// Whose advert was believed last, here or in the program before this one.
    peer: Option<IpAddr>,
    /// No address could be added: another host is to try.
    unheld_until: Option<Instant>,
    home: Home,
    /// Our address and the number of the interface, as the machine was told.
    place: Option<(IpAddr, u32)>,
    holding: Option<Holding>,
    /// Orders to hold that are not reported yet.
    holds_asked: u32,
    /// The same, to release.
    releases_asked: u32,
    state: State,
    sends_fail: bool,
    told_of_no_link: bool,
}

/// The virtual addresses are held, or soon will be.
#[derive(Clone, Copy, Debug)]
struct Holding {
    /// Reports of orders from before, which say nothing of this one.
    stale: u32,
    claimed: bool,
    fails: bool,
}

/// Without another order the kernel takes the addresses away after this time.
const LIFETIME: Duration = Duration::from_secs(2);

/// How long an instance that could add no address leaves it to others.
const UNHELD: Duration = Duration::from_secs(10);

/// How long a resumed one is taken to be as it was.
const TRUSTED: Duration = Duration::from_secs(30);

impl Instance {
    pub(super) fn new(number: usize, plan: Plan, left: Option<Left>, now: Instant) -> Self {
        let tracker = Tracker::new(plan.tracked.iter().map(|(subject, _)| subject.clone()).collect());
        Self {
            number,
            home: Home::of(&plan),
            plan,
            tally: Tally::new(),
            tracker,
            looked_since: None,
            resumes: left.as_ref().is_some_and(|left| left.active),
            trusted_until: left.as_ref().map(|_| now + TRUSTED),
            peer: left.and_then(|left| left.peer),
            unheld_until: None,
            place: None,
            holding: None,
            holds_asked: 0,
            releases_asked: 0,
            state: State::Fault(Fault::Starting),
            told_of_no_link: false,
            sends_fail: false,
        }
    }

    /// Goes by another plan of the same router.
    pub(super) fn reconfigure(&mut self, plan: Plan, world: &mut World) {
        let gone: Vec<IpNet> =
            self.plan.addresses.iter().filter(|old| !plan.addresses.contains(old)).copied().collect();
        if self.plan.tracked != plan.tracked {
            self.tracker = Tracker::new(plan.tracked.iter().map(|(subject, _)| subject.clone()).collect());
        }
        self.plan = plan;
        if self.holding.is_some() {
            if !gone.is_empty() {
                self.release(gone.into(), world);
            }
            self.hold(world);
        }
    }

    /// Gives back what is left once its addresses are. Whether nothing is.
    pub(super) fn is_buried(&mut self, world: &mut World) -> bool {
        self.holding.is_none() && self.releases_asked == 0 && self.home.is_gone(&self.plan.name, world)
    }

    pub(super) fn holds(&self) -> bool {
        self.holding.is_some_and(|holding| holding.claimed && !holding.fails)
    }

    pub(super) fn source(&self) -> Option<IpAddr> {
        self.place.map(|(source, _)| source)
    }

    pub(super) fn broken(&self) -> impl Iterator<Item = &str> {
        self.tracker.broken().map(|subject| &*subject.name)
    }

    // What comes in.

    /// The links are others: tells the machine. A link that came back has nothing settled.
    pub(super) fn look(&mut self, now: Instant, machine: &mut Machine, world: &mut World) {
        let place = self.find_place(world);
        let is_first = self.place.is_none() && machine.state() == State::Fault(Fault::Starting);
        if is_first && world.facts.is_none() && self.trusted_until.is_none() {
            // Nothing is known of our own services: no reason yet to call it a fault.
            return;
        }
        if place == self.place {
            if is_first && world.link(&self.plan.interface).is_some_and(Link::is_known) {
                self.tell_of_no_link(world);
            }
            return;
        }
        let is_another = matches!((place, self.place), (Some((_, new)), Some((_, old))) if new != old);
        if is_another {
            machine.handle_link(now, None);
        }
        if place.is_some() && (is_another || self.place.is_none()) && !is_first {
            self.tracker.unsettle();
            self.looked_since = Some(now);
        }
        self.place = place;
        machine.handle_tracking(now, self.tracking(now));
        match place {
            Some((source, _)) if is_first && self.resumes => {
                machine.resume_from(now, source);
                self.holding = Some(Holding { stale: 0, claimed: true, fails: false });
                self.hold(world);
            }
            _ => {
                if is_first {
                    // What an earlier process left of the addresses is nobody's.
                    self.release(Arc::clone(&self.plan.addresses), world);
                }
                machine.handle_link(now, self.source());
            }
        }
    }

    /// Takes in what is reported about the services of this host.
    pub(super) fn take_facts(&mut self, now: Instant, facts: &Facts, machine: &mut Machine) {
        for (place, (_, origin)) in self.plan.tracked.iter().enumerate() {
            let report = match origin {
                Origin::Worker => Some(Report::Holds(facts.worker_serves)),
                Origin::Listener(name) => Some(Report::Holds(facts.is_bound(name.as_deref()))),
                Origin::Upstream(name) => {
                    let known = facts.upstreams.iter().find(|upstream| upstream.name == *name);
                    let known = known.filter(|upstream| self.counts(upstream.as_of));
                    known.map(|upstream| Report::Healthy(upstream.healthy))
                }
                Origin::Interface(_) | Origin::Exec => None,
            };
            if let Some(report) = report {
                self.tracker.handle(place, report);
            }
        }
        self.trusted_until = None;
        machine.handle_tracking(now, self.tracking(now));
    }

    /// Takes in how an interface is that it tracks.
    pub(super) fn take_interface(&mut self, now: Instant, name: &str, runs: bool, machine: &mut Machine) {
        let is_it = |origin: &Origin| matches!(origin, Origin::Interface(tracked) if **tracked == *name);
        for (place, _) in self.plan.tracked.iter().enumerate().filter(|(_, (_, origin))| is_it(origin)) {
            self.tracker.handle(place, Report::Holds(runs));
        }
        machine.handle_tracking(now, self.tracking(now));
    }

    /// Takes in the result of a check of its own.
    pub(super) fn take_check(
        &mut self,
        now: Instant,
        place: usize,
        passed: bool,
        begun: Instant,
        machine: &mut Machine,
    ) {
        if self.counts(begun) {
            self.tracker.handle(place, Report::Holds(passed));
            machine.handle_tracking(now, self.tracking(now));
        }
    }

    /// Reads an advert, whoever it is of.
    pub(super) fn read(&mut self, now: Instant, received: &socket::Received, packet: &[u8], machine: &mut Machine) {
        let local = self.source().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let socket::Received { source, destination, ttl, ref message } = *received;
        let message = packet.get(message.clone()).unwrap_or_default();
        let advert = self.plan.wire.receive(&Datagram { source, destination, local, ttl, message }, utc());
        match advert {
            Received::Accepted { source, told } => {
                self.peer = Some(source);
                self.tally.heard(now, source, &told);
            }
            Received::Refused { source, refusal, .. } => self.tally.refused(now, source, refusal),
        }
        machine.handle_advert(now, &advert);
    }

    /// The addresses were added or renewed, but for some.
    pub(super) fn held(
        &mut self,
        now: Instant,
        failures: Vec<(IpNet, NetworkError)>,
        machine: &mut Machine,
        world: &mut World,
    ) {
        self.holds_asked = self.holds_asked.saturating_sub(1);
        let Some(holding) = &mut self.holding else { return };
        if holding.stale > 0 {
            holding.stale -= 1;
            return;
        }
        let nothing_held = failures.len() >= self.plan.addresses.len();
        let is_news = !failures.is_empty() && !holding.fails;
        holding.fails = !failures.is_empty();
        if is_news {
            for (net, error) in failures {
                world.notes.trouble(&self.plan.name, Trouble::Hold(net, error));
            }
        }
        if nothing_held {
            if is_news {
                world.notes.trouble(&self.plan.name, Trouble::Unheld);
            }
            self.unheld_until = Some(now + UNHELD);
            machine.handle_tracking(now, self.tracking(now));
        } else if !holding.claimed {
            holding.claimed = true;
            machine.handle_claimed(now);
        }
    }

    /// Addresses were taken away, but for some.
    pub(super) fn released(&mut self, failures: Vec<(IpNet, NetworkError)>, world: &mut World) {
        self.releases_asked = self.releases_asked.saturating_sub(1);
        for (net, error) in failures {
            // With their interface they went by themselves.
            if !matches!(error, NetworkError::NoInterface(_)) {
                world.notes.trouble(&self.plan.name, Trouble::Release(net, error));
            }
        }
    }

    /// Somebody asked who has the addresses. Only a connection that is taken shows that another host
    /// serves; one that answers and is not clear about it does not, so that a machine whose daemon hangs
    /// keeps nobody from serving.
    pub(super) fn probed(
        &mut self,
        now: Instant,
        presence: Result<Presence, NetworkError>,
        machine: &mut Machine,
        world: &mut World,
    ) {
        let probed = match presence {
            Ok(Presence::Accepts { known, .. }) => Probed::Accepts { known },
            Ok(Presence::Refuses(_) | Presence::Unclear(_)) => Probed::Answers,
            Ok(Presence::Nobody) => Probed::Nobody,
            Err(error) => {
                world.notes.trouble(&self.plan.name, Trouble::Probe(error));
                Probed::Nobody
            }
        };
        machine.handle_probe(now, probed);
    }

    /// The interface with the virtual MAC was made, or not.
    pub(super) fn virtual_mac_made(&mut self, made: Result<Interface, NetworkError>, world: &mut World) {
        self.home.made(&self.plan, made, world);
    }

    /// Has an interface with the virtual MAC made, where one is wanted and can be.
    pub(super) fn look_after_virtual_mac(&mut self, world: &mut World) {
        self.home.look_after(self.number, &self.plan, world);
    }

    /// What is due every now and then: addresses are renewed, and what was put off is looked at again.
    pub(super) fn beat(&mut self, now: Instant, machine: &mut Machine, world: &mut World) {
        if self.holding.is_some() {
            self.hold(world);
        }
        let is_over = |until: Option<Instant>| until.is_some_and(|until| until <= now);
        if is_over(self.unheld_until) || is_over(self.trusted_until) {
            self.unheld_until = self.unheld_until.filter(|until| *until > now);
            self.trusted_until = self.trusted_until.filter(|until| *until > now);
            machine.handle_tracking(now, self.tracking(now));
        }
    }

    fn tell_of_no_link(&mut self, world: &mut World) {
        if !std::mem::replace(&mut self.told_of_no_link, true) {
            world.notes.trouble(&self.plan.name, Trouble::NoLink(Arc::clone(&self.plan.interface)));
        }
    }

    // What goes out.

    /// Does what the machine wants.
    pub(super) fn carry_out(&mut self, output: Output, world: &mut World) {
        match output {
            Output::Send { priority } => self.send(priority, world),
            Output::Claim => {
                self.holding = Some(Holding { stale: self.holds_asked, claimed: false, fails: false });
                self.hold(world);
            }
            Output::Release => {
                self.holding = None;
                self.release(Arc::clone(&self.plan.addresses), world);
            }
            Output::Announce { times } => {
                let Some(link) = self.home.name().and_then(|home| world.link(home)) else { return };
                for _ in 0..times {
                    self.plan.addresses.iter().for_each(|net| link.announce(net.addr()));
                }
            }
            Output::Probe { deadline } => self.ask(deadline, world),
            Output::Event(event) => self.event(event, world),
        }
    }

    fn send(&mut self, priority: u8, world: &mut World) {
        let Some(source) = self.source() else { return };
        let mut sent = Ok(());
        for at in 0.. {
            let Some(destination) = self.plan.wire.destinations().nth(at) else { break };
            let length = self.plan.wire.encode(priority, source, destination, utc(), &mut world.advert);
            let link = self.home.name().and_then(|home| world.link(home));
            let Some(socket) = link.and_then(|link| link.socket(self.plan.family)) else { continue };
            // Each of many gets its own, whatever becomes of the others'.
            if let Err(error) = socket.send(&world.advert[..length], source, destination) {
                sent = Err(error);
            }
        }
        match sent {
            Ok(()) => self.sends_fail = false,
            Err(error) => {
                self.tally.send_failures += 1;
                if !std::mem::replace(&mut self.sends_fail, true) {
                    world.notes.trouble(&self.plan.name, Trouble::Send(error));
                }
            }
        }
    }

    fn hold(&mut self, world: &mut World) {
        let Some(interface) = self.home.name().cloned() else { return };
        let route = if self.plan.virtual_mac { Route::None } else { Route::OfItsPrefix };
        let (owner, addresses) = (self.number, Arc::clone(&self.plan.addresses));
        let order = Order::Hold { owner, interface, addresses, route, lifetime: LIFETIME };
        self.holds_asked += u32::from(world.order(&self.plan.name, order));
    }

    fn release(&mut self, addresses: Arc<[IpNet]>, world: &mut World) {
        let Some(interface) = self.home.name().cloned() else { return };
        let order = Order::Release { owner: self.number, interface, addresses };
        self.releases_asked += u32::from(world.order(&self.plan.name, order));
    }

    fn ask(&self, deadline: Instant, world: &mut World) {
        // A listener is reached through the real interface, whatever the addresses live on.
        let interface = world.link(&self.plan.interface).and_then(|link| link.now.clone());
        let (Some(interface), Some(address)) = (interface, self.plan.probed()) else { return };
        let ports = world.facts.as_ref().map(|facts| facts.ports(&self.plan.addresses)).unwrap_or_default();
        let known = self.known();
        world.ask(&self.plan.name, self.number, Question { interface, address, ports, known, deadline });
    }

    /// Whom a probe tells from strangers, where that makes a difference.
    fn known(&self) -> Known {
        if self.plan.settings.on_partition == OnPartition::Serve {
            return Known::default();
        }
        let mac = match self.plan.family {
            socket::Family::V4 => Mac::virtual_v4(self.plan.settings.vrid),
            socket::Family::V6 => Mac::virtual_v6(self.plan.settings.vrid),
        };
        Known { addresses: self.plan.known_hosts(self.peer), mac: Some(mac) }
    }

    fn event(&mut self, event: Event, world: &mut World) {
        let at = SystemTime::now();
        let before = self.state;
        match event {
            Event::Became { state, reason } => {
                self.state = state;
                self.tally.became(state, reason, at);
            }
            Event::RivalGone { lasted, .. } => self.tally.both_active += lasted,
            _ => {}
        }
        world.notes.put(Note::Event { instance: Arc::clone(&self.plan.name), before, event, at });
    }

    // What is known.

    /// Whether what was looked at then counts.
    fn counts(&self, then: Instant) -> bool {
        self.looked_since.is_none_or(|since| then >= since)
    }

    fn tracking(&self, now: Instant) -> Tracking {
        let is_ahead = |until: Option<Instant>| until.is_some_and(|until| until > now);
        if is_ahead(self.unheld_until) {
            Tracking::Unfit
        } else if is_ahead(self.trusted_until) {
            // A backup may have had a lower priority: it preempts nobody by what it only believes.
            Tracking::Fit { lowered_by: 0, settled: self.resumes }
        } else {
            self.tracker.sum()
        }
    }

    /// Where adverts leave, if they can: from this address, by the interface of this number.
    fn find_place(&self, world: &World) -> Option<(IpAddr, u32)> {
        let real = world.link(&self.plan.interface)?;
        let (interface, index) = (real.now.as_ref()?, real.index()?);
        // Adverts are sent on one and heard on the other.
        world.link(self.home.name()?)?.index()?;
        let source = match self.plan.family {
            socket::Family::V4 => interface.ipv4.map(IpAddr::V4),
            socket::Family::V6 if self.plan.routed => interface.ipv6.map(IpAddr::V6),
            socket::Family::V6 => interface.link_local.map(IpAddr::V6),
        };
        source.map(|source| (source, index))
    }
}

/// The time of day, for proofs of secrets.
fn utc() -> Utc {
    Utc(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}
