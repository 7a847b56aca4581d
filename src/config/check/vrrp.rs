//! What instances of VRRP must not share, and the names that they track.

use std::collections::HashMap;
use std::net::IpAddr;

use super::{Check, place};
use crate::config::model::{HostPort, Tracked, Vrrp};
use crate::config::value::quote;
use crate::diagnostic::{Span, Spanned, nearest};

impl<'a> Check<'a> {
    pub(super) fn vrrp(&mut self) {
        let config = self.config;
        let mut routers: HashMap<(&str, u8, bool), Span> = HashMap::new();
        let mut addresses: HashMap<IpAddr, Span> = HashMap::new();
        for instance in &config.vrrp {
            self.router_id(instance, &mut routers);
            self.addresses(instance, &mut addresses);
            self.group(instance);
            self.tracked(instance);
        }
    }

    /// RFC 9568 §5.2.3: a virtual router is known by its number on a link, and by the family of its addresses.
    fn router_id(&mut self, instance: &'a Vrrp, routers: &mut HashMap<(&'a str, u8, bool), Span>) {
        let Spanned { value: id, span } = instance.virtual_router_id;
        let interface = instance.interface.value.as_str();
        let is_v6 = instance.addresses.first().is_some_and(|first| first.value.addr().is_ipv6());
        if let Some(earlier) = routers.insert((interface, id, is_v6), span) {
            let message = format!("virtual_router_id {id} is taken on `{interface}`");
            self.fault_with_hint(span, message, format!("first at {}", place(&self.config.sources, earlier)));
        }
    }

    fn addresses(&mut self, instance: &Vrrp, addresses: &mut HashMap<IpAddr, Span>) {
        for Spanned { value: net, span } in &instance.addresses {
            // Link-local addresses are for one link: another one may have the same.
            let is_link_local = matches!(net.addr(), IpAddr::V6(v6) if v6.is_unicast_link_local());
            let twice = instance.addresses.iter().filter(|other| other.value.addr() == net.addr()).count() > 1;
            if is_link_local && !twice {
                continue;
            }
            if let Some(earlier) = addresses.insert(net.addr(), *span) {
                let message = format!("address `{}` is virtual already", net.addr());
                self.fault_with_hint(*span, message, format!("first at {}", place(&self.config.sources, earlier)));
            }
        }
        for peer in &instance.peers {
            if instance.addresses.iter().any(|own| own.value.addr() == peer.value) {
                let message =
                    format!("peer `{}` is a virtual address: it is the other host's own that is meant", peer.value);
                self.fault(peer.span, message);
            }
        }
    }

    fn group(&mut self, instance: &Vrrp) {
        let Some(group) = &instance.group else { return };
        let others =
            || self.config.vrrp.iter().filter(|other| other.name != instance.name).filter_map(|o| o.group.as_ref());
        if others().any(|other| other == group) {
            return;
        }
        let known = others().map(|other| &*other.value);
        let hint = match nearest(&group.value, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "another `[vrrp.NAME]` has to name it, too".to_owned(),
        };
        self.fault_with_hint(group.span, format!("group `{}` has one member alone", group.value), hint);
    }

    fn tracked(&mut self, instance: &'a Vrrp) {
        let config = self.config;
        for (tracked, healthy) in &instance.track.upstreams {
            let name = &tracked.name;
            let Some(upstream) = config.upstreams.iter().find(|upstream| upstream.name == *name) else {
                self.undefined("upstream", name, config.upstreams.iter().map(|upstream| &*upstream.name.value));
                continue;
            };
            // A name may become any number of servers.
            let is_fixed = upstream.servers.iter().all(|server| matches!(server.address.value, HostPort::Ip(_)));
            let servers = upstream.servers.len();
            if is_fixed && servers < *healthy as usize {
                let message = format!("upstream `{}` has {servers} servers; {healthy} are never healthy", name.value);
                self.fault(name.span, message);
            }
        }
        for name in instance.track.listeners.iter().flatten().map(|tracked| &tracked.name) {
            if !config.listeners.iter().any(|listener| listener.name == *name) {
                self.undefined("listener", name, config.listeners.iter().map(|listener| &*listener.name.value));
            }
        }
        self.twice("interface", instance.track.interfaces.iter());
        self.twice("listener", instance.track.listeners.iter().flatten());
        self.twice("exec check", instance.track.exec.iter().map(|exec| &exec.tracked));
    }

    fn twice(&mut self, what: &str, all: impl Iterator<Item = &'a Tracked>) {
        let mut seen: Vec<&str> = Vec::new();
        for name in all.map(|tracked| &tracked.name) {
            if seen.contains(&&*name.value) {
                self.fault(name.span, format!("{what} {} is tracked twice", quote(&name.value)));
            }
            seen.push(&name.value);
        }
    }
}
