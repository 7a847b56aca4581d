//! A network segment with hosts on it, and all that can go wrong.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::vrrp::authentication::{Keyring, Mode, Utc};
use crate::vrrp::checksum::ChecksumForm;
use crate::vrrp::interval::{Centiseconds, Seconds};
use crate::vrrp::machine::{Event, HOLD_DOWN, Machine, OnPartition, Output, Probed, Settings, State};
use crate::vrrp::packet::{LONGEST, Legacy};
use crate::vrrp::priority::Priority;
use crate::vrrp::wire::{AddressList, Datagram, Identity, Protocol, Received, Wire};

/// The longest that a frame is under way.
const DELAY: Duration = Duration::from_millis(2);

/// From an order to add addresses until they are there, and from a question to its answer.
const ORDER: Duration = Duration::from_millis(1);

pub(super) struct Lan {
    pub(super) dice: fastrand::Rng,
    /// Whom the client sends to: who announced itself last where the client is.
    pub(super) client: Option<usize>,
    /// The longest stretch with two active hosts since this was set to zero.
    pub(super) both_active: Duration,
    /// How often a host became another state.
    pub(super) changes: usize,
    both_since: Option<Instant>,
    now: Instant,
    start: Instant,
    hosts: Vec<Host>,
    protocol: Protocol,
    loss: f64,
    cut: Option<Cut>,
    /// Somebody who is no host answers for the addresses, as one that serves.
    pub(super) forger: bool,
    mail: BinaryHeap<Reverse<(Instant, usize)>>,
    /// What is under way, at the places that `mail` names.
    letters: Vec<(usize, Letter)>,
}

struct Host {
    machine: Machine,
    wire: Wire,
    address: IpAddr,
    priority: Priority,
    settings: Settings,
    alive: bool,
    linked: bool,
    asleep_until: Option<Instant>,
    inbox: VecDeque<Letter>,
    holds: bool,
    /// Whose advert it believed last.
    known: Option<IpAddr>,
    /// Seconds that its clock is ahead of the others'.
    clock_ahead: u64,
    side: bool,
}

#[derive(Clone, Debug)]
enum Letter {
    Advert { from: usize, message: Vec<u8> },
    Claimed,
    Probed(Probed),
}

/// What does not get through between the sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Nothing does.
    Everything,
    /// Adverts do not, between any two hosts.
    Adverts,
}

impl Lan {
    /// Two to five hosts, which have the same in common as real ones do; `change` says what a law needs.
    pub(super) fn new(seed: u64, start: Instant, change: impl Fn(&mut Settings)) -> Self {
        let mut dice = fastrand::Rng::with_seed(seed);
        let protocol = match dice.u8(..4) {
            0 => Protocol::V2 { interval: Seconds::new(1).unwrap(), legacy: Legacy::password(b"1111") },
            1 => Protocol::V3 { interval: Centiseconds::new(1).unwrap(), checksum: ChecksumForm::Rfc9568 },
            2 => Protocol::V3 { interval: Centiseconds::new(100).unwrap(), checksum: ChecksumForm::Keepalived },
            _ => Protocol::V3 { interval: Centiseconds::new(10).unwrap(), checksum: ChecksumForm::Keepalived },
        };
        let (count, preempt, hmac) = (dice.u8(2..=5), dice.bool(), dice.bool());
        let on_partition = if dice.bool() { OnPartition::Serve } else { OnPartition::Stop };
        let host = |last: u8, dice: &mut fastrand::Rng| {
            let priority = Priority::new(dice.u8(90..110)).unwrap();
            let preempt_delay = Duration::from_millis(dice.u64(0..2) * 300);
            let settings = Settings::new(51, protocol.interval(), priority);
            let mut settings = Settings { preempt, preempt_delay, on_partition, ..settings };
            change(&mut settings);
            let keyring = hmac.then(|| Keyring::new(&[(1, &[7; 32])], Mode::Enforce, Duration::from_secs(5)).unwrap());
            let addresses = AddressList::new(vec![IpAddr::from([192, 168, 0, 100])]).unwrap();
            let identity = Identity { vrid: 51, protocol, addresses, peers: Vec::new(), check_ttl: true, keyring };
            Host {
                machine: Machine::new(settings, start),
                wire: Wire::new(identity).unwrap(),
                address: IpAddr::from([192, 168, 0, last]),
                priority,
                settings,
                alive: true,
                linked: true,
                asleep_until: None,
                inbox: VecDeque::new(),
                holds: false,
                known: None,
                clock_ahead: 0,
                side: false,
            }
        };
        let hosts = (1..=count).map(|last| host(last, &mut dice)).collect();
        let mut lan = Self {
            dice,
            client: None,
            both_active: Duration::ZERO,
            changes: 0,
            both_since: None,
            now: start,
            start,
            hosts,
            protocol,
            loss: 0.0,
            cut: None,
            forger: false,
            mail: BinaryHeap::new(),
            letters: Vec::new(),
        };
        for at in 0..lan.hosts.len() {
            lan.link(at, true);
        }
        lan
    }

    // What is asked of it.

    pub(super) fn interval(&self) -> Duration {
        self.protocol.interval().duration()
    }

    /// What a message, an order or a late wake-up may add to a time of the protocol.
    pub(super) fn slack(&self) -> Duration {
        6 * DELAY + self.interval() / 4
    }

    /// How long it takes at most until nothing moves any more.
    pub(super) fn settling(&self) -> Duration {
        2 * HOLD_DOWN + 12 * self.interval() * 4
    }

    /// From a question to the next while one is held, and an interval.
    pub(super) fn asking(&self) -> Duration {
        self.interval() + self.interval().max(Duration::from_millis(100))
    }

    pub(super) fn least_down(&self) -> Duration {
        let down = |host: &Host| self.protocol.interval().active_down(host.priority);
        self.hosts.iter().map(down).min().unwrap()
    }

    pub(super) fn best_down(&self, without: usize) -> Duration {
        self.protocol.interval().active_down(self.best(without))
    }

    pub(super) fn best_skew(&self, without: usize) -> Duration {
        self.protocol.interval().skew(self.best(without))
    }

    fn best(&self, without: usize) -> Priority {
        let others = self.hosts.iter().enumerate().filter(|(at, _)| *at != without);
        others.map(|(_, host)| host.priority).max().unwrap()
    }

    /// Hosts that are active and do not leave.
    pub(super) fn active(&self) -> Vec<usize> {
        let active = |host: &Host| host.alive && host.machine.state() == State::Active && !host.machine.is_leaving();
        (0..self.hosts.len()).filter(|at| active(&self.hosts[*at])).collect()
    }

    /// Hosts that have the virtual addresses.
    pub(super) fn holders(&self) -> Vec<usize> {
        (0..self.hosts.len()).filter(|at| self.hosts[*at].alive && self.hosts[*at].holds).collect()
    }

    // What is done to it.

    pub(super) fn kill(&mut self, at: usize) {
        let host = &mut self.hosts[at];
        host.alive = false;
        host.holds = false;
        host.inbox.clear();
    }

    pub(super) fn revive(&mut self, at: usize) {
        let host = &mut self.hosts[at];
        host.machine = Machine::new(host.settings, self.now);
        host.alive = true;
        host.asleep_until = None;
        self.link(at, true);
    }

    pub(super) fn stop(&mut self, at: usize) {
        self.act(at, Machine::stop);
    }

    pub(super) fn cut(&mut self, cut: Cut) {
        self.cut = Some(cut);
    }

    /// Cuts one host off from the others; the client is with it or with them.
    pub(super) fn split(&mut self, alone: usize) {
        self.cut = Some(Cut::Everything);
        let side = self.dice.bool();
        for at in 0..self.hosts.len() {
            self.hosts[at].side = side ^ (at == alone);
        }
    }

    /// One bad thing, for some down intervals.
    pub(super) fn misfortune(&mut self) {
        let at = self.dice.usize(..self.hosts.len());
        match self.dice.u8(..10) {
            0 => self.loss = self.dice.f64() * 0.6,
            1 => self.loss = 0.0,
            2 => {
                self.cut = Some(Cut::Everything);
                for at in 0..self.hosts.len() {
                    self.hosts[at].side = self.dice.bool();
                }
            }
            3 => self.cut = Some(Cut::Adverts),
            4 => self.cut = None,
            5 => {
                let length = self.interval().mul_f64(self.dice.f64() * 10.0);
                self.hosts[at].asleep_until = Some(self.now + length);
            }
            6 if self.hosts[at].alive => self.kill(at),
            6 => self.revive(at),
            7 => self.link(at, !self.hosts[at].linked),
            // A step back within the window is taken for a replay, so there is none.
            8 => self.hosts[at].clock_ahead = self.dice.u64(0..2) * self.dice.u64(6..20),
            _ => match self.dice.u8(..3) {
                0 => self.act(at, Machine::hand_over),
                1 => self.act(at, Machine::drain),
                _ => self.act(at, Machine::undrain),
            },
        }
        let length = self.interval().mul_f64(self.dice.f64() * 12.0);
        self.run(length);
    }

    /// All is well from here on, and what counts is counted anew.
    pub(super) fn heal(&mut self) {
        self.loss = 0.0;
        self.cut = None;
        for at in 0..self.hosts.len() {
            self.hosts[at].clock_ahead = 0;
            self.hosts[at].asleep_until = self.hosts[at].asleep_until.map(|_| self.now);
            if !self.hosts[at].alive {
                self.revive(at);
            }
            self.link(at, true);
            self.act(at, Machine::undrain);
        }
        self.both_active = Duration::ZERO;
        self.both_since = self.both_since.map(|_| self.now);
    }

    fn link(&mut self, at: usize, up: bool) {
        self.hosts[at].linked = up;
        let address = up.then_some(self.hosts[at].address);
        self.act(at, |machine, now| machine.handle_link(now, address));
    }

    // Time.

    pub(super) fn run(&mut self, length: Duration) {
        self.run_until(length, |_| false);
    }

    /// Runs for a part of an interval, so that nothing keeps step with anything.
    pub(super) fn run_part(&mut self) {
        let part = self.dice.f64();
        self.run(self.interval().mul_f64(part));
    }

    /// Runs until this holds, for so long at most; how long it took.
    pub(super) fn run_until(&mut self, length: Duration, mut holds: impl FnMut(&Self) -> bool) -> Option<Duration> {
        let (begin, end) = (self.now, self.now + length);
        loop {
            if holds(self) {
                return Some(self.now - begin);
            }
            let Some(next) = self.next().filter(|next| *next <= end) else {
                self.now = end;
                self.watch();
                return None;
            };
            self.now = self.now.max(next);
            self.step();
            self.watch();
        }
    }

    fn next(&self) -> Option<Instant> {
        let letter = self.mail.peek().map(|Reverse((at, _))| *at);
        let awake = self.hosts.iter().filter(|host| host.alive);
        let due = awake.filter_map(|host| host.asleep_until.or(host.machine.poll_timeout()));
        letter.into_iter().chain(due).min()
    }

    fn step(&mut self) {
        while let Some(Reverse((at, place))) = self.mail.peek().copied()
            && at <= self.now
        {
            self.mail.pop();
            let (to, letter) = self.letters[place].clone();
            self.hosts[to].inbox.push_back(letter);
        }
        for at in 0..self.hosts.len() {
            let host = &mut self.hosts[at];
            if !host.alive {
                host.inbox.clear();
                continue;
            }
            if host.asleep_until.is_some_and(|until| until > self.now) {
                continue;
            }
            host.asleep_until = None;
            // First what lies in the socket, then what is due.
            while let Some(letter) = self.hosts[at].inbox.pop_front() {
                self.read(at, letter);
            }
            if self.hosts[at].machine.poll_timeout().is_some_and(|due| due <= self.now) {
                self.act(at, Machine::handle_timeout);
            }
        }
    }

    fn read(&mut self, at: usize, letter: Letter) {
        match letter {
            Letter::Claimed => self.act(at, Machine::handle_claimed),
            Letter::Probed(probed) => self.act(at, |machine, now| machine.handle_probe(now, probed)),
            Letter::Advert { from, message } => {
                let (source, utc) = (self.hosts[from].address, self.utc(at));
                let host = &mut self.hosts[at];
                let destination = host.wire.destinations().next().unwrap();
                let datagram = Datagram { source, destination, local: host.address, ttl: 255, message: &message };
                let received = host.wire.receive(&datagram, utc);
                if let Received::Accepted { source, .. } = received {
                    host.known = Some(source);
                }
                self.act(at, |machine, now| machine.handle_advert(now, &received));
            }
        }
    }

    fn act(&mut self, at: usize, input: impl FnOnce(&mut Machine, Instant)) {
        if !self.hosts[at].alive {
            return;
        }
        input(&mut self.hosts[at].machine, self.now);
        while let Some(output) = self.hosts[at].machine.poll_output() {
            self.carry_out(at, output);
        }
    }

    fn carry_out(&mut self, at: usize, output: Output) {
        match output {
            Output::Send { priority } => self.send(at, priority),
            Output::Claim => {
                self.hosts[at].holds = true;
                self.post(at, ORDER, Letter::Claimed);
            }
            Output::Release => self.hosts[at].holds = false,
            Output::Announce { .. } => {
                assert!(self.hosts[at].holds, "announced by who does not hold");
                let reaches = self.cut != Some(Cut::Everything) || !self.hosts[at].side;
                if reaches && self.hosts[at].linked {
                    self.client = Some(at);
                }
            }
            Output::Probe { .. } => {
                let serves = |other: usize| other != at && self.hosts[other].linked && self.sees(at, other);
                let is_known = |other: usize| self.hosts[at].known == Some(self.hosts[other].address);
                let serving = || self.holders().into_iter().filter(|other| serves(*other));
                let probed = if !self.hosts[at].linked {
                    Probed::Nobody
                } else if serving().next().is_some() {
                    Probed::Accepts { known: serving().any(is_known) }
                } else if self.forger {
                    Probed::Accepts { known: false }
                } else {
                    Probed::Nobody
                };
                self.post(at, ORDER, Letter::Probed(probed));
            }
            Output::Event(event) => {
                self.changes += usize::from(matches!(event, Event::Became { .. }));
            }
        }
    }

    fn send(&mut self, at: usize, priority: u8) {
        let utc = self.utc(at);
        let host = &mut self.hosts[at];
        let destination = host.wire.destinations().next().unwrap();
        let mut buffer = [0; LONGEST];
        let length = host.wire.encode(priority, host.address, destination, utc, &mut buffer);
        for to in (0..self.hosts.len()).filter(|to| *to != at) {
            let lost = self.dice.f64() < self.loss || self.cut == Some(Cut::Adverts);
            let linked = self.hosts[at].linked && self.hosts[to].linked;
            if linked && !lost && self.sees(at, to) {
                let delay = DELAY.mul_f64(self.dice.f64());
                self.post(to, delay, Letter::Advert { from: at, message: buffer[..length].to_vec() });
            }
        }
    }

    fn sees(&self, one: usize, other: usize) -> bool {
        self.cut != Some(Cut::Everything) || self.hosts[one].side == self.hosts[other].side
    }

    fn post(&mut self, to: usize, delay: Duration, letter: Letter) {
        self.mail.push(Reverse((self.now + delay, self.letters.len())));
        self.letters.push((to, letter));
    }

    fn utc(&self, at: usize) -> Utc {
        let ahead = Duration::from_secs(1_700_000_000 + self.hosts[at].clock_ahead);
        Utc(ahead + (self.now - self.start))
    }

    fn watch(&mut self) {
        if self.active().len() < 2 {
            self.both_since = None;
            return;
        }
        let since = *self.both_since.get_or_insert(self.now);
        self.both_active = self.both_active.max(self.now - since);
    }
}
