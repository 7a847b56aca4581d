//! (room: upstream::balance)
