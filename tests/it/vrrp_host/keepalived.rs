//! Beside a real keepalived, in both roles: each believes the other, both say the same bytes, and those are
//! the ones that were captured from keepalived 2.2.7 alone.

use std::collections::{BTreeMap, BTreeSet};

use super::super::harness::keepalived::Keepalived;
use super::super::harness::namespaces::{Capture, Namespace};
use super::super::harness::segment::{Advert, Segment, adverts};
use super::super::harness::{pace, within};
use super::{PATIENCE, Speaking, has, until_gone};

/// The same virtual router in both languages.
struct Tongue {
    name: &'static str,
    /// What is added to an instance of ours, for a host and its peer.
    ours: fn(usize) -> String,
    theirs: fn(usize) -> String,
    /// The address that tells who is active.
    address: &'static str,
    /// Messages by sender and priority, in hexadecimal.
    vectors: &'static [(&'static str, u8, &'static str)],
}

fn last(host: usize) -> usize {
    11 + host
}

const NOTHING: fn(usize) -> String = |_| String::new();

const V2_PASS: Tongue = Tongue {
    name: "pass",
    ours: |_| "version = 2\nadvert_interval = \"1s\"\nauth_pass = \"1111\"".to_owned(),
    theirs: |_| "version 2\nadvert_int 1\nauthentication {\nauth_type PASS\nauth_pass 1111\n}".to_owned(),
    address: super::VIP,
    vectors: &[
        ("192.168.0.11", 101, "213365010101555bc0a800643131313100000000"),
        ("192.168.0.12", 100, "213364010101565bc0a800643131313100000000"),
        ("192.168.0.11", 0, "213300010101ba5bc0a800643131313100000000"),
    ],
};

const V2_NONE: Tongue = Tongue {
    name: "none",
    ours: |_| "version = 2\nadvert_interval = \"1s\"".to_owned(),
    theirs: |_| "version 2\nadvert_int 1".to_owned(),
    address: super::VIP,
    vectors: &[
        ("192.168.0.11", 101, "213365010001b8bdc0a800640000000000000000"),
        ("192.168.0.12", 100, "213364010001b9bdc0a800640000000000000000"),
        ("192.168.0.11", 0, "2133000100011dbec0a800640000000000000000"),
    ],
};

const V3: Tongue = Tongue {
    name: "multicast",
    ours: NOTHING,
    theirs: |_| "version 3\nadvert_int 0.1".to_owned(),
    address: super::VIP,
    vectors: &[
        ("192.168.0.11", 101, "31336501000a0772c0a80064"),
        ("192.168.0.12", 100, "31336401000a0871c0a80064"),
        ("192.168.0.11", 0, "31330001000a6c72c0a80064"),
    ],
};

const V3_UNICAST: Tongue = Tongue {
    name: "unicast",
    ours: |host| format!("peers = [\"192.168.0.{}\"]", last(1 - host)),
    theirs: |host| {
        let (own, peer) = (last(host), last(1 - host));
        format!("version 3\nadvert_int 0.1\nunicast_src_ip 192.168.0.{own}\nunicast_peer {{\n192.168.0.{peer}\n}}")
    },
    address: super::VIP,
    vectors: &[
        ("192.168.0.11", 101, "31336501000a26d0c0a80064"),
        ("192.168.0.12", 100, "31336401000a27d0c0a80064"),
        ("192.168.0.11", 0, "31330001000a8bd0c0a80064"),
    ],
};

const V3_IPV6: Tongue = Tongue {
    name: "six",
    ours: |_| "addresses = [\"fe80::77:51/64\", \"fd00:77::100/64\"]".to_owned(),
    theirs: |_| "version 3\nadvert_int 0.1".to_owned(),
    address: "fd00:77::100",
    // Its checksum is that of the addresses, which the other role's bytes are compared with.
    vectors: &[],
};

/// What was said, by sender and priority: head and message.
type Said = BTreeMap<(String, u8), BTreeSet<(Vec<u8>, Vec<u8>)>>;

/// The first of two hosts has priority 101, the other one 100.
fn priority(host: usize) -> u8 {
    if host == 0 { 101 } else { 100 }
}

impl Tongue {
    fn ours<'n>(&self, at: &'n Namespace, host: usize, role: &str) -> Speaking<'n> {
        let name = format!("kd-{}-{role}", self.name);
        Speaking::front(at, &name, &format!("priority = {}\n{}", priority(host), (self.ours)(host)))
    }

    fn theirs(&self, at: &Namespace, host: usize) -> Option<Keepalived> {
        let addresses = match self.address {
            super::VIP => "192.168.0.100/24 dev eth0".to_owned(),
            address => format!("fe80::77:51/64 dev eth0\n{address}/64 dev eth0"),
        };
        let config = format!(
            "global_defs {{\nrouter_id it\n}}\nvrrp_instance VI_1 {{\nstate BACKUP\ninterface eth0\nvirtual_router_id 51\n\
             priority {}\n{}\nvirtual_ipaddress {{\n{addresses}\n}}\n}}\n",
            priority(host),
            (self.theirs)(host)
        );
        Keepalived::start(at, &config)
    }

    fn until_has(&self, at: &Namespace, keepalived: Option<&Keepalived>) {
        let what = format!("{} is held", self.address);
        let mut patience = PATIENCE.as_millis() / 10;
        while !has(at, self.address) {
            patience -= 1;
            assert!(patience > 0, "{what}: {}", keepalived.map(Keepalived::log).unwrap_or_default());
            pace(std::time::Duration::from_millis(10));
        }
    }

    /// Ours is the host of higher priority.
    fn ours_is_better(&self, said: &mut Said) -> Option<()> {
        let segment = Segment::new(2)?;
        let [one, two] = &*segment.hosts else { unreachable!() };
        let capture = segment.switch.capture();
        let mut theirs = self.theirs(two, 1)?;
        self.until_has(two, Some(&theirs));
        // Taken from a keepalived that lives.
        let ours = self.ours(one, 0, "better");
        ours.until_active("preempting");
        until_gone(two, self.address);
        // Given to it.
        ours.stop();
        self.until_has(two, Some(&theirs));
        assert!(!has(one, self.address));
        // Taken from one that has died, and left the address behind.
        let ours = self.ours(one, 0, "again");
        ours.until_active("preempting");
        until_gone(two, self.address);
        drop(ours);
        self.until_has(two, Some(&theirs));
        until_gone(one, self.address);
        theirs = {
            drop(theirs);
            self.theirs(two, 1)?
        };
        drop(theirs);
        learn(&capture, said);
        Some(())
    }

    /// Keepalived is.
    fn theirs_is_better(&self, said: &mut Said) -> Option<()> {
        let segment = Segment::new(2)?;
        let [one, two] = &*segment.hosts else { unreachable!() };
        let capture = segment.switch.capture();
        let ours = self.ours(two, 1, "lesser");
        ours.until_active("silence");
        let theirs = self.theirs(one, 0)?;
        self.until_has(one, Some(&theirs));
        ours.until_state("backup", "beaten");
        until_gone(two, self.address);
        let peer = ours.status().remove(0).peer.unwrap();
        assert_eq!(peer.priority, 101);
        assert!(ours.status()[0].refused.is_none());
        theirs.stop();
        ours.until_active("hand_over");
        let theirs = self.theirs(one, 0)?;
        ours.until_state("backup", "beaten");
        self.until_has(one, Some(&theirs));
        ours.hears(2);
        drop(theirs);
        // Its kernel still answers for the address, and its daemon is dead.
        ours.until_active("silence");
        assert!(has(two, self.address));
        learn(&capture, said);
        Some(())
    }

    fn speak(&self) {
        let (mut with_ours, mut with_theirs) = (Said::new(), Said::new());
        if self.ours_is_better(&mut with_ours).is_none() || self.theirs_is_better(&mut with_theirs).is_none() {
            return;
        }
        // Who sent it makes no difference: each sender and priority has one form.
        assert_eq!(with_ours.keys().collect::<Vec<_>>(), with_theirs.keys().collect::<Vec<_>>());
        for (key, forms) in &with_ours {
            assert_eq!(forms.len(), 1, "{key:?}: {forms:x?}");
            assert_eq!(forms, &with_theirs[key], "{key:?}");
        }
        for (source, priority, vector) in self.vectors {
            let forms = &with_ours[&((*source).to_owned(), *priority)];
            let messages: Vec<String> = forms.iter().map(|(_, message)| hex(message)).collect();
            assert_eq!(messages, [*vector], "{source} {priority}");
        }
    }
}

fn learn(capture: &Capture, said: &mut Said) {
    for Advert { source, priority, head, message, .. } in adverts(capture) {
        said.entry((source.to_string(), priority)).or_default().insert((head, message));
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn version_two_with_a_password() {
    V2_PASS.speak();
}

#[test]
fn version_two_without_one() {
    V2_NONE.speak();
}

#[test]
fn version_three_by_multicast() {
    V3.speak();
}

#[test]
fn version_three_by_unicast() {
    V3_UNICAST.speak();
}

#[test]
fn version_three_over_ipv6() {
    V3_IPV6.speak();
}

#[test]
fn a_wrong_password_of_keepalived_is_named() {
    let Some(segment) = Segment::new(2) else { return };
    let [one, two] = &*segment.hosts else { unreachable!() };
    let other = Tongue { theirs: |host| (V2_PASS.theirs)(host).replace("1111", "2222"), ..V2_PASS };
    let ours = V2_PASS.ours(one, 0, "wrong");
    ours.until_active("silence");
    let Some(theirs) = other.theirs(two, 1) else { return };
    let named = ours.until("named", |now| now.refused.is_some());
    assert_eq!(named.refused.unwrap().cause, "secret");
    within(PATIENCE, "both are active", || (has(one, super::VIP) && has(two, super::VIP)).then_some(()));
    let counted = ours.until("counted", |now| now.counters.both_active_seconds > 0.0);
    assert_eq!(counted.state, "active");
    drop(theirs);
}
