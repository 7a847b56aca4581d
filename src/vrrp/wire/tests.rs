use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::vrrp::authentication::Mode;

const LB1: &str = "192.168.0.11";
const LB2: &str = "192.168.0.12";
const VIP: &str = "192.168.0.100";
const NOW: Utc = Utc(Duration::from_secs(1_700_000_000));

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn list(addresses: &[&str]) -> AddressList {
    AddressList::new(addresses.iter().copied().map(ip).collect()).unwrap()
}

fn v2(seconds: u8, password: Option<&str>) -> Protocol {
    let legacy = password.map_or(Legacy::NONE, |password| Legacy::password(password.as_bytes()));
    Protocol::V2 { interval: Seconds::new(seconds).unwrap(), legacy }
}

fn v3(centiseconds: u16) -> Protocol {
    Protocol::V3 { interval: Centiseconds::new(centiseconds).unwrap(), checksum: ChecksumForm::Keepalived }
}

fn identity(protocol: Protocol) -> Identity {
    Identity { vrid: 51, protocol, addresses: list(&[VIP]), peers: Vec::new(), check_ttl: true, keyring: None }
}

fn keyring(mode: Mode) -> Keyring {
    Keyring::new(&[(1, &[9; 32])], mode, Duration::from_secs(5)).unwrap()
}

/// What `theirs` sends from `source`, as `ours` takes it.
fn heard(theirs: Identity, ours: Identity) -> Result<Told, Refusal> {
    heard_from(LB1, 255, theirs, ours)
}

fn heard_from(source: &str, ttl: u8, theirs: Identity, ours: Identity) -> Result<Told, Refusal> {
    let mut theirs = Wire::new(theirs).unwrap();
    let destination = theirs.destinations().next().unwrap();
    let mut buffer = [0; LONGEST];
    let length = theirs.encode(101, ip(source), destination, NOW, &mut buffer);
    let message = &buffer[..length];
    let local = if ip(source).is_ipv4() { ip(LB2) } else { ip("fe80::2") };
    let datagram = Datagram { source: ip(source), destination, local, ttl, message };
    match Wire::new(ours).unwrap().receive(&datagram, NOW) {
        Received::Accepted { told, .. } => Ok(told),
        Received::Refused { refusal, .. } => Err(refusal),
    }
}

#[test]
fn what_a_like_host_says_is_believed() {
    let told = heard(identity(v3(10)), identity(v3(10))).unwrap();
    let interval = AdvertInterval::V3(Centiseconds::new(10).unwrap());
    let checksum = Some(ChecksumForm::Keepalived);
    assert_eq!(told, Told { vrid: 51, priority: 101, interval, addresses: Overlap::Same, checksum });
    assert!(heard(identity(v2(1, None)), identity(v2(1, None))).is_ok());
    assert!(heard(identity(v2(1, Some("1111"))), identity(v2(1, Some("1111")))).is_ok());
    let unicast = |peer: &str| Identity { peers: vec![ip(peer)], ..identity(v3(10)) };
    assert!(heard(unicast(LB2), unicast(LB1)).is_ok());
    let six = || Identity { addresses: list(&["fe80::100", "fd00::100"]), ..identity(v3(10)) };
    assert!(heard_from("fe80::1", 255, six(), six()).is_ok());
    // The order of addresses says nothing, and backups learn the interval of version 3.
    let addresses = |one, two| Identity { addresses: list(&[one, two]), ..identity(v3(10)) };
    assert!(heard(addresses(VIP, "192.168.0.101"), addresses("192.168.0.101", VIP)).is_ok());
    assert!(heard(identity(v3(100)), identity(v3(10))).is_ok());
}

#[test]
fn the_causes_of_keepaliveds_table_are_refused() {
    let plain = || identity(v3(10));
    let pass = |password| identity(v2(1, Some(password)));
    let unicast = |peer: &str| Identity { peers: vec![ip(peer)], ..plain() };
    let with = |addresses: &[&str]| Identity { addresses: list(addresses), ..plain() };
    let cases = [
        (heard_from(LB2, 255, plain(), plain()), Refusal::Ourselves),
        (heard_from(LB1, 254, plain(), plain()), Refusal::Ttl),
        (heard_from(LB1, 64, unicast(LB2), unicast(LB1)), Refusal::Ttl),
        (heard_from("192.168.0.13", 255, unicast(LB2), unicast(LB1)), Refusal::NotAPeer),
        (heard(unicast(LB2), plain()), Refusal::NotAPeer),
        (heard(identity(v2(1, None)), plain()), Refusal::Version),
        (heard(plain(), identity(v2(1, None))), Refusal::Version),
        (heard(Identity { vrid: 52, ..plain() }, plain()), Refusal::VirtualRouterId),
        (heard(identity(v2(1, None)), pass("1111")), Refusal::AuthType),
        (heard(pass("1111"), identity(v2(1, None))), Refusal::AuthType),
        (heard(pass("1112"), pass("1111")), Refusal::Secret),
        (heard(identity(v2(2, Some("1111"))), pass("1111")), Refusal::Interval),
        (heard(with(&["192.168.0.101"]), plain()), Refusal::AddressList),
        (heard(with(&[VIP, "192.168.0.101"]), plain()), Refusal::AddressList),
    ];
    for (at, (verdict, cause)) in cases.into_iter().enumerate() {
        assert_eq!(verdict, Err(cause), "case {at}");
    }
}

#[test]
fn a_list_that_names_one_address_twice_is_not_ours() {
    // Two addresses as ours are, but one of them twice.
    let message = {
        let mut buffer = [0; LONGEST];
        let kind = Kind::V3 { interval: Centiseconds::new(10).unwrap(), checksum: ChecksumForm::Keepalived };
        let addresses = [ip(VIP), ip(VIP)];
        let (source, destination) = (ip(LB1), GROUP_V4.into());
        let outgoing = Outgoing { vrid: 51, priority: 101, kind, addresses: &addresses, source, destination };
        let length = outgoing.encode(&mut buffer);
        buffer[..length].to_vec()
    };
    let ours = Identity { addresses: list(&[VIP, "192.168.0.101"]), ..identity(v3(10)) };
    let (source, destination, local) = (ip(LB1), GROUP_V4.into(), ip(LB2));
    let datagram = Datagram { source, destination, local, ttl: 255, message: &message };
    let Received::Refused { refusal, told, .. } = Wire::new(ours).unwrap().receive(&datagram, NOW) else {
        panic!("believed");
    };
    assert_eq!((refusal, told.unwrap().addresses), (Refusal::AddressList, Overlap::Some));
}

#[test]
fn a_trailer_is_written_and_asked_for_by_mode_in_every_version_and_family() {
    let six = || Identity { addresses: list(&["fe80::100"]), ..identity(v3(10)) };
    let all: [(&str, &dyn Fn() -> Identity); 3] =
        [(LB1, &|| identity(v2(1, Some("1111")))), (LB1, &|| identity(v3(10))), ("fe80::1", &six)];
    for (from, plain) in all {
        let with = |mode| Identity { keyring: Some(keyring(mode)), ..plain() };
        let verdict = |theirs, ours| heard_from(from, 255, theirs, ours).map(|_| ());
        assert_eq!(verdict(with(Mode::Enforce), with(Mode::Enforce)), Ok(()));
        assert_eq!(verdict(with(Mode::Enforce), with(Mode::ReceiveOnly)), Ok(()));
        assert_eq!(verdict(with(Mode::ReceiveOnly), with(Mode::Permissive)), Ok(()));
        assert_eq!(verdict(plain(), with(Mode::Permissive)), Ok(()));
        assert_eq!(verdict(plain(), with(Mode::Enforce)), Err(Refusal::AuthType));
        assert_eq!(verdict(with(Mode::ReceiveOnly), with(Mode::Enforce)), Err(Refusal::AuthType));
        assert_eq!(verdict(with(Mode::Permissive), plain()), Err(Refusal::AuthType));
    }
}

#[test]
fn what_cannot_be_spoken_is_refused() {
    let error = |identity| Wire::new(identity).map(|_| ()).unwrap_err();
    assert_eq!(error(Identity { vrid: 0, ..identity(v3(10)) }), IdentityError::VirtualRouterId);
    let six = Identity { addresses: list(&["fe80::1"]), ..identity(v2(1, None)) };
    assert_eq!(error(six), IdentityError::Ipv6NeedsV3);
    let peer = ip("fe80::1");
    assert_eq!(error(Identity { peers: vec![peer], ..identity(v3(10)) }), IdentityError::PeerFamily(peer));
    assert_eq!(error(Identity { peers: vec![ip(LB1); 33], ..identity(v3(10)) }), IdentityError::TooManyPeers);

    let error = |addresses: &[&str]| AddressList::new(addresses.iter().copied().map(ip).collect()).unwrap_err();
    assert_eq!(error(&[]), AddressListError::Empty);
    assert_eq!(error(&[VIP, VIP]), AddressListError::Twice(ip(VIP)));
    assert_eq!(error(&[VIP, "fe80::1"]), AddressListError::Mixed(ip("fe80::1")));
    assert_eq!(error(&["fd00::1"]), AddressListError::NotLinkLocal("fd00::1".parse().unwrap()));
    let many: Vec<_> = (0..65).map(|last| IpAddr::from([10, 0, 0, last])).collect();
    assert_eq!(AddressList::new(many), Err(AddressListError::TooMany));
}

proptest! {
    #[test]
    fn bytes_of_no_kind_are_refused(message in prop::collection::vec(any::<u8>(), 0..120), six in any::<bool>()) {
        let (source, destination, local, addresses) = if six {
            (ip("fe80::1"), GROUP_V6.into(), ip("fe80::2"), list(&["fe80::100"]))
        } else {
            (ip(LB1), GROUP_V4.into(), ip(LB2), list(&[VIP]))
        };
        let mut ours = Wire::new(Identity { addresses, ..identity(v3(10)) }).unwrap();
        let datagram = Datagram { source, destination, local, ttl: 255, message: &message };
        let refused = matches!(ours.receive(&datagram, NOW), Received::Refused { .. });
        prop_assert!(refused);
    }
}
