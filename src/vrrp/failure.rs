//! Why the system did not do what was asked of it.

use std::io;

/// A socket that could not be opened, or an order that the kernel refused.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// There is no such interface now.
    #[error("no interface is named `{0}`")]
    NoInterface(String),
    /// The interface has no address to ask from.
    #[error("interface `{0}` has no link-local address")]
    NoLinkLocal(String),
    /// A system call on a socket failed.
    #[error("{what} on interface `{interface}`")]
    Socket {
        /// What was tried.
        what: &'static str,
        /// The interface.
        interface: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The kernel refused a request by netlink.
    #[error("netlink: {what}")]
    Netlink {
        /// What was asked.
        what: &'static str,
        /// Why it was refused.
        source: io::Error,
    },
    /// A setting of the kernel could not be written.
    #[error("{path}")]
    Setting {
        /// The file of the setting.
        path: String,
        /// Why it could not be written.
        source: io::Error,
    },
    /// A thread or its mailbox could not be made.
    #[error("no thread for {0}")]
    Thread(&'static str, #[source] io::Error),
}

impl NetworkError {
    /// To be mapped over the error of a call on this interface.
    pub(super) fn on<E: Into<io::Error>>(interface: &str, what: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Socket { what, interface: interface.to_owned(), source: source.into() }
    }
}
