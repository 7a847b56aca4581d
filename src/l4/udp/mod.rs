//! Datagrams: each flow of a client's to a server of its own choice, and answers back the way they came.

pub mod flows;
