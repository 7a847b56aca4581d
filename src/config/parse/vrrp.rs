//! `[vrrp.NAME]`

use std::time::Duration;

use ipnet::IpNet;
use toml::de::DeValue;

use crate::config::model::{
    Announce, AuthHmac, Command, HmacKey, HmacMode, HookState, Hooks, OnPartition, Preempt, Track, TrackEffect,
    Tracked, TrackedExec, Vrrp, VrrpChecksum, VrrpVersion,
};
use crate::config::node::{Leaf, Node};
use crate::config::value::{self, quote};
use crate::diagnostic::{Diagnostic, Spanned};

/// The instance; `None` where it lacks what cannot be left out, which has been said.
pub(super) fn vrrp(name: &Spanned<String>, node: &Node<'_>) -> Option<Vrrp> {
    super::check_name(node, name);
    let interface = node.parsed("interface", value::interface_name);
    let virtual_router_id = node.read("virtual_router_id", |leaf| u8::try_from(leaf.number()?).ok());
    let priority = node.number("priority");
    let version = version(node);
    let advert_interval = advert_interval(node, &version);
    let addresses = addresses(node, &version);
    let is_v6 = addresses.first().is_some_and(|first| first.value.addr().is_ipv6());
    let peers = peers(node, is_v6);
    if is_v6 && matches!(version, VrrpVersion::V3 { checksum: VrrpChecksum::Rfc9568, .. }) {
        node.fault_at("checksum", "`rfc9568` is for IPv4: with IPv6 there is one form alone");
    }
    Some(Vrrp {
        name: name.clone(),
        preempt: preempt(node, priority),
        hold_down: node.duration("hold_down"),
        peers,
        check_ttl: node.flag("check_ttl"),
        auth_hmac: node.table("auth_hmac").and_then(|table| auth_hmac(&table, advert_interval)),
        on_partition: node.choice(
            "on_partition",
            &[("serve", OnPartition::Serve), ("stop", OnPartition::Stop)],
            OnPartition::Serve,
        ),
        virtual_mac: node.flag("virtual_mac"),
        announce: announce(&node.table_or_default("announce")),
        group: node.parsed("group", value::name),
        track: track(&node.table_or_default("track")),
        hooks: node.table("hooks").and_then(|table| hooks(&table)),
        version,
        priority,
        advert_interval,
        addresses,
        interface: interface?,
        virtual_router_id: virtual_router_id?,
    })
}

fn version(node: &Node<'_>) -> VrrpVersion {
    let auth_pass = node.parsed("auth_pass", auth_pass);
    if node.has("auth_pass") && node.has("auth_hmac") {
        node.fault_at("auth_pass", "`auth_pass` does not go with `auth_hmac`: a password in clear adds nothing");
    }
    let forms = [("keepalived", VrrpChecksum::Keepalived), ("rfc9568", VrrpChecksum::Rfc9568)];
    let checksum = node.choice("checksum", &forms, VrrpChecksum::Keepalived);
    if node.number::<u8>("version") == 2 {
        if checksum == VrrpChecksum::Rfc9568 {
            node.fault_at("checksum", "`rfc9568` needs `version = 3`: version 2 has one form alone");
        }
        return VrrpVersion::V2 { auth_pass: auth_pass.map(|pass| pass.value) };
    }
    // RFC 9568 §9: there is no authentication in version 3.
    let idle_pass = node.written("auth_pass").map(|leaf| Spanned::new((), leaf.span));
    VrrpVersion::V3 { checksum, idle_pass }
}

fn auth_pass(text: &str) -> Result<String, String> {
    // keepalived cuts a longer one, so that two that differ behind the cut are the same.
    if text.is_empty() || text.len() > 8 {
        return Err(format!("`auth_pass` has 1 to 8 bytes, not {}", text.len()));
    }
    Ok(text.to_owned())
}

/// RFC 3768 §5.3.7: whole seconds in one byte. RFC 9568 §5.2.7: hundredths of a second in twelve bits.
fn advert_interval(node: &Node<'_>, version: &VrrpVersion) -> Duration {
    let written = node.duration("advert_interval");
    let millis = written.as_millis();
    let wrong = match version {
        VrrpVersion::V2 { .. } if !millis.is_multiple_of(1000) || millis > 255_000 => {
            Some("`advert_interval` is whole seconds from \"1s\" to \"255s\" with `version = 2`")
        }
        VrrpVersion::V3 { .. } if !millis.is_multiple_of(10) || millis > 40_950 => {
            Some("`advert_interval` is a multiple of \"10ms\", at most \"40950ms\"")
        }
        _ => None,
    };
    if let (Some(message), Some(leaf)) = (wrong, node.written("advert_interval")) {
        let fault = Diagnostic::error(leaf.span, message);
        let is_too_fine = matches!(version, VrrpVersion::V2 { .. }) && millis <= 40_950;
        node.walk.fault(if is_too_fine { fault.hint("shorter steps need `version = 3`") } else { fault });
    }
    written
}

/// What a packet carries on any link: 64 IPv6 addresses are 1024 bytes.
const MOST_ADDRESSES: usize = 64;

fn addresses(node: &Node<'_>, version: &VrrpVersion) -> Vec<Spanned<IpNet>> {
    node.not_empty("addresses");
    let addresses = node.list("addresses", |leaf| leaf.parsed(value::interface_address));
    if addresses.len() > MOST_ADDRESSES {
        let message = format!("`addresses` has {} entries; an advert holds {MOST_ADDRESSES}", addresses.len());
        node.fault_at("addresses", message);
    }
    let Some(first) = addresses.first() else { return addresses };
    let is_v6 = first.value.addr().is_ipv6();
    if let Some(other) = addresses.iter().find(|other| other.value.addr().is_ipv6() != is_v6) {
        let message = format!("`{}` is of another family than `{}`", other.value, first.value);
        let fault = Diagnostic::error(other.span, message);
        node.walk.fault(fault.hint("IPv4 and IPv6 are two instances; `group` moves them together"));
    }
    if is_v6 && matches!(version, VrrpVersion::V2 { .. }) {
        let fault = Diagnostic::error(first.span, "IPv6 needs `version = 3`");
        node.walk.fault(fault);
    } else if let IpNet::V6(net) = first.value
        && !net.addr().is_unicast_link_local()
    {
        // RFC 9568 §5.2.9
        let fault = Diagnostic::error(first.span, format!("the first IPv6 address is link-local, not `{net}`"));
        node.walk.fault(fault.hint("put one such as \"fe80::77:51/64\" in front, the same on both hosts"));
    }
    addresses
}

fn peers(node: &Node<'_>, is_v6: bool) -> Vec<Spanned<std::net::IpAddr>> {
    let peers = node.list("peers", |leaf| leaf.parsed(value::host_address));
    for (at, peer) in peers.iter().enumerate() {
        if peer.value.is_ipv6() != is_v6 && node.has("addresses") {
            let message = format!("peer `{}` is of another family than the addresses", peer.value);
            node.walk.fault(Diagnostic::error(peer.span, message));
        }
        if peers[..at].contains(peer) {
            node.walk.fault(Diagnostic::error(peer.span, format!("peer `{}` stands twice", peer.value)));
        }
    }
    peers
}

fn preempt(node: &Node<'_>, priority: u8) -> Preempt {
    let delay = node.duration("preempt_delay");
    if node.flag("preempt") {
        return Preempt::After(delay);
    }
    if !delay.is_zero() {
        node.fault_at("preempt_delay", "`preempt_delay` does not go with `preempt = false`");
    }
    if priority == 255 {
        // RFC 9568 §6.1
        node.fault_at("preempt", "an address owner, priority 255, always preempts");
    }
    Preempt::Never
}

fn auth_hmac(node: &Node<'_>, advert_interval: Duration) -> Option<AuthHmac> {
    const SHORTEST_WINDOW: Duration = Duration::from_secs(5);
    const LONGEST_WINDOW: Duration = Duration::from_secs(300);
    node.not_empty("keys");
    let mut keys: Vec<HmacKey> = Vec::new();
    for table in node.tables("keys") {
        let id = table.read("id", |leaf| u8::try_from(leaf.number()?).ok());
        let secret = table.parsed("secret", hmac_secret);
        let (Some(id), Some(secret)) = (id, secret) else { continue };
        if keys.iter().any(|key| key.id == id.value) {
            table.fault_at("id", format!("two keys of `{}` have the id {}", node.name, id.value));
        }
        keys.push(HmacKey { id: id.value, secret: secret.value });
    }
    let modes =
        [("receive_only", HmacMode::ReceiveOnly), ("permissive", HmacMode::Permissive), ("enforce", HmacMode::Enforce)];
    let window = node.read("window", |leaf: Leaf<'_>| leaf.duration());
    if let Some(window) =
        window.as_ref().filter(|window| !(Duration::from_secs(1)..=LONGEST_WINDOW).contains(&window.value))
    {
        node.walk.fault(Diagnostic::error(window.span, "`window` is \"1s\" to \"300s\""));
    }
    let usual = (3 * advert_interval).clamp(SHORTEST_WINDOW, LONGEST_WINDOW);
    let window = window.map_or(usual, |window| window.value);
    let mode = node.choice("mode", &modes, HmacMode::Enforce);
    (!keys.is_empty()).then_some(AuthHmac { keys, mode, window })
}

fn hmac_secret(text: &str) -> Result<String, String> {
    if !(32..=64).contains(&text.len()) {
        return Err(format!("`secret` has 32 to 64 bytes, not {}", text.len()));
    }
    Ok(text.to_owned())
}

fn announce(node: &Node<'_>) -> Announce {
    let refresh = node.duration("refresh");
    Announce {
        repeat: node.number("repeat"),
        delay: node.duration("delay"),
        refresh: (!refresh.is_zero()).then_some(refresh),
    }
}

fn track(node: &Node<'_>) -> Track {
    let upstreams = node.written("upstreams").map(Leaf::members).unwrap_or_default();
    Track {
        upstreams: upstreams.into_iter().filter_map(|(name, leaf)| tracked_upstream(node, name, leaf)).collect(),
        interfaces: tracked(node, "interfaces", value::interface_name),
        listeners: node.has("listeners").then(|| tracked(node, "listeners", value::name)),
        exec: node.tables("exec").iter().filter_map(exec).collect(),
    }
}

fn tracked_upstream(node: &Node<'_>, name: Spanned<String>, leaf: Leaf<'_>) -> Option<(Tracked, u32)> {
    match leaf.value {
        DeValue::Table(_) => {
            let table = leaf.as_either(1).table(format!("{}.upstreams.{}", node.name, name.value))?;
            Some((Tracked { name, effect: effect(&table) }, table.optional_number("healthy")?))
        }
        _ => {
            let healthy = u32::try_from(leaf.as_either(0).number()?).ok()?;
            Some((Tracked { name, effect: TrackEffect::Fault }, healthy))
        }
    }
}

fn tracked(node: &Node<'_>, key: &str, parse: fn(&str) -> Result<String, String>) -> Vec<Tracked> {
    let read = |leaf: Leaf<'_>| match leaf.value {
        DeValue::Table(_) => {
            let table = leaf.as_either(1).table(format!("{}.{}", node.name, leaf.key))?;
            Some(Tracked { name: table.parsed("name", parse)?, effect: effect(&table) })
        }
        _ => {
            let name = Spanned::new(leaf.as_either(0).parsed(parse)?, leaf.span);
            Some(Tracked { name, effect: TrackEffect::Fault })
        }
    };
    node.list(key, read).into_iter().map(|tracked| tracked.value).collect()
}

fn effect(node: &Node<'_>) -> TrackEffect {
    node.optional_number("weight").map_or(TrackEffect::Fault, TrackEffect::Lower)
}

fn exec(node: &Node<'_>) -> Option<TrackedExec> {
    let name = node.parsed("name", value::name);
    let command = command(node)?;
    let name = name.or_else(|| {
        let file = command.program.value.file_name()?.to_string_lossy().into_owned();
        Some(Spanned::new(file, command.program.span))
    })?;
    Some(TrackedExec {
        tracked: Tracked { name, effect: effect(node) },
        command,
        interval: node.duration("interval"),
        timeout: node.duration("timeout"),
        rise: node.number("rise"),
        fall: node.number("fall"),
    })
}

/// `command` and `user`; `None` where no command is written or it is faulty.
pub(super) fn command(node: &Node<'_>) -> Option<Command> {
    node.not_empty("command");
    let mut words = node.list("command", |leaf| leaf.parsed(argument)).into_iter();
    let program = words.next()?;
    if !program.value.starts_with('/') {
        // No shell and no PATH: what runs is what is written.
        let message = format!("{} is no whole path of a program", quote(&program.value));
        node.walk.fault(Diagnostic::error(program.span, message));
        return None;
    }
    Some(Command {
        program: Spanned::new(program.value.into(), program.span),
        arguments: words.map(|word| word.value).collect(),
        user: node.parsed("user", value::user_name),
    })
}

fn argument(text: &str) -> Result<String, String> {
    if text.contains('\0') { Err("an argument has no NUL in it".to_owned()) } else { Ok(text.to_owned()) }
}

fn hooks(node: &Node<'_>) -> Option<Hooks> {
    const STATES: [(&str, HookState); 3] =
        [("active", HookState::Active), ("backup", HookState::Backup), ("fault", HookState::Fault)];
    if !node.has("command") && !node.has("post") {
        let message = format!("`{}` does not say what is run", node.name);
        let hint = "`command = [\"/usr/local/bin/moved\"]` or `post = \"http://..\"`";
        node.walk.fault(Diagnostic::error(node.span, message).hint(hint));
        return None;
    }
    if node.has("user") && !node.has("command") {
        node.fault_at("user", "`user` needs `command`");
    }
    node.not_empty("on");
    Some(Hooks {
        command: command(node),
        post: node.parsed("post", value::http_url),
        timeout: node.duration("timeout"),
        on: node.list("on", |leaf| leaf.choice(&STATES)).into_iter().map(|state| state.value).collect(),
    })
}
