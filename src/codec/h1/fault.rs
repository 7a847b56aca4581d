//! Why a message was refused.

use thiserror::Error;

/// What is wrong with a request head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RequestFault {
    /// The first line is no `method SP target SP HTTP-version` (RFC 9112 §3).
    #[error("malformed request line")]
    RequestLine,
    /// The preface of HTTP/2 on a connection that speaks HTTP/1.1 (RFC 9113 §3.4).
    #[error("HTTP/2 preface on an HTTP/1.1 connection")]
    Http2Preface,
    /// CONNECT and TRACE are not offered (RFC 9110 §9.3.6, §9.3.8).
    #[error("method is not offered")]
    Method,
    /// The target has none of the four forms, or not the one of its method (RFC 9112 §3.2).
    #[error("malformed request target")]
    Target,
    /// The target is longer than [`HeadLimits::target`](super::HeadLimits::target).
    #[error("request target is too long")]
    TargetTooLong,
    /// A major version that is not 1 (RFC 9110 §2.5).
    #[error("HTTP version is not supported")]
    Version,
    /// The head is longer than [`HeadLimits::head`](super::HeadLimits::head).
    #[error("request head is too large")]
    HeadTooLarge,
    /// More fields than [`HeadLimits::fields`](super::HeadLimits::fields).
    #[error("too many request header fields")]
    TooManyFields,
    /// An HTTP/1.1 request without Host (RFC 9112 §3.2).
    #[error("no Host field")]
    HostMissing,
    /// More than one Host (RFC 9112 §3.2).
    #[error("more than one Host field")]
    HostRepeated,
    /// Host is no `uri-host [":" port]` (RFC 9110 §7.2).
    #[error("malformed Host field")]
    HostMalformed,
    /// Host names another authority than the target does (RFC 9112 §3.2.2).
    #[error("Host field differs from the authority of the target")]
    HostDiffers,
    /// An expectation other than `100-continue` (RFC 9110 §10.1.1).
    #[error("unknown expectation")]
    Expectation,
    /// A field line is malformed.
    #[error("malformed request header")]
    Field(#[from] FieldFault),
    /// The length of the body cannot be known for sure.
    #[error("ambiguous request framing")]
    Framing(#[from] FramingFault),
}

impl RequestFault {
    /// The status to answer with, before the connection is closed.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Method => 405,
            Self::TargetTooLong => 414,
            Self::Expectation => 417,
            Self::HeadTooLarge | Self::TooManyFields => 431,
            // RFC 9112 §6.1: a coding that the server does not understand is answered with 501.
            Self::Framing(FramingFault::TransferCoding) => 501,
            Self::Http2Preface | Self::Version => 505,
            Self::RequestLine
            | Self::Target
            | Self::HostMissing
            | Self::HostRepeated
            | Self::HostMalformed
            | Self::HostDiffers
            | Self::Field(_)
            | Self::Framing(_) => 400,
        }
    }

    /// A metric label: one of a fixed set of words.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::RequestLine => "request_line",
            Self::Http2Preface => "http2_preface",
            Self::Method => "method",
            Self::Target => "target",
            Self::TargetTooLong => "target_too_long",
            Self::Version => "version",
            Self::HeadTooLarge => "head_too_large",
            Self::TooManyFields => "too_many_fields",
            Self::HostMissing => "host_missing",
            Self::HostRepeated => "host_repeated",
            Self::HostMalformed => "host_malformed",
            Self::HostDiffers => "host_differs",
            Self::Expectation => "expectation",
            Self::Field(fault) => fault.name(),
            Self::Framing(fault) => fault.name(),
        }
    }
}

/// What is wrong with a response head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ResponseFault {
    /// The first line is no `HTTP-version SP status [SP reason]` (RFC 9112 §4).
    #[error("malformed status line")]
    StatusLine,
    /// A major version that is not 1 (RFC 9110 §2.5).
    #[error("HTTP version is not supported")]
    Version,
    /// A status outside 100 to 599 (RFC 9110 §15).
    #[error("status code outside 100 to 599")]
    Status,
    /// The head is longer than [`HeadLimits::head`](super::HeadLimits::head).
    #[error("response head is too large")]
    HeadTooLarge,
    /// More fields than [`HeadLimits::fields`](super::HeadLimits::fields).
    #[error("too many response header fields")]
    TooManyFields,
    /// A field line is malformed.
    #[error("malformed response header")]
    Field(#[from] FieldFault),
    /// The length of the body cannot be known for sure.
    #[error("ambiguous response framing")]
    Framing(#[from] FramingFault),
}

impl ResponseFault {
    /// A metric label: one of a fixed set of words.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::StatusLine => "status_line",
            Self::Version => "version",
            Self::Status => "status",
            Self::HeadTooLarge => "head_too_large",
            Self::TooManyFields => "too_many_fields",
            Self::Field(fault) => fault.name(),
            Self::Framing(fault) => fault.name(),
        }
    }
}

/// What is wrong with a field line (RFC 9112 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FieldFault {
    /// The name is empty, is no token, or a blank stands before the colon (RFC 9112 §5.1).
    #[error("malformed field name")]
    Name,
    /// A control byte in the value (RFC 9110 §5.5).
    #[error("control byte in a field value")]
    Value,
    /// CR or LF alone where only CRLF ends a line (RFC 9112 §2.2).
    #[error("line does not end with CRLF")]
    LineEnd,
    /// A line that goes on in the next one (RFC 9112 §5.2).
    #[error("folded field line")]
    Folded,
}

impl FieldFault {
    /// A metric label: one of a fixed set of words.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Name => "field_name",
            Self::Value => "field_value",
            Self::LineEnd => "line_end",
            Self::Folded => "folded_field",
        }
    }
}

/// Why the length of a body cannot be known for sure (RFC 9112 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FramingFault {
    /// Content-Length is no decimal number below 2^63 (RFC 9110 §8.6).
    #[error("malformed Content-Length")]
    ContentLength,
    /// More than one Content-Length, equal or not.
    #[error("more than one Content-Length")]
    ContentLengthRepeated,
    /// Any transfer coding but exactly `chunked` (RFC 9112 §6.1).
    #[error("unknown transfer coding")]
    TransferCoding,
    /// More than one Transfer-Encoding.
    #[error("more than one Transfer-Encoding")]
    TransferEncodingRepeated,
    /// Transfer-Encoding in HTTP/1.0, which does not know it (RFC 9112 §6.1).
    #[error("Transfer-Encoding in HTTP/1.0")]
    TransferEncodingInHttp10,
    /// Content-Length beside Transfer-Encoding (RFC 9112 §6.3).
    #[error("both Content-Length and Transfer-Encoding")]
    BothLengths,
    /// A name that some servers take for a framing field, such as `Content_Length`.
    #[error("field name resembles a framing field")]
    Lookalike,
}

impl FramingFault {
    /// A metric label: one of a fixed set of words.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::ContentLength => "content_length",
            Self::ContentLengthRepeated => "content_length_repeated",
            Self::TransferCoding => "transfer_coding",
            Self::TransferEncodingRepeated => "transfer_encoding_repeated",
            Self::TransferEncodingInHttp10 => "transfer_encoding_in_http10",
            Self::BothLengths => "both_lengths",
            Self::Lookalike => "lookalike_field",
        }
    }
}

/// What is wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BodyFault {
    /// A chunk size is missing, no hexadecimal number, or longer than 15 digits (RFC 9112 §7.1).
    #[error("malformed chunk size")]
    ChunkSize,
    /// A chunk extension has bytes that no extension has, or is too long (RFC 9112 §7.1.1).
    #[error("malformed or oversized chunk extension")]
    ChunkExtension,
    /// CRLF does not follow a chunk (RFC 9112 §7.1).
    #[error("chunk does not end where its size says")]
    ChunkEnd,
    /// A trailer field is malformed.
    #[error("malformed trailer field")]
    Trailer(#[from] FieldFault),
    /// The trailer section has too many bytes or fields.
    #[error("trailer section is too large")]
    TrailersTooLarge,
    /// The connection ended before the body did (RFC 9112 §8).
    #[error("connection ended inside the body")]
    Truncated,
}

impl BodyFault {
    /// A metric label: one of a fixed set of words.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::ChunkSize => "chunk_size",
            Self::ChunkExtension => "chunk_extension",
            Self::ChunkEnd => "chunk_end",
            Self::Trailer(_) => "trailer",
            Self::TrailersTooLarge => "trailers_too_large",
            Self::Truncated => "truncated",
        }
    }
}
