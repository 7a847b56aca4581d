//! Session tickets: how a client that was here before is spared the signature.
//!
//! The keys belong to the process, not to a snapshot: every thread and every listener seals with
//! the same ones, so a ticket stays good through a reload and on whichever thread the client lands.
//! A key seals for six hours and opens for six more.
//!
//! A ticket carries the client authentication of its first handshake and would skip it in the
//! next. So it opens only under the same client-authentication policy: each policy seals its mark
//! into its tickets, and one that was got without a client certificate opens nothing that asks for
//! one.

use std::sync::Arc;

use rustls::{Error, crypto::aws_lc_rs::Ticketer, server::ProducesTickets};

/// The ticket keys of the process.
#[derive(Clone, Debug)]
pub struct Tickets {
    keys: Arc<dyn ProducesTickets>,
}

impl Tickets {
    /// New keys; called once a process.
    ///
    /// # Errors
    /// If the system gives no random bytes.
    pub fn new() -> Result<Self, Error> {
        Ok(Self { keys: Ticketer::new()? })
    }

    /// Tickets that open only for configs with the same mark.
    pub(super) fn marked(&self, mark: u64) -> Arc<dyn ProducesTickets> {
        Arc::new(Marked { keys: Arc::clone(&self.keys), mark: mark.to_be_bytes() })
    }
}

#[derive(Debug)]
struct Marked {
    keys: Arc<dyn ProducesTickets>,
    mark: [u8; 8],
}

impl ProducesTickets for Marked {
    fn enabled(&self) -> bool {
        self.keys.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.keys.lifetime()
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        self.keys.encrypt(&[&self.mark, session].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let mut sealed = self.keys.decrypt(ticket)?;
        sealed.starts_with(&self.mark).then(|| sealed.split_off(self.mark.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_opens_only_under_its_mark() {
        let tickets = Tickets::new().unwrap();
        let (one, same, other) = (tickets.marked(1), tickets.clone().marked(1), tickets.marked(2));
        let ticket = one.encrypt(b"session").unwrap();
        assert_eq!(same.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        assert_eq!(other.decrypt(&ticket), None);
        assert_eq!(Tickets::new().unwrap().marked(1).decrypt(&ticket), None);
        assert_eq!(one.decrypt(b"junk"), None);
    }
}
