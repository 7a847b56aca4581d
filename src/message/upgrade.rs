//! Whether a client asks for another protocol on its way, and for which it may (RFC 9110 §7.8).

use crate::head::{Fields, Known};

/// How a client asks for another protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Upgrade {
    /// It does not.
    #[default]
    No,
    /// By its `Upgrade` field (RFC 9110 §7.8); a server may answer without switching.
    Field,
    /// For a WebSocket by the extended CONNECT of HTTP/2 (RFC 8441); an HTTP/1.1 server is asked by
    /// GET and an `Upgrade` field that we write.
    WebSocket,
}

/// The protocols that the client offers and that a server may choose, as they are written.
///
/// HTTP in another version and TLS are left out: what went through such a tunnel would be requests
/// that no rule of haechi was applied to. Nobody needs them (RFC 9113 §3.1 took h2c back).
pub fn offered(fields: &Fields) -> impl Iterator<Item = &[u8]> {
    let protocols = fields.all(Known::Upgrade).flat_map(|value| value.split(|byte| *byte == b','));
    protocols.map(<[u8]>::trim_ascii).filter(|protocol| is_protocol(protocol) && !carries_requests(protocol))
}

/// `protocol-name ["/" protocol-version]`, tokens both.
fn is_protocol(protocol: &[u8]) -> bool {
    let is_token = |part: &[u8]| {
        !part.is_empty() && part.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
    };
    let mut parts = protocol.splitn(2, |byte| *byte == b'/');
    parts.all(is_token)
}

fn carries_requests(protocol: &[u8]) -> bool {
    const NAMES: [&[u8]; 6] = [b"h2", b"h2c", b"h3", b"http", b"https", b"tls"];
    let name = protocol.split(|byte| *byte == b'/').next().unwrap_or_default();
    NAMES.iter().any(|other| other.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_other_protocols_are_offered_rfc9110_7_8() {
        let mut fields = Fields::default();
        for value in ["h2c, websocket", "HTTP/2.0,,TLS/1.0, IRC/6.9", "h2C", "a b", "a/", "/a", "x/y/z"] {
            fields.push("Upgrade", value);
        }
        let found: Vec<_> = offered(&fields).collect();
        assert_eq!(found, [&b"websocket"[..], b"IRC/6.9"]);
    }
}
