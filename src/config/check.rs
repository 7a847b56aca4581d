//! What no table can know alone: names that others define, addresses and hosts that others have too.

mod vrrp;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use super::model::{
    Action, Balance, Config, DatabaseRole, HostPattern, HostPort, Listener, Matcher, Mode, Site, Upstream,
};
use super::value::quote;
use crate::diagnostic::{Diagnostic, Sources, Span, Spanned, names, nearest};
use crate::net::Endpoint;

/// Notes every fault between the tables of a config.
pub(super) fn check(config: &Config, faults: &mut Vec<Diagnostic>) {
    let mut check = Check { config, faults };
    check.listeners();
    check.upstreams();
    check.sites();
    check.vrrp();
}

struct Check<'a> {
    config: &'a Config,
    faults: &'a mut Vec<Diagnostic>,
}

impl Check<'_> {
    fn fault(&mut self, span: Span, message: String) {
        self.faults.push(Diagnostic::error(span, message));
    }

    fn fault_with_hint(&mut self, span: Span, message: String, hint: String) {
        self.faults.push(Diagnostic::error(span, message).hint(hint));
    }

    fn listeners(&mut self) {
        let config = self.config;
        // A file that an editor has just emptied must not close every listener.
        if config.listeners.is_empty() {
            let message = "no listener is defined".to_owned();
            self.fault_with_hint(
                Span::default(),
                message,
                "a `[listener.NAME]` table with `bind` opens one".to_owned(),
            );
        }
        for listener in &config.listeners {
            self.protocols(listener);
            self.served_by(listener);
        }
        let admin = Spanned::new(Endpoint::tcp(config.admin.bind.value), config.admin.bind.span);
        let mut bound: Vec<Spanned<Endpoint>> = Vec::new();
        for endpoint in std::iter::once(admin).chain(config.listeners.iter().flat_map(Listener::endpoints)) {
            let clashing = bound.iter().position(|earlier| clash(earlier.value, endpoint.value));
            if let Some((at, earlier)) = clashing.and_then(|at| Some((at, bound.get(at)?))) {
                // The admin listener's address may be a default that is written nowhere.
                let hint = if at == 0 {
                    format!("the admin listener has `{}`", earlier.value.address)
                } else {
                    format!("`{}` stands at {}", earlier.value.address, place(&config.sources, earlier.span))
                };
                let message = format!("`{}` is bound already", endpoint.value.address);
                self.fault_with_hint(endpoint.span, message, hint);
            }
            bound.push(endpoint);
        }
    }

    fn protocols(&mut self, listener: &Listener) {
        let Spanned { value: protocols, span } = listener.protocols;
        if protocols.h2 && listener.tls.is_none() {
            let hint = "`h2c` is HTTP/2 without TLS".to_owned();
            self.fault_with_hint(span, "`h2` needs `tls`: it is chosen in the handshake".to_owned(), hint);
        }
        if protocols.h2c && listener.tls.is_some() {
            let hint = "`h2` is HTTP/2 over TLS".to_owned();
            self.fault_with_hint(span, "`h2c` does not go with `tls`".to_owned(), hint);
        }
        if let Some(redirect) = listener.redirect_to_https.as_ref().filter(|_| listener.tls.is_some()) {
            self.fault(redirect.span, "`redirect_to_https` does not go with `tls`: this is https already".to_owned());
        }
    }

    /// Looks at the upstream that a listener names itself.
    fn served_by(&mut self, listener: &Listener) {
        if listener.mode.value == Mode::Http {
            return;
        }
        for name in listener.upstream.iter().chain(listener.sni.iter().map(|(_, name)| name)) {
            self.serves(listener, name);
        }
        let mut named: HashMap<&HostPattern, Span> = HashMap::new();
        for (host, _) in &listener.sni {
            if let Some(earlier) = named.insert(&host.value, host.span) {
                let hint = format!("first at {}", place(&self.config.sources, earlier));
                self.fault_with_hint(host.span, format!("host `{}` stands twice in `sni`", host.value), hint);
            }
        }
    }

    /// Looks at an upstream that is to serve what is no HTTP.
    fn serves(&mut self, listener: &Listener, name: &Spanned<String>) {
        let config = self.config;
        let Some(upstream) = config.upstreams.iter().find(|upstream| upstream.name.value == name.value) else {
            return self.undefined("upstream", name, config.upstreams.iter().map(|upstream| &*upstream.name.value));
        };
        let mode = listener.mode.value.as_str();
        if upstream.http2 {
            let message =
                format!("upstream `{}` speaks HTTP/2, and a {mode} listener passes on what it gets", name.value);
            self.fault_with_hint(name.span, message, "leave `protocol` out of the upstream".to_owned());
        }
        if upstream.tls.is_some() && listener.mode.value == Mode::Udp {
            let message =
                format!("upstream `{}` has `tls`, and a udp listener passes on datagrams as they are", name.value);
            self.fault(name.span, message);
        }
        if matches!(upstream.balance, Balance::Hash(_)) {
            let message = format!(
                "upstream `{}` balances by what stands in a request, and a {mode} listener sees none",
                name.value
            );
            self.fault_with_hint(name.span, message, "`balance = \"ip_hash\"` goes by the client's address".to_owned());
        }
    }

    fn upstreams(&mut self) {
        let config = self.config;
        let mut defined: HashMap<&str, Span> = HashMap::new();
        for upstream in &config.upstreams {
            let role = upstream.database_check().and_then(|check| check.role.as_ref());
            let hooks = [&upstream.hooks.lost, &upstream.hooks.changed];
            if hooks.iter().any(|hook| hook.is_some()) && role.is_none_or(|role| role.value != DatabaseRole::Primary) {
                let message = format!("`hooks` of upstream `{}` need a check with a primary", upstream.name.value);
                let hint = "`mysql = { .., role = \"primary\" }` in its `health`".to_owned();
                self.fault_with_hint(upstream.name.span, message, hint);
            }
            match defined.entry(&upstream.name.value) {
                Entry::Vacant(free) => {
                    free.insert(upstream.name.span);
                }
                Entry::Occupied(earlier) => {
                    let message = format!("upstream `{}` is defined twice", upstream.name.value);
                    let hint = format!("first at {}", place(&config.sources, *earlier.get()));
                    self.fault_with_hint(upstream.name.span, message, hint);
                }
            }
            self.servers(upstream);
            self.ways(upstream);
        }
    }

    /// Keys of an upstream that contradict each other.
    fn ways(&mut self, upstream: &Upstream) {
        let by_hash = matches!(upstream.balance, Balance::IpHash { .. } | Balance::Hash(_));
        if let Some(over) = upstream.slow_start.as_ref().filter(|_| by_hash) {
            let message = "`slow_start` does not go with a hash: its clients belong to their server";
            self.fault(over.span, message.to_owned());
        }
        if let Some(version) = upstream.proxy_header.as_ref().filter(|_| upstream.http2) {
            let message = "`send_proxy_protocol` does not go with HTTP/2: clients share its connections";
            self.fault(version.span, message.to_owned());
        }
    }

    fn servers(&mut self, upstream: &Upstream) {
        if !upstream.servers.is_empty() && upstream.servers.iter().all(|server| server.backup) {
            let message = format!("every server of upstream `{}` is a backup", upstream.name.value);
            self.fault(upstream.name.span, message);
        }
        // Health, counters and pools are kept by address, metrics by name.
        let mut addresses: HashSet<&HostPort> = HashSet::new();
        let mut named: HashSet<&str> = HashSet::new();
        for server in &upstream.servers {
            if !addresses.insert(&server.address.value) {
                let message =
                    format!("server `{}` stands twice in upstream `{}`", server.address.value, upstream.name.value);
                self.fault(server.address.span, message);
            }
            if let Some(name) = server.name.as_ref().filter(|name| !named.insert(&name.value)) {
                let message = format!("two servers of upstream `{}` are named `{}`", upstream.name.value, name.value);
                self.fault(name.span, message);
            }
        }
    }

    fn sites(&mut self) {
        let config = self.config;
        let listeners: HashMap<&str, &Listener> =
            config.listeners.iter().map(|listener| (listener.name.value.as_str(), listener)).collect();
        let upstreams: HashSet<&str> = config.upstreams.iter().map(|upstream| upstream.name.value.as_str()).collect();
        let serves_sites = |l: &&Listener| l.mode.value == Mode::Http && l.redirect_to_https.is_none();
        let everywhere: Vec<&str> =
            config.listeners.iter().filter(serves_sites).map(|l| l.name.value.as_str()).collect();
        let mut taken: HashMap<(&str, &HostPattern), Span> = HashMap::new();
        for site in &config.sites {
            let on = self.site_listeners(site, &listeners, &everywhere);
            for host in &site.hosts {
                let earlier = on.iter().filter_map(|listener| {
                    taken.insert((*listener, &host.value), host.span).map(|earlier| (*listener, earlier))
                });
                // One message tells it, however many listeners share the site.
                if let Some((listener, earlier)) = earlier.last() {
                    let message = format!("host `{}` is on listener `{listener}` already", host.value);
                    self.fault_with_hint(host.span, message, format!("first at {}", place(&config.sources, earlier)));
                }
            }
            self.routes(site, &upstreams);
        }
    }

    /// The names of the listeners that a site is on.
    fn site_listeners<'a>(
        &mut self,
        site: &'a Site,
        defined: &HashMap<&str, &Listener>,
        everywhere: &[&'a str],
    ) -> Vec<&'a str> {
        let Some(written) = &site.listeners else {
            if everywhere.is_empty() && !defined.is_empty() {
                let only_redirects = defined.values().all(|listener| listener.redirect_to_https.is_some());
                let why = if only_redirects { "every one redirects to https" } else { "none serves HTTP to its end" };
                self.fault(site.span, format!("no listener serves this site: {why}"));
            }
            return everywhere.to_vec();
        };
        let config = self.config;
        for name in written {
            match defined.get(name.value.as_str()) {
                None => self.undefined("listener", name, config.listeners.iter().map(|listener| &*listener.name.value)),
                Some(listener) if listener.mode.value != Mode::Http => {
                    let mode = listener.mode.value.as_str();
                    self.fault(
                        name.span,
                        format!("listener `{}` has `mode = \"{mode}\"` and serves no site", name.value),
                    );
                }
                Some(listener) if listener.redirect_to_https.is_some() => {
                    let message = format!("listener `{}` redirects to https and serves no site", name.value);
                    self.fault(name.span, message);
                }
                Some(_) => {}
            }
        }
        let mut on: Vec<&str> = written.iter().map(|name| name.value.as_str()).collect();
        on.sort_unstable();
        on.dedup();
        on
    }

    fn routes(&mut self, site: &Site, upstreams: &HashSet<&str>) {
        let mut matched: HashMap<(u8, &str), Span> = HashMap::new();
        for route in &site.routes {
            let (kind, text) = match &route.matcher {
                Matcher::Exact(path) => (0, path),
                Matcher::Prefix(path) => (1, path),
                Matcher::Regex(pattern) => (2, pattern),
            };
            if let Some(earlier) = matched.insert((kind, &text.value), text.span) {
                let message = format!("{} has a route in this site already", quote(&text.value));
                self.fault_with_hint(text.span, message, format!("first at {}", place(&self.config.sources, earlier)));
            }
            if let Action::Proxy(proxy) = &route.action
                && !upstreams.contains(proxy.upstream.value.as_str())
            {
                self.undefined(
                    "upstream",
                    &proxy.upstream,
                    self.config.upstreams.iter().map(|upstream| &*upstream.name.value),
                );
            }
        }
    }

    fn undefined<'n>(&mut self, what: &str, name: &Spanned<String>, defined: impl Iterator<Item = &'n str>) {
        let mut seen = HashSet::new();
        let defined: Vec<&str> = defined.filter(|name| seen.insert(*name)).collect();
        let hint = match (&*defined, nearest(&name.value, defined.iter().copied())) {
            ([], _) => format!("no {what} is defined"),
            ([only], _) => format!("the only {what} is `{only}`"),
            (_, None) => format!("defined {what}s are {}", names(defined)),
            (_, Some(near)) => format!("defined {what}s are {}; did you mean `{near}`?", names(defined)),
        };
        self.fault_with_hint(name.span, format!("{what} {} is not defined", quote(&name.value)), hint);
    }
}

/// Whether both cannot be bound: the same address, or the same port where one is any address of the
/// same family. Port 0 is a new port each time.
fn clash(one: Endpoint, other: Endpoint) -> bool {
    if one.transport != other.transport {
        return false;
    }
    let (one, other) = (one.address, other.address);
    let same_port = one.port() == other.port() && one.port() != 0;
    let any = one.ip().is_unspecified() || other.ip().is_unspecified();
    same_port && (one.ip() == other.ip() || (any && one.is_ipv4() == other.is_ipv4()))
}

fn place(sources: &Sources, span: Span) -> String {
    match sources.position(span) {
        Some((path, line, column)) => format!("{}:{line}:{column}", path.display()),
        None => "another place".to_owned(),
    }
}
