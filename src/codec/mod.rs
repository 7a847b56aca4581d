//! Wire formats, pure: slices in, values out, no I/O.

pub mod client_hello;
pub mod h1;
pub mod h2;
pub mod proxy;
