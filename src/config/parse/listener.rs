//! `[listener.NAME]`

use std::num::NonZeroU32;
use std::time::Duration;

use toml::de::DeValue;

use crate::config::model::{
    Access, CertificatePair, ClientAuth, HostPattern, Listener, ListenerLimits, ListenerTimeouts, Mode, Protocols,
    ServerHeader, SourceLimits, SourceRate, Tls, TlsVersion, Via,
};
use crate::config::node::{Leaf, Node};
use crate::config::value;
use crate::diagnostic::{Diagnostic, Spanned};

pub(super) fn listener(name: &Spanned<String>, node: &Node<'_>) -> Listener {
    super::check_name(node, name);
    let modes = [("http", Mode::Http), ("tcp", Mode::Tcp), ("udp", Mode::Udp)];
    let mode = node.read("mode", |leaf| leaf.choice(&modes)).unwrap_or(Spanned::new(Mode::Http, node.span));
    belongs(node, mode.value);
    let bind = node.list("bind", |leaf| leaf.parsed(value::socket_address));
    node.not_empty("bind");
    let tls = node.table("tls").map(|tls| read_tls(&tls));
    Listener {
        name: name.clone(),
        bind,
        upstream: node.text("upstream"),
        sni: sni(node, mode.value),
        redirect_to_https: redirect_to_https(node),
        protocols: protocols(node, mode.value, tls.is_some()),
        tls,
        proxy_protocol: proxy_protocol(node),
        trusted_proxies: unspanned(node.list("trusted_proxies", |leaf| leaf.parsed(value::network))),
        timeouts: timeouts(&node.table_or_default("timeouts"), mode.value),
        limits: limits(&node.table_or_default("limits")),
        server_header: server_header(node),
        request_id: request_id(node),
        via: via(node),
        access: access(node),
        mode,
    }
}

/// Keys of HTTP alone, of the listener, its timeouts and its limits.
const HTTP_KEYS: &[&str] = &["redirect_to_https", "protocols", "server_header", "request_id", "via"];
const HTTP_TIMEOUTS: &[&str] = &["head", "body", "send", "tunnel"];
const HTTP_LIMITS: &[&str] =
    &["head", "headers", "uri", "body", "streams", "control_frames", "body_rate", "send_rate", "source_request_rate"];
/// Keys of connections, and of datagrams.
const TCP_KEYS: &[&str] = &["tls", "proxy_protocol", "trusted_proxies"];
const TCP_TIMEOUTS: &[&str] = &["handshake", "total"];
const TCP_LIMITS: &[&str] = &["connections", "handshakes"];
const UDP_LIMITS: &[&str] = &["flows"];

/// Notes keys that say nothing in this mode, and what it needs and has not.
fn belongs(node: &Node<'_>, mode: Mode) {
    let foreign = |node: &Node<'_>, keys: &[&'static str]| {
        // The default may stand there: `check --defaults` writes it.
        for leaf in node.which(keys).into_iter().filter(|leaf| !leaf.is_default()) {
            let message = format!("`{}` does not go with `mode = \"{}\"`", leaf.key, mode.as_str());
            node.walk.fault(Diagnostic::error(leaf.span, message));
        }
    };
    let below = |table: &str| node.table_or_default(table);
    if mode == Mode::Udp {
        foreign(node, TCP_KEYS);
        foreign(&below("timeouts"), TCP_TIMEOUTS);
        foreign(&below("limits"), TCP_LIMITS);
    } else {
        foreign(&below("limits"), UDP_LIMITS);
    }
    if mode == Mode::Http {
        foreign(&below("timeouts"), &["total"]);
        if let Some(leaf) = node.written("upstream") {
            let message = "`upstream` needs `mode = \"tcp\"` or `\"udp\"`";
            let hint = "over HTTP the routes of sites name it: `proxy = { upstream = \"..\" }`";
            node.walk.fault(Diagnostic::error(leaf.span, message).hint(hint));
        }
        return;
    }
    foreign(node, HTTP_KEYS);
    foreign(&below("timeouts"), HTTP_TIMEOUTS);
    foreign(&below("limits"), HTTP_LIMITS);
    if !node.has("upstream") && !node.has("sni") {
        let message = format!("`{}` has no `upstream`", node.name);
        let hint = format!("with `mode = \"{}\"` the listener names who serves", mode.as_str());
        node.walk.fault(Diagnostic::error(node.span, message).hint(hint));
    }
}

fn sni(node: &Node<'_>, mode: Mode) -> Vec<(Spanned<HostPattern>, Spanned<String>)> {
    let Some(written) = node.written("sni") else { return Vec::new() };
    if mode != Mode::Tcp {
        node.fault_at("sni", "`sni` needs `mode = \"tcp\"`");
    } else if node.has("tls") {
        node.fault_at("sni", "`sni` does not go with `tls`: what is to pass through is not taken off");
    }
    let members = written.members();
    if members.is_empty() {
        node.fault_at("sni", format!("`sni` of `{}` is empty", node.name));
    }
    let member = |(name, leaf): (Spanned<String>, Leaf<'_>)| {
        let pattern =
            value::host_pattern(&name.value).map_err(|message| node.walk.fault(Diagnostic::error(name.span, message)));
        Some((Spanned::new(pattern.ok()?, name.span), Spanned::new(leaf.text()?.to_owned(), leaf.span)))
    };
    members.into_iter().filter_map(member).collect()
}

fn proxy_protocol(node: &Node<'_>) -> bool {
    let required = node.flag("proxy_protocol");
    if required && !node.has("trusted_proxies") {
        let message = "`proxy_protocol` needs `trusted_proxies`: whose header is believed";
        node.fault_at("proxy_protocol", message);
    }
    required
}

fn unspanned<T>(list: Vec<Spanned<T>>) -> Vec<T> {
    list.into_iter().map(|entry| entry.value).collect()
}

fn redirect_to_https(node: &Node<'_>) -> Option<Spanned<u16>> {
    let port = node.read("redirect_to_https", |leaf| match leaf.value {
        DeValue::Boolean(false) => Some(None),
        DeValue::Boolean(true) => Some(Some(443)),
        _ => leaf.as_either(1).number().map(|port| u16::try_from(port).ok()),
    })?;
    Some(Spanned::new(port.value?, port.span))
}

fn protocols(node: &Node<'_>, mode: Mode, tls: bool) -> Spanned<Protocols> {
    #[derive(Clone, Copy, PartialEq)]
    enum Protocol {
        Http1,
        H2,
        H2c,
    }
    use Protocol::{H2, H2c, Http1};

    if mode != Mode::Http {
        return Spanned::new(Protocols { http1: false, h2: false, h2c: false }, node.span);
    }
    let Some(written) = node.written("protocols") else {
        return Spanned::new(Protocols { http1: true, h2: tls, h2c: false }, node.span);
    };
    node.not_empty("protocols");
    let words = [("http/1.1", Http1), ("h2", H2), ("h2c", H2c)];
    let list = unspanned(node.list("protocols", |leaf| leaf.choice(&words)));
    let has = |protocol| list.contains(&protocol);
    Spanned::new(Protocols { http1: has(Http1), h2: has(H2), h2c: has(H2c) }, written.span)
}

fn read_tls(node: &Node<'_>) -> Tls {
    let certificates = node.tables("certificates");
    if node.has("certificates") && !node.has("directory") {
        node.not_empty("certificates");
    } else if !node.has("directory") {
        let message = format!("`{}` has no certificate", node.name);
        node.walk
            .fault(Diagnostic::error(node.span, message).hint("`certificates` names them, `directory` holds them"));
    }
    if node.has("client_auth") && !node.has("client_ca") {
        node.fault_at("client_auth", "`client_auth` needs `client_ca`");
    }
    let auth = [("required", ClientAuth::Required), ("optional", ClientAuth::Optional)];
    let versions = [("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)];
    Tls {
        certificates: certificates.iter().filter_map(certificate).collect(),
        directory: node.file("directory"),
        min_version: node.choice("min_version", &versions, TlsVersion::Tls12),
        client_ca: node.file("client_ca"),
        client_auth: node.choice("client_auth", &auth, ClientAuth::Required),
    }
}

/// `{ cert = .., key = .. }`
pub(super) fn certificate(node: &Node<'_>) -> Option<Spanned<CertificatePair>> {
    let (cert, key) = (node.file("cert"), node.file("key"));
    Some(Spanned::new(CertificatePair { cert: cert?.value, key: key?.value }, node.span))
}

fn timeouts(node: &Node<'_>, mode: Mode) -> ListenerTimeouts {
    let written = |key| node.optional_duration(key).map(|duration| duration.value);
    let rest = match mode {
        Mode::Http => Duration::from_secs(60),
        Mode::Udp => Duration::from_secs(30),
        Mode::Tcp => Duration::from_secs(3600),
    };
    ListenerTimeouts {
        handshake: node.duration("handshake"),
        head: node.duration("head"),
        body: node.duration("body"),
        send: node.duration("send"),
        idle: written("idle").unwrap_or(rest),
        tunnel: node.duration("tunnel"),
        total: written("total"),
    }
}

fn limits(node: &Node<'_>) -> ListenerLimits {
    let limits = ListenerLimits {
        connections: node.number("connections"),
        head: node.number("head"),
        headers: node.number("headers"),
        uri: node.number("uri"),
        body: node.number("body"),
        streams: node.number("streams"),
        control_frames: node.number("control_frames"),
        body_rate: node.number("body_rate"),
        send_rate: node.number("send_rate"),
        handshakes: node.number("handshakes"),
        flows: node.number("flows"),
        source: source_limits(node),
    };
    if limits.uri >= limits.head {
        let (uri, head) = (limits.uri, limits.head);
        let key = if node.has("uri") { "uri" } else { "head" };
        node.fault_at(
            key,
            format!("limit `uri` ({uri} bytes) must be below limit `head` ({head} bytes), which holds it"),
        );
    }
    limits
}

/// `access = { allow = [..], deny = [..] }`, where it is written.
pub(super) fn access(node: &Node<'_>) -> Access {
    let Some(node) = node.table("access") else { return Access::default() };
    let networks = |key| unspanned(node.list(key, |leaf| leaf.parsed(value::network)));
    Access { allow: networks("allow"), deny: networks("deny") }
}

fn source_limits(node: &Node<'_>) -> SourceLimits {
    SourceLimits {
        connections: node.optional_number("source_connections"),
        connection_rate: rate(node, "source_connection_rate"),
        request_rate: rate(node, "source_request_rate"),
        prefix: node.number("source_prefix"),
        prefix_v6: node.number("source_prefix_v6"),
        remembered: node.number("sources"),
    }
}

/// `"20/s"` or `{ rate = "20/s", burst = 50 }`
fn rate(node: &Node<'_>, key: &'static str) -> Option<SourceRate> {
    let read = node.read(key, |leaf| match leaf.value {
        DeValue::Table(_) => {
            let table = leaf.as_either(1).table(format!("{}.{key}", node.name))?;
            let burst = table.optional_number("burst").and_then(NonZeroU32::new);
            let (count, period) = table.parsed("rate", value::rate)?.value;
            Some(SourceRate { count, period, burst })
        }
        _ => leaf.as_either(0).parsed(value::rate).map(|(count, period)| SourceRate { count, period, burst: None }),
    });
    read.map(|rate| rate.value)
}

fn server_header(node: &Node<'_>) -> ServerHeader {
    match node.parsed("server_header", value::header_value) {
        Some(text) if text.value == "remove" => ServerHeader::Remove,
        Some(text) if text.value != "pass" => ServerHeader::Text(text),
        _ => ServerHeader::Pass,
    }
}

fn request_id(node: &Node<'_>) -> Option<Spanned<String>> {
    let name = node.read("request_id", |leaf| match leaf.value {
        DeValue::Boolean(false) => Some(None),
        DeValue::String(_) => leaf.parsed(value::rule_header_name).map(Some),
        _ => leaf.wrong(),
    })?;
    Some(Spanned::new(name.value?, name.span))
}

fn via(node: &Node<'_>) -> Via {
    let written = node.read("via", |leaf| match leaf.value {
        DeValue::Boolean(true) => Some(Via::Plain),
        DeValue::Boolean(false) => Some(Via::Off),
        DeValue::String(_) => leaf.parsed(value::pseudonym).map(Via::Named),
        _ => leaf.as_either(1).wrong(),
    });
    written.map_or(Via::Plain, |written| written.value)
}
