//! Wire formats, pure: slices in, values out, no I/O.

pub mod client_hello;
pub mod gtid;
pub mod h1;
pub mod h2;
pub mod mysql;
pub mod postgres;
pub mod proxy;
pub mod redis;
