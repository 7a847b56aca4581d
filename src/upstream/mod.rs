//! Groups of servers: choose one, reach it, know whether it lives.

pub mod balance;
pub mod discovery;
pub mod health;
