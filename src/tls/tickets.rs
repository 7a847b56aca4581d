//! Session tickets: how a client that was here before is spared the signature.
//!
//! The keys belong to haechi, not to a snapshot or a process: every thread and every listener seals with
//! the same ones, so a ticket stays good through a reload, after the worker was replaced, and on
//! whichever thread the client lands. A key seals for six hours and opens for six more.
//!
//! A ticket carries the client authentication of its first handshake and would skip it in the
//! next. So it opens only under the same client-authentication policy: each policy seals its mark
//! into its tickets, and one that was got without a client certificate opens nothing that asks for
//! one.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use rustls::server::ProducesTickets;

use crate::control::TicketKey;

/// How long a key seals, in seconds.
const SEALS: u64 = 6 * 60 * 60;
/// How long a client may come back with a ticket.
const LIFETIME: u32 = 6 * 60 * 60;
/// The key that seals and the one before it.
const KEYS: usize = 2;

/// The ticket keys of haechi.
#[derive(Clone)]
pub struct Tickets {
    ring: Arc<ArcSwap<Ring>>,
}

/// The newest first.
struct Ring(Vec<Key>);

struct Key {
    key: TicketKey,
    cipher: RandomizedNonceKey,
}

/// The system gives no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("no key of session tickets can be made")]
pub struct TicketFault(#[source] Unspecified);

impl Tickets {
    /// The keys that a worker before has left, those that still open; a new one where none seals.
    ///
    /// # Errors
    /// [`TicketFault`]
    pub fn new(left: &[TicketKey], now: SystemTime) -> Result<Self, TicketFault> {
        let opens = |key: &&TicketKey| seconds(now).saturating_sub(key.made) < 2 * SEALS;
        let keys = left.iter().filter(opens).take(KEYS).cloned().map(Key::new).collect::<Result<Vec<_>, _>>()?;
        let tickets = Self { ring: Arc::new(ArcSwap::from_pointee(Ring(keys))) };
        tickets.turn(now)?;
        Ok(tickets)
    }

    /// Makes a new key where the newest has sealed for long enough. To be called now and then, by one
    /// thread.
    ///
    /// # Errors
    /// [`TicketFault`]; the keys stay as they are.
    pub fn turn(&self, now: SystemTime) -> Result<(), TicketFault> {
        let ring = self.ring.load();
        let now = seconds(now);
        if ring.0.first().is_some_and(|newest| now.saturating_sub(newest.key.made) < SEALS) {
            return Ok(());
        }
        let mut secret = [0; 32];
        aws_lc_rs::rand::fill(&mut secret).map_err(TicketFault)?;
        let mut keys = vec![Key::new(TicketKey { made: now, secret })?];
        for older in ring.0.iter().take(KEYS - 1) {
            keys.push(Key::new(older.key.clone())?);
        }
        self.ring.store(Arc::new(Ring(keys)));
        Ok(())
    }

    /// The keys for the worker after this one, the newest first.
    #[must_use]
    pub fn keys(&self) -> Vec<TicketKey> {
        self.ring.load().0.iter().map(|key| key.key.clone()).collect()
    }

    /// Tickets that open only for configs with the same mark.
    pub(super) fn marked(&self, mark: u64) -> Arc<dyn ProducesTickets> {
        Arc::new(Marked { tickets: self.clone(), mark: mark.to_be_bytes() })
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").finish_non_exhaustive()
    }
}

impl Key {
    fn new(key: TicketKey) -> Result<Self, TicketFault> {
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, &key.secret).map_err(TicketFault)?;
        Ok(Self { key, cipher })
    }
}

#[derive(Debug)]
struct Marked {
    tickets: Tickets,
    mark: [u8; 8],
}

impl ProducesTickets for Marked {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        let ring = self.tickets.ring.load();
        let mut sealed = session.to_vec();
        let nonce = ring.0.first()?.cipher.seal_in_place_append_tag(Aad::from(self.mark), &mut sealed).ok()?;
        Some([nonce.as_ref(), &sealed[..]].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = ticket.split_at_checked(NONCE_LEN)?;
        self.tickets.ring.load().0.iter().find_map(|key| {
            let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
            let mut session = sealed.to_vec();
            let length = key.cipher.open_in_place(nonce, Aad::from(self.mark), &mut session).ok()?.len();
            session.truncate(length);
            Some(session)
        })
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const START: SystemTime = UNIX_EPOCH;

    fn after(hours: u64) -> SystemTime {
        START + Duration::from_secs(hours * 3600)
    }

    #[test]
    fn a_ticket_opens_only_under_its_mark() {
        let tickets = Tickets::new(&[], START).unwrap();
        let (one, same, other) = (tickets.marked(1), tickets.clone().marked(1), tickets.marked(2));
        let ticket = one.encrypt(b"session").unwrap();
        assert_eq!(same.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        assert_eq!(other.decrypt(&ticket), None);
        assert_eq!(Tickets::new(&[], START).unwrap().marked(1).decrypt(&ticket), None);
        assert_eq!(one.decrypt(b"junk"), None);
        assert_eq!(one.decrypt(&[0; 40]), None);
    }

    #[test]
    fn a_key_seals_for_six_hours_and_opens_for_six_more() {
        let tickets = Tickets::new(&[], START).unwrap();
        let ticket = tickets.marked(1).encrypt(b"session").unwrap();
        tickets.turn(after(5)).unwrap();
        assert_eq!(tickets.keys().len(), 1);
        tickets.turn(after(6)).unwrap();
        assert_eq!(tickets.keys().len(), 2);
        assert!(tickets.marked(1).decrypt(&ticket).is_some());
        tickets.turn(after(12)).unwrap();
        assert!(tickets.marked(1).decrypt(&ticket).is_none());
    }

    #[test]
    fn tickets_outlive_the_process_that_sealed_them() {
        let before = Tickets::new(&[], START).unwrap();
        let ticket = before.marked(1).encrypt(b"session").unwrap();
        let after_a_crash = Tickets::new(&before.keys(), after(1)).unwrap();
        assert_eq!(after_a_crash.keys(), before.keys());
        assert!(after_a_crash.marked(1).decrypt(&ticket).is_some());
        let much_later = Tickets::new(&before.keys(), after(12)).unwrap();
        assert!(much_later.marked(1).decrypt(&ticket).is_none());
    }
}
