//! (room: upstream::discovery)
