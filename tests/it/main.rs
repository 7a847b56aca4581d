//! Black-box tests: the real binary, real sockets, real files, real Tomcats. One binary, a module a subject.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail")]

mod architecture;
mod attacks;
mod bodies;
mod corpus;
mod diagnostics;
mod failures;
mod framing;
mod harness;
mod laws;
mod lifecycle;
mod limits;
mod metrics_names;
mod protocols;
mod proxying;
mod reload;
mod static_files;
mod tomcat;
