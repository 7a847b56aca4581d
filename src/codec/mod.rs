//! Wire formats, pure: slices in, values out, no I/O.

pub mod h1;
pub mod h2;
