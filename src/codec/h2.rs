//! From the fields of an HTTP/2 request to a head (RFC 9113 §8.3).

use super::h1::{FramingFault, HeadLimits, refuse_lookalike};
use crate::head::{Known, Method, RequestHead, Version};

/// Why a request's fields make no head. The crate has refused malformed pseudo-fields and
/// connection fields before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamFault {
    /// Neither `:authority` nor `Host`.
    #[error("request names no host")]
    HostMissing,
    /// More than one `Host`.
    #[error("request names more than one host")]
    HostRepeated,
    /// `Host` is not what `:authority` is (RFC 9113 §8.3.1).
    #[error("host differs from authority")]
    HostDiffers,
    /// CONNECT and TRACE are not served.
    #[error("method is not served")]
    Method,
    /// More fields than the listener allows.
    #[error("too many fields")]
    TooManyFields,
    /// A longer target than the listener allows.
    #[error("target is too long")]
    TargetTooLong,
    /// A field that a server behind may take for the length of the body.
    #[error("ambiguous request framing")]
    Framing(#[from] FramingFault),
}

impl StreamFault {
    /// Its name in logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::HostMissing => "host_missing",
            Self::HostRepeated => "host_repeated",
            Self::HostDiffers => "host_differs",
            Self::Method => "method",
            Self::TooManyFields => "too_many_fields",
            Self::TargetTooLong => "target_too_long",
            Self::Framing(fault) => fault.name(),
        }
    }

    /// The status that the client is answered with.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::HostMissing | Self::HostRepeated | Self::HostDiffers | Self::Framing(_) => 400,
            Self::Method => 405,
            Self::TooManyFields => 431,
            Self::TargetTooLong => 414,
        }
    }
}

/// Fills `head` from what the crate decoded. `:authority` becomes `Host`.
///
/// # Errors
/// [`StreamFault`]; `head` may then hold anything.
pub fn read(parts: &http::request::Parts, limits: &HeadLimits, head: &mut RequestHead) -> Result<(), StreamFault> {
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
        if name != http::header::HOST {
            let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
            let known = Known::of(name);
            refuse_lookalike(known, name)?;
            head.fields.push_known(known, name, value);
        }
    }
    if matches!(head.method, Method::Connect | Method::Trace) {
        return Err(StreamFault::Method);
    }
    if head.fields.len() > limits.fields {
        return Err(StreamFault::TooManyFields);
    }
    if target.len() > limits.target {
        return Err(StreamFault::TargetTooLong);
    }
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
    let host = authority.or(host).ok_or(StreamFault::HostMissing)?;
    head.fields.push_known(Known::Host, b"Host", host);
    Ok(())
}

/// The length that the client announced; the crate holds it to it.
#[must_use]
pub fn declared_length(head: &RequestHead) -> Option<u64> {
    std::str::from_utf8(head.fields.first(Known::ContentLength)?).ok()?.parse().ok()
}
