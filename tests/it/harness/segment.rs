//! Several hosts on one switch, and what goes over it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::namespaces::{Capture, Namespace};
use super::tools::run;

/// A switch, and hosts whose `eth0`s are plugged into it: 192.168.0.11 and so on, fe80::b, MACs that end alike.
pub struct Segment {
    pub switch: Namespace,
    pub hosts: Vec<Namespace>,
}

/// An advert as it went over the switch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Advert {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub priority: u8,
    /// The IP header, without what the kernel counts up or sums.
    pub head: Vec<u8>,
    pub message: Vec<u8>,
}

impl Segment {
    /// `None`, and a loud line, where namespaces are impossible.
    pub fn new(hosts: usize) -> Option<Self> {
        let switch = Namespace::new()?;
        let hosts: Option<Vec<Namespace>> = (0..hosts).map(|_| Namespace::new()).collect();
        let segment = Self { switch, hosts: hosts? };
        segment.switch.ip("link add br0 type bridge mcast_snooping 0");
        segment.switch.ip("link set br0 up");
        for at in 0..segment.hosts.len() {
            segment.connect(at);
        }
        Some(segment)
    }

    /// Lays the cable of a host: to be called again after it was cut.
    pub fn connect(&self, at: usize) {
        let (host, switch, last) = (&self.hosts[at], self.switch.name(), 11 + at);
        host.ip(&format!(
            "link add eth0 address 02:00:00:00:00:{last:02x} type veth peer name port{at} netns {switch}"
        ));
        self.switch.ip(&format!("link set port{at} master br0 up"));
        host.ip(&format!("addr add 192.168.0.{last}/24 dev eth0"));
        host.ip(&format!("addr add fe80::{last:x}/64 dev eth0 nodad"));
        host.ip("link set lo up");
        host.ip("link set eth0 up");
    }

    /// Takes the carrier from a host.
    pub fn unplug(&self, at: usize) {
        self.switch.ip(&format!("link set port{at} down"));
    }

    /// Gives it back.
    pub fn plug(&self, at: usize) {
        self.switch.ip(&format!("link set port{at} up"));
    }
}

/// Runs `nft` in a namespace.
pub fn nft(host: &Namespace, command: &str) {
    let said = run("ip", ["netns", "exec", host.name(), "nft"].into_iter().chain(command.split_whitespace()));
    assert_eq!(said.code, 0, "nft {command}: {}", said.err);
}

/// From here on the host hears no advert.
pub fn deafen(host: &Namespace) {
    nft(host, "add table inet deaf");
    nft(host, "add chain inet deaf in { type filter hook input priority 0 ; }");
    nft(host, "add rule inet deaf in meta l4proto 112 drop");
}

/// It hears them again.
pub fn undeafen(host: &Namespace) {
    nft(host, "delete table inet deaf");
}

/// The adverts among the frames that were captured at the switch, in their order. Each is seen twice: where it
/// comes in and where the switch itself gets it.
pub fn adverts(capture: &Capture) -> Vec<Advert> {
    let mut adverts: Vec<Advert> = Vec::new();
    for frame in capture.all() {
        if let Some(advert) = advert(&frame) {
            adverts.push(advert);
        }
    }
    adverts
}

fn advert(frame: &[u8]) -> Option<Advert> {
    let (source, destination, mut head, message) = match frame.get(12..14)? {
        [0x08, 0] if frame.get(23) == Some(&112) => {
            let address = |at: usize| IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(&frame[at..at + 4]).unwrap()));
            let length = usize::from(u16::from_be_bytes([frame[16], frame[17]]));
            (address(26), address(30), frame[14..34].to_vec(), &frame[34..14 + length])
        }
        [0x86, 0xdd] if frame.get(20) == Some(&112) => {
            let address = |at: usize| IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(&frame[at..at + 16]).unwrap()));
            (address(22), address(38), frame[14..54].to_vec(), &frame[54..])
        }
        _ => return None,
    };
    if head[0] >> 4 == 4 {
        // Identification and checksum.
        head[4..6].fill(0);
        head[10..12].fill(0);
    } else {
        // The flow label.
        head[1] &= 0xf0;
        head[2..4].fill(0);
    }
    Some(Advert { source, destination, priority: message[2], head, message: message.to_vec() })
}
