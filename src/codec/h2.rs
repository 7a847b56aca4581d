//! From the fields of an HTTP/2 request to a head (RFC 9113 §8.3).

mod frames;

pub use frames::{Control, FrameBudget};

use super::h1::{HeadLimits, is_authority, refuse_lookalike};
use crate::head::{Known, Method, RequestHead, Version};

/// Why a request's fields make no head. The crate has refused these before: pseudo-fields that are
/// missing, repeated or out of place, connection fields, TE but `trailers`, upper case in names,
/// control bytes in values, and bodies that are not as long as told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamFault {
    /// Neither `:authority` nor `Host`, or an empty one.
    #[error("request names no host")]
    HostMissing,
    /// More than one `Host`.
    #[error("request names more than one host")]
    HostRepeated,
    /// `Host` is not what `:authority` is (RFC 9113 §8.3.1).
    #[error("host differs from authority")]
    HostDiffers,
    /// Not a host and a port (RFC 9110 §4.2.4: no user information).
    #[error("host is malformed")]
    HostMalformed,
    /// Neither `http` nor `https`.
    #[error("scheme is not served")]
    Scheme,
    /// CONNECT without a protocol and TRACE are not served.
    #[error("method is not served")]
    Method,
    /// Extended CONNECT for something other than a WebSocket.
    #[error("protocol is not served")]
    Protocol,
    /// An expectation other than `100-continue` (RFC 9110 §10.1.1).
    #[error("expectation cannot be met")]
    Expectation,
    /// A value with blanks around it (RFC 9113 §8.2.1).
    #[error("field value has blanks around it")]
    Value,
    /// A name that is read as one of the framing fields elsewhere.
    #[error("field name looks like a framing field")]
    Lookalike,
    /// More fields than the listener allows.
    #[error("too many fields")]
    TooManyFields,
    /// A longer target than the listener allows.
    #[error("target is too long")]
    TargetTooLong,
}

impl StreamFault {
    /// Its name in logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::HostMissing => "host_missing",
            Self::HostRepeated => "host_repeated",
            Self::HostDiffers => "host_differs",
            Self::HostMalformed => "host_malformed",
            Self::Scheme => "scheme",
            Self::Method => "method",
            Self::Protocol => "protocol",
            Self::Expectation => "expectation",
            Self::Value => "field_value",
            Self::Lookalike => "framing_lookalike",
            Self::TooManyFields => "too_many_fields",
            Self::TargetTooLong => "target_too_long",
        }
    }

    /// The status that the client is answered with.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::HostMissing
            | Self::HostRepeated
            | Self::HostDiffers
            | Self::HostMalformed
            | Self::Scheme
            | Self::Value
            | Self::Lookalike => 400,
            Self::Method => 405,
            Self::Expectation => 417,
            // RFC 9220 §3 says so for HTTP/3; RFC 8441 leaves it open.
            Self::Protocol => 501,
            Self::TooManyFields => 431,
            Self::TargetTooLong => 414,
        }
    }
}

/// Fills `head` from what the crate decoded, and tells whether it asks for a WebSocket (RFC 8441).
/// `:authority` becomes `Host`.
///
/// # Errors
/// [`StreamFault`]; `head` may then hold anything.
pub fn read(parts: &http::request::Parts, limits: &HeadLimits, head: &mut RequestHead) -> Result<bool, StreamFault> {
    let method = parts.method.as_str().as_bytes();
    head.version = Version::Http2;
    head.method = Method::from_token(method);
    if head.method == Method::Other {
        head.method_text.extend_from_slice(method);
    }
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    head.target.extend_from_slice(target.as_bytes());
    read_host(parts, head)?;
    for (name, value) in &parts.headers {
        read_field(name.as_str().as_bytes(), value.as_bytes(), head)?;
    }
    // The scheme is lost where there is no authority: only an old client sends Host alone.
    if !parts.uri.scheme_str().is_none_or(|scheme| matches!(scheme, "http" | "https")) {
        return Err(StreamFault::Scheme);
    }
    if head.fields.len() > limits.fields {
        return Err(StreamFault::TooManyFields);
    }
    if target.len() > limits.target {
        return Err(StreamFault::TargetTooLong);
    }
    match (head.method, parts.extensions.get::<h2::ext::Protocol>()) {
        (Method::Connect, Some(protocol)) if protocol.as_str() == "websocket" => Ok(true),
        (_, Some(_)) => Err(StreamFault::Protocol),
        (Method::Connect | Method::Trace, None) => Err(StreamFault::Method),
        _ if method == b"PRI" => Err(StreamFault::Method),
        _ => Ok(false),
    }
}

/// Takes a field that an HTTP/1.1 server could read in no other way.
fn read_field(name: &[u8], value: &[u8], head: &mut RequestHead) -> Result<(), StreamFault> {
    let known = Known::of(name);
    match known {
        Known::Host => return Ok(()),
        Known::Expect if !value.eq_ignore_ascii_case(b"100-continue") => return Err(StreamFault::Expectation),
        _ => refuse_lookalike(known, name).map_err(|_| StreamFault::Lookalike)?,
    }
    if let [b' ' | b'\t', ..] | [.., b' ' | b'\t'] = value {
        return Err(StreamFault::Value);
    }
    head.fields.push_known(known, name, value);
    Ok(())
}

fn read_host(parts: &http::request::Parts, head: &mut RequestHead) -> Result<(), StreamFault> {
    let mut hosts = parts.headers.get_all(http::header::HOST).iter();
    let host = hosts.next().map(http::HeaderValue::as_bytes);
    if hosts.next().is_some() {
        return Err(StreamFault::HostRepeated);
    }
    let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    if let (Some(host), Some(authority)) = (host, authority)
        && !host.eq_ignore_ascii_case(authority)
    {
        return Err(StreamFault::HostDiffers);
    }
    let host = authority.or(host).filter(|host| !host.is_empty()).ok_or(StreamFault::HostMissing)?;
    if !is_authority(host) {
        return Err(StreamFault::HostMalformed);
    }
    head.fields.push_known(Known::Host, b"Host", host);
    Ok(())
}

/// The length that the client announced; the crate holds it to it.
#[must_use]
pub fn declared_length(head: &RequestHead) -> Option<u64> {
    std::str::from_utf8(head.fields.first(Known::ContentLength)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { head: 1 << 14, fields: 100, target: 8192 };

    fn read_request(uri: &str, method: &str, fields: &[(&str, &str)]) -> (Result<bool, StreamFault>, RequestHead) {
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let mut head = RequestHead::default();
        (read(&parts, &LIMITS, &mut head), head)
    }

    #[test]
    fn authority_is_the_host_and_agrees_with_it() {
        let (read, head) = read_request("http://a.example:8080/x?y", "GET", &[("host", "A.example:8080"), ("x", "1")]);
        assert_eq!(read, Ok(false));
        let fields: Vec<_> = head.fields.iter().map(|field| (field.known, field.value)).collect();
        assert_eq!(fields, [(Known::Host, &b"a.example:8080"[..]), (Known::Other, b"1")]);
        assert_eq!(head.target, b"/x?y");
    }

    #[test]
    fn what_an_http_1_server_could_read_otherwise_is_refused() {
        type Case = (&'static str, &'static str, &'static [(&'static str, &'static str)], StreamFault);
        let faulty: [Case; 13] = [
            ("/", "GET", &[], StreamFault::HostMissing),
            ("/", "GET", &[("host", "")], StreamFault::HostMissing),
            ("/", "GET", &[("host", "a"), ("host", "a")], StreamFault::HostRepeated),
            ("http://a/", "GET", &[("host", "b")], StreamFault::HostDiffers),
            ("http://u@a/", "GET", &[], StreamFault::HostMalformed),
            ("/", "GET", &[("host", "a b")], StreamFault::HostMalformed),
            ("ftp://a/", "GET", &[], StreamFault::Scheme),
            ("http://a/", "TRACE", &[], StreamFault::Method),
            ("http://a/", "PRI", &[], StreamFault::Method),
            ("a:443", "CONNECT", &[], StreamFault::Method),
            ("http://a/", "GET", &[("expect", "more")], StreamFault::Expectation),
            ("http://a/", "GET", &[("transfer_encoding", "chunked")], StreamFault::Lookalike),
            ("http://a/", "GET", &[("x", "1 ")], StreamFault::Value),
        ];
        for (uri, method, fields, fault) in faulty {
            assert_eq!(read_request(uri, method, fields).0, Err(fault), "{method} {uri} {fields:?}");
        }
        let (long, many) = (format!("http://a/{}", "x".repeat(9000)), vec![("x", "1"); 101]);
        assert_eq!(read_request(&long, "GET", &[]).0, Err(StreamFault::TargetTooLong));
        assert_eq!(read_request("http://a/", "GET", &many).0, Err(StreamFault::TooManyFields));
    }

    #[test]
    fn extended_connect_is_for_websockets() {
        for (protocol, read_as) in [("websocket", Ok(true)), ("connect-udp", Err(StreamFault::Protocol))] {
            let request = http::Request::builder().method("CONNECT").uri("http://a/chat");
            let request = request.extension(h2::ext::Protocol::from(protocol)).body(()).unwrap();
            assert_eq!(read(&request.into_parts().0, &LIMITS, &mut RequestHead::default()), read_as);
        }
    }
}
