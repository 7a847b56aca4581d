//! (room: listener)

pub mod bind;
