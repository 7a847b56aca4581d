//! What the tests stand on: the binary under test, origins behind it, clients before it.

pub mod certs;
pub mod client;
pub mod datagrams;
pub mod eventually;
pub mod frames;
pub mod h2;
pub mod haechi;
pub mod host;
pub mod keepalived;
pub mod load;
pub mod mariadb;
pub mod namespaces;
pub mod origin;
pub mod page;
pub mod ports;
pub mod postgres;
pub mod programs;
pub mod raw;
pub mod redis;
pub mod segment;
pub mod siege;
#[cfg(test)]
mod tests;
pub mod tomcat;
pub mod tools;
pub mod websocket;
pub mod writers;

pub use client::{Client, Request, get};
pub use eventually::{eventually, pace, within};
pub use haechi::Haechi;
pub use origin::{Next, Origin, answer};
pub use raw::{Response, Wire};
