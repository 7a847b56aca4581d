//! Every metric that haechi shows: its name, kind, labels and help, in one table.
//!
//! Names start with `haechi_`, speak in base units and end in `_total` where they count up. Labels
//! are names from the config or words of a fixed list, so every set of them is bounded.

/// A metric family.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// Its name on the page.
    pub name: &'static str,
    /// What it measures by.
    pub kind: Kind,
    /// The names of its labels, in the order in which samples give their values.
    pub labels: &'static [&'static str],
    /// One sentence for the operator.
    pub help: &'static str,
}

/// What a family measures by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only ever goes up, but for a restart.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts of durations by bucket.
    Histogram,
}

impl Kind {
    /// As the page spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Makes a constant of each row and the list of all.
macro_rules! table {
    ($($constant:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: Family =
                Family { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };
        )*

        /// The whole table.
        pub const ALL: &[Family] = &[$($constant),*];
    };
}

table! {
    // Pools of database servers.
    DB_ROLE: Gauge "haechi_db_role" ["upstream", "server", "role"] "What a database server was seen as: writable, replica, read_only or unknown; always 1.";
    DB_LAG: Gauge "haechi_db_lag_seconds" ["upstream", "server"] "How far a replica is behind, where it says so.";
    DB_ERRANT: Gauge "haechi_db_errant" ["upstream", "server"] "1: the server has transactions that the primary has not.";
    DB_WRITABLE: Gauge "haechi_db_writable_servers" ["upstream"] "Servers that take writes as their newest check saw it.";
    DB_DOUBLE: Gauge "haechi_db_double_primary" ["upstream"] "1: more than one server takes writes, so no new ones go to any.";
    DB_REFUSED: Gauge "haechi_db_primary_refused" ["upstream"] "1: the only writable server is not accepted as the primary.";
    DB_EPOCH: Gauge "haechi_db_epoch" ["upstream"] "How often it was decided who the primary is.";
    DB_CHANGES: Counter "haechi_db_primary_changes_total" ["upstream", "reason"] "New primaries: the first one, one that was followed, one that the operator confirmed.";

    // The process and its config.
    BUILD_INFO: Gauge "haechi_build_info" ["version"] "The version that runs, always 1.";
    START_TIME: Gauge "haechi_process_start_time_seconds" [] "When the process started, in seconds since 1970.";
    CONFIG_GENERATION: Gauge "haechi_config_generation" [] "The generation of the config that is served, one more at each change.";
    CONFIG_RELOADS: Counter "haechi_config_reloads_total" ["result"] "Loads of the config, the first one included, by result.";
    CONFIG_LAST_OK: Gauge "haechi_config_last_reload_successful" [] "1 if the newest config was taken, 0 if it was refused.";
    CONFIG_LAST_OK_TIME: Gauge "haechi_config_last_reload_success_timestamp_seconds" [] "When a config was taken last, in seconds since 1970.";
    CERTIFICATE_EXPIRY: Gauge "haechi_certificate_expiry_timestamp_seconds" ["listener", "name"] "When a certificate ends, in seconds since 1970; of each listener the soonest.";
    CERTIFICATE_EARLIEST: Gauge "haechi_certificate_earliest_expiry_timestamp_seconds" ["listener"] "When the first of a listener's certificates ends, in seconds since 1970.";
    WORKER_RESTARTS: Counter "haechi_worker_restarts_total" [] "Workers that died or hung and were replaced.";
    LOG_LINES: Counter "haechi_access_log_lines_total" [] "Access log lines handed to the writer.";
    LOG_DROPPED: Counter "haechi_access_log_dropped_lines_total" ["reason"] "Access log lines that were not written, by reason.";

    // Listeners.
    CONNECTIONS_ACCEPTED: Counter "haechi_connections_accepted_total" ["listener"] "Connections accepted from clients.";
    CONNECTIONS_OPEN: Gauge "haechi_connections_open" ["listener"] "Connections of clients that are open now.";
    CONNECTIONS_LIMIT: Gauge "haechi_connections_limit" ["listener"] "How many connections the listener may have open.";
    CONNECTIONS_REFUSED: Counter "haechi_connections_refused_total" ["listener"] "Connections closed at once because the limit was reached.";
    SOURCES_REFUSED: Counter "haechi_sources_refused_total" ["listener", "reason"] "Connections, flows and requests refused for the address that they come from, by the key that says so.";
    SOURCES_KNOWN: Gauge "haechi_sources_known" ["listener"] "Addresses that are remembered because of a limit on sources.";
    SOURCES_FORGOTTEN: Counter "haechi_sources_forgotten_total" ["listener"] "Addresses that were forgotten, or not remembered, before their time, because limits.sources was reached.";
    CONNECTIONS_DISPLACED: Counter "haechi_connections_displaced_total" ["listener"] "Connections at rest that were ended because the limit was reached.";
    PROCESS_CONNECTIONS_LIMIT: Gauge "haechi_process_connections_limit" [] "How many connections all listeners may have open together.";
    EXCHANGES_SHED: Counter "haechi_exchanges_shed_total" ["listener", "reason"] "Exchanges answered 503 because there was too much to do, by reason.";
    ACCEPT_FAILURES: Counter "haechi_accept_failures_total" ["listener"] "Connections that could not be accepted, for want of file descriptors or memory.";
    HANDSHAKES: Counter "haechi_tls_handshakes_total" ["listener", "version"] "TLS handshakes done, by version.";
    HANDSHAKES_RESUMED: Counter "haechi_tls_handshakes_resumed_total" ["listener"] "TLS handshakes that resumed an earlier session.";
    HANDSHAKE_FAILURES: Counter "haechi_tls_handshake_failures_total" ["listener", "reason"] "TLS handshakes that failed, by category.";
    HANDSHAKE_TIME: Histogram "haechi_tls_handshake_duration_seconds" ["listener"] "How long TLS handshakes took that were done.";
    REFUSED_HEADS: Counter "haechi_refused_heads_total" ["listener", "reason"] "Request heads refused as malformed, ambiguous or too large, by fault.";
    TIMEOUTS: Counter "haechi_client_timeouts_total" ["listener", "phase"] "Connections of clients that ran out of time, by phase.";
    CLIENT_BYTES_IN: Counter "haechi_client_received_bytes_total" ["listener"] "Bytes received from clients, TLS taken off.";
    CLIENT_BYTES_OUT: Counter "haechi_client_sent_bytes_total" ["listener"] "Bytes sent to clients, before TLS.";
    UDP_FLOWS: Counter "haechi_udp_flows_total" ["listener"] "Flows of datagrams that began.";
    UDP_FLOWS_OPEN: Gauge "haechi_udp_flows_open" ["listener"] "Flows that there are now.";
    UDP_FLOWS_LIMIT: Gauge "haechi_udp_flows_limit" ["listener"] "How many flows there may be.";
    UDP_FLOWS_ENDED: Counter "haechi_udp_flows_ended_total" ["listener", "reason"] "Flows that ended, by reason.";
    UDP_FLOWS_MOVED: Counter "haechi_udp_flows_moved_total" ["listener"] "Flows that went on to another server, because theirs was down, refused or gone.";
    UDP_DATAGRAMS_IN: Counter "haechi_udp_received_datagrams_total" ["listener"] "Datagrams received from clients.";
    UDP_DATAGRAMS_OUT: Counter "haechi_udp_sent_datagrams_total" ["listener"] "Datagrams sent to clients.";
    UDP_DROPPED: Counter "haechi_udp_dropped_datagrams_total" ["listener", "reason"] "Datagrams, of either side, that were not passed on, by reason.";
    H2_CONNECTIONS: Counter "haechi_http2_connections_total" ["listener"] "Connections that spoke HTTP/2.";
    H2_STREAMS: Counter "haechi_http2_streams_total" ["listener"] "HTTP/2 streams that clients opened.";
    H2_RESETS: Counter "haechi_http2_stream_resets_total" ["listener"] "HTTP/2 streams that clients reset.";
    H2_FLOODS: Counter "haechi_http2_floods_total" ["listener", "kind"] "HTTP/2 connections ended because their client sent too many frames of no use, by kind.";
    SESSIONS: Counter "haechi_sessions_total" ["listener", "outcome"] "Sessions of tcp listeners that ended, by how, or by why there was no server for them.";
    SESSION_TIME: Histogram "haechi_session_duration_seconds" ["listener"] "How long sessions of tcp listeners lasted.";
    PROXY_HEADER_FAILURES: Counter "haechi_proxy_header_failures_total" ["listener", "reason"] "Connections refused because their PROXY header was missing, malformed or from nobody who is trusted, by reason.";

    // Sites.
    EXCHANGES: Counter "haechi_exchanges_total" ["listener", "site", "outcome"] "Exchanges that ended, by status class, or `client_gone` where the client left first.";
    EXCHANGES_OPEN: Gauge "haechi_exchanges_open" ["listener", "site"] "Exchanges that are under way now.";
    EXCHANGE_TIME: Histogram "haechi_exchange_duration_seconds" ["listener", "site"] "How long exchanges took, from the request's head to the last byte of the answer.";
    FIRST_BYTE: Histogram "haechi_upstream_first_byte_seconds" ["listener", "site"] "How long upstreams took to the first byte of their answer.";
    REQUEST_BYTES: Counter "haechi_request_body_bytes_total" ["listener", "site"] "Bytes of request bodies.";
    RESPONSE_BYTES: Counter "haechi_response_body_bytes_total" ["listener", "site"] "Bytes of response bodies.";
    UPGRADES: Counter "haechi_upgrades_total" ["listener", "site"] "Exchanges that became a tunnel, as WebSockets do.";

    // Upstreams and their servers.
    UPSTREAM_HELD: Gauge "haechi_upstream_held_sessions" ["upstream"] "Sessions of tcp listeners that wait for one of its servers to come up, as `hold` says.";
    SERVER_UP: Gauge "haechi_server_up" ["upstream", "server"] "0 if the server's checks fail or its name does not resolve, else 1.";
    SERVER_DRAIN: Gauge "haechi_server_drain" ["upstream", "server"] "1 if the server gets no new sessions.";
    SERVER_ACTIVE: Gauge "haechi_server_active_exchanges" ["upstream", "server"] "Exchanges and sessions under way on the server now.";
    SERVER_REQUESTS: Counter "haechi_server_requests_total" ["upstream", "server"] "Requests sent to the server, retries included.";
    SERVER_RESPONSES: Counter "haechi_server_responses_total" ["upstream", "server", "status"] "Responses of the server, by status class.";
    SERVER_FAILURES: Counter "haechi_server_failures_total" ["upstream", "server", "reason"] "Exchanges that the server failed, by reason.";
    SERVER_CHECK_FAILURES: Counter "haechi_server_check_failures_total" ["upstream", "server", "reason"] "Checks that the server failed, by reason.";
    SERVER_RETRIES: Counter "haechi_server_retries_total" ["upstream", "server"] "Requests that were tried again after the server failed them.";
    SERVER_CONNECTS: Counter "haechi_server_connects_total" ["upstream", "server"] "New connections made to the server.";
    SERVER_REUSED: Counter "haechi_server_reused_connections_total" ["upstream", "server"] "Requests sent on a connection that had served one before.";
    SERVER_BYTES_SENT: Counter "haechi_server_sent_bytes_total" ["upstream", "server"] "Bytes sent to the server.";
    SERVER_BYTES_RECEIVED: Counter "haechi_server_received_bytes_total" ["upstream", "server"] "Bytes received from the server.";
    SERVER_FIRST_BYTE: Histogram "haechi_server_first_byte_seconds" ["upstream", "server"] "How long the server took to the first byte of its response.";

    // VRRP.
    VRRP_STATE: Gauge "haechi_vrrp_state" ["vrrp", "state"] "1 for the state that the instance is in, 0 for the others.";
    VRRP_PRIORITY: Gauge "haechi_vrrp_priority" ["vrrp"] "The priority that adverts say: the written one, less what tracking takes.";
    VRRP_TRANSITIONS: Counter "haechi_vrrp_transitions_total" ["vrrp", "state", "reason"] "Changes to a state, by reason.";
    VRRP_SENT: Counter "haechi_vrrp_adverts_sent_total" ["vrrp"] "Adverts sent; one to many peers counts once.";
    VRRP_SEND_FAILURES: Counter "haechi_vrrp_send_failures_total" ["vrrp"] "Adverts that the system did not send.";
    VRRP_RECEIVED: Counter "haechi_vrrp_adverts_received_total" ["vrrp"] "Adverts received and believed.";
    VRRP_REFUSED: Counter "haechi_vrrp_adverts_refused_total" ["vrrp", "reason"] "Adverts received and refused, by reason.";
    VRRP_BOTH_ACTIVE: Counter "haechi_vrrp_both_active_seconds_total" ["vrrp"] "Seconds in which another active host was heard while this one was active.";
    VRRP_LATENESS: Histogram "haechi_vrrp_timer_lateness_seconds" [] "How late timers of VRRP were handled.";
    VRRP_NOTES_DROPPED: Counter "haechi_vrrp_notes_dropped_total" [] "Lines and changes of VRRP that found no room in the queue to the log and the hooks.";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_follow_the_conventions() {
        let mut seen = HashSet::new();
        for family in ALL {
            let name = family.name;
            assert!(seen.insert(name), "{name} twice");
            assert!(name.starts_with("haechi_"), "{name}");
            assert!(
                name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'),
                "{name}"
            );
            assert_eq!(family.kind == Kind::Counter, name.ends_with("_total"), "{name}");
            assert!(family.kind != Kind::Histogram || name.ends_with("_seconds"), "{name}");
            assert!(family.help.ends_with('.'), "{name}");
            assert!(!family.labels.contains(&"le"), "{name}");
        }
    }
}
