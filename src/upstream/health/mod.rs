//! (room: upstream::health)
