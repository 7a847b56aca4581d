//! `auth_hmac`: a trailer behind an advert, as keepalived 2.4 sends it, for either version and family.
//!
//! ```text
//!  0      1      2        4              8          10         12
//! ┌──────┬──────┬────────┬──────────────┬──────────┬──────────┬──────────────────────┐
//! │ 1    │ key  │ 0      │ UTC seconds  │ 1/65536 s│ counter  │ HMAC-SHA256, 16 bytes│
//! └──────┴──────┴────────┴──────────────┴──────────┴──────────┴──────────────────────┘
//! ```
//!
//! The HMAC covers family, version, VRID and source, the message with its checksum as zero, and the
//! trailer with the HMAC as zero. Time and counter are one sequence of 64 bits that grows with every
//! advert; a receiver believes only what is near its own clock and newer than the last one.

use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;

use super::interval::Version;
use super::packet::{CHECKSUM, TRAILER};
use super::refusal::Refusal;

/// A time of day: since the Unix epoch, in UTC. Nothing but the sequence is measured by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Utc(pub Duration);

/// What is asked of others while hosts are changed over one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Sends no trailer; one that comes has to be right.
    ReceiveOnly,
    /// Sends it; believes adverts without one too.
    Permissive,
    /// Sends it and believes nothing without it.
    #[default]
    Enforce,
}

impl Mode {
    /// As it is written in a config.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ReceiveOnly => "receive-only",
            Self::Permissive => "permissive",
            Self::Enforce => "enforce",
        }
    }
}

/// The keys of an instance. The first one signs; each is believed.
#[derive(Debug)]
pub struct Keyring {
    keys: Vec<Key>,
    mode: Mode,
    window: Duration,
}

#[derive(Debug)]
struct Key {
    id: u8,
    key: hmac::Key,
}

/// Why there is no keyring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// Nothing to sign with.
    #[error("there is no key")]
    Empty,
    /// More than are kept.
    #[error("there are more than {MOST_KEYS} keys")]
    TooMany,
    /// Two keys of one id.
    #[error("key id {0} is used twice")]
    Twice(u8),
    /// A key is too short to be one, or longer than others accept.
    #[error("key {0} is not 32 to 64 bytes long")]
    Length(u8),
    /// The window is outside what others accept.
    #[error("the window is not 1 s to 300 s")]
    Window,
}

/// The most keys of one instance.
pub const MOST_KEYS: usize = 8;

impl Keyring {
    /// Keys by their ids, each 32 to 64 bytes; `window` is how far an advert's time may be from ours,
    /// 1 s to 300 s ([`Self::usual_window`]).
    pub fn new(keys: &[(u8, &[u8])], mode: Mode, window: Duration) -> Result<Self, KeyringError> {
        if keys.is_empty() {
            return Err(KeyringError::Empty);
        }
        if keys.len() > MOST_KEYS {
            return Err(KeyringError::TooMany);
        }
        if !(Duration::from_secs(1)..=Duration::from_secs(300)).contains(&window) {
            return Err(KeyringError::Window);
        }
        let mut ring = Vec::with_capacity(keys.len());
        for &(id, secret) in keys {
            if !(32..=64).contains(&secret.len()) {
                return Err(KeyringError::Length(id));
            }
            if ring.iter().any(|key: &Key| key.id == id) {
                return Err(KeyringError::Twice(id));
            }
            ring.push(Key { id, key: hmac::Key::new(hmac::HMAC_SHA256, secret) });
        }
        Ok(Self { keys: ring, mode, window })
    }

    /// Three intervals, and five seconds at least.
    #[must_use]
    pub fn usual_window(interval: Duration) -> Duration {
        (3 * interval).clamp(Duration::from_secs(5), Duration::from_secs(300))
    }
}

/// What an HMAC binds an advert to, besides its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    pub(super) version: Version,
    pub(super) vrid: u8,
    pub(super) source: IpAddr,
}

/// Signs what is sent and checks what is received.
#[derive(Debug)]
pub(super) struct Authenticator {
    keyring: Keyring,
    sent: Sequence,
    /// What was believed last, of each sender.
    heard: [Option<Sender>; MOST_SENDERS],
}

/// Senders whose sequence is remembered. Only those who know a key come here.
const MOST_SENDERS: usize = 8;

#[derive(Clone, Copy, Debug)]
struct Sender {
    source: IpAddr,
    sequence: Sequence,
}

/// Seconds, a fraction and a counter, compared as serial numbers (RFC 1982).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sequence(u64);

impl Authenticator {
    pub(super) fn new(keyring: Keyring) -> Self {
        Self { keyring, sent: Sequence::default(), heard: [None; MOST_SENDERS] }
    }

    /// Whether adverts leave with a trailer.
    pub(super) fn signs(&self) -> bool {
        self.keyring.mode != Mode::ReceiveOnly
    }

    /// The trailer of a message that is sent now.
    pub(super) fn sign(&mut self, bound: Bound, message: &[u8], utc: Utc) -> [u8; TRAILER] {
        let mut trailer = [0; TRAILER];
        let Some(Key { id, key }) = self.keyring.keys.first() else { return trailer };
        self.sent = self.sent.next(utc, self.keyring.window);
        trailer[0] = TYPE;
        trailer[1] = *id;
        trailer[4..12].copy_from_slice(&self.sent.0.to_be_bytes());
        let tag = tag(key, bound, message, &trailer);
        trailer[SIGNED..].copy_from_slice(&tag);
        trailer
    }

    /// Whether a message with this trailer, or with none, is to be believed.
    pub(super) fn verify(
        &mut self,
        bound: Bound,
        message: &[u8],
        trailer: Option<&[u8; TRAILER]>,
        utc: Utc,
    ) -> Result<(), Refusal> {
        let Some(trailer) = trailer else {
            return if self.keyring.mode == Mode::Enforce { Err(Refusal::AuthType) } else { Ok(()) };
        };
        let [TYPE, id, 0, 0, sequence @ ..] = trailer else { return Err(Refusal::AuthType) };
        let sequence = sequence.first_chunk().map_or(Sequence::default(), |bytes| Sequence(u64::from_be_bytes(*bytes)));
        // Before the HMAC: old copies cost no digest.
        if sequence.distance(utc) > self.keyring.window {
            return Err(Refusal::Stale);
        }
        let key = self.keyring.keys.iter().find(|key| key.id == *id).ok_or(Refusal::Hmac)?;
        let expected = tag(&key.key, bound, message, trailer);
        verify_slices_are_equal(&expected, &trailer[SIGNED..]).map_err(|_| Refusal::Hmac)?;
        // After it: nobody without a key moves what we remember.
        self.remember(bound.source, sequence, utc)
    }

    fn remember(&mut self, source: IpAddr, sequence: Sequence, utc: Utc) -> Result<(), Refusal> {
        let window = self.keyring.window;
        let known = self.heard.iter().position(|sender| sender.is_some_and(|sender| sender.source == source));
        let place = known.unwrap_or(MOST_SENDERS - 1);
        // A memory outside the window forbids nothing that the window does not; so a sender whose clock
        // was put right is heard again.
        let last = known.and_then(|at| self.heard[at]).filter(|last| last.sequence.distance(utc) <= window);
        if last.is_some_and(|last| !sequence.is_after(last.sequence)) {
            return Err(Refusal::Replay);
        }
        self.heard[..=place].rotate_right(1);
        self.heard[0] = Some(Sender { source, sequence });
        Ok(())
    }
}

/// The one kind of trailer.
const TYPE: u8 = 1;

/// Bytes of a trailer that are signed.
const SIGNED: usize = 12;

fn tag(key: &hmac::Key, bound: Bound, message: &[u8], trailer: &[u8; TRAILER]) -> [u8; TRAILER - SIGNED] {
    let mut header = [0; 20];
    header[1] = bound.version.number();
    header[2] = bound.vrid;
    match bound.source {
        IpAddr::V4(source) => {
            header[0] = 4;
            header[4..8].copy_from_slice(&source.octets());
        }
        IpAddr::V6(source) => {
            header[0] = 6;
            header[4..].copy_from_slice(&source.octets());
        }
    }
    let mut context = hmac::Context::with_key(key);
    context.update(&header);
    if let (Some(before), Some(behind)) = (message.get(..CHECKSUM.start), message.get(CHECKSUM.end..)) {
        context.update(before);
        context.update(&[0; 2]);
        context.update(behind);
    }
    context.update(&trailer[..SIGNED]);
    context.update(&[0; TRAILER - SIGNED]);
    let whole = context.sign();
    whole.as_ref().first_chunk().copied().unwrap_or_default()
}

impl Sequence {
    /// The clock, or one more than the last where the clock has not moved or went back. What is so far
    /// ahead that nobody believes it is given up.
    fn next(self, utc: Utc, window: Duration) -> Self {
        let clock = Self::at(utc);
        if clock.is_after(self) || self.distance(utc) > window { clock } else { Self(self.0.wrapping_add(1)) }
    }

    fn at(Utc(time): Utc) -> Self {
        let fraction = (u64::from(time.subsec_nanos()) << 16) / 1_000_000_000;
        Self(time.as_secs() << 32 | fraction << 16)
    }

    fn is_after(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0).cast_signed() > 0
    }

    /// How far its time is from a clock, to the second.
    fn distance(self, utc: Utc) -> Duration {
        let seconds = (self.0.wrapping_sub(Self::at(utc).0 & !0xffff_ffff).cast_signed() >> 32).unsigned_abs();
        Duration::from_secs(seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = {
        let mut key = [0; 32];
        let mut at = 0;
        while at < 32 {
            key[at] = at as u8;
            at += 1;
        }
        key
    };
    const OTHER: [u8; 64] = [7; 64];
    const WINDOW: Duration = Duration::from_secs(5);

    fn bound(source: &str) -> Bound {
        Bound { version: Version::V3, vrid: 51, source: source.parse().unwrap() }
    }

    fn authenticator(keys: &[(u8, &[u8])], mode: Mode) -> Authenticator {
        Authenticator::new(Keyring::new(keys, mode, WINDOW).unwrap())
    }

    fn utc(millis: u64) -> Utc {
        Utc(Duration::from_millis(millis))
    }

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    /// The two examples of the draft's appendix: key 00 to 1f, a sequence of 0x6800000080000000.
    #[test]
    fn the_examples_of_the_draft_are_made_and_believed() {
        let at = Utc(Duration::from_secs(0x6800_0000) + Duration::from_millis(500));
        let examples = [
            ("198.51.100.10", "3133c80100644402c0000264", "1b84bc4e8e43892dc6d98448f8ee2265"),
            ("fe80::10", "3133c8010064a2e9fe800000000000000000000000000100", "c8c56146ebfd66ee10ec4d8186461b78"),
        ];
        for (source, message, tag) in examples {
            let trailer = bytes(&format!("010100006800000080000000{tag}"));
            let mut ours = authenticator(&[(1, &KEY)], Mode::Enforce);
            assert_eq!(ours.sign(bound(source), &bytes(message), at).as_slice(), trailer);
            let trailer: [u8; TRAILER] = trailer.try_into().unwrap();
            assert_eq!(ours.verify(bound(source), &bytes(message), Some(&trailer), at), Ok(()));
        }
    }

    #[test]
    fn one_changed_bit_of_message_trailer_or_sender_is_seen() {
        let (message, at) = (bytes("3133c80100644402c0000264"), utc(1_000_000));
        let mut theirs = authenticator(&[(1, &KEY)], Mode::Enforce);
        let trailer = theirs.sign(bound("10.0.0.1"), &message, at);
        let verdict = |bound: Bound, message: &[u8], trailer: &[u8; TRAILER]| {
            authenticator(&[(1, &KEY)], Mode::Enforce).verify(bound, message, Some(trailer), at)
        };
        assert_eq!(verdict(bound("10.0.0.1"), &message, &trailer), Ok(()));
        for at in (0..message.len() * 8).filter(|at| !CHECKSUM.contains(&(at / 8))) {
            let mut changed = message.clone();
            changed[at / 8] ^= 1 << (at % 8);
            assert_eq!(verdict(bound("10.0.0.1"), &changed, &trailer), Err(Refusal::Hmac), "bit {at}");
        }
        for at in 0..TRAILER * 8 {
            let mut changed = trailer;
            changed[at / 8] ^= 1 << (at % 8);
            assert!(verdict(bound("10.0.0.1"), &message, &changed).is_err(), "bit {at}");
        }
        let others = [
            bound("10.0.0.2"),
            Bound { vrid: 52, ..bound("10.0.0.1") },
            Bound { version: Version::V2, ..bound("10.0.0.1") },
        ];
        for other in others {
            assert_eq!(verdict(other, &message, &trailer), Err(Refusal::Hmac));
        }
    }

    #[test]
    fn a_copy_is_refused_and_so_is_what_is_too_old_or_from_the_future() {
        let (message, from) = (bytes("3133c80100644402c0000264"), bound("10.0.0.1"));
        let mut theirs = authenticator(&[(1, &KEY)], Mode::Enforce);
        let mut ours = authenticator(&[(1, &KEY)], Mode::Enforce);
        let first = theirs.sign(from, &message, utc(1_000_000));
        let second = theirs.sign(from, &message, utc(1_000_000));
        assert_eq!(ours.verify(from, &message, Some(&first), utc(1_000_000)), Ok(()));
        assert_eq!(ours.verify(from, &message, Some(&first), utc(1_000_000)), Err(Refusal::Replay));
        assert_eq!(ours.verify(from, &message, Some(&second), utc(1_000_000)), Ok(()), "the clock stood still");
        assert_eq!(ours.verify(from, &message, Some(&first), utc(1_000_000)), Err(Refusal::Replay));
        let third = theirs.sign(from, &message, utc(1_001_000));
        for clock in [995_000, 1_007_000] {
            assert_eq!(ours.verify(from, &message, Some(&third), utc(clock)), Err(Refusal::Stale), "{clock}");
        }
        assert_eq!(ours.verify(from, &message, Some(&third), utc(1_006_999)), Ok(()));
    }

    #[test]
    fn a_sender_whose_clock_was_put_back_is_heard_again() {
        let (message, from) = (bytes("3133c80100644402c0000264"), bound("10.0.0.1"));
        let mut ours = authenticator(&[(1, &KEY)], Mode::Enforce);
        let mut ahead = authenticator(&[(1, &KEY)], Mode::Enforce);
        let trailer = ahead.sign(from, &message, utc(1_004_000));
        assert_eq!(ours.verify(from, &message, Some(&trailer), utc(1_000_000)), Ok(()));
        let mut right = authenticator(&[(1, &KEY)], Mode::Enforce);
        let trailer = right.sign(from, &message, utc(1_001_000));
        assert_eq!(ours.verify(from, &message, Some(&trailer), utc(1_001_000)), Err(Refusal::Replay));
        let trailer = right.sign(from, &message, utc(1_010_000));
        assert_eq!(ours.verify(from, &message, Some(&trailer), utc(1_010_000)), Ok(()));
    }

    #[test]
    fn our_own_clock_may_be_put_back_as_well() {
        let (message, from) = (bytes("3133c80100644402c0000264"), bound("10.0.0.1"));
        let mut theirs = authenticator(&[(1, &KEY)], Mode::Enforce);
        let mut ours = authenticator(&[(1, &KEY)], Mode::Enforce);
        for clock in [1_000_000, 1_002_000, 1_001_000, 9_000_000, 1_003_000] {
            let trailer = theirs.sign(from, &message, utc(clock));
            let expected = if clock == 9_000_000 { Err(Refusal::Stale) } else { Ok(()) };
            assert_eq!(ours.verify(from, &message, Some(&trailer), utc(1_002_000)), expected, "{clock}");
        }
    }

    #[test]
    fn the_modes_differ_in_what_is_sent_and_in_what_may_be_missing() {
        let (message, from, at) = (bytes("3133c80100644402c0000264"), bound("10.0.0.1"), utc(1_000_000));
        for (mode, signs, without) in [
            (Mode::ReceiveOnly, false, Ok(())),
            (Mode::Permissive, true, Ok(())),
            (Mode::Enforce, true, Err(Refusal::AuthType)),
        ] {
            let mut ours = authenticator(&[(1, &KEY), (2, &OTHER)], mode);
            assert_eq!(ours.signs(), signs);
            assert_eq!(ours.verify(from, &message, None, at), without);
            // A second key is believed, so that keys can be changed one host after the other.
            let trailer = authenticator(&[(2, &OTHER)], Mode::Enforce).sign(from, &message, at);
            assert_eq!(ours.verify(from, &message, Some(&trailer), at), Ok(()));
            let trailer = authenticator(&[(3, &OTHER)], Mode::Enforce).sign(from, &message, at);
            assert_eq!(ours.verify(from, &message, Some(&trailer), at), Err(Refusal::Hmac), "{mode:?}");
        }
    }

    #[test]
    fn the_memory_of_senders_is_bounded_and_forgets_the_longest_silent() {
        let (message, at) = (bytes("3133c80100644402c0000264"), utc(1_000_000));
        let mut ours = authenticator(&[(1, &KEY)], Mode::Enforce);
        let froms: Vec<_> = (0..=MOST_SENDERS).map(|last| bound(&format!("10.0.0.{last}"))).collect();
        let trailers: Vec<_> =
            froms.iter().map(|from| authenticator(&[(1, &KEY)], Mode::Enforce).sign(*from, &message, at)).collect();
        for (from, trailer) in froms.iter().zip(&trailers).take(MOST_SENDERS) {
            assert_eq!(ours.verify(*from, &message, Some(trailer), at), Ok(()));
        }
        assert_eq!(ours.verify(froms[0], &message, Some(&trailers[0]), at), Err(Refusal::Replay));
        assert_eq!(ours.verify(froms[8], &message, Some(&trailers[8]), at), Ok(()));
        assert_eq!(ours.verify(froms[1], &message, Some(&trailers[1]), at), Err(Refusal::Replay));
        assert_eq!(ours.heard.iter().flatten().count(), MOST_SENDERS);
    }

    #[test]
    fn what_is_no_keyring_is_refused() {
        let ring = |keys: &[(u8, &[u8])], window| Keyring::new(keys, Mode::Enforce, window).map(|_| ()).unwrap_err();
        assert_eq!(ring(&[], WINDOW), KeyringError::Empty);
        assert_eq!(ring(&[(1, &KEY), (1, &OTHER)], WINDOW), KeyringError::Twice(1));
        assert_eq!(ring(&[(1, &KEY[1..])], WINDOW), KeyringError::Length(1));
        assert_eq!(ring(&[(1, &[0; 65])], WINDOW), KeyringError::Length(1));
        assert_eq!(ring(&[(1, &KEY)], Duration::ZERO), KeyringError::Window);
        let many: Vec<(u8, &[u8])> = (0..9).map(|id| (id, KEY.as_slice())).collect();
        assert_eq!(ring(&many, WINDOW), KeyringError::TooMany);
        assert_eq!(Keyring::usual_window(Duration::from_millis(100)), Duration::from_secs(5));
        assert_eq!(Keyring::usual_window(Duration::from_secs(3)), Duration::from_secs(9));
    }
}
