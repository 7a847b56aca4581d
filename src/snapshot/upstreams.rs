//! Upstreams: from names and numbers to objects.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::certificates::Certificates;
use super::{Lasting, Snapshot};
use crate::config::{self, Action, Config, HealthKind, HostPort};
use crate::diagnostic::Span;
use crate::upstream::balance::{HashOn, IpHash, LeastConn, Random, RoundRobin};
use crate::upstream::discovery::{Addresses, Host, ServerSpec, expand};
use crate::upstream::health::{Check, CheckTls, DatabaseQuestion, Engine, Expect, HttpQuestion, Pace, Question};
use crate::upstream::role::{Fallback, Role, Settings};
use crate::upstream::{Balance, Limit, Outbound, Protocol, Server, SessionRules, Timeouts, Upstream};

/// The upstreams of a config, by name.
pub(super) type Upstreams = HashMap<String, Arc<Upstream>>;

/// The names that a config's servers have, to be followed by the resolver.
#[must_use]
pub fn names_of(config: &Config) -> Vec<Arc<str>> {
    let hosts = config.upstreams.iter().flat_map(|upstream| &upstream.servers);
    hosts
        .filter_map(|server| match &server.address.value {
            HostPort::Name { host, .. } => Some(Arc::from(host.as_str())),
            HostPort::Ip(_) => None,
        })
        .collect()
}

/// Translates one upstream; faults of its TLS go to `certificates`.
pub(super) fn upstream(
    written: &config::Upstream,
    config: &Config,
    lasting: &Lasting,
    addresses: &Addresses,
    certificates: &mut Certificates<'_>,
    previous: Option<&Snapshot>,
    now: Instant,
) -> Upstream {
    let name: Arc<str> = written.name.value.as_str().into();
    let before = previous.and_then(|snapshot| snapshot.upstreams.iter().find(|upstream| upstream.name == name));
    let protocol = if written.http2 { Protocol::Http2 } else { Protocol::Http1 };
    let outbound = written.tls.as_ref().and_then(|tls| {
        certificates.outbound(
            tls,
            alpn(written, protocol, config),
            written.name.span,
            before.and_then(|before| before.outbound.as_ref()),
        )
    });
    let check = written.health.as_ref().map(|health| {
        Arc::new(check(health, written, protocol, outbound.as_ref(), |database| {
            question(database, certificates, written.name.span, before.and_then(|before| before.check.as_deref()))
        }))
    });
    let limit = written.max_connections.map(|connections| Limit { connections, waiting: written.max_queue });
    let specs: Vec<ServerSpec> = written.servers.iter().map(|server| spec(server, limit)).collect();
    let servers = expand(&name, &specs, addresses, &lasting.servers, now);
    Upstream {
        balance: balance(&written.balance, &servers, lasting.threads),
        recipe: recipe(written, protocol, outbound.as_ref()),
        check,
        role: written.health.as_ref().and_then(role),
        timeouts: Timeouts {
            connect: written.timeouts.connect,
            response: written.timeouts.response,
            idle: written.timeouts.idle,
            queue: written.timeouts.queue,
        },
        slow_start: written.slow_start.as_ref().map(|over| over.value),
        sessions: SessionRules {
            on_down: written.on_down,
            hold_for: written.hold,
            hold: lasting.servers.hold(&name),
            most_held: written.max_queue,
        },
        proxy_header: written.proxy_header.as_ref().map(|version| version.value),
        name,
        servers,
        protocol,
        outbound,
    }
}

/// What is offered in TLS to the servers: where only L4 listeners name the upstream nobody knows what its
/// servers speak.
fn alpn(written: &config::Upstream, protocol: Protocol, config: &Config) -> &'static [&'static [u8]] {
    let name = &written.name.value;
    let passes_on = |listener: &config::Listener| {
        listener.upstream.iter().chain(listener.sni.iter().map(|(_, name)| name)).any(|named| named.value == *name)
    };
    let by_routes = || {
        let mut routes = config.sites.iter().flat_map(|site| &site.routes);
        routes.any(|route| matches!(&route.action, Action::Proxy(proxy) if proxy.upstream.value == *name))
    };
    match protocol {
        Protocol::Http1 if config.listeners.iter().any(passes_on) && !by_routes() => &[],
        Protocol::Http1 => &[b"http/1.1"],
        Protocol::Http2 => &[b"h2"],
    }
}

fn spec(server: &config::Server, limit: Option<Limit>) -> ServerSpec {
    let (host, port) = match &server.address.value {
        HostPort::Ip(address) => (Host::Address(address.ip()), address.port()),
        HostPort::Name { host, port } => (Host::Name(host.as_str().into()), *port),
    };
    ServerSpec {
        host,
        port,
        label: server.name.as_ref().map(|name| Arc::from(name.value.as_str())),
        weight: u32::from(server.weight),
        backup: server.backup,
        drain: server.drain,
        limit,
    }
}

fn balance(written: &config::Balance, servers: &[Arc<Server>], threads: usize) -> Balance {
    match written {
        config::Balance::RoundRobin => Balance::RoundRobin(RoundRobin::new(servers, threads)),
        config::Balance::LeastConn => Balance::LeastConn(LeastConn::new(threads)),
        config::Balance::Random => Balance::Random(Random::new(threads)),
        config::Balance::IpHash { prefix, prefix_v6 } => {
            Balance::IpHash(IpHash { prefix_v4: *prefix, prefix_v6: *prefix_v6 })
        }
        config::Balance::Hash(config::HashKey::Header(name)) => Balance::Hash(HashOn::Header(name.as_str().into())),
        config::Balance::Hash(config::HashKey::Cookie(name)) => Balance::Hash(HashOn::Cookie(name.as_str().into())),
    }
}

/// What the servers are wanted for, where they are databases with a role.
fn role(health: &config::Health) -> Option<Settings> {
    let HealthKind::Database(database) = &health.kind else { return None };
    let role = match database.role.as_ref()?.value {
        config::DatabaseRole::Primary => Role::Primary,
        config::DatabaseRole::Replica => Role::Replica {
            max_lag: database.max_lag.as_ref().map_or(Duration::MAX, |lag| lag.value),
            fallback: match database.fallback {
                config::Fallback::Primary => Fallback::Primary,
                config::Fallback::None => Fallback::None,
            },
        },
    };
    Some(Settings { role, rise: health.rise.max(1), fall: health.fall.max(1) })
}

fn check(
    health: &config::Health,
    written: &config::Upstream,
    protocol: Protocol,
    outbound: Option<&Outbound>,
    mut question: impl FnMut(&config::DatabaseCheck) -> DatabaseQuestion,
) -> Check {
    let question = match &health.kind {
        HealthKind::Database(database) => Question::Database(question(database)),
        HealthKind::Tcp => Question::Tcp,
        HealthKind::Http { path } => Question::Http(HttpQuestion {
            protocol,
            path: path.as_str().into(),
            host: health.host.as_deref().map(Arc::from),
            expect: Expect(health.expect.clone()),
            body: health.body.as_deref().map(Arc::from),
        }),
    };
    Check {
        question,
        tls: outbound.map(|outbound| CheckTls {
            config: Arc::clone(outbound.tls.config()),
            server_name: outbound.tls.configured_name().cloned(),
        }),
        port: health.port,
        proxy_header: written.proxy_header.as_ref().map(|version| version.value),
        pace: Pace { interval: health.interval, timeout: health.timeout, rise: health.rise, fall: health.fall },
    }
}

/// What a database is asked. Its TLS is its own: that of the upstream is for what clients send.
fn question(
    written: &config::DatabaseCheck,
    certificates: &mut Certificates<'_>,
    name: Span,
    before: Option<&Check>,
) -> DatabaseQuestion {
    let before = match before.map(|check| &check.question) {
        Some(Question::Database(question)) => question.tls.as_ref(),
        _ => None,
    };
    DatabaseQuestion {
        engine: match &written.engine {
            config::DatabaseEngine::MySql => Engine::MySql,
            config::DatabaseEngine::Postgres { database } => Engine::Postgres { database: database.as_str().into() },
            config::DatabaseEngine::Redis => Engine::Redis,
        },
        user: written.user.as_str().into(),
        password: certificates.password(written.password.as_ref()),
        tls: written.tls.as_ref().and_then(|tls| certificates.outbound(tls, &[], name, before)),
        observe: written.role.is_some(),
        max_answer: written.max_answer,
    }
}

/// Connections made with other trust or another name must not be mixed. Within one process only.
fn recipe(written: &config::Upstream, protocol: Protocol, outbound: Option<&Outbound>) -> u64 {
    let mut hasher = DefaultHasher::new();
    // Unchanged settings keep their object and its number.
    outbound.map_or(0, |outbound| outbound.number).hash(&mut hasher);
    written.name.value.hash(&mut hasher);
    protocol.hash(&mut hasher);
    written.proxy_header.as_ref().map(|version| version.value).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::compile;
    use crate::tls::Tickets;

    #[test]
    fn other_tls_is_another_recipe_even_where_it_lies_in_the_same_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("haechi.toml");
        let lasting = Lasting::new(1, 1024, Tickets::new(&[], std::time::SystemTime::now()).unwrap(), 0);
        let mut recipes = Vec::new();
        for at in 0..20 {
            let text = format!(
                "[listener.http]\nbind = [\"127.0.0.1:80\"]\n[upstream.was]\nservers = [\"127.0.0.1:443\"]\n\
                 tls = {{ server_name = \"s{at}.example\" }}\n"
            );
            std::fs::write(&path, text).unwrap();
            let config = config::load(&path).unwrap();
            // What was compiled before is gone, and its memory is used again.
            let snapshot = compile(
                &config,
                &lasting,
                &Addresses::default(),
                None,
                &crate::reading::Reading::of_disk(),
                Instant::now(),
            )
            .unwrap();
            recipes.push(snapshot.upstreams[0].recipe);
        }
        recipes.sort_unstable();
        recipes.dedup();
        assert_eq!(recipes.len(), 20);
    }
}
