//! The head of a message, as both protocols and both sides of an exchange speak it.
//!
//! A head is one byte buffer and a list of name/value ranges over it, not a hash map: reading a
//! head costs one copy, reading a field costs nothing, and a head is used again for the next
//! exchange without giving its memory back. Codecs fill it; nobody else writes into a request
//! (law 6): what goes to the upstream is a new value.

mod field;
mod method;
mod names;
pub mod words;

pub use field::{Field, FieldLine, Fields, Kinds, Known, are_alike};
pub use method::Method;

/// The version of HTTP that a message was written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0: one request a connection unless asked otherwise, no chunked coding.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
    /// HTTP/2.
    Http2,
}

impl Version {
    /// The number alone, as it stands in Via (RFC 9110 §7.6.3).
    #[must_use]
    pub fn number(self) -> &'static str {
        match self {
            Self::Http10 => "1.0",
            Self::Http11 => "1.1",
            Self::Http2 => "2.0",
        }
    }

    /// As it stands in a log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2.0",
        }
    }
}

/// A request without its body: what the client said, never rewritten.
///
/// In HTTP/1.1 the target is the request-target as sent (RFC 9112 §3.2), but the absolute-form is
/// stored as the origin-form it stands for. In HTTP/2 it is `:path` (or `:authority` for CONNECT),
/// and `:authority` stands in `fields` as `Host`, so that whoever reads a request finds the
/// authority in one place.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The version it was sent in.
    pub version: Version,
    /// `/path?query` byte for byte, or `*`.
    pub target: Vec<u8>,
    /// Method names outside [`Method`]'s list keep their text here; empty for the known ones.
    pub method_text: Vec<u8>,
    /// The header fields in the order in which they came.
    pub fields: Fields,
}

impl RequestHead {
    /// Empties the head for the next exchange and keeps its memory.
    pub fn clear(&mut self) {
        self.clear_first_line();
        self.fields.clear();
    }

    /// Empties all but the fields.
    pub fn clear_first_line(&mut self) {
        self.method = Method::default();
        self.version = Version::default();
        self.target.clear();
        self.method_text.clear();
    }

    /// The method as it stands on the wire.
    #[must_use]
    pub fn method_name(&self) -> &[u8] {
        match self.method {
            Method::Other => &self.method_text,
            known => known.as_str().as_bytes(),
        }
    }
}

/// A response without its body.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    /// The status code, 100 to 999.
    pub status: u16,
    /// The version it was sent in.
    pub version: Version,
    /// The reason phrase as sent; empty: the standard one.
    pub reason: Vec<u8>,
    /// The header fields in the order in which they came.
    pub fields: Fields,
}

impl ResponseHead {
    /// An empty head with this status.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// Empties the head for the next exchange and keeps its memory.
    pub fn clear(&mut self) {
        self.status = 0;
        self.version = Version::default();
        self.reason.clear();
        self.fields.clear();
    }
}
