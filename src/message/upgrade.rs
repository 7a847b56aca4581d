//! Whether a client asks for another protocol on its way.

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
