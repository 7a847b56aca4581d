//! Who may come: networks that are allowed and networks that are not, pure.

use std::net::IpAddr;

use ipnet::IpNet;

/// Which addresses are let in. **The most specific network that holds an address decides**, wherever it
/// stands; of the same network in both lists the denial counts. What no network holds is let in,
/// unless there are networks that are allowed: then it is not.
///
/// So `allow = ["10.0.0.0/8"], deny = ["10.9.0.0/16"]` lets ten in without that part of it, and
/// `deny = ["10.9.0.0/16"], allow = ["10.9.0.7"]` would let that one host of it in and nobody else.
/// IPv4 addresses that come mapped into IPv6 (RFC 4291 §2.5.5.2) count as IPv4. Finding the answer takes as
/// many steps as the number of networks has binary digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Networks {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

/// From each address on, up to the next one's: whether it is let in. The first begins at 0.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ranges<A>(Vec<(A, bool)>);

impl Networks {
    /// What these lists mean.
    #[must_use]
    pub fn new(allow: &[IpNet], deny: &[IpNet]) -> Self {
        let others = allow.is_empty();
        let all = || allow.iter().map(|network| (*network, true)).chain(deny.iter().map(|network| (*network, false)));
        let v4 = all().filter_map(|(network, allowed)| match network {
            IpNet::V4(network) => {
                let (first, last) = (network.network().to_bits(), network.broadcast().to_bits());
                Some(Painted { first, last, prefix: network.prefix_len(), allowed })
            }
            IpNet::V6(_) => None,
        });
        let v6 = all().filter_map(|(network, allowed)| match network {
            IpNet::V6(network) => {
                let (first, last) = (network.network().to_bits(), network.broadcast().to_bits());
                Some(Painted { first, last, prefix: network.prefix_len(), allowed })
            }
            IpNet::V4(_) => None,
        });
        Self {
            v4: Ranges::paint(v4.collect(), others, 0, |last| last.checked_add(1)),
            v6: Ranges::paint(v6.collect(), others, 0, |last| last.checked_add(1)),
        }
    }

    /// Whether this address is let in.
    #[must_use]
    pub fn let_in(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => self.v4.at(address.to_bits()),
            IpAddr::V6(address) => self.v6.at(address.to_bits()),
        }
    }

    /// Whether everybody is, so that nobody need be asked about.
    #[must_use]
    pub fn let_all_in(&self) -> bool {
        self.v4.0.iter().all(|range| range.1) && self.v6.0.iter().all(|range| range.1)
    }
}

/// A network on its way into ranges.
struct Painted<A> {
    first: A,
    last: A,
    prefix: u8,
    allowed: bool,
}

impl<A: Copy + Ord> Ranges<A> {
    /// Networks lie inside one another or apart, never across: so it is enough to go through them by their
    /// first addresses, the wider one first, with those that are not over yet on a stack.
    fn paint(mut networks: Vec<Painted<A>>, others: bool, zero: A, after: impl Fn(A) -> Option<A>) -> Self {
        networks.sort_by_key(|network| (network.first, network.prefix, !network.allowed));
        let mut ranges = Self(vec![(zero, others)]);
        let mut open: Vec<(A, bool)> = Vec::new();
        for network in networks {
            ranges.close(&mut open, others, Some(network.first), &after);
            ranges.begin(network.first, network.allowed);
            open.push((network.last, network.allowed));
        }
        ranges.close(&mut open, others, None, &after);
        ranges
    }

    /// Ends the networks that are over before `next`.
    fn close(&mut self, open: &mut Vec<(A, bool)>, others: bool, next: Option<A>, after: &impl Fn(A) -> Option<A>) {
        while let Some((last, _)) = open.last().copied().filter(|(last, _)| next.is_none_or(|next| *last < next)) {
            open.pop();
            if let Some(after) = after(last) {
                self.begin(after, open.last().map_or(others, |(_, allowed)| *allowed));
            }
        }
    }

    fn begin(&mut self, first: A, allowed: bool) {
        // What begins at the same address was a wider network, or one that is just over.
        match self.0.last_mut() {
            Some(range) if range.0 == first => range.1 = allowed,
            Some(range) if range.1 == allowed => {}
            _ => self.0.push((first, allowed)),
        }
    }

    fn at(&self, address: A) -> bool {
        let above = self.0.partition_point(|(first, _)| *first <= address);
        above.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|range| range.1)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use ipnet::{Ipv4Net, Ipv6Net};
    use proptest::prelude::*;

    use super::*;

    fn networks(list: &[&str]) -> Vec<IpNet> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn let_in(allow: &[&str], deny: &[&str], address: &str) -> bool {
        Networks::new(&networks(allow), &networks(deny)).let_in(address.parse().unwrap())
    }

    #[test]
    fn nothing_written_lets_all_in() {
        let networks = Networks::new(&[], &[]);
        assert!(networks.let_all_in() && networks.let_in(Ipv4Addr::LOCALHOST.into()));
        assert!(!Networks::new(&[], &self::networks(&["10.0.0.0/8"])).let_all_in());
        assert!(!Networks::new(&self::networks(&["10.0.0.0/8"]), &[]).let_all_in());
    }

    #[test]
    fn the_most_specific_network_decides_wherever_it_stands() {
        let (allow, deny) = (["10.0.0.0/8", "10.9.9.9/32"], ["10.9.0.0/16"]);
        for (address, allowed) in [
            ("10.0.0.0", true),
            ("10.8.255.255", true),
            ("10.9.0.0", false),
            ("10.9.9.8", false),
            ("10.9.9.9", true),
            ("10.9.9.10", false),
            ("10.9.255.255", false),
            ("10.10.0.0", true),
            ("11.0.0.0", false),
            ("::ffff:10.9.0.1", false),
            ("::ffff:10.8.0.1", true),
            ("fd00::1", false),
        ] {
            assert_eq!(let_in(&allow, &deny, address), allowed, "{address}");
        }
    }

    #[test]
    fn of_the_same_network_the_denial_counts() {
        assert!(!let_in(&["10.0.0.0/8"], &["10.0.0.0/8"], "10.1.1.1"));
        assert!(!let_in(&["0.0.0.0/0"], &["0.0.0.0/0"], "255.255.255.255"));
    }

    #[test]
    fn who_only_denies_lets_the_others_in() {
        assert!(let_in(&[], &["10.0.0.0/8"], "11.0.0.1"));
        assert!(let_in(&[], &["10.0.0.0/8"], "::1"));
        assert!(!let_in(&[], &["255.255.255.255/32"], "255.255.255.255"));
        assert!(!let_in(&[], &["::/0"], "ffff::1"));
    }

    /// What the documentation says, word for word.
    fn said(allow: &[IpNet], deny: &[IpNet], address: IpAddr) -> bool {
        let longest =
            |list: &[IpNet]| list.iter().filter(|network| network.contains(&address)).map(IpNet::prefix_len).max();
        match (longest(allow), longest(deny)) {
            (None, None) => allow.is_empty(),
            (allowed, denied) => allowed > denied,
        }
    }

    /// Few addresses, so that networks hold one another and meet at their ends.
    fn v4() -> impl Strategy<Value = IpAddr> {
        prop_oneof![0..64_u32, (u32::MAX - 63)..=u32::MAX].prop_map(|bits| Ipv4Addr::from_bits(bits).into())
    }

    fn v6() -> impl Strategy<Value = IpAddr> {
        prop_oneof![0..64_u128, (u128::MAX - 63)..=u128::MAX].prop_map(|bits| Ipv6Addr::from_bits(bits).into())
    }

    fn network() -> impl Strategy<Value = IpNet> {
        prop_oneof![(v4(), 24..=32_u8), (v6(), 120..=128_u8), (v4(), 0..3_u8)].prop_map(|(address, prefix)| {
            match address {
                IpAddr::V4(address) => IpNet::V4(Ipv4Net::new(address, prefix).unwrap()).trunc(),
                IpAddr::V6(address) => IpNet::V6(Ipv6Net::new(address, prefix).unwrap()).trunc(),
            }
        })
    }

    proptest! {
        #[test]
        fn it_says_what_a_look_at_every_network_says(
            allow in prop::collection::vec(network(), 0..12),
            deny in prop::collection::vec(network(), 0..12),
            addresses in prop::collection::vec(prop_oneof![v4(), v6()], 1..60),
        ) {
            let networks = Networks::new(&allow, &deny);
            for address in addresses {
                // ::/96 holds the mapped addresses of no IPv4 network here.
                prop_assert_eq!(networks.let_in(address), said(&allow, &deny, address), "{}", address);
            }
        }
    }
}
