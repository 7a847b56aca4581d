//! What a request is for: the client-facing host, path and query.
//!
//! One target has two readings. The *raw* path is what the client sent and what is forwarded. The
//! *normal* path is what routes and files are matched with, and it reads the path as the strictest
//! origin would: escapes decoded, `;params` of each segment dropped, slashes merged, dot segments
//! resolved. So a rule that guards `/admin/` also guards `/x/..;/%61dmin/`.
//!
//! In a normal path `%` only ever starts an escape that was kept (`%2F`, `%5C`, `%25` and control
//! bytes): text that looks like an escape is one, and nothing is decoded twice.

use std::{borrow::Cow, net::Ipv6Addr};

use crate::head::{Known, Method, RequestHead};

mod path;

/// Host names have at most 253 characters (RFC 1035 §2.3.4 without the root label).
const HOST_LIMIT: usize = 253;

/// The client-facing identity of a request; it never changes during its exchange.
#[derive(Clone, Debug)]
pub struct RequestTarget<'h> {
    tls: bool,
    host: Cow<'h, [u8]>,
    port: Option<u16>,
    path: &'h [u8],
    normal_path: Cow<'h, [u8]>,
    query: Option<&'h [u8]>,
}

/// Why a request names nothing that could be served; each is answered with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetFault {
    /// Neither a path nor, for OPTIONS, `*`.
    #[error("request target is not a path")]
    Form,
    /// Not a host name, an IPv4 address or a bracketed IPv6 address.
    #[error("host is not a valid name or address")]
    Host,
    /// Longer than a host name can be.
    #[error("host is longer than {HOST_LIMIT} bytes")]
    HostLength,
    /// The part after the host's colon is no port.
    #[error("port of the host is not a number up to 65535")]
    Port,
    /// A `%` without two hexadecimal digits.
    #[error("path has a broken percent-encoding")]
    Escape,
    /// A NUL, encoded or not.
    #[error("path has a NUL")]
    Nul,
    /// `..` leads out of the root.
    #[error("path climbs above the root")]
    AboveRoot,
}

impl TargetFault {
    /// A label for metrics and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Form => "target_form",
            Self::Host => "target_host",
            Self::HostLength => "target_host_length",
            Self::Port => "target_port",
            Self::Escape => "target_escape",
            Self::Nul => "target_nul",
            Self::AboveRoot => "target_above_root",
        }
    }
}

impl<'h> RequestTarget<'h> {
    /// Reads the target of a request in origin-form or asterisk-form (RFC 9112 §3.2.1, §3.2.4);
    /// `tls` says whether the client came by TLS. Codecs turn the absolute-form into these.
    ///
    /// It allocates only for a host with upper-case letters or a path that is not normal yet.
    ///
    /// # Errors
    /// Any [`TargetFault`].
    pub fn of(head: &'h RequestHead, tls: bool) -> Result<Self, TargetFault> {
        let (host, port) = split_authority(head.fields.first(Known::Host).unwrap_or_default())?;
        let target = head.target.as_slice();
        let asterisk = target == b"*" && head.method == Method::Options;
        if !asterisk && target.first() != Some(&b'/') {
            return Err(TargetFault::Form);
        }
        let (path, rest, is_normal) = path::split(target)?;
        let query = rest.split_first().map(|(_, query)| query);
        let normal_path = if is_normal { Cow::Borrowed(path) } else { Cow::Owned(path::normalise(path)?) };
        Ok(Self { tls, host, port, path, normal_path, query })
    }

    /// Whether the client came by TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// `https` or `http`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// The host in lower case, without port and trailing dot, IPv6 in brackets; empty where an
    /// HTTP/1.0 client named none.
    #[must_use]
    pub fn host(&self) -> &[u8] {
        &self.host
    }

    /// The port that the client wrote.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The port that the client meant: the one it wrote, else the scheme's.
    #[must_use]
    pub fn effective_port(&self) -> u16 {
        self.port.unwrap_or(if self.tls { 443 } else { 80 })
    }

    /// The path as sent; `*` for OPTIONS of the whole server.
    #[must_use]
    pub fn path(&self) -> &'h [u8] {
        self.path
    }

    /// The query as sent, without its `?`.
    #[must_use]
    pub fn query(&self) -> Option<&'h [u8]> {
        self.query
    }

    /// Whether the request is for the server as a whole (RFC 9110 §9.3.7).
    #[must_use]
    pub fn is_asterisk(&self) -> bool {
        self.path == b"*"
    }

    /// The path for matching. It starts with `/` (but for `*`), has no empty segment, no dot
    /// segment and no `;params`; bytes are decoded but for `%2F`, `%5C`, `%25` and control bytes.
    #[must_use]
    pub fn normal_path(&self) -> &[u8] {
        &self.normal_path
    }

    /// The path as sent but with dot segments resolved and slashes merged: the client's spelling,
    /// without a way up.
    #[must_use]
    pub fn resolved_path(&self) -> Cow<'h, [u8]> {
        match self.normal_path {
            Cow::Borrowed(_) => Cow::Borrowed(self.path),
            Cow::Owned(_) => path::resolve(self.path),
        }
    }

    /// What follows the first `matched` bytes of the normal path, in the client's spelling.
    #[must_use]
    pub fn path_after(&self, matched: usize) -> Cow<'h, [u8]> {
        match self.normal_path {
            Cow::Borrowed(path) => Cow::Borrowed(path.get(matched..).unwrap_or_default()),
            Cow::Owned(_) => Cow::Owned(path::after(&path::resolve(self.path), matched).to_vec()),
        }
    }
}

/// Appends a piece of a normal path as it may stand in a request-target: kept escapes stay, every
/// byte that RFC 3986 §3.3 does not allow in a path is escaped, and so is `;`, which was data.
pub fn write_normal_path(out: &mut Vec<u8>, normal: &[u8]) {
    for (at, &byte) in normal.iter().enumerate() {
        let kept = byte == b'%' && path::escape_at(normal, at).is_ok();
        if kept || byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,=:@".contains(&byte) {
            out.push(byte);
        } else {
            path::push_escape(out, byte);
        }
    }
}

fn split_authority(authority: &[u8]) -> Result<(Cow<'_, [u8]>, Option<u16>), TargetFault> {
    if authority.len() > HOST_LIMIT + ".:65535".len() {
        return Err(TargetFault::HostLength);
    }
    let (end, is_upper) = match authority {
        [b'[', ..] => address_end(authority)?,
        _ => name_end(authority)?,
    };
    let (host, rest) = authority.split_at(end);
    let port = match rest {
        // RFC 3986 §3.2.3: the port may be empty.
        [] | [b':'] => None,
        [b':', digits @ ..] => Some(port(digits).ok_or(TargetFault::Port)?),
        _ => return Err(TargetFault::Host),
    };
    if host.is_empty() && port.is_some() {
        return Err(TargetFault::Host);
    }
    let host = host.strip_suffix(b".").unwrap_or(host);
    if host.len() > HOST_LIMIT {
        return Err(TargetFault::HostLength);
    }
    Ok((if is_upper { Cow::Owned(host.to_ascii_lowercase()) } else { Cow::Borrowed(host) }, port))
}

/// Where a bracketed IPv6 address ends, and whether it has upper-case letters.
fn address_end(authority: &[u8]) -> Result<(usize, bool), TargetFault> {
    let end = memchr::memchr(b']', authority).ok_or(TargetFault::Host)?;
    let address = str::from_utf8(&authority[1..end]).map_err(|_| TargetFault::Host)?;
    address.parse::<Ipv6Addr>().map_err(|_| TargetFault::Host)?;
    Ok((end + 1, address.bytes().any(|byte| byte.is_ascii_uppercase())))
}

/// Where a host name or an IPv4 address ends, and whether it has upper-case letters.
fn name_end(authority: &[u8]) -> Result<(usize, bool), TargetFault> {
    let (mut is_upper, mut label) = (false, 0);
    for (at, byte) in authority.iter().enumerate() {
        match HOST_BYTES[usize::from(*byte)] {
            LOWER => {}
            UPPER => is_upper = true,
            // A label is not empty; behind the last one a dot may stand.
            DOT if at > label => label = at + 1,
            _ if *byte == b':' => return Ok((at, is_upper)),
            _ => return Err(TargetFault::Host),
        }
    }
    Ok((authority.len(), is_upper))
}

fn port(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0_u16, |port, byte| {
        let digit = byte.is_ascii_digit().then(|| u16::from(byte - b'0'))?;
        port.checked_mul(10)?.checked_add(digit)
    })
}

/// What a byte is in a host name.
static HOST_BYTES: [u8; 256] = {
    let mut bytes = [FOREIGN; 256];
    let mut byte = 0;
    while byte < 128 {
        bytes[byte] = match byte as u8 {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => LOWER,
            b'A'..=b'Z' => UPPER,
            b'.' => DOT,
            _ => FOREIGN,
        };
        byte += 1;
    }
    bytes
};
const LOWER: u8 = 0;
const UPPER: u8 = 1;
const DOT: u8 = 2;
const FOREIGN: u8 = 3;

#[cfg(test)]
mod tests;
