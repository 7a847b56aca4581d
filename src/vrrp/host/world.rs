//! What all instances of a host share: interfaces, the threads that speak with the kernel, and the log.

use std::sync::Arc;

use ipnet::IpNet;

use super::facts::Facts;
use super::link::{Link, Wants};
use crate::vrrp::herald::{Notes, Trouble};
use crate::vrrp::mailbox::Refused;
use crate::vrrp::network::{Network, Order};
use crate::vrrp::packet::LONGEST;
use crate::vrrp::plan::{Origin, Plan};
use crate::vrrp::probe::Question;
use crate::vrrp::socket::Membership;

/// What instances share.
#[derive(Debug)]
pub(super) struct World {
    network: Network,
    pub(super) notes: Notes,
    pub(super) links: Vec<Link>,
    /// Interfaces with a virtual MAC, which come and go with their instances.
    virtual_links: Vec<Arc<str>>,
    pub(super) facts: Option<Facts>,
    /// The advert that is sent.
    pub(super) advert: [u8; LONGEST],
    is_busy: bool,
}

impl World {
    pub(super) fn new(network: Network, notes: Notes) -> Self {
        let (links, virtual_links) = (Vec::new(), Vec::new());
        Self { network, notes, links, virtual_links, facts: None, advert: [0; LONGEST], is_busy: false }
    }

    pub(super) fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| *link.name == *name)
    }

    /// Watches what these instances live on and track, and nothing else.
    pub(super) fn watch(&mut self, plans: &[&Plan]) {
        let mut names: Vec<Arc<str>> = Vec::new();
        for plan in plans {
            let tracked = plan.tracked.iter().filter_map(|(_, origin)| match origin {
                Origin::Interface(name) => Some(name),
                _ => None,
            });
            for name in [&plan.interface].into_iter().chain(tracked) {
                if !names.contains(name) {
                    names.push(Arc::clone(name));
                }
            }
        }
        self.links.retain(|link| names.contains(&link.name) || self.virtual_links.contains(&link.name));
        for name in names {
            let (mut wants, mut addresses) = (Wants::default(), Vec::new());
            for plan in plans.iter().filter(|plan| plan.interface == name) {
                wants.add(plan.family, plan.membership);
                addresses.extend(plan.addresses.iter().copied());
            }
            self.watch_one(name, wants, addresses.into());
        }
    }

    /// Watches an interface with a virtual MAC.
    pub(super) fn watch_virtual(&mut self, name: Arc<str>, plan: &Plan) {
        let mut wants = Wants::default();
        // Adverts are heard on the real interface.
        wants.add(plan.family, Membership::None);
        self.virtual_links.push(Arc::clone(&name));
        self.watch_one(name, wants, Arc::clone(&plan.addresses));
    }

    /// An interface with a virtual MAC is gone.
    pub(super) fn forget(&mut self, name: &str) {
        self.virtual_links.retain(|known| **known != *name);
        self.links.retain(|link| *link.name != *name);
    }

    fn watch_one(&mut self, name: Arc<str>, wants: Wants, addresses: Arc<[IpNet]>) {
        match self.links.iter_mut().find(|link| link.name == name) {
            Some(link) => link.reconfigure(wants, addresses),
            None => self.links.push(Link::new(name, wants, addresses)),
        }
        self.beat();
    }

    /// Has those interfaces watched that are not yet, or otherwise.
    pub(super) fn beat(&mut self) {
        for at in 0..self.links.len() {
            let link = &self.links[at];
            if !link.is_watched {
                let (name, virtual_addresses) = (Arc::clone(&link.name), Arc::clone(&link.virtual_addresses));
                let watch = Order::Watch { interface: Arc::clone(&name), virtual_addresses };
                self.links[at].is_watched = self.order(&name, watch);
            }
        }
    }

    /// Takes an order to the kernel, without waiting. Whether it was taken.
    pub(super) fn order(&mut self, instance: &Arc<str>, order: Order) -> bool {
        let taken = self.network.order(order);
        self.was_taken(instance, taken)
    }

    /// Asks who has an address, without waiting.
    pub(super) fn ask(&mut self, instance: &Arc<str>, owner: usize, question: Question) {
        let taken = self.network.ask(owner, question);
        self.was_taken(instance, taken);
    }

    /// That a thread does not keep up is told when it begins.
    fn was_taken(&mut self, instance: &Arc<str>, taken: Result<(), Refused>) -> bool {
        let was_busy = std::mem::replace(&mut self.is_busy, taken.is_err());
        match taken {
            Ok(()) => true,
            Err(error) => {
                if !was_busy {
                    self.notes.trouble(instance, Trouble::Busy(error));
                }
                false
            }
        }
    }
}
