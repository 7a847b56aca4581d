//! What the owner of a host reports about its own services.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use ipnet::IpNet;

use crate::vrrp::probe::MOST_PORTS;

/// How the services of this host are. Before the first report no instance is fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The worker serves. One that dies and is replaced at once serves.
    pub worker_serves: bool,
    /// Every listener.
    pub listeners: Vec<ListenerFact>,
    /// Upstreams whose servers have been checked.
    pub upstreams: Vec<UpstreamFact>,
}

/// A listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerFact {
    /// Its name.
    pub name: Box<str>,
    /// It is bound to all its addresses.
    pub is_bound: bool,
    /// Where it takes TCP connections. Another host is tried there before the virtual addresses are
    /// claimed.
    pub tcp: Vec<SocketAddr>,
}

/// An upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamFact {
    /// Its name.
    pub name: Box<str>,
    /// Servers of it that are healthy.
    pub healthy: usize,
    /// Every server was looked at since then, by a check that began later. What was looked at before the
    /// link came back does not count.
    pub as_of: Instant,
}

impl Facts {
    /// Whether this listener is bound; `None`: whether all are.
    pub(super) fn is_bound(&self, name: Option<&str>) -> bool {
        let mut meant =
            self.listeners.iter().filter(|listener| name.is_none_or(|name| *listener.name == *name)).peekable();
        // One that is not reported is not bound. Where none are reported at all, none are missing.
        (name.is_none() || meant.peek().is_some()) && meant.all(|listener| listener.is_bound)
    }

    /// The ports on which whoever has these addresses takes connections.
    pub(super) fn ports(&self, addresses: &[IpNet]) -> Vec<u16> {
        let mut ports = Vec::new();
        for bound in self.listeners.iter().filter(|listener| listener.is_bound).flat_map(|listener| &listener.tcp) {
            let serves = |net: &IpNet| match bound.ip() {
                IpAddr::V4(ip) if ip.is_unspecified() => net.addr().is_ipv4(),
                IpAddr::V6(ip) if ip.is_unspecified() => net.addr().is_ipv6(),
                ip => net.addr() == ip,
            };
            if ports.len() < MOST_PORTS && !ports.contains(&bound.port()) && addresses.iter().any(serves) {
                ports.push(bound.port());
            }
        }
        ports
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(name: &str, is_bound: bool, tcp: &[&str]) -> ListenerFact {
        ListenerFact { name: name.into(), is_bound, tcp: tcp.iter().map(|address| address.parse().unwrap()).collect() }
    }

    #[test]
    fn a_listener_that_nobody_speaks_of_is_not_bound() {
        let listeners = vec![listener("http", true, &[]), listener("https", false, &[])];
        let facts = Facts { worker_serves: true, listeners, upstreams: Vec::new() };
        let bound = |name| facts.is_bound(name);
        assert_eq!(
            [bound(Some("http")), bound(Some("https")), bound(Some("other")), bound(None)],
            [true, false, false, false]
        );
        assert!(Facts::default().is_bound(None));
    }

    #[test]
    fn the_ports_are_those_that_the_addresses_have() {
        let tcp = ["0.0.0.0:80", "[::]:81", "192.168.0.100:82", "192.168.0.11:83", "192.168.0.100:80"];
        let listeners = vec![listener("http", true, &tcp), listener("closed", false, &["0.0.0.0:90"])];
        let facts = Facts { worker_serves: true, listeners, upstreams: Vec::new() };
        let ports = |net: &str| facts.ports(&[net.parse().unwrap()]);
        assert_eq!((ports("192.168.0.100/24"), ports("fd00::1/64")), (vec![80, 82], vec![81]));
    }
}
