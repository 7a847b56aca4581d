//! Request methods (RFC 9110 §9).

/// A request method. Methods are case-sensitive (RFC 9110 §9.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Method {
    /// CONNECT (§9.3.6)
    Connect,
    /// DELETE (§9.3.5)
    Delete,
    /// GET (§9.3.1)
    #[default]
    Get,
    /// HEAD (§9.3.2)
    Head,
    /// OPTIONS (§9.3.7)
    Options,
    /// PATCH (RFC 5789)
    Patch,
    /// POST (§9.3.3)
    Post,
    /// PUT (§9.3.4)
    Put,
    /// TRACE (§9.3.8)
    Trace,
    /// Any other token; its text is kept beside.
    Other,
}

impl Method {
    /// Those that are served, as `Allow` lists them (RFC 9110 §10.2.1); others that an application
    /// knows pass too.
    pub const SERVED: &str = "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS";

    /// The method that this token names, `Other` where it is none of the list.
    #[must_use]
    pub fn from_token(token: &[u8]) -> Self {
        match token {
            b"CONNECT" => Self::Connect,
            b"DELETE" => Self::Delete,
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"OPTIONS" => Self::Options,
            b"PATCH" => Self::Patch,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"TRACE" => Self::Trace,
            _ => Self::Other,
        }
    }

    /// The name on the wire; `"OTHER"` for a method outside the list.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Delete => "DELETE",
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Patch => "PATCH",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Trace => "TRACE",
            Self::Other => "OTHER",
        }
    }

    /// Whether doing it twice is the same as once (RFC 9110 §9.2.2).
    #[must_use]
    pub fn is_idempotent(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options | Self::Trace | Self::Put | Self::Delete)
    }
}
