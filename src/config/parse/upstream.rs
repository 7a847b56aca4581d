//! `[upstream.NAME]`

use std::time::Duration;

use toml::de::DeValue;

use super::database::database;
use super::listener::certificate;
use super::pool::hooks;
use crate::config::model::{
    Balance, HashKey, Health, HealthKind, OnDown, ProxyVersion, Server, Upstream, UpstreamTimeouts, UpstreamTls,
};
use crate::config::node::{Leaf, Node};
use crate::config::value;
use crate::diagnostic::{Diagnostic, Spanned, names};

pub(super) fn upstream(name: &Spanned<String>, node: &Node<'_>) -> Upstream {
    super::check_name(node, name);
    node.not_empty("servers");
    let health = node.table("health").and_then(|table| health(&table));
    let has_role = matches!(&health, Some(Health { kind: HealthKind::Database(check), .. }) if check.role.is_some());
    // Who is on a server that lost its role must leave it, and soon there is another one.
    let (on_down, hold) =
        if has_role { (OnDown::Close, Duration::from_secs(3)) } else { (OnDown::Keep, Duration::ZERO) };
    Upstream {
        name: name.clone(),
        balance: balance(node),
        servers: servers(node),
        tls: node.table("tls").map(|tls| upstream_tls(&tls)),
        http2: http2(node),
        timeouts: timeouts(&node.table_or_default("timeouts")),
        max_connections: node.optional_number("max_connections"),
        max_queue: node.number("max_queue"),
        on_down: node.choice("on_down", &[("keep", OnDown::Keep), ("close", OnDown::Close)], on_down),
        hold: node.optional_duration("hold").map_or(hold, |written| written.value),
        slow_start: node.optional_duration("slow_start"),
        proxy_header: proxy_header(node),
        health,
        hooks: hooks(&node.table_or_default("hooks")),
    }
}

/// Whether the servers speak HTTP/2; its word tells whether there is TLS, for whoever reads the file.
fn http2(node: &Node<'_>) -> bool {
    #[derive(Clone, Copy, PartialEq)]
    enum Protocol {
        Http1,
        H2c,
        H2,
    }
    let words = [("http/1.1", Protocol::Http1), ("h2c", Protocol::H2c), ("h2", Protocol::H2)];
    let protocol = node.choice("protocol", &words, Protocol::Http1);
    match (protocol, node.has("tls")) {
        (Protocol::H2, false) => node.fault_at("protocol", "`h2` needs `tls`; without it HTTP/2 is `h2c`"),
        (Protocol::H2c, true) => node.fault_at("protocol", "`h2c` does not go with `tls`; with it HTTP/2 is `h2`"),
        _ => {}
    }
    protocol != Protocol::Http1
}

fn proxy_header(node: &Node<'_>) -> Option<Spanned<ProxyVersion>> {
    let words = [("v1", ProxyVersion::V1), ("v2", ProxyVersion::V2)];
    node.read("send_proxy_protocol", |leaf| leaf.choice(&words))
}

#[derive(Clone, Copy, PartialEq)]
enum Rule {
    RoundRobin,
    LeastConn,
    Random,
    IpHash,
    Hash,
}

const RULES: [(&str, Rule); 5] = [
    ("round_robin", Rule::RoundRobin),
    ("least_conn", Rule::LeastConn),
    ("random", Rule::Random),
    ("ip_hash", Rule::IpHash),
    ("hash", Rule::Hash),
];

fn balance(node: &Node<'_>) -> Balance {
    let balance = node.read("balance", |leaf| match leaf.value {
        DeValue::Table(_) => balance_table(&leaf.as_either(1).table(format!("{}.balance", node.name))?),
        _ => match leaf.as_either(0).choice(&RULES)? {
            Rule::Hash => leaf
                .wrong_with_hint("a hash is of something: { by = \"hash\", header = \"X-User\" } or cookie = \"..\""),
            Rule::RoundRobin => Some(Balance::RoundRobin),
            Rule::LeastConn => Some(Balance::LeastConn),
            Rule::Random => Some(Balance::Random),
            Rule::IpHash => Some(Balance::IpHash { prefix: 32, prefix_v6: 128 }),
        },
    });
    balance.map_or(Balance::RoundRobin, |balance| balance.value)
}

fn balance_table(node: &Node<'_>) -> Option<Balance> {
    let rule = node.read("by", |leaf| leaf.choice(&RULES))?.value;
    let belongs = |keys: &[&'static str], owner: Rule, word: &str| {
        for leaf in node.which(keys).into_iter().filter(|_| rule != owner) {
            node.walk.fault(Diagnostic::error(leaf.span, format!("`{}` needs `by = \"{word}\"`", leaf.key)));
        }
    };
    belongs(&["prefix", "prefix_v6"], Rule::IpHash, "ip_hash");
    belongs(&["header", "cookie"], Rule::Hash, "hash");
    Some(match rule {
        Rule::RoundRobin => Balance::RoundRobin,
        Rule::LeastConn => Balance::LeastConn,
        Rule::Random => Balance::Random,
        Rule::IpHash => Balance::IpHash { prefix: node.number("prefix"), prefix_v6: node.number("prefix_v6") },
        Rule::Hash => Balance::Hash(hash_key(node)?),
    })
}

fn hash_key(node: &Node<'_>) -> Option<HashKey> {
    match *node.which(&["header", "cookie"]) {
        [source] if source.key == "header" => {
            node.parsed("header", value::header_name).map(|name| HashKey::Header(name.value))
        }
        [_] => node.parsed("cookie", value::header_name).map(|name| HashKey::Cookie(name.value)),
        _ => {
            node.fault_at("by", "a hash is of one thing, `header` or `cookie`");
            None
        }
    }
}

fn servers(node: &Node<'_>) -> Vec<Server> {
    let read = |leaf: Leaf<'_>| match leaf.value {
        DeValue::Table(_) => server(&leaf.as_either(1).table(format!("{}.servers", node.name))?),
        _ => {
            let address = Spanned::new(leaf.parsed(value::host_port)?, leaf.span);
            Some(Server { address, weight: 1, name: None, backup: false, drain: false })
        }
    };
    node.list("servers", read).into_iter().map(|server| server.value).collect()
}

fn server(node: &Node<'_>) -> Option<Server> {
    Some(Server {
        weight: node.number("weight"),
        name: node.parsed("name", value::name),
        backup: node.flag("backup"),
        drain: node.flag("drain"),
        address: node.parsed("address", value::host_port)?,
    })
}

pub(super) fn upstream_tls(node: &Node<'_>) -> UpstreamTls {
    UpstreamTls {
        ca: node.file("ca"),
        server_name: node.parsed("server_name", value::host_name),
        certificate: node.table("certificate").and_then(|pair| certificate(&pair)),
    }
}

fn timeouts(node: &Node<'_>) -> UpstreamTimeouts {
    UpstreamTimeouts {
        connect: node.duration("connect"),
        response: node.duration("response"),
        idle: node.duration("idle"),
        queue: node.duration("queue"),
    }
}

fn health(node: &Node<'_>) -> Option<Health> {
    let kind = health_kind(node);
    let text = |key, parse: fn(&str) -> Result<String, String>| node.parsed(key, parse).map(|text| text.value);
    Some(Health {
        host: text("host", value::host_header),
        expect: node.parsed("expect", value::status_ranges).map_or_else(|| vec![200..=399], |ranges| ranges.value),
        body: text("body", |text| Ok(text.to_owned())),
        interval: node.duration("interval"),
        timeout: node.duration("timeout"),
        rise: node.number("rise"),
        fall: node.number("fall"),
        port: node.optional_number("port"),
        kind: kind?,
    })
}

fn health_kind(node: &Node<'_>) -> Option<HealthKind> {
    const KINDS: [&str; 5] = ["http", "tcp", "mysql", "postgres", "redis"];
    let kind = match *node.which(&KINDS) {
        [kind] => kind,
        [] => {
            let message = format!("`{}` does not say what is checked", node.name);
            node.walk.fault(Diagnostic::error(node.span, message).hint("`http = \"/health\"` or `tcp = true`"));
            return None;
        }
        [first, second, ..] => {
            let message = format!("`{}` has both `{}` and `{}`", node.name, first.key, second.key);
            let hint = format!("a check has one of {}", names(KINDS));
            node.walk.fault(Diagnostic::error(second.span, message).hint(hint));
            return None;
        }
    };
    if kind.key != "http" {
        for leaf in node.which(&["host", "expect", "body"]) {
            node.walk.fault(Diagnostic::error(leaf.span, format!("`{}` needs `http`", leaf.key)));
        }
    }
    match kind.key {
        "http" => Some(HealthKind::Http { path: node.parsed("http", value::origin_form)?.value }),
        "tcp" => {
            if kind.flag()? {
                Some(HealthKind::Tcp)
            } else {
                node.fault_at("tcp", "`tcp = false` checks nothing; leave the table out instead");
                None
            }
        }
        engine => database(engine, &node.table(engine)?).map(|check| HealthKind::Database(Box::new(check))),
    }
}
