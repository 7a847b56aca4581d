//! (room: message)
