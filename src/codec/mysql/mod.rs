//! The protocol of MySQL and MariaDB, as far as a client needs that logs in and asks one question.
//!
//! *What it does*: [`Conversation`] is one conversation: greeting, TLS, login, one query with its result
//! sets, goodbye. Below it are packets, the greeting, the logins of four plugins, replies and the
//! text form of result sets.
//!
//! *In and out*: bytes of a socket come in, an [`Output`] goes out: bytes to send, TLS to begin, an
//! answer. No I/O, no clock.
//!
//! *What always holds*: what a server sends is bounded in bytes, rows and columns; a fault ends the
//! conversation; a password goes over the line in clear only within TLS.
//!
//! Sources: the client/server protocol of the MySQL internals documentation and of MariaDB's
//! knowledge base.

mod auth;
mod conversation;
mod cursor;
mod greeting;
mod login;
mod packet;
mod reply;
mod result_set;
#[cfg(test)]
mod tests;

pub use auth::Plugin;
pub use conversation::{Conversation, Login, Output};
pub use greeting::Greeting;
pub use packet::{Packet, parse_packet, write_packet};
pub use reply::ServerError;
pub use result_set::ResultSet;

/// Why a conversation cannot go on. The words are for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// More bytes than a conversation takes in.
    #[error("the server sent more than {0} bytes")]
    TooMuch(usize),
    /// A packet out of turn.
    #[error("packet {found} came where packet {expected} is due")]
    Sequence {
        /// The number that is due.
        expected: u8,
        /// The number that came.
        found: u8,
    },
    /// A packet that ends before its content does, or has other content than its place allows.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// Not a server of MySQL's protocol 10.
    #[error("not a MySQL server: protocol {0}")]
    Protocol(u8),
    /// TLS is configured and the server has none.
    #[error("the server offers no TLS")]
    NoTls,
    /// An account whose plugin is not spoken here.
    #[error("the account's plugin `{0}` is not supported")]
    Plugin(String),
    /// The login of MySQL 4.0.
    #[error("the account has a password of MySQL 4.0")]
    OldPassword,
    /// The server's RSA key cannot be used.
    #[error("the server's public key cannot be used")]
    PublicKey,
    /// The server says no.
    #[error(transparent)]
    Server(#[from] ServerError),
}

/// What both sides can, as far as it is used (`CLIENT_…` of the documentation).
mod capability {
    pub(super) const LONG_PASSWORD: u32 = 1;
    pub(super) const LONG_FLAG: u32 = 1 << 2;
    pub(super) const PROTOCOL_41: u32 = 1 << 9;
    pub(super) const SSL: u32 = 1 << 11;
    pub(super) const TRANSACTIONS: u32 = 1 << 13;
    pub(super) const SECURE_CONNECTION: u32 = 1 << 15;
    pub(super) const MULTI_STATEMENTS: u32 = 1 << 16;
    pub(super) const MULTI_RESULTS: u32 = 1 << 17;
    pub(super) const PLUGIN_AUTH: u32 = 1 << 19;
}
