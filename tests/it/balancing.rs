//! Who is asked, as clients see it: by what they send and where they come from.

use crate::harness::client::{Request, send};
use crate::harness::haechi::PROXY;
use crate::harness::{Haechi, Origin};
use std::collections::HashSet;
use std::net::SocketAddr;

const NAMES: [&str; 4] = ["one", "two", "three", "four"];

fn before(origins: &[Origin], balance: &str) -> (Haechi, SocketAddr) {
    let text = PROXY
        .replace("bind = [\"@http\"]", "bind = [\"@http\"]\ntrusted_proxies = [\"127.0.0.1/32\"]")
        .replace("\"@origin\"]", &format!("\"@one\", \"@two\", \"@three\", \"@four\"]\nbalance = {balance}"));
    let plan = Haechi::plan(&text);
    let plan = NAMES.iter().zip(origins).fold(plan, |plan, (name, origin)| plan.with(name, origin.address));
    let haechi = plan.start();
    let http = haechi.at("http");
    (haechi, http)
}

fn origins() -> Vec<Origin> {
    NAMES.iter().map(|name| Origin::named(name)).collect()
}

fn asked(http: SocketAddr, name: &str, value: &str) -> String {
    send(http, &Request::get("/").with(name, value)).unwrap().text()
}

#[test]
fn a_hash_of_a_field_or_cookie_holds_and_only_the_lost_server_s_move() {
    for (by, name, value) in [("header = \"X-User\"", "X-User", "#"), ("cookie = \"sid\"", "Cookie", "a=b; sid=#; c=d")]
    {
        let origins = origins();
        let (_haechi, http) = before(&origins, &format!("{{ by = \"hash\", {by} }}"));
        let ask = |at: usize| asked(http, name, &value.replace('#', &at.to_string()));
        let homes: Vec<String> = (0..60).map(ask).collect();
        assert_eq!(homes.iter().collect::<HashSet<_>>().len(), 4, "{by}: {homes:?}");
        origins[2].stop();
        for (at, home) in homes.iter().enumerate() {
            let now = ask(at);
            assert_eq!(now == *home, home != "three", "{by}: {at} of {home} is at {now}");
        }
    }
}

#[test]
fn clients_of_one_network_stay_together_where_a_prefix_says_so() {
    let origins = origins();
    let (_haechi, http) = before(&origins, "{ by = \"ip_hash\", prefix = 24, prefix_v6 = 64 }");
    let homes = |network: &str| -> HashSet<String> {
        (1..20).map(|host| asked(http, "X-Forwarded-For", &format!("{network}{host}"))).collect()
    };
    let networks: Vec<HashSet<String>> = (0..12).map(|at| homes(&format!("10.0.{at}."))).collect();
    assert!(networks.iter().all(|homes| homes.len() == 1), "{networks:?}");
    assert!(networks.iter().flatten().collect::<HashSet<_>>().len() > 1, "{networks:?}");
    assert_eq!(homes("2001:db8:0:1::").len(), 1);
    assert!(
        (0..30).map(|at| asked(http, "X-Forwarded-For", &format!("2001:db8:0:{at}::1"))).collect::<HashSet<_>>().len()
            > 1
    );
}
