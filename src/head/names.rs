//! The names of the fields that haechi knows, found by a hash of two words without collisions.

use super::Known;

/// What a name is; the case of its letters does not matter.
#[inline]
pub(super) fn find(name: &[u8]) -> Known {
    let ends = Ends::of(name);
    let place = PLACES[ends.or(EVERY_BYTE).hash(MULTIPLIER)];
    let Some(known) = NAMES.get(usize::from(place)) else { return Known::Other };
    // Two words of eight bytes cover sixteen.
    let is_same = known.text.len() == name.len()
        && ends.or(known.letters) == known.ends
        && (name.len() <= 16 || known.text.eq_ignore_ascii_case(name));
    if is_same { known.known } else { Known::Other }
}

struct Name {
    text: &'static [u8],
    ends: Ends,
    /// The bit that makes a letter small, where letters stand in `ends`.
    letters: Ends,
    known: Known,
}

impl Name {
    const fn of(text: &'static str, known: Known) -> Self {
        let ends = Ends::of(text.as_bytes());
        let letters = Ends(letters(ends.0), letters(ends.1));
        Self { text: text.as_bytes(), ends, letters, known }
    }
}

/// The first and the last bytes of a name, which overlap in a short one.
#[derive(Clone, Copy, PartialEq)]
struct Ends(u64, u64);

impl Ends {
    #[inline]
    const fn of(name: &[u8]) -> Self {
        if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
            return Self(u64::from_le_bytes(*first), u64::from_le_bytes(*last));
        }
        if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
            return Self(u32::from_le_bytes(*first) as u64, u32::from_le_bytes(*last) as u64);
        }
        let mut word = 0;
        let mut rest = name;
        while let Some((byte, behind)) = rest.split_first() {
            word = word << 8 | *byte as u64;
            rest = behind;
        }
        Self(word, 0)
    }

    #[inline]
    const fn or(self, bits: Self) -> Self {
        Self(self.0 | bits.0, self.1 | bits.1)
    }

    /// One of [`SLOTS`].
    #[inline]
    const fn hash(self, multiplier: u64) -> usize {
        ((self.0 ^ self.1.rotate_left(23)).wrapping_mul(multiplier) >> (u64::BITS - SLOTS.ilog2())) as usize
    }
}

/// The bit that makes a letter small, in every byte.
const EVERY_BYTE: Ends = Ends(0x2020_2020_2020_2020, 0x2020_2020_2020_2020);

/// The same where a letter stands in a word of a name.
const fn letters(word: u64) -> u64 {
    let mut bits = [0; 8];
    let bytes = word.to_le_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at].is_ascii_lowercase() {
            bits[at] = 0x20;
        }
        at += 1;
    }
    u64::from_le_bytes(bits)
}

static NAMES: [Name; 40] = [
    Name::of("te", Known::Te),
    Name::of("via", Known::Via),
    Name::of("host", Known::Host),
    Name::of("date", Known::Date),
    Name::of("etag", Known::Etag),
    Name::of("range", Known::Range),
    Name::of("cookie", Known::Cookie),
    Name::of("server", Known::Server),
    Name::of("expect", Known::Expect),
    Name::of("referer", Known::Referer),
    Name::of("upgrade", Known::Upgrade),
    Name::of("trailer", Known::Trailer),
    Name::of("if-match", Known::IfMatch),
    Name::of("if-range", Known::IfRange),
    Name::of("location", Known::Location),
    Name::of("forwarded", Known::Forwarded),
    Name::of("x-real-ip", Known::XRealIp),
    Name::of("connection", Known::Connection),
    Name::of("user-agent", Known::UserAgent),
    Name::of("set-cookie", Known::SetCookie),
    Name::of("keep-alive", Known::KeepAlive),
    Name::of("retry-after", Known::RetryAfter),
    Name::of("content-type", Known::ContentType),
    Name::of("max-forwards", Known::MaxForwards),
    Name::of("x-request-id", Known::XRequestId),
    Name::of("cache-control", Known::CacheControl),
    Name::of("authorization", Known::Authorization),
    Name::of("if-none-match", Known::IfNoneMatch),
    Name::of("last-modified", Known::LastModified),
    Name::of("content-length", Known::ContentLength),
    Name::of("x-forwarded-by", Known::XForwardedBy),
    Name::of("accept-encoding", Known::AcceptEncoding),
    Name::of("x-forwarded-for", Known::XForwardedFor),
    Name::of("x-forwarded-host", Known::XForwardedHost),
    Name::of("x-forwarded-port", Known::XForwardedPort),
    Name::of("proxy-connection", Known::ProxyConnection),
    Name::of("transfer-encoding", Known::TransferEncoding),
    Name::of("if-modified-since", Known::IfModifiedSince),
    Name::of("x-forwarded-proto", Known::XForwardedProto),
    Name::of("if-unmodified-since", Known::IfUnmodifiedSince),
];

const SLOTS: usize = 256;
const NOBODY: u8 = u8::MAX;

/// The name in each slot, as its place in [`NAMES`].
static PLACES: [u8; SLOTS] = PERFECT.1;
/// By this no two names share a slot.
const MULTIPLIER: u64 = PERFECT.0;

const PERFECT: (u64, [u8; SLOTS]) = {
    let mut multiplier = 0x9e37_79b9_7f4a_7c15;
    loop {
        if let Some(places) = places(multiplier) {
            break (multiplier, places);
        }
        multiplier += 2;
    }
};

const fn places(multiplier: u64) -> Option<[u8; SLOTS]> {
    let mut places = [NOBODY; SLOTS];
    let mut at = 0;
    while at < NAMES.len() {
        let slot = NAMES[at].ends.or(EVERY_BYTE).hash(multiplier);
        if places[slot] != NOBODY {
            return None;
        }
        places[slot] = at as u8;
        at += 1;
    }
    Some(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_and_no_other_byte_passes_for_one_of_its_own() {
        for name in &NAMES {
            assert_eq!(find(name.text), name.known);
            assert_eq!(find(&name.text.to_ascii_uppercase()), name.known);
            for at in 0..name.text.len() {
                for byte in (0..=u8::MAX).filter(|byte| !byte.eq_ignore_ascii_case(&name.text[at])) {
                    let mut near = name.text.to_vec();
                    near[at] = byte;
                    assert_eq!(find(&near), Known::Other);
                }
            }
        }
    }
}
