//! The names of the fields that haechi knows, found by a few comparisons of words.

use super::Known;

/// What a name is; the case of its letters does not matter.
#[inline]
pub(super) fn find(name: &[u8]) -> Known {
    let (Some(start), Some(end)) = (STARTS.get(name.len()), STARTS.get(name.len() + 1)) else { return Known::Other };
    let group = NAMES.get(usize::from(*start)..usize::from(*end)).unwrap_or_default();
    let ends = Ends::of(name);
    let is_same = |known: &&Name| {
        // Two words of eight bytes cover sixteen.
        known.ends == ends && (name.len() <= 16 || known.text.eq_ignore_ascii_case(name))
    };
    group.iter().find(is_same).map_or(Known::Other, |name| name.known)
}

struct Name {
    text: &'static [u8],
    ends: Ends,
    known: Known,
}

impl Name {
    const fn of(text: &'static str, known: Known) -> Self {
        Self { text: text.as_bytes(), ends: Ends::of(text.as_bytes()), known }
    }
}

/// The first and the last bytes of a name, which overlap in a short one. Letters are small in it:
/// the bit that makes them so turns no other byte of a token into a letter, a digit or `-`.
#[derive(PartialEq)]
struct Ends(u64, u64);

impl Ends {
    #[inline]
    const fn of(name: &[u8]) -> Self {
        const SMALL: u64 = 0x2020_2020_2020_2020;
        if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
            return Self(u64::from_le_bytes(*first) | SMALL, u64::from_le_bytes(*last) | SMALL);
        }
        if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
            return Self(u32::from_le_bytes(*first) as u64 | SMALL, u32::from_le_bytes(*last) as u64 | SMALL);
        }
        let mut word = 0;
        let mut rest = name;
        while let Some((byte, behind)) = rest.split_first() {
            word = word << 8 | *byte as u64;
            rest = behind;
        }
        Self(word | SMALL, SMALL)
    }
}

/// By length, the shortest first.
const NAMES: [Name; 40] = [
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

/// Where in [`NAMES`] those of each length begin; the place behind the longest is the end.
const STARTS: [u8; 21] = {
    let mut starts = [0; 21];
    let mut at = 0;
    while at < NAMES.len() {
        let mut longer = NAMES[at].text.len() + 1;
        while longer < starts.len() {
            starts[longer] += 1;
            longer += 1;
        }
        at += 1;
    }
    starts
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_come_first_and_each_is_found() {
        assert!(NAMES.is_sorted_by_key(|name| name.text.len()));
        for name in &NAMES {
            assert_eq!(find(name.text), name.known);
        }
    }
}
