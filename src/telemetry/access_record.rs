//! One line of the access log, before it is a line.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

/// What is known about an exchange when it is over.
///
/// Everything is borrowed: a record costs nothing until it is formatted. Text is bytes as they
/// came; the formats make them safe. Empty text means that there was none.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// When the request's head was complete.
    pub time: SystemTime,
    /// From the request's first byte to the last byte of the answer.
    pub took: Duration,
    /// What the listener serves; empty for exchanges of HTTP, `tcp` for a session.
    pub mode: &'a str,
    /// The name of the listener.
    pub listener: &'a str,
    /// The name of the site; empty where none was found.
    pub site: &'a str,
    /// The client, after trusted proxies were believed.
    pub client: SocketAddr,
    /// The request id that upstream and client saw.
    pub request_id: &'a [u8],
    /// The method as it stood on the wire.
    pub method: &'a [u8],
    /// The request-target as it stood on the wire.
    pub target: &'a [u8],
    /// `HTTP/1.1` and the like.
    pub version: &'a str,
    /// The Host field, or `:authority`.
    pub host: &'a [u8],
    /// The status that was sent; 0 where none was.
    pub status: u16,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of the answer's body.
    pub bytes_out: u64,
    /// The upstream's part, where one was asked.
    pub upstream: Option<UpstreamPart<'a>>,
    /// The connection's TLS, where it had it.
    pub tls: Option<TlsPart<'a>>,
    /// The Referer field.
    pub referer: &'a [u8],
    /// The User-Agent field.
    pub user_agent: &'a [u8],
    /// Why there was no normal answer: the name of a refusal or of a fault.
    pub error: Option<&'a str>,
}

impl<'a> Record<'a> {
    /// That of a session, which has nothing of HTTP.
    #[must_use]
    pub fn of_session(
        time: SystemTime,
        took: Duration,
        listener: &'a str,
        client: SocketAddr,
        bytes_in: u64,
        bytes_out: u64,
    ) -> Self {
        Self {
            time,
            took,
            mode: "tcp",
            listener,
            site: "",
            client,
            request_id: b"",
            method: b"",
            target: b"",
            version: "",
            host: b"",
            status: 0,
            bytes_in,
            bytes_out,
            upstream: None,
            tls: None,
            referer: b"",
            user_agent: b"",
            error: None,
        }
    }
}

/// What the last server that was asked had to do with it.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamPart<'a> {
    /// The name of the upstream.
    pub upstream: &'a str,
    /// The name of the server; empty where none could be chosen.
    pub server: &'a str,
    /// How long connecting took; `None`: a connection was used again, or none was made.
    pub connect: Option<Duration>,
    /// From the request's head to the first byte of the answer; `None`: no byte came.
    pub first_byte: Option<Duration>,
    /// How many servers were asked, each attempt counted.
    pub attempts: u32,
}

/// What the handshake settled.
#[derive(Clone, Copy, Debug)]
pub struct TlsPart<'a> {
    /// `TLSv1.3` and the like.
    pub version: &'a str,
    /// The cipher suite by its registered name.
    pub cipher: &'a str,
    /// The name that the client asked for; empty where it sent none.
    pub sni: &'a str,
    /// The subject of the client's certificate; empty where it showed none.
    pub client_subject: &'a str,
}

/// A record with every field set, for tests of the rooms that write records down.
#[cfg(test)]
pub(crate) fn sample() -> Record<'static> {
    Record {
        time: SystemTime::UNIX_EPOCH + Duration::from_millis(1_791_533_226_054),
        took: Duration::from_micros(4_213),
        mode: "",
        listener: "https",
        site: "shop.example",
        client: SocketAddr::from(([203, 0, 113, 9], 51_820)),
        request_id: b"0af7651916cd43dd8448eb211c80319c",
        method: b"GET",
        target: b"/cart?id=7",
        version: "HTTP/2.0",
        host: b"shop.example",
        status: 200,
        bytes_in: 12,
        bytes_out: 3_456,
        upstream: Some(UpstreamPart {
            upstream: "was",
            server: "was2",
            connect: Some(Duration::from_micros(310)),
            first_byte: Some(Duration::from_micros(1_002_999)),
            attempts: 2,
        }),
        tls: Some(TlsPart {
            version: "TLSv1.3",
            cipher: "TLS_AES_128_GCM_SHA256",
            sni: "shop.example",
            client_subject: "CN=alice",
        }),
        referer: b"https://shop.example/",
        user_agent: b"curl/8.5.0",
        error: None,
    }
}
