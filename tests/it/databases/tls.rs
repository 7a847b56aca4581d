//! Checks of real servers that speak TLS: whom they believe, and what they say of whom they do not.

use std::net::SocketAddr;

use super::reason;
use crate::harness::certs::Authority;
use crate::harness::postgres::Postgres;
use crate::harness::redis::Redis;
use crate::harness::{Haechi, eventually};

/// Upstreams of the one server, and what else stands in their checks' tables.
const TABLES: [(&str, &str); 5] = [
    ("believed", r#"role = "primary", tls = { ca = "ca.pem" }"#),
    ("named", r#"tls = { ca = "ca.pem", server_name = "db.internal" }"#),
    ("stranger", r#"tls = { ca = "other.pem" }"#),
    ("misnamed", r#"tls = { ca = "ca.pem", server_name = "other.internal" }"#),
    ("plain", ""),
];

/// haechi with a check of this kind for each of [`TABLES`].
fn checked(kind: &str, server: SocketAddr, ca: &Authority) -> Haechi {
    let upstream = |(name, more): &(&str, &str)| {
        format!(
            "[upstream.{name}]\nservers = [{{ address = \"@db\", name = \"db\" }}]\n[upstream.{name}.health]\n\
             interval = \"50ms\"\ntimeout = \"5s\"\n\
             {kind} = {{ user = \"haechi_check\", password = \"secret\", {more} }}\n"
        )
    };
    let upstreams: String = TABLES.iter().map(upstream).collect();
    let plan = Haechi::plan(&format!("[listener.http]\nbind = [\"@http\"]\n{upstreams}"));
    let plan = plan.file("ca.pem", &ca.pem).file("other.pem", &Authority::new("another one").pem);
    plan.with("db", server).start()
}

/// The server is down, and this is why.
fn is_refused(haechi: &Haechi, upstream: &str, why: &str) {
    haechi.becomes(upstream, "db", "down");
    eventually(&format!("{upstream} is refused: {why}"), || reason(haechi, upstream).contains(why).then_some(()));
}

const STRANGER: &str = "tls: invalid peer certificate: UnknownIssuer";
const MISNAMED: &str = "tls: invalid peer certificate: certificate not valid for name \"other.internal\"";

#[test]
fn postgres_is_believed_by_its_authority_alone() {
    let ca = Authority::new("the database's");
    let hba = "hostssl all all 127.0.0.1/32 scram-sha-256";
    let Some(server) = Postgres::start_secure(hba, &ca, &["db.internal", "127.0.0.1"]) else { return };
    server.sql("CREATE ROLE haechi_check LOGIN PASSWORD 'secret'");
    let haechi = checked("postgres", server.address, &ca);
    for upstream in ["believed", "named"] {
        haechi.becomes(upstream, "db", "up");
    }
    is_refused(&haechi, "stranger", STRANGER);
    is_refused(&haechi, "misnamed", MISNAMED);
    is_refused(&haechi, "plain", "no encryption");

    // Where it does not speak TLS any more, nothing is told to it in clear.
    server.sql("ALTER SYSTEM SET ssl = off");
    server.sql("SELECT pg_reload_conf()");
    is_refused(&haechi, "believed", "the server offers no TLS");
}

#[test]
fn redis_is_believed_by_its_authority_alone() {
    let ca = Authority::new("the database's");
    let Some(server) = Redis::start_secure(&ca, &["db.internal", "127.0.0.1"]) else { return };
    server.say(&["ACL", "SETUSER", "haechi_check", "on", ">secret", "+ping", "+info"]);
    let haechi = checked("redis", server.address, &ca);
    for upstream in ["believed", "named"] {
        haechi.becomes(upstream, "db", "up");
    }
    is_refused(&haechi, "stranger", STRANGER);
    is_refused(&haechi, "misnamed", MISNAMED);
    is_refused(&haechi, "plain", "connection: ");
}
