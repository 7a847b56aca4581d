//! Wire formats, pure: slices in, values out, no I/O.

pub mod h1;
