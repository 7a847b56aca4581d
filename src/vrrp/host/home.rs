//! The interface that the addresses of an instance live on: the real one, or one with the virtual MAC
//! that is made for it.

use std::sync::Arc;

use super::link::Link;
use super::world::World;
use crate::vrrp::NetworkError;
use crate::vrrp::herald::Trouble;
use crate::vrrp::netlink::Interface;
use crate::vrrp::network::Order;
use crate::vrrp::plan::Plan;

/// Where the addresses live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// On this interface, which is there without us.
    Real(Arc<str>),
    /// On one with the virtual MAC, which is not there.
    Missing,
    /// It is being made.
    Asked,
    /// On this one, which we have made.
    Virtual(Arc<str>),
    /// It could not be made. It is tried again when the link has gone and come.
    Failed,
    /// It is being removed.
    Leaving(Arc<str>),
}

impl Home {
    pub(super) fn of(plan: &Plan) -> Self {
        if plan.virtual_mac { Self::Missing } else { Self::Real(Arc::clone(&plan.interface)) }
    }

    /// The interface; `None`: there is none now.
    pub(super) fn name(&self) -> Option<&Arc<str>> {
        match self {
            Self::Real(name) | Self::Virtual(name) => Some(name),
            Self::Missing | Self::Asked | Self::Failed | Self::Leaving(_) => None,
        }
    }

    /// Has the virtual one made where it is missing and the real one is there.
    pub(super) fn look_after(&mut self, number: usize, plan: &Plan, world: &mut World) {
        let real_runs = world.link(&plan.interface).is_some_and(|link| link.index().is_some());
        match self {
            Self::Virtual(name) if world.link(name).is_some_and(Link::was_removed) => {
                world.forget(name);
                *self = Self::Missing;
            }
            Self::Failed if !real_runs => *self = Self::Missing,
            _ => {}
        }
        if *self == Self::Missing && real_runs {
            let order = Order::CreateVirtualMac {
                owner: number,
                parent: Arc::clone(&plan.interface),
                virtual_router_id: plan.settings.vrid,
                family: plan.family,
            };
            if world.order(&plan.name, order) {
                *self = Self::Asked;
            }
        }
    }

    /// The virtual one was made, or not.
    pub(super) fn made(&mut self, plan: &Plan, made: Result<Interface, NetworkError>, world: &mut World) {
        match made {
            Ok(interface) => {
                let name: Arc<str> = interface.name.into();
                world.watch_virtual(Arc::clone(&name), plan);
                *self = Self::Virtual(name);
            }
            Err(error) => {
                world.notes.trouble(&plan.name, Trouble::VirtualMac(error));
                *self = Self::Failed;
            }
        }
    }

    /// Has what we have made removed. Whether nothing of it is left.
    pub(super) fn is_gone(&mut self, instance: &Arc<str>, world: &mut World) -> bool {
        match self {
            Self::Real(_) | Self::Missing | Self::Failed => true,
            // It is there as soon as that is reported.
            Self::Asked => false,
            Self::Virtual(name) => {
                if world.order(instance, Order::RemoveVirtualMac { interface: name.to_string() }) {
                    *self = Self::Leaving(Arc::clone(name));
                }
                false
            }
            Self::Leaving(name) => {
                let is_gone = world.link(name).is_none_or(Link::was_removed);
                if is_gone {
                    world.forget(name);
                }
                is_gone
            }
        }
    }
}
