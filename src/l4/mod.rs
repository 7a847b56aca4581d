//! What is not HTTP: bytes and datagrams that go to an upstream as they are.

pub mod udp;
