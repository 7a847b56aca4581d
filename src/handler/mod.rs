//! What a route does.

pub mod static_files;
