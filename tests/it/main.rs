//! Black-box tests: the real binary, real sockets, real files, real Tomcats. One binary, a module a subject.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail")]

mod architecture;
mod attacks;
mod balancing;
mod bodies;
mod corpus;
mod cuts;
mod diagnostics;
mod engine;
mod examples;
mod exchange;
mod failures;
mod framing;
mod guard;
mod harness;
mod http2;
mod http2_edges;
mod http2_upstream;
mod l4;
mod laws;
mod lifecycle;
mod limits;
mod metrics_names;
mod oracle;
mod protocols;
mod proxying;
mod reload;
mod rfc;
mod sources;
mod splicing;
mod static_files;
mod tomcat;
mod udp;
mod vips;
mod vrrp_host;
mod vrrp_shell;
