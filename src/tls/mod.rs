//! (room: tls)
