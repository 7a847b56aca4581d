//! (room: units)
