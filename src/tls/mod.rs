//! Certificates, policy, tickets.
//!
//! In come files and a policy; out go ready rustls configs, one a listener and one an upstream.
//! Files are read when a snapshot is made and never during a handshake, and every fault of every
//! file is told at once. The crypto provider is always named: no config depends on what another
//! part of the process installed.
//!
//! A [`Store`] finds certificates by name, [`server_config`] joins it with a [`ServerPolicy`] and
//! the process's [`Tickets`]; [`OutboundTls`] is the other direction. [`HandshakeFailure`] says
//! why a handshake came to nothing, [`facts()`] what one that succeeded agreed on.

use std::sync::{Arc, LazyLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub mod authorities;
pub mod certificate;
pub mod facts;
pub mod failure;
pub mod mint;
pub mod outbound;
pub mod policy;
pub mod store;
pub mod tickets;

mod subject;

pub use authorities::Authorities;
pub use certificate::{Certificate, Known, LoadFault, Pair};
pub use facts::facts;
pub use failure::HandshakeFailure;
pub use mint::{MintFault, mint};
pub use outbound::{OutboundFault, OutboundSpec, OutboundTls};
pub use policy::{ClientAuth, MinVersion, PolicyFault, ServerPolicy, server_config};
pub use store::{Store, StoreSpec};
pub use tickets::{TicketFault, Tickets};

/// The cryptography of every config: aws-lc-rs, with the post-quantum hybrid X25519MLKEM768 as the
/// first choice of key exchange.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        use aws_lc_rs::kx_group::{SECP256R1, SECP384R1, X25519, X25519MLKEM768};
        let kx_groups = vec![X25519MLKEM768, X25519, SECP256R1, SECP384R1];
        Arc::new(CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() })
    });
    Arc::clone(&PROVIDER)
}

#[cfg(test)]
mod tests;
