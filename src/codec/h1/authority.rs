//! `uri-host [":" port]`, as Host and absolute targets carry it (RFC 9110 §7.2, RFC 3986 §3.2).

use std::net::Ipv6Addr;

use super::cursor::byte_set;

/// Whether these bytes are an authority of an http URI: a host that is not empty (RFC 9110 §4.2.1),
/// no user information (§4.2.4), and a port of at most 65535.
pub(in crate::codec) fn is_authority(bytes: &[u8]) -> bool {
    if let Some(rest) = bytes.strip_prefix(b"[") {
        let Some(end) = rest.iter().position(|byte| *byte == b']') else { return false };
        return is_ipv6(&rest[..end]) && is_port_part(&rest[end + 1..]);
    }
    let mut rest = bytes;
    // `reg-name` (RFC 3986 §3.2.2), of which an IPv4 address is a special case.
    loop {
        let plain = rest.iter().position(|byte| !REG_NAME[usize::from(*byte)]).unwrap_or(rest.len());
        match &rest[plain..] {
            [b'%', high, low, behind @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => rest = behind,
            behind => return behind.len() < bytes.len() && is_port_part(behind),
        }
    }
}

/// `unreserved` and `sub-delims`.
static REG_NAME: [bool; 256] = byte_set(b"-._~!$&'()*+,;=");

/// An address in brackets. Zones (RFC 6874) mean something on one host only, and there are no
/// addresses of future versions.
fn is_ipv6(address: &[u8]) -> bool {
    str::from_utf8(address).is_ok_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

/// Nothing, or a colon and a port, which may be empty (RFC 3986 §3.2.3).
fn is_port_part(bytes: &[u8]) -> bool {
    let Some((colon, digits)) = bytes.split_first() else { return true };
    let port = digits.iter().try_fold(0_u32, |port, byte| {
        let digit = byte.is_ascii_digit().then(|| u32::from(byte - b'0'))?;
        Some(port * 10 + digit).filter(|port| *port <= 65_535)
    });
    *colon == b':' && port.is_some()
}
