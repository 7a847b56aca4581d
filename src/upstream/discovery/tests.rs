use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Mutex;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use tokio::net::UdpSocket;

use super::*;

const LONG: Duration = Duration::from_secs(20);

/// A name server on loopback that gives every name the same IPv4 addresses with a TTL of one
/// second, or says that there is no such name while it has none.
struct Zone {
    addresses: Mutex<Vec<Ipv4Addr>>,
}

impl Zone {
    async fn serve(addresses: &[Ipv4Addr]) -> (Arc<Self>, TokioResolver) {
        let zone = Arc::new(Self { addresses: Mutex::new(addresses.to_vec()) });
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let mut server = NameServerConfig::udp(Ipv4Addr::LOCALHOST.into());
        server.connections[0].port = socket.local_addr().unwrap().port();
        let config = ResolverConfig::from_name_servers(vec![server]);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        builder.options_mut().cache_size = 0;
        builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
        tokio::spawn(Arc::clone(&zone).answer(socket));
        (zone, builder.build().unwrap())
    }

    fn set(&self, addresses: &[Ipv4Addr]) {
        *self.addresses.lock().unwrap() = addresses.to_vec();
    }

    async fn answer(self: Arc<Self>, socket: UdpSocket) {
        let mut packet = [0; 1500];
        loop {
            let (length, client) = socket.recv_from(&mut packet).await.unwrap();
            let asked = Message::from_vec(&packet[..length]).unwrap();
            let query = asked.queries[0].clone();
            let addresses = self.addresses.lock().unwrap().clone();
            let mut reply = Message::response(asked.metadata.id, asked.metadata.op_code);
            reply.add_query(query.clone());
            if addresses.is_empty() {
                reply.metadata.response_code = ResponseCode::NXDomain;
            } else if query.query_type() == RecordType::A {
                for address in addresses {
                    reply.add_answer(Record::from_rdata(query.name().clone(), 1, RData::A(address.into())));
                }
            }
            socket.send_to(&reply.to_vec().unwrap(), client).await.unwrap();
        }
    }
}

fn ip(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, last)
}

#[tokio::test]
async fn a_name_follows_its_zone() {
    let (zone, resolver) = Zone::serve(&[ip(2), ip(1)]).await;
    let names = Names::with(move || Ok(resolver.clone()), Addresses::default()).unwrap();
    let mut changes = names.changes();
    names.follow(["was.test".into()], LONG).await;
    assert_eq!(names.addresses().of("was.test"), [IpAddr::from(ip(1)), ip(2).into()]);
    changes.borrow_and_update();

    zone.set(&[ip(3)]);
    tokio::time::timeout(LONG, changes.changed()).await.expect("the TTL ends").unwrap();
    assert_eq!(changes.borrow_and_update().of("was.test"), [IpAddr::from(ip(3))]);

    zone.set(&[]);
    let before = names.addresses();
    names.follow(["was.test".into(), "new.test".into()], LONG).await;
    assert_eq!(names.addresses().of("was.test"), before.of("was.test"), "the last good answer stays");
    assert!(names.addresses().of("new.test").is_empty());
}

#[tokio::test]
async fn a_name_that_does_not_resolve_holds_nothing_up_and_may_come_later() {
    let (zone, resolver) = Zone::serve(&[]).await;
    let names = Names::with(move || Ok(resolver.clone()), Addresses::default()).unwrap();
    let mut changes = names.changes();
    tokio::time::timeout(LONG, names.follow(["was.test".into()], LONG * 2)).await.expect("settled by the failure");
    assert!(names.addresses().of("was.test").is_empty());
    zone.set(&[ip(1)]);
    tokio::time::timeout(LONG, changes.changed()).await.expect("it is asked for again").unwrap();
    assert_eq!(names.addresses().of("was.test"), [IpAddr::from(ip(1))]);
}

#[tokio::test]
async fn a_reload_asks_anew_and_of_a_new_resolver() {
    let ((_, old), (_, new)) = (Zone::serve(&[ip(1)]).await, Zone::serve(&[ip(2)]).await);
    let resolvers = Mutex::new(vec![new, old.clone(), old]);
    let names = Names::with(move || Ok(resolvers.lock().unwrap().pop().unwrap()), Addresses::default()).unwrap();
    let mut changes = names.changes();
    names.follow(["was.test".into()], LONG).await;
    assert_eq!(names.addresses().of("was.test"), [IpAddr::from(ip(1))]);
    changes.borrow_and_update();
    // The second resolver that `with` was given is the one of the first order, so this is the third.
    names.follow(["was.test".into()], LONG).await;
    tokio::time::timeout(LONG, changes.changed()).await.expect("it is asked for again").unwrap();
    assert_eq!(names.addresses().of("was.test"), [IpAddr::from(ip(2))]);
}

#[tokio::test]
async fn the_hosts_file_answers() {
    let names = Names::system(Addresses::default()).unwrap();
    names.follow(["localhost".into()], LONG).await;
    let localhost = names.addresses().of("localhost").to_vec();
    assert!(!localhost.is_empty() && localhost.iter().all(IpAddr::is_loopback), "{localhost:?}");
}

#[test]
fn each_address_of_a_name_is_a_server() {
    let registry = Registry::new(1);
    let upstream: Arc<str> = "was".into();
    let spec = |host, label: Option<&str>| ServerSpec {
        host,
        port: 8080,
        label: label.map(Into::into),
        weight: 0,
        backup: false,
        drain: true,
        limit: None,
    };
    let specs = [
        spec(Host::Address(Ipv6Addr::LOCALHOST.into()), None),
        spec(Host::Name("one.test".into()), Some("one")),
        spec(Host::Name("two.test".into()), Some("two")),
        spec(Host::Name("none.test".into()), None),
    ];
    let addresses = |one: &[u8], two: &[u8]| -> Addresses {
        let some = |last: &[u8]| last.iter().map(|last| IpAddr::from(ip(*last))).collect();
        [("one.test".into(), some(one)), ("two.test".into(), some(two))].into_iter().collect()
    };
    let at = |addresses| expand(&upstream, &specs, &addresses, &registry, Instant::now());

    let before = at(addresses(&[1], &[2, 3]));
    let seen: Vec<_> = before.iter().map(|server| (&*server.name, server.address.map(|at| at.to_string()))).collect();
    let expected = [
        ("[::1]:8080", Some("[::1]:8080".into())),
        ("one", Some("10.0.0.1:8080".into())),
        ("two@10.0.0.2", Some("10.0.0.2:8080".into())),
        ("two@10.0.0.3", Some("10.0.0.3:8080".into())),
        ("none.test:8080", None),
    ];
    assert_eq!(seen, expected);
    assert!(before.iter().all(|server| server.weight == 1 && server.drain && !server.backup));

    let after = at(addresses(&[9], &[3, 4]));
    assert_eq!(after[1].identity, before[1].identity, "one address: the name is the identity");
    assert!(Arc::ptr_eq(&after[1].state, &before[1].state));
    assert_eq!(after[2].identity, before[3].identity, "several: each has its own");
    assert!(after[3].state.id > before[4].state.id, "a new address is a new server");
}
