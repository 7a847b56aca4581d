//! What one data-plane thread counts for one listener.

use super::{Counter, Histogram, NamedCounters, UdpCells};

/// The counts of one listener on one thread.
#[derive(Debug)]
pub struct ListenerCells {
    /// Connections taken from the kernel.
    pub accepted: Counter,
    /// Accepted connections that have ended. What is open now is `accepted` without these.
    pub closed: Counter,
    /// Connections closed at once because the listener or the process had as many as it may.
    pub refused: Counter,
    /// Connections, flows and requests refused for whom they come from, by the key that says so.
    pub unwelcome: NamedCounters,
    /// What a udp listener counts.
    pub udp: UdpCells,
    /// Connections at rest that were ended to make room for others.
    pub displaced: Counter,
    /// Exchanges answered 503 because there was too much to do, by the reason.
    pub shed: NamedCounters,
    /// Calls of accept that failed (out of file descriptors, say).
    pub accept_failures: Counter,
    /// TLS handshakes done, by version (`TLSv1.2`, `TLSv1.3`).
    pub handshakes: NamedCounters,
    /// Those of them that resumed an earlier session.
    pub resumed: Counter,
    /// How long handshakes took that were done.
    pub handshake_time: Histogram,
    /// Handshakes that failed, by category.
    pub handshake_failures: NamedCounters,
    /// Request heads that were refused, by the name of their fault.
    pub refused_heads: NamedCounters,
    /// Bytes read from clients, TLS taken off.
    pub bytes_in: Counter,
    /// Bytes written to clients, before TLS.
    pub bytes_out: Counter,
    /// Connections that spoke HTTP/2.
    pub h2_connections: Counter,
    /// HTTP/2 streams that clients opened.
    pub h2_streams: Counter,
    /// HTTP/2 streams that clients reset.
    pub h2_resets: Counter,
    /// HTTP/2 connections ended because their client flooded us, by what with.
    pub h2_floods: NamedCounters,
    /// L4 sessions that ended, by how.
    pub sessions: NamedCounters,
    /// How long they lasted.
    pub session_time: Histogram,
    /// Connections refused for their PROXY header, by reason.
    pub proxy_header_failures: NamedCounters,
    timeouts: [Counter; Phase::ALL.len()],
}

impl ListenerCells {
    /// The categories of handshake failures that stand on the page from the start.
    pub const HANDSHAKE_FAILURES: [&'static str; 13] = [
        "no_shared_version",
        "no_shared_cipher",
        "no_shared_protocol",
        "unknown_ca",
        "certificate_refused",
        "client_cert_missing",
        "client_cert_invalid",
        "client_closed",
        "timeout",
        "displaced",
        "not_tls",
        "protocol",
        "other",
    ];

    /// The reasons to turn somebody away that stand on the page from the start.
    pub const UNWELCOME: [&'static str; 4] =
        ["access", "source_connections", "source_connection_rate", "source_request_rate"];

    /// The kinds of HTTP/2 floods that stand on the page from the start: frames by kind, and what
    /// the `h2` crate sees itself (`streams`: resets, small DATA, heads without end).
    pub const H2_FLOODS: [&'static str; 9] =
        ["empty_data", "priority", "reset", "settings", "ping", "window_update", "continuation", "unknown", "streams"];

    /// How L4 sessions end, and why there were none: on the page from the start.
    pub const SESSION_ENDINGS: [&'static str; 18] = [
        "ended",
        "client_reset",
        "server_reset",
        "idle_timeout",
        "total_timeout",
        "server_down",
        "cut",
        "client_gone",
        "no_server",
        "connect_failed",
        "connect_timeout",
        "queue_full",
        "queue_timeout",
        "hold_full",
        "hold_timeout",
        "unrecognized_name",
        "bad_hello",
        "hello_timeout",
    ];

    /// Why PROXY headers are refused: on the page from the start.
    pub const PROXY_HEADER_FAILURES: [&'static str; 11] = [
        "untrusted",
        "timeout",
        "client_closed",
        "missing",
        "malformed_line",
        "unknown_version",
        "unknown_command",
        "too_short",
        "too_long",
        "malformed_tlv",
        "wrong_checksum",
    ];

    /// Counts a connection that ran out of time in this phase.
    pub fn timed_out(&self, phase: Phase) {
        self.timeouts[phase as usize].add(1);
    }

    /// How many connections ran out of time, by phase.
    pub fn timeouts(&self) -> impl Iterator<Item = (Phase, u64)> {
        Phase::ALL.into_iter().map(|phase| (phase, self.timeouts[phase as usize].value()))
    }
}

impl Default for ListenerCells {
    fn default() -> Self {
        Self {
            accepted: Counter::default(),
            closed: Counter::default(),
            refused: Counter::default(),
            unwelcome: NamedCounters::of(&Self::UNWELCOME),
            udp: UdpCells::default(),
            displaced: Counter::default(),
            shed: NamedCounters::of(&["too_many_exchanges", "lag"]),
            accept_failures: Counter::default(),
            handshakes: NamedCounters::of(&["TLSv1.2", "TLSv1.3"]),
            resumed: Counter::default(),
            handshake_time: Histogram::default(),
            handshake_failures: NamedCounters::of(&Self::HANDSHAKE_FAILURES),
            refused_heads: NamedCounters::default(),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
            h2_connections: Counter::default(),
            h2_streams: Counter::default(),
            h2_resets: Counter::default(),
            h2_floods: NamedCounters::of(&Self::H2_FLOODS),
            sessions: NamedCounters::of(&Self::SESSION_ENDINGS),
            session_time: Histogram::default(),
            proxy_header_failures: NamedCounters::of(&Self::PROXY_HEADER_FAILURES),
            timeouts: Default::default(),
        }
    }
}

/// The phases of a client's connection that have a timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The TLS handshake.
    Handshake,
    /// From a request's first byte to the end of its head.
    Head,
    /// Between two pieces of a request's body.
    Body,
    /// Between two pieces of a response that the client takes.
    Send,
    /// Between two exchanges, or between two pieces of an L4 session, either way.
    Idle,
    /// Between two pieces of a tunnel, either way.
    Tunnel,
    /// A whole L4 session.
    Total,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 7] =
        [Self::Handshake, Self::Head, Self::Body, Self::Send, Self::Idle, Self::Tunnel, Self::Total];

    /// The name of its key under `timeouts`, which is its label too.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Head => "head",
            Self::Body => "body",
            Self::Send => "send",
            Self::Idle => "idle",
            Self::Tunnel => "tunnel",
            Self::Total => "total",
        }
    }
}
