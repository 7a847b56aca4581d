//! Texts that mean more than text: addresses, hosts, header fields, paths, patterns. Pure; an error is
//! the whole message.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;
use regex::Regex;

use super::model::{HostPattern, HostPort};

/// The name of a listener, an upstream or a server: it stands in metrics and logs as it is.
pub(super) fn name(text: &str) -> Result<String, String> {
    const LONGEST: usize = 64;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:[]".contains(&byte);
    if text.is_empty() || text.len() > LONGEST || !text.bytes().all(allowed) {
        let quoted = quote(text);
        return Err(format!("{quoted} is no name: 1 to {LONGEST} letters, digits, `-`, `_`, `.`, `:`, `[` or `]`"));
    }
    Ok(text.to_owned())
}

/// An address to listen on.
pub(super) fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("{} is no address with a port, such as `0.0.0.0:80` or `[::]:80`", quote(text)))
}

/// The name of a network interface, as the kernel takes it.
pub(super) fn interface_name(text: &str) -> Result<String, String> {
    const LONGEST: usize = 15;
    let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'/' && byte != b':';
    if text.is_empty() || text.len() > LONGEST || !text.bytes().all(allowed) || [".", ".."].contains(&text) {
        return Err(format!("{} is no name of an interface, such as `eth0`", quote(text)));
    }
    Ok(text.to_owned())
}

/// An address of an interface with its prefix; without one it stands alone.
pub(super) fn interface_address(text: &str) -> Result<IpNet, String> {
    let wrong = || format!("{} is no address with a prefix, such as `192.168.0.100/24`", quote(text));
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| wrong())?;
    host_address(&net.addr().to_string())?;
    let is_whole = net.prefix_len() == net.max_prefix_len();
    // RFC 3021: a prefix of 31 bits has two hosts and no network address.
    if !is_whole && net.prefix_len() + 1 != net.max_prefix_len() && net.addr() == net.network() {
        return Err(format!("`{net}` is the network itself, and no address in it"));
    }
    Ok(net)
}

/// The address of one host on a link.
pub(super) fn host_address(text: &str) -> Result<IpAddr, String> {
    let address: IpAddr = text.parse().map_err(|_| format!("{} is no address, such as `192.168.0.12`", quote(text)))?;
    let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    if address.is_unspecified() || address.is_multicast() || address.is_loopback() || is_broadcast {
        return Err(format!("`{address}` is not the address of a host on a link"));
    }
    Ok(address)
}

/// The name of a user of the system.
pub(super) fn user_name(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@$".contains(&byte);
    if text.is_empty() || text.len() > 256 || text.starts_with('-') || !text.bytes().all(allowed) {
        return Err(format!("{} is no name of a user", quote(text)));
    }
    Ok(text.to_owned())
}

/// The name of an account or a database: it ends at a NUL on the wire.
pub(super) fn account(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 128 || text.contains('\0') {
        return Err(format!("{} is no name of an account or a database", quote(text)));
    }
    Ok(text.to_owned())
}

/// A password, which no message shows.
pub(super) fn password(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 1024 || text.contains('\0') {
        return Err("a password has 1 to 1024 bytes and no NUL".to_owned());
    }
    Ok(text.to_owned())
}

/// Where something is posted to.
pub(super) fn http_url(text: &str) -> Result<String, String> {
    let is_http = text.starts_with("http://") || text.starts_with("https://");
    match text.parse::<http::Uri>() {
        Ok(url) if is_http && url.host().is_some_and(|host| !host.is_empty()) => Ok(text.to_owned()),
        _ => Err(format!("{} is no URL, such as `http://127.0.0.1:9000/vrrp`", quote(text))),
    }
}

/// A network, or one address.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let network: IpNet = text
        .parse()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| format!("{} is no network, such as `10.0.0.0/8` or `fd00::/8`", quote(text)))?;
    if network.trunc() == network {
        Ok(network)
    } else {
        Err(format!("`{network}` has bits set after its prefix; the network is `{}`", network.trunc()))
    }
}

/// So many in a time: `20/s`, `600/m`, `1000/h`.
pub(super) fn rate(text: &str) -> Result<(NonZeroU32, Duration), String> {
    let read = || {
        let (count, unit) = text.split_once('/')?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            _ => return None,
        };
        let count: NonZeroU32 = count.parse().ok().filter(|_| count.bytes().all(|byte| byte.is_ascii_digit()))?;
        (count.get() <= 1_000_000).then_some((count, Duration::from_secs(seconds)))
    };
    read().ok_or_else(|| format!("{} is no rate, such as `20/s`, `600/m` or `1000/h`", quote(text)))
}

/// A host of a site (RFC 9110 §7.2): exact, `*.` and a name, or `*`.
pub(super) fn host_pattern(text: &str) -> Result<HostPattern, String> {
    if text == "*" {
        return Ok(HostPattern::Any);
    }
    if let Some(address) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        let address: Ipv6Addr = address.parse().map_err(|_| format!("{} is no IPv6 address", quote(text)))?;
        return Ok(HostPattern::Exact(format!("[{address}]")));
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(format!("`{text}` stands in brackets as a host: `[{text}]`"));
    }
    if text.contains(':') {
        return Err(format!("{} has a port; a host has none, the listener's `bind` says where", quote(text)));
    }
    match text.strip_prefix("*.") {
        Some(suffix) => Ok(HostPattern::Wildcard(host_name(suffix)?)),
        None if text.contains('*') => {
            Err(format!("{}: `*` stands alone or as the first label, `*.example.com`", quote(text)))
        }
        None => Ok(HostPattern::Exact(host_name(text)?)),
    }
}

/// Where a server listens: an address or a name, and a port.
pub(super) fn host_port(text: &str) -> Result<HostPort, String> {
    let no_port =
        || format!("{} is no address with a port, such as `10.0.0.11:8080` or `host.internal:8080`", quote(text));
    let address = match text.parse::<SocketAddr>() {
        Ok(address) => HostPort::Ip(address),
        Err(_) => {
            let (host, port) = text.rsplit_once(':').ok_or_else(no_port)?;
            if host.contains(':') || host.starts_with('[') {
                return Err(no_port());
            }
            HostPort::Name { host: host_name(host)?, port: port.parse().map_err(|_| no_port())? }
        }
    };
    let port = match &address {
        HostPort::Ip(address) => address.port(),
        HostPort::Name { port, .. } => *port,
    };
    if port == 0 { Err(format!("`{text}`: nothing listens on port 0")) } else { Ok(address) }
}

/// A host name or an IPv4 address, in lower case (RFC 1123 §2.1; `_` is common inside).
pub(super) fn host_name(text: &str) -> Result<String, String> {
    let refused = |why: &str| Err(format!("{} is no host name: {why}", quote(text)));
    if !text.is_ascii() {
        return refused("write it in its ASCII form, which begins with `xn--`");
    }
    if text.is_empty() || text.len() > 253 {
        return refused("it has 1 to 253 characters");
    }
    let mut last = "";
    for label in text.split('.') {
        if label.is_empty() || label.len() > 63 {
            return refused("between dots stand 1 to 63 characters");
        }
        if !label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
            return refused("it has letters, digits, `-`, `_` and dots");
        }
        if label.starts_with('-') || label.ends_with('-') {
            return refused("no label begins or ends with `-`");
        }
        last = label;
    }
    // A name whose last label is a number is meant as an address (RFC 3986 §7.4 tells what comes of guessing).
    if last.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<Ipv4Addr>().is_err() {
        return refused("it looks like an IPv4 address and is none");
    }
    Ok(text.to_ascii_lowercase())
}

/// A field name (RFC 9110 §5.1).
pub(super) fn header_name(text: &str) -> Result<String, String> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.is_empty() || text.len() > 256 || !text.bytes().all(token) {
        return Err(format!("{} is no header name", quote(text)));
    }
    Ok(text.to_owned())
}

/// A field name that a rule may touch: not one that belongs to the connection or the framing
/// (RFC 9110 §7.6.1), which haechi writes itself.
pub(super) fn rule_header_name(text: &str) -> Result<String, String> {
    const OWN: [&str; 9] = [
        "connection",
        "content-length",
        "keep-alive",
        "proxy-authenticate",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    let name = header_name(text)?;
    if OWN.iter().any(|own| own.eq_ignore_ascii_case(&name)) {
        return Err(format!("`{name}` belongs to the connection; no rule may touch it"));
    }
    Ok(name)
}

/// The name of a host on a request's way (RFC 9110 §7.6.3): a token, so that no comma or blank ends it.
pub(super) fn pseudonym(text: &str) -> Result<String, String> {
    header_name(text).map_err(|_| format!("{} is no name: it has letters, digits, `-`, `_` and dots", quote(text)))
}

/// A field value (RFC 9110 §5.5), without blanks around it.
pub(super) fn header_value(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
    if !text.bytes().all(allowed) {
        return Err(format!("{} has a control character, which no header value may have", quote(text)));
    }
    if text.trim_matches([' ', '\t']) != text {
        return Err(format!("{} begins or ends with a blank, which no header value may do", quote(text)));
    }
    Ok(text.to_owned())
}

/// The `Host` that is sent (RFC 9110 §7.2): a host, maybe with a port.
pub(super) fn host_header(text: &str) -> Result<String, String> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok());
    match host_pattern(host) {
        Ok(HostPattern::Exact(_)) if port_fits => Ok(text.to_owned()),
        _ => Err(format!("{} is no host, such as `app.internal` or `app.internal:8080`", quote(text))),
    }
}

/// A path of a route: absolute, without a query.
pub(super) fn path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err(format!("{} is no path: it begins with `/`", quote(text)));
    }
    if let Some(wrong) = text.chars().find(|character| matches!(character, '?' | '#' | ' ') || character.is_control()) {
        return Err(format!(
            "{} is no path: {} does not stand in one",
            quote(text),
            quote(wrong.encode_utf8(&mut [0; 4]))
        ));
    }
    Ok(text.to_owned())
}

/// What a health check asks for: an absolute path, maybe with a query (RFC 9112 §3.2.1).
pub(super) fn origin_form(text: &str) -> Result<String, String> {
    if !text.starts_with('/') || !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return Err(format!("{} is no path: it begins with `/` and has no blank and no `#`", quote(text)));
    }
    Ok(text.to_owned())
}

/// A regular expression, known to compile.
pub(super) fn regex(text: &str) -> Result<String, String> {
    match Regex::new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(regex::Error::Syntax(message)) => {
            // The last line says what is wrong; those above draw the pattern, which the operator has before him.
            let last = message.lines().last().unwrap_or_default();
            Err(format!("{} is no regular expression: {}", quote(text), last.trim_start_matches("error: ")))
        }
        Err(regex::Error::CompiledTooBig(_)) => Err(format!("{} is too large a regular expression", quote(text))),
        Err(_) => Err(format!("{} is no regular expression", quote(text))),
    }
}

/// Statuses and ranges of them, such as `200,204,300-399`.
pub(super) fn status_ranges(text: &str) -> Result<Vec<RangeInclusive<u16>>, String> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u16, u16) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (100 <= first && first <= last && last <= 599).then_some(first..=last)
    };
    text.split(',')
        .map(range)
        .collect::<Option<_>>()
        .ok_or_else(|| format!("{} is no list of statuses, such as `200-399` or `200,204`", quote(text)))
}

/// How many groups a regular expression captures, the whole match not counted.
pub(super) fn groups(pattern: &str) -> usize {
    Regex::new(pattern).map_or(0, |regex| regex.captures_len() - 1)
}

/// A path with placeholders in it.
pub(super) fn path_template(text: &str) -> Result<String, String> {
    placeholders(text)?;
    // `${path}` begins with a slash by itself.
    if text.starts_with("${") { Ok(text.to_owned()) } else { origin_form(text) }
}

/// What stands between `${` and `}`, in order.
pub(super) fn placeholders(text: &str) -> Result<Vec<&str>, String> {
    let unclosed = |_| format!("{} has a `${{` without its `}}`", quote(text));
    text.split("${").skip(1).map(|rest| rest.find('}').map(|end| &rest[..end]).ok_or(()).map_err(unclosed)).collect()
}

/// Operator's text as it stands in a message: in backticks, cut where it is long.
pub(super) fn quote(text: &str) -> String {
    if text.is_empty() { "an empty text".to_owned() } else { format!("`{}`", shown(text)) }
}

/// Operator's text on one line of bounded length.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut shown = String::new();
    for character in text.chars().take(LONGEST) {
        if character.is_control() {
            shown.extend(character.escape_debug());
        } else {
            shown.push(character);
        }
    }
    if text.chars().nth(LONGEST).is_some() {
        shown.push_str("...");
    }
    shown
}
