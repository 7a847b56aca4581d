//! (room: app)

pub mod instance;
pub mod readiness;
pub mod signals;
pub mod watch;
