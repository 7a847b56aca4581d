//! What VRRP asks of the system, between two real hosts: two network namespaces on one cable.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use haechi::vrrp::frame_socket::FrameSocket;
use haechi::vrrp::mailbox::Receiver;
use haechi::vrrp::neighbour::{Mac, gratuitous_arp, unsolicited_advertisement};
use haechi::vrrp::netlink::{Interface, Netlink, Route};
use haechi::vrrp::network::{Network, Order, Report, release};
use haechi::vrrp::probe::{Known, Presence, Question, probe};
use haechi::vrrp::socket::{Family, GROUP_V4, GROUP_V6, LARGEST_PACKET, Membership, Received, Socket};
use haechi::vrrp::virtual_mac;
use ipnet::IpNet;

use super::harness::namespaces::{Lan, Namespace};
use super::harness::{eventually, within};

const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 0, 100));
const VIP_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0x77, 0, 0, 0, 0, 0, 0x100));
const ONE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 0, 11));
const TWO: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 0, 12));
const ONE_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xb));
const TWO_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xc));
const MAC_ONE: Mac = Mac([2, 0, 0, 0, 0, 0x0b]);
const MAC_TWO: Mac = Mac([2, 0, 0, 0, 0, 0x0c]);
const LONG: Duration = Duration::from_secs(1000);
const PATIENCE: Duration = Duration::from_secs(30);

fn eth0(host: &Namespace) -> Interface {
    interface(host, "eth0")
}

fn interface(host: &Namespace, name: &str) -> Interface {
    // A carrier takes a moment to be known.
    eventually("the interface runs", || {
        let found = host.enter(|| Netlink::open().unwrap().interface(name, &[]).unwrap());
        found.filter(|interface| interface.running && interface.link_local.is_some() == (name == "eth0"))
    })
}

fn open(host: &Namespace, family: Family, membership: Membership) -> Socket {
    let interface = eth0(host);
    host.enter(|| Socket::open(&interface, family, membership).unwrap())
}

fn next(socket: &mut Socket) -> (Received, Vec<u8>) {
    let mut buffer = [0; LARGEST_PACKET];
    let received = eventually("a message", || socket.receive(&mut buffer).unwrap());
    let message = buffer[received.message.clone()].to_vec();
    (received, message)
}

/// The advert of vrrp's RFC that keepalived sends: version 3, VRID 51, priority 101.
const ADVERT: [u8; 12] = [0x31, 0x33, 0x65, 1, 0, 0x0a, 0x07, 0x72, 192, 168, 0, 100];

#[test]
fn an_advert_is_on_the_wire_as_keepaliveds_and_heard() {
    let Some(lan) = Lan::new() else { return };
    let sender = open(&lan.one, Family::V4, Membership::Joined);
    let mut hears = open(&lan.two, Family::V4, Membership::Joined);
    assert!(lan.two.ip("maddr show dev eth0").contains("224.0.0.18"));
    let mut has_not_joined = open(&lan.two, Family::V4, Membership::None);
    let capture = lan.two.capture();
    sender.send(&ADVERT, ONE, GROUP_V4.into()).unwrap();

    let (received, message) = next(&mut hears);
    assert_eq!((received.source, received.destination, received.ttl), (ONE, GROUP_V4.into(), 255));
    assert_eq!(message, ADVERT);
    assert_eq!(has_not_joined.receive(&mut [0; LARGEST_PACKET]).unwrap(), None);

    let frame = capture.find(|frame| frame.get(23) == Some(&112)).unwrap();
    assert_eq!(frame[..14], [0x01, 0, 0x5e, 0, 0, 0x12, 2, 0, 0, 0, 0, 0x0b, 0x08, 0]);
    // Identification and checksum, at 18 and 24, are the kernel's.
    assert_eq!((&frame[14..18], &frame[20..24]), (&[0x45, 0xc0, 0, 0x20][..], &[0, 0, 0xff, 0x70][..]));
    assert_eq!(frame[26..34], [192, 168, 0, 11, 224, 0, 0, 18]);
    assert_eq!(frame[34..], ADVERT);
}

#[test]
fn a_unicast_advert_is_heard_without_joining() {
    let Some(lan) = Lan::new() else { return };
    let sender = open(&lan.one, Family::V4, Membership::None);
    let mut hears = open(&lan.two, Family::V4, Membership::None);
    sender.send(&ADVERT, ONE, TWO).unwrap();
    let (received, message) = next(&mut hears);
    assert_eq!((received.source, received.destination, received.ttl, &*message), (ONE, TWO, 255, &ADVERT[..]));
    assert_eq!(hears.receive(&mut [0; LARGEST_PACKET]).unwrap(), None, "it waits for nothing");
}

#[test]
fn adverts_by_ipv6_are_told_with_their_hop_limit() {
    let Some(lan) = Lan::new() else { return };
    let sender = open(&lan.one, Family::V6, Membership::Joined);
    let mut hears = open(&lan.two, Family::V6, Membership::Joined);
    assert!(lan.two.ip("maddr show dev eth0").contains("ff02::12"));
    let capture = lan.two.capture();
    for destination in [IpAddr::V6(GROUP_V6), TWO_V6] {
        sender.send(&ADVERT, ONE_V6, destination).unwrap();
        let (received, message) = next(&mut hears);
        assert_eq!((received.source, received.destination, received.ttl), (ONE_V6, destination, 255));
        assert_eq!(message, ADVERT);
    }
    let frame = capture.find(|frame| frame.get(20) == Some(&112)).unwrap();
    assert_eq!(frame[..6], [0x33, 0x33, 0, 0, 0, 0x12]);
    assert_eq!(frame[14..22], [0x6c, 0, 0, 0, 0, 12, 112, 255]);
}

#[test]
fn an_address_is_held_renewed_and_released() {
    let Some(lan) = Lan::new() else { return };
    let index = eth0(&lan.one).index;
    lan.one.enter(|| {
        let mut netlink = Netlink::open().unwrap();
        for (vip, prefix) in [(VIP, 24), (VIP_V6, 64)] {
            let net = IpNet::new(vip, prefix).unwrap();
            let present = |netlink: &mut Netlink| {
                let all = netlink.addresses(index).unwrap();
                all.into_iter().find(|address| address.net == net)
            };
            assert_eq!(present(&mut netlink), None);
            netlink.hold(index, net, Route::OfItsPrefix, LONG).unwrap();
            let held = present(&mut netlink).unwrap();
            assert!(held.valid.unwrap() > LONG / 2 && !held.tentative, "{held:?}");
            netlink.hold(index, net, Route::OfItsPrefix, LONG * 2).unwrap();
            let renewed = present(&mut netlink).unwrap();
            assert!(renewed.valid.unwrap() > LONG * 3 / 2, "{renewed:?}");
            assert!(netlink.release(index, net).unwrap());
            assert_eq!(present(&mut netlink), None);
            assert!(!netlink.release(index, net).unwrap());
        }
    });
}

#[test]
fn an_address_that_nobody_renews_goes_by_itself() {
    let Some(lan) = Lan::new() else { return };
    let index = eth0(&lan.one).index;
    let nets = [IpNet::new(VIP, 24).unwrap(), IpNet::new(VIP_V6, 128).unwrap()];
    let held = Instant::now();
    lan.one.enter(|| {
        let mut netlink = Netlink::open().unwrap();
        for net in nets {
            netlink.hold(index, net, Route::OfItsPrefix, Duration::from_secs(2)).unwrap();
        }
        // The process that held them has no socket any more.
        drop(netlink);
        let mut netlink = Netlink::open().unwrap();
        within(PATIENCE, "both addresses are gone", || {
            let left = netlink.addresses(index).unwrap();
            (!left.iter().any(|address| nets.contains(&address.net))).then_some(())
        });
    });
    assert!(held.elapsed() > Duration::from_secs(1), "they were there for a while");
}

#[test]
fn announcements_move_an_address_in_the_neighbours_cache() {
    let Some(lan) = Lan::new() else { return };
    let (one, two) = (eth0(&lan.one), eth0(&lan.two));
    let old = "02:00:00:00:00:99";
    lan.two.ip(&format!("neigh add 192.168.0.100 lladdr {old} dev eth0 nud reachable"));
    lan.two.ip(&format!("neigh add fd00:77::100 lladdr {old} dev eth0 nud reachable"));
    let socket = lan.one.enter(|| FrameSocket::for_announcements(&one).unwrap());
    let (IpAddr::V4(v4), IpAddr::V6(v6)) = (VIP, VIP_V6) else { unreachable!() };
    socket.send(&gratuitous_arp(one.mac, v4)).unwrap();
    socket.send(&unsolicited_advertisement(one.mac, v6, false)).unwrap();
    eventually("both entries have the new MAC", || {
        let entries = lan.two.ip("neigh show dev eth0");
        (entries.matches(&MAC_ONE.to_string()).count() == 2 && !entries.contains(old)).then_some(())
    });
    assert_eq!(two.mac, MAC_TWO);
}

#[test]
fn who_has_the_address_is_found_out() {
    let Some(lan) = Lan::new() else { return };
    let (one, two) = (eth0(&lan.one), eth0(&lan.two));
    let who = |address: IpAddr, ports: &[u16], patience: Duration, addresses: Vec<IpAddr>| {
        let (interface, ports, known) = (two.clone(), ports.to_vec(), Known { addresses, mac: None });
        let deadline = Instant::now() + patience;
        lan.two.enter(|| probe(&Question { interface, address, ports, known, deadline }).unwrap())
    };
    let ask = |address, ports: &[u16], patience| who(address, ports, patience, Vec::new());
    for vip in [VIP, VIP_V6] {
        let short = Duration::from_millis(200);
        assert_eq!(ask(vip, &[8080], short), Presence::Nobody);
        let prefix = if vip.is_ipv4() { 24 } else { 64 };
        let net = IpNet::new(vip, prefix).unwrap();
        lan.one.enter(|| Netlink::open().unwrap().hold(one.index, net, Route::OfItsPrefix, LONG).unwrap());
        if vip.is_ipv6() {
            // Connections to it need a route, as the own address of an interface brings it.
            lan.two.ip("addr add fd00:77::2/64 dev eth0 nodad");
            lan.one.ip("addr add fd00:77::1/64 dev eth0 nodad");
        }
        // The answer ends the wait; the deadline is for a machine that stands still meanwhile.
        let long = Duration::from_secs(900);
        assert_eq!(ask(vip, &[8080, 8443], long), Presence::Refuses(MAC_ONE));
        assert_eq!(ask(vip, &[], long), Presence::Unclear(MAC_ONE));
        let _listener = lan.one.enter(|| TcpListener::bind((vip, 8443)).unwrap());
        assert_eq!(ask(vip, &[8080, 8443], long), Presence::Accepts { mac: MAC_ONE, known: false });
        // It is known where frames to an address that is known go to the same host.
        let own = if vip.is_ipv4() { ONE } else { ONE_V6 };
        assert_eq!(who(vip, &[8443], long, vec![own]), Presence::Accepts { mac: MAC_ONE, known: true });
        let gone = if vip.is_ipv4() { IpAddr::from([192, 168, 0, 77]) } else { "fe80::77".parse().unwrap() };
        let stranger = who(vip, &[8443], Duration::from_secs(3), vec![gone]);
        assert_eq!(stranger, Presence::Accepts { mac: MAC_ONE, known: false });
    }
}

#[test]
fn a_virtual_mac_speaks_for_the_address() {
    let Some(lan) = Lan::new() else { return };
    let parent = eth0(&lan.one);
    let made = lan.one.enter(|| virtual_mac::create(&mut Netlink::open().unwrap(), &parent, 51, Family::V4).unwrap());
    assert_eq!(made.mac, Mac::virtual_v4(51));
    // A second time: what is left of a process that died is replaced.
    let made = lan.one.enter(|| virtual_mac::create(&mut Netlink::open().unwrap(), &parent, 51, Family::V4).unwrap());
    let virtual_interface = interface(&lan.one, &made.name);
    let net = IpNet::new(VIP, 24).unwrap();
    lan.one.enter(|| Netlink::open().unwrap().hold(made.index, net, Route::None, LONG).unwrap());
    let two = eth0(&lan.two);
    let _listener = lan.one.enter(|| TcpListener::bind((VIP, 8080)).unwrap());
    let deadline = Instant::now() + Duration::from_secs(900);
    let known = Known { addresses: Vec::new(), mac: Some(Mac::virtual_v4(51)) };
    let question = Question { interface: two, address: VIP, ports: vec![8080], known, deadline };
    let capture = lan.two.capture();
    assert_eq!(
        lan.two.enter(|| probe(&question).unwrap()),
        Presence::Accepts { mac: Mac::virtual_v4(51), known: true }
    );
    // It may ask for others by ARP, from its own address.
    let of_the_parent =
        |frame: &[u8]| frame[6..14] == [2, 0, 0, 0, 0, 0x0b, 0x08, 0x06] && frame[28..32] == [192, 168, 0, 100];
    assert_eq!(capture.find(of_the_parent), None, "the real interface keeps silent about it");

    // Adverts leave with it, from the address of the real interface.
    let sender = lan.one.enter(|| Socket::open(&virtual_interface, Family::V4, Membership::None).unwrap());
    let mut hears = open(&lan.two, Family::V4, Membership::Joined);
    let capture = lan.two.capture();
    sender.send(&ADVERT, ONE, GROUP_V4.into()).unwrap();
    assert_eq!(next(&mut hears).0.source, ONE);
    let frame = capture.find(|frame| frame.get(23) == Some(&112)).unwrap();
    assert_eq!(frame[6..12], Mac::virtual_v4(51).0);

    let remove = || virtual_mac::remove(&mut Netlink::open().unwrap(), &made.name).unwrap();
    assert!(lan.one.enter(remove));
    assert!(!lan.one.enter(remove));
}

#[test]
fn a_virtual_mac_of_ipv6_takes_no_address_from_it() {
    let Some(lan) = Lan::new() else { return };
    let parent = eth0(&lan.one);
    let made = lan.one.enter(|| virtual_mac::create(&mut Netlink::open().unwrap(), &parent, 51, Family::V6).unwrap());
    let addresses = lan.one.enter(|| Netlink::open().unwrap().addresses(made.index).unwrap());
    let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.net.addr()).collect();
    assert_eq!((made.mac, addresses), (Mac::virtual_v6(51), vec![ONE_V6]));
    let sender = lan.one.enter(|| Socket::open(&made, Family::V6, Membership::None).unwrap());
    let mut hears = open(&lan.two, Family::V6, Membership::Joined);
    let capture = lan.two.capture();
    sender.send(&ADVERT, ONE_V6, GROUP_V6.into()).unwrap();
    assert_eq!(next(&mut hears).0.source, ONE_V6);
    let frame = capture.find(|frame| frame.get(20) == Some(&112)).unwrap();
    assert_eq!(frame[6..12], Mac::virtual_v6(51).0);
}

struct Threads {
    network: Network,
    reports: Receiver<Report>,
    waiting: Vec<Report>,
}

impl Threads {
    fn start(host: &Namespace) -> Self {
        let (network, reports) = host.enter(|| Network::start().unwrap());
        Self { network, reports, waiting: Vec::new() }
    }

    /// The next report that is this one; those before it are gone.
    fn expect<T>(&mut self, what: &str, wanted: impl Fn(&Report) -> Option<T>) -> T {
        within(PATIENCE, what, || {
            self.reports.drain(|report| self.waiting.push(report));
            let at = self.waiting.iter().position(|report| wanted(report).is_some())?;
            let found = wanted(&self.waiting[at]);
            self.waiting.drain(..=at);
            found
        })
    }

    fn interface(&mut self, what: &str, wanted: impl Fn(&Option<Interface>) -> bool) -> Option<Interface> {
        self.expect(what, |report| match report {
            Report::Interface { now, .. } if wanted(now) => Some(now.clone()),
            _ => None,
        })
    }
}

fn failures(report: &Report) -> Option<Vec<String>> {
    match report {
        Report::Held { failures, .. } | Report::Released { failures, .. } => {
            Some(failures.iter().map(|(net, error)| format!("{net}: {error}")).collect())
        }
        _ => None,
    }
}

#[test]
fn changes_of_an_interface_are_reported() {
    let Some(lan) = Lan::new() else { return };
    let first = eth0(&lan.one);
    let mut threads = Threads::start(&lan.one);
    let vip = IpNet::new(VIP, 24).unwrap();
    let (interface, virtual_addresses): (Arc<str>, Arc<[IpNet]>) = (Arc::from("eth0"), Arc::from([vip]));
    threads.network.order(Order::Watch { interface: Arc::clone(&interface), virtual_addresses }).unwrap();
    let now = threads.interface("the state at first", |_| true);
    assert_eq!(now.as_ref(), Some(&first));
    assert_eq!((first.ipv4.map(IpAddr::V4), first.link_local.map(IpAddr::V6)), (Some(ONE), Some(ONE_V6)));

    lan.two.ip("link set eth0 down");
    threads.interface("no carrier", |now| now.as_ref().is_some_and(|now| !now.running));
    lan.two.ip("link set eth0 up");
    threads.interface("the carrier is back", |now| now.as_ref().is_some_and(|now| now.running));
    lan.one.ip("addr del 192.168.0.11/24 dev eth0");
    threads.interface("no address", |now| now.as_ref().is_some_and(|now| now.ipv4.is_none()));

    let hold = |lifetime| Order::Hold {
        owner: 7,
        interface: Arc::clone(&interface),
        addresses: Arc::from([vip]),
        route: Route::OfItsPrefix,
        lifetime,
    };
    threads.network.order(hold(LONG)).unwrap();
    assert_eq!(threads.expect("held", failures), [""; 0]);
    // The virtual address is no address of the interface, though it is the only one.
    lan.one.ip("link set eth0 mtu 1400");
    lan.one.ip("link set eth0 address 02:00:00:00:00:0d");
    let now = threads.interface("another MAC", |now| now.as_ref().is_some_and(|now| now.mac != MAC_ONE));
    assert_eq!(now.unwrap().ipv4, None);

    lan.one.ip("link del eth0");
    threads.interface("it is gone", Option::is_none);
    threads.network.order(hold(LONG)).unwrap();
    assert_eq!(threads.expect("not held", failures), ["192.168.0.100/24: no interface is named `eth0`"]);
    lan.join();
    let again = threads.interface("it is back", |now| now.as_ref().is_some_and(|now| now.running)).unwrap();
    assert_ne!(again.index, first.index);
    threads.network.order(hold(LONG)).unwrap();
    assert_eq!(threads.expect("held again", failures), [""; 0]);
}

#[test]
fn an_address_that_is_the_hosts_own_is_left_alone() {
    let Some(lan) = Lan::new() else { return };
    let index = eth0(&lan.one).index;
    let mut threads = Threads::start(&lan.one);
    let (own, vip) = (IpNet::new(ONE, 24).unwrap(), IpNet::new(VIP, 24).unwrap());
    let (interface, addresses): (Arc<str>, Arc<[IpNet]>) = (Arc::from("eth0"), Arc::from([own, vip]));
    let watch = Order::Watch { interface: Arc::clone(&interface), virtual_addresses: Arc::clone(&addresses) };
    threads.network.order(watch).unwrap();
    assert_eq!(threads.interface("the state", |_| true).unwrap().ipv4.map(IpAddr::V4), Some(ONE));
    let (owner, route, lifetime) = (0, Route::OfItsPrefix, Duration::from_secs(1000));
    let hold = Order::Hold { owner, interface: Arc::clone(&interface), addresses: addresses.clone(), route, lifetime };
    let present = || {
        let all = lan.one.enter(|| Netlink::open().unwrap().addresses(index).unwrap());
        let v4 = all.into_iter().filter(|address| address.net.addr().is_ipv4());
        v4.map(|address| (address.net, address.valid.is_none())).collect::<Vec<_>>()
    };
    threads.network.order(hold.clone()).unwrap();
    assert_eq!(threads.expect("held", failures), [""; 0]);
    assert_eq!(present(), [(own, true), (vip, false)]);
    threads.network.order(Order::Release { owner, interface, addresses: Arc::clone(&addresses) }).unwrap();
    assert_eq!(threads.expect("released", failures), [""; 0]);
    assert_eq!(present(), [(own, true)]);

    threads.network.order(hold).unwrap();
    assert_eq!(threads.expect("held", failures), [""; 0]);
    drop(threads);
    assert_eq!(lan.one.enter(|| release("eth0", &addresses).unwrap()), [vip]);
    assert_eq!(present(), [(own, true)]);
}

#[test]
fn a_question_is_answered_by_its_thread() {
    let Some(lan) = Lan::new() else { return };
    let interface = eth0(&lan.two);
    let mut threads = Threads::start(&lan.two);
    let deadline = Instant::now() + Duration::from_secs(900);
    threads
        .network
        .ask(3, Question { interface, address: ONE, ports: vec![1], known: Known::default(), deadline })
        .unwrap();
    let (owner, presence) = threads.expect("an answer", |report| match report {
        Report::Probed { owner, presence } => Some((*owner, *presence.as_ref().unwrap())),
        _ => None,
    });
    assert_eq!((owner, presence), (3, Presence::Refuses(MAC_ONE)));

    let Threads { network, reports, .. } = threads;
    drop(network);
    within(PATIENCE, "the threads have ended", || (!reports.drain(drop)).then_some(()));
}

#[test]
fn a_virtual_mac_comes_and_goes_by_order() {
    let Some(lan) = Lan::new() else { return };
    let parent = eth0(&lan.one);
    let mut threads = Threads::start(&lan.one);
    let create =
        Order::CreateVirtualMac { owner: 1, parent: Arc::from("eth0"), virtual_router_id: 9, family: Family::V4 };
    let made = |report: &Report| match report {
        Report::VirtualMac { made, .. } => Some(made.as_ref().map_err(ToString::to_string).cloned()),
        _ => None,
    };
    threads.network.order(create.clone()).unwrap();
    assert_eq!(threads.expect("refused", made), Err("no interface is named `eth0`".to_owned()), "it is not watched");
    let nothing: Arc<[IpNet]> = Arc::from([]);
    let watch = |name: &str| Order::Watch { interface: Arc::from(name), virtual_addresses: Arc::clone(&nothing) };
    threads.network.order(watch("eth0")).unwrap();
    threads.network.order(create).unwrap();
    let made = threads.expect("made", made).unwrap();
    assert_eq!((&made.name, made.mac), (&virtual_mac::name(&parent, 9, Family::V4), Mac::virtual_v4(9)));
    threads.network.order(watch(&made.name)).unwrap();
    threads.interface("it is there", Option::is_some);
    threads.network.order(Order::RemoveVirtualMac { interface: made.name }).unwrap();
    threads.interface("it is gone", Option::is_none);
}
