//! haechi: one binary and one file in place of keepalived, HAProxy and nginx.
//!
//! **The order of the `mod` lines below is the way of the data**: a module uses only modules that
//! stand below it. `tests/it/architecture.rs` reads this file and every `crate::` path and fails on
//! an upward edge. A newcomer's walk is `guard` → `app` → `listener` → `http` → `serve` → `handler::proxy` →
//! `upstream`; ARCHITECTURE.md tells the life of a request along it.

// How an operator meets it.
pub mod cli;
// `haechi demo`: the program on an example config, and three small origins for it.
pub mod demo;
// The parent process: it holds the sockets, reads the files, and keeps a worker alive.
pub mod guard;
// The worker: the assembly of every room below.
pub mod app;
// Its own listener for operators: /metrics, /status, /healthz.
pub mod admin;
// Virtual addresses shared with another host: an island, which uses nothing above it.
pub mod vrrp;
// What an operator wants to be run or asked when something happens.
pub mod hook;
// Bytes come in: bind, accept, choose TLS and protocol.
pub mod listener;
// Protocol drivers: bytes to exchanges and back.
pub mod http;
// What is not HTTP: bytes and datagrams, as they are.
pub mod l4;
// The way of one exchange.
pub mod serve;
// What runs now, compiled from what was written.
pub mod snapshot;
// Which route answers.
pub mod router;
// What a route does.
pub mod handler;
// Who may come, how often, and how much at once.
pub mod limits;
// Groups of servers: choose one, reach it, know whether it lives.
pub mod upstream;
// Certificates, policy, tickets.
pub mod tls;
// Words of an exchange that handlers and drivers share.
pub mod message;
// Wire formats, pure.
pub mod codec;
// Method, target and fields of a message, whatever protocol carried them.
pub mod head;
// What guard and worker say to each other.
pub mod control;
// What the operator wrote.
pub mod config;
// Files that a config names, read once, by whom may read them.
pub mod reading;
// What is said to the operator about a fault.
pub mod diagnostic;
// Counters, histograms, access log.
pub mod telemetry;
// Streams, buffers, deadlines.
pub mod net;
// What the allocator holds.
pub mod allocator;
// Durations and sizes as people write them.
pub mod units;
