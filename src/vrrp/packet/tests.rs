//! Against captures of keepalived 2.2.7, byte by byte.

use proptest::prelude::*;

use super::*;

const LB1: &str = "192.168.0.11";
const LB2: &str = "192.168.0.12";
const GROUP: &str = "224.0.0.18";

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn encode(kind: Kind, priority: u8, from: &str, to: &str, addresses: &[&str]) -> Vec<u8> {
    let addresses: Vec<_> = addresses.iter().copied().map(address).collect();
    let (source, destination) = (address(from), address(to));
    let outgoing = Outgoing { vrid: 51, priority, kind, addresses: &addresses, source, destination };
    let mut buffer = [0xaa; LONGEST];
    let length = outgoing.encode(&mut buffer);
    buffer[..length].to_vec()
}

fn v2(password: Option<&str>) -> Kind {
    let legacy = password.map_or(Legacy::NONE, |password| Legacy::password(password.as_bytes()));
    Kind::V2 { interval: Seconds::new(1).unwrap(), legacy }
}

fn v3(centiseconds: u16, checksum: ChecksumForm) -> Kind {
    Kind::V3 { interval: Centiseconds::new(centiseconds).unwrap(), checksum }
}

fn refused(message: &[u8]) -> Refusal {
    decode(message, address(LB1), address(GROUP)).unwrap_err()
}

#[test]
fn version_2_is_keepaliveds() {
    let vectors = [
        (101, Some("1111"), "21 33 65 01 01 01 55 5b c0 a8 00 64 31 31 31 31 00 00 00 00"),
        (100, Some("1111"), "21 33 64 01 01 01 56 5b c0 a8 00 64 31 31 31 31 00 00 00 00"),
        (0, Some("1111"), "21 33 00 01 01 01 ba 5b c0 a8 00 64 31 31 31 31 00 00 00 00"),
        (101, None, "21 33 65 01 00 01 b8 bd c0 a8 00 64 00 00 00 00 00 00 00 00"),
        (100, None, "21 33 64 01 00 01 b9 bd c0 a8 00 64 00 00 00 00 00 00 00 00"),
        (0, None, "21 33 00 01 00 01 1d be c0 a8 00 64 00 00 00 00 00 00 00 00"),
    ];
    for (priority, password, wire) in vectors {
        // The same to the group and to a peer: there is no pseudo-header.
        for to in [GROUP, LB2] {
            assert_eq!(encode(v2(password), priority, LB1, to, &["192.168.0.100"]), bytes(wire));
        }
        let message = bytes(wire);
        let advert = decode(&message, address(LB1), address(GROUP)).unwrap();
        assert_eq!((advert.vrid, advert.priority), (51, priority));
        assert_eq!(advert.interval, AdvertInterval::V2(Seconds::new(1).unwrap()));
        assert_eq!(advert.addresses.iter().collect::<Vec<_>>(), [address("192.168.0.100")]);
        let legacy = password.map_or(Legacy::NONE, |password| Legacy::password(password.as_bytes()));
        assert_eq!((advert.legacy, advert.checksum), (Some(legacy), None));
    }
}

#[test]
fn version_3_is_keepaliveds() {
    let vectors = [
        (LB1, GROUP, 101, 10, "31 33 65 01 00 0a 07 72 c0 a8 00 64"),
        (LB2, GROUP, 100, 10, "31 33 64 01 00 0a 08 71 c0 a8 00 64"),
        (LB1, GROUP, 0, 10, "31 33 00 01 00 0a 6c 72 c0 a8 00 64"),
        (LB1, GROUP, 101, 1, "31 33 65 01 00 01 07 7b c0 a8 00 64"),
        (LB2, GROUP, 100, 1, "31 33 64 01 00 01 08 7a c0 a8 00 64"),
        (LB1, LB2, 101, 10, "31 33 65 01 00 0a 26 d0 c0 a8 00 64"),
        (LB2, LB1, 100, 10, "31 33 64 01 00 0a 27 d0 c0 a8 00 64"),
        (LB1, LB2, 0, 10, "31 33 00 01 00 0a 8b d0 c0 a8 00 64"),
    ];
    for (from, to, priority, centiseconds, wire) in vectors {
        let message = bytes(wire);
        assert_eq!(encode(v3(centiseconds, ChecksumForm::Keepalived), priority, from, to, &["192.168.0.100"]), message);
        let advert = decode(&message, address(from), address(to)).unwrap();
        assert_eq!((advert.vrid, advert.priority), (51, priority));
        assert_eq!(advert.interval, AdvertInterval::V3(Centiseconds::new(centiseconds).unwrap()));
        assert_eq!(advert.addresses.iter().collect::<Vec<_>>(), [address("192.168.0.100")]);
        assert_eq!((advert.legacy, advert.checksum), (None, Some(ChecksumForm::Keepalived)));
    }
}

#[test]
fn the_checksum_of_the_rfc_is_believed_as_well_and_told_apart() {
    let message = encode(v3(10, ChecksumForm::Rfc9568), 101, LB1, GROUP, &["192.168.0.100"]);
    // The message alone, summed by hand: 3133 + 6501 + 000a + c0a8 + 0064 = 1 574a.
    assert_eq!(message[CHECKSUM], (!0x574b_u16).to_be_bytes());
    let advert = decode(&message, address(LB1), address(GROUP)).unwrap();
    assert_eq!(advert.checksum, Some(ChecksumForm::Rfc9568));
}

#[test]
fn ipv6_is_keepaliveds() {
    let wire =
        "31 33 65 02 00 0a 6e c6 fe80 0000 0000 0000 0000 0000 0077 0051 fd00 0077 0000 0000 0000 0000 0000 0100";
    let message = bytes(wire);
    let addresses = ["fe80::77:51", "fd00:77::100"];
    // The capture does not say which link-local address sent it; one that makes its checksum is used.
    let from = (0..=u16::MAX).map(|last| IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last)));
    let from = from.into_iter().find(|from| decode(&message, *from, address("ff02::12")).is_ok()).unwrap();
    let form = v3(10, ChecksumForm::Keepalived);
    assert_eq!(encode(form, 101, &from.to_string(), "ff02::12", &addresses), message);
    // Over IPv6 there is one form only.
    let form = v3(10, ChecksumForm::Rfc9568);
    assert_eq!(encode(form, 101, &from.to_string(), "ff02::12", &addresses), message);
    let advert = decode(&message, from, address("ff02::12")).unwrap();
    assert_eq!(advert.addresses.iter().collect::<Vec<_>>(), addresses.map(address));
    assert_eq!(advert.checksum, None);
}

#[test]
fn each_fault_is_refused_by_its_cause() {
    let v3 = encode(v3(10, ChecksumForm::Keepalived), 101, LB1, GROUP, &["192.168.0.100"]);
    let v2 = encode(v2(Some("1111")), 101, LB1, GROUP, &["192.168.0.100"]);
    let with = |message: &[u8], at: usize, byte: u8| {
        let mut changed = message.to_vec();
        changed[at] = byte;
        changed
    };
    for length in [0, 7, 8, 11] {
        assert_eq!(refused(&v3[..length]), Refusal::Length, "{length}");
    }
    for length in [8, 12, 19] {
        assert_eq!(refused(&v2[..length]), Refusal::Length, "{length}");
    }
    // Anything behind the message but a whole trailer.
    for more in [1, 4, 27, 29] {
        assert_eq!(refused(&[v3.clone(), vec![0; more]].concat()), Refusal::Length, "{more}");
        assert_eq!(refused(&[v2.clone(), vec![0; more]].concat()), Refusal::Length, "{more}");
    }
    for first in [0x00, 0x11, 0x22, 0x30, 0x32, 0x41, 0xff] {
        assert_eq!(refused(&with(&v3, 0, first)), Refusal::Version, "{first}");
    }
    assert_eq!(refused(&with(&v3, 3, 2)), Refusal::Length);
    assert_eq!(refused(&with(&v3, 2, 102)), Refusal::Checksum);
    assert_eq!(refused(&with(&v2, 12, b'2')), Refusal::Checksum, "it covers the password");
    let other = decode(&v3, address(LB2), address(GROUP)).unwrap_err();
    assert_eq!(other, Refusal::Checksum, "it covers the source");
    // An interval of zero, with a checksum that fits.
    assert_eq!(refused(&bytes("31 33 65 01 00 00 07 7c c0 a8 00 64")), Refusal::Interval);
    // Version 2 is not spoken over IPv6.
    let six = decode(&v2, address("fe80::1"), address("ff02::12")).unwrap_err();
    assert_eq!(six, Refusal::Version);
}

#[test]
fn the_reserved_bits_of_version_3_are_ignored() {
    let advert = bytes("31 33 65 01 f0 0a 17 71 c0 a8 00 64");
    let advert = decode(&advert, address(LB1), address(GROUP)).unwrap();
    assert_eq!(advert.interval, AdvertInterval::V3(Centiseconds::new(10).unwrap()));
}

#[test]
fn a_long_password_counts_by_its_first_eight_bytes() {
    assert_eq!(Legacy::password(b"123456789"), Legacy::password(b"12345678"));
    assert_ne!(Legacy::password(b"1234567"), Legacy::password(b"12345678"));
}

proptest! {
    #[test]
    fn what_is_sent_is_read_back(
        (six, two, rfc) in any::<(bool, bool, bool)>(),
        (vrid, priority) in any::<(u8, u8)>(),
        field in 1..=Centiseconds::MOST,
        password in prop::option::of("[ -~]{1,9}"),
        count in 0..=MOST_ADDRESSES,
    ) {
        let (six, two) = (six && !two, two);
        let all = |last: usize| -> IpAddr {
            let last = u16::try_from(last).unwrap();
            if six { Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last).into() } else { Ipv4Addr::from(0x0a00_0000 | u32::from(last)).into() }
        };
        let addresses: Vec<_> = (0..count).map(all).collect();
        let (source, destination) = (all(1000), all(1001));
        let legacy = password.map_or(Legacy::NONE, |password| Legacy::password(password.as_bytes()));
        let checksum = if rfc { ChecksumForm::Rfc9568 } else { ChecksumForm::Keepalived };
        let seconds = Seconds::new(u8::try_from(field % 255).unwrap() + 1).unwrap();
        let centiseconds = Centiseconds::new(field).unwrap();
        let kind = if two { Kind::V2 { interval: seconds, legacy } } else { Kind::V3 { interval: centiseconds, checksum } };
        let mut buffer = [0xaa; LONGEST];
        let outgoing = Outgoing { vrid, priority, kind, addresses: &addresses, source, destination };
        let length = outgoing.encode(&mut buffer);
        let advert = decode(&buffer[..length], source, destination).unwrap();
        prop_assert_eq!((advert.vrid, advert.priority), (vrid, priority));
        let interval = if two { AdvertInterval::V2(seconds) } else { AdvertInterval::V3(centiseconds) };
        prop_assert_eq!(advert.interval, interval);
        prop_assert!(advert.addresses.iter().eq(addresses));
        prop_assert_eq!(advert.legacy, two.then_some(legacy));
        prop_assert_eq!(advert.message.len(), length);
        prop_assert!(advert.trailer.is_none());
    }
}
