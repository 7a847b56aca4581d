//! What a choice costs: every way to balance over 3 and 10 servers.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use haechi::telemetry::ThreadId;
use haechi::upstream::balance::{HashOn, IpHash, LeastConn, Random, RoundRobin};
use haechi::upstream::discovery::{Addresses, Host, ServerSpec, expand};
use haechi::upstream::{Balance, Key, Protocol, Registry, Server, SessionRules, Timeouts, Upstream};

fn servers(count: u8) -> Vec<Arc<Server>> {
    let specs: Vec<_> = (1..=count)
        .map(|last| ServerSpec {
            host: Host::Address([10, 0, 0, last].into()),
            port: 8080,
            label: None,
            weight: 1 + u32::from(last % 3),
            backup: false,
            drain: false,
            limit: None,
        })
        .collect();
    expand(&"was".into(), &specs, &Addresses::default(), &Registry::new(4), Instant::now())
}

fn pick(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pick");
    for count in [3, 10] {
        let servers = servers(count);
        let balances = [
            ("round_robin", Balance::RoundRobin(RoundRobin::new(&servers, 4))),
            ("least_conn", Balance::LeastConn(LeastConn::new(4))),
            ("random", Balance::Random(Random::new(4))),
            ("ip_hash", Balance::IpHash(IpHash::default())),
            ("hash", Balance::Hash(HashOn::Cookie("JSESSIONID".into()))),
        ];
        let second = Duration::from_secs(1);
        let now = Instant::now();
        for (name, balance) in balances {
            let upstream = Upstream {
                protocol: Protocol::Http1,
                outbound: None,
                recipe: 0,
                name: "was".into(),
                servers: servers.clone(),
                balance,
                timeouts: Timeouts { connect: second, response: second, idle: second, queue: second },
                check: None,
                role: None,
                slow_start: None,
                sessions: SessionRules::default(),
                proxy_header: None,
            };
            let mut client = 0_u32;
            group.bench_function(BenchmarkId::new(name, count), |bencher| {
                bencher.iter(|| {
                    client = client.wrapping_add(1);
                    let key = Key {
                        client: IpAddr::V4(Ipv4Addr::from_bits(client)),
                        hashed: Some(b"A1B2C3D4E5F60718293A4B5C6D7E8F90.was1"),
                    };
                    upstream.pick(ThreadId(1), black_box(&key), &[], now).map(|server| server.state.id)
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, pick);
criterion_main!(benches);
