use proptest::prelude::*;

use super::*;
use crate::head::RequestHead;

fn trusted() -> Vec<IpNet> {
    vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]
}

fn client(peer: &str, values: &[&str]) -> String {
    let mut fields = Fields::default();
    for value in values {
        fields.push("X-Forwarded-For", value);
    }
    client_address(peer.parse().unwrap(), &fields, &trusted()).to_string()
}

#[test]
fn the_client_is_the_right_most_untrusted_address() {
    assert_eq!(client("192.0.2.9", &["203.0.113.1"]), "192.0.2.9");
    assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    assert_eq!(client("10.0.0.1", &["203.0.113.1"]), "203.0.113.1");
    assert_eq!(client("::ffff:10.0.0.1", &["203.0.113.1"]), "203.0.113.1");
    assert_eq!(client("10.0.0.1", &["198.51.100.7, 203.0.113.1, 10.0.0.2"]), "203.0.113.1");
    assert_eq!(client("10.0.0.1", &["198.51.100.7", "203.0.113.1", "10.0.0.2, fd00::2"]), "203.0.113.1");
    assert_eq!(client("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
    assert_eq!(client("10.0.0.1", &["203.0.113.1:4711, [fd00::2]:80, [fd00::3]"]), "203.0.113.1");
    assert_eq!(client("10.0.0.1", &["2001:db8::1,"]), "2001:db8::1");
}

#[test]
fn junk_ends_the_walk() {
    assert_eq!(client("10.0.0.1", &["203.0.113.1, unknown"]), "10.0.0.1");
    assert_eq!(client("10.0.0.1", &["203.0.113.1, <script>, 10.0.0.2"]), "10.0.0.2");
    assert_eq!(client("10.0.0.1", &["junk, 203.0.113.1"]), "203.0.113.1");
}

proptest! {
    #[test]
    fn one_pass_agrees_with_the_walk_from_the_right(
        entries in prop::collection::vec(prop::sample::select(vec!["10.0.0.2", "10.0.0.3", "192.0.2.1", "192.0.2.2", "x"]), 0..7),
    ) {
        let mut expected = "10.0.0.1";
        for entry in entries.iter().rev() {
            if *entry == "x" { break }
            expected = entry;
            if !entry.starts_with("10.") { break }
        }
        prop_assert_eq!(client("10.0.0.1", &[&entries.join(", ")]), expected);
    }
}

fn sent(peer: &str, fields: &[(&str, &str)]) -> Vec<String> {
    let mut head = RequestHead { target: b"/".to_vec(), ..RequestHead::default() };
    for (name, value) in fields {
        head.fields.push(name, value);
    }
    let target = RequestTarget::of(&head, true).unwrap();
    let mut sent = Vec::new();
    Peer::new(peer.parse().unwrap(), &trusted()).each_forwarded(&head.fields, &target, |field| {
        let (name, value) = (String::from_utf8_lossy(field.name), String::from_utf8_lossy(field.value));
        sent.push(format!("{}={value}", name.trim_start_matches("X-Forwarded-")));
    });
    sent
}

const FORGED: [(&str, &str); 5] = [
    ("Host", "shop.example:8443"),
    ("X-Forwarded-For", "203.0.113.1"),
    ("X-Forwarded-Proto", "http"),
    ("X-Forwarded-Host", "www.example"),
    ("X-Forwarded-Port", "80"),
];

#[test]
fn strangers_are_overwritten() {
    assert_eq!(
        sent("::ffff:192.0.2.9", &FORGED),
        ["For=192.0.2.9", "Proto=https", "Host=shop.example:8443", "Port=8443"]
    );
    assert_eq!(sent("192.0.2.9", &[]), ["For=192.0.2.9", "Proto=https", "Port=443"]);
}

#[test]
fn trusted_proxies_are_continued() {
    assert_eq!(sent("10.0.0.1", &FORGED), ["For=203.0.113.1, 10.0.0.1", "Proto=http", "Host=www.example", "Port=80"]);
    assert_eq!(sent("10.0.0.1", &[("X-Forwarded-For", "a"), ("X-Forwarded-For", "b")])[0], "For=a, b, 10.0.0.1");
    assert_eq!(sent("10.0.0.1", &[("Host", "a")]), ["For=10.0.0.1", "Proto=https", "Host=a", "Port=443"]);
}

#[test]
fn lines_are_those_of_the_fields_whatever_the_last_request_was() {
    let peers = ["192.0.2.9", "10.0.0.1"].map(|peer| Peer::new(peer.parse().unwrap(), &trusted()));
    for host in ["a", "b:81", "a", "a", "", "b:81", "A"] {
        for tls in [false, true, true] {
            let mut head = RequestHead { target: b"/".to_vec(), ..RequestHead::default() };
            head.fields.push("Host", host);
            head.fields.push("X-Forwarded-For", "203.0.113.1");
            let target = RequestTarget::of(&head, tls).unwrap();
            for peer in &peers {
                let (mut lines, mut expected) = (Vec::new(), Vec::new());
                peer.write_forwarded(&mut lines, &head.fields, &target);
                peer.each_forwarded(&head.fields, &target, |field| h1::write_line(&mut expected, field));
                assert_eq!(lines, expected, "{host} {tls}");
            }
        }
    }
}

#[test]
fn relatives_pass_only_from_trusted_peers() {
    let stranger = Peer::new("192.0.2.9".parse().unwrap(), &trusted());
    let proxy = Peer::new("10.0.0.1".parse().unwrap(), &trusted());
    let field = |name: &'static str| Field::new(Known::of(name.as_bytes()), name.as_bytes(), b"1");
    for name in ["Forwarded", "X-Real-IP", "X-Forwarded-By"] {
        assert!(!stranger.is_copied(field(name)) && proxy.is_copied(field(name)), "{name}");
    }
    assert!(!proxy.is_copied(field("X-Forwarded-For")) && stranger.is_copied(field("Cookie")));
    for name in ["X_Forwarded_For", "x_real-ip", "X.Forwarded.Proto"] {
        assert!(!stranger.is_copied(field(name)) && !proxy.is_copied(field(name)), "{name}");
    }
    assert!(stranger.is_copied(field("X_Other")));
}
