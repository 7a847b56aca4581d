//! Header and trailer fields: name/value ranges over one buffer.

use std::ops::Range;

/// Fields that some room of haechi must recognise. The codec classifies each name once; everybody
/// else compares one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Known {
    AcceptEncoding,
    Authorization,
    CacheControl,
    Connection,
    ContentLength,
    ContentType,
    Cookie,
    Date,
    Etag,
    Expect,
    Forwarded,
    Host,
    IfMatch,
    IfModifiedSince,
    IfNoneMatch,
    IfRange,
    IfUnmodifiedSince,
    KeepAlive,
    LastModified,
    Location,
    MaxForwards,
    ProxyConnection,
    Range,
    Referer,
    RetryAfter,
    Server,
    SetCookie,
    Te,
    Trailer,
    TransferEncoding,
    Upgrade,
    UserAgent,
    Via,
    XForwardedBy,
    XForwardedFor,
    XForwardedHost,
    XForwardedPort,
    XForwardedProto,
    XRealIp,
    XRequestId,
    /// Any other name.
    Other,
}

impl Known {
    /// Classifies a field name; the case of its letters does not matter (RFC 9110 §5.1).
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        // The length splits the names into groups of at most five, so that a name is compared with
        // few others.
        let group: &[(&[u8], Self)] = match name.len() {
            2 => &[(b"te", Self::Te)],
            3 => &[(b"via", Self::Via)],
            4 => &[(b"host", Self::Host), (b"date", Self::Date), (b"etag", Self::Etag)],
            5 => &[(b"range", Self::Range)],
            6 => &[(b"cookie", Self::Cookie), (b"server", Self::Server), (b"expect", Self::Expect)],
            7 => &[(b"referer", Self::Referer), (b"upgrade", Self::Upgrade), (b"trailer", Self::Trailer)],
            8 => &[(b"if-match", Self::IfMatch), (b"if-range", Self::IfRange), (b"location", Self::Location)],
            9 => &[(b"forwarded", Self::Forwarded), (b"x-real-ip", Self::XRealIp)],
            10 => &[
                (b"connection", Self::Connection),
                (b"user-agent", Self::UserAgent),
                (b"set-cookie", Self::SetCookie),
                (b"keep-alive", Self::KeepAlive),
            ],
            11 => &[(b"retry-after", Self::RetryAfter)],
            12 => &[
                (b"content-type", Self::ContentType),
                (b"max-forwards", Self::MaxForwards),
                (b"x-request-id", Self::XRequestId),
            ],
            13 => &[
                (b"cache-control", Self::CacheControl),
                (b"authorization", Self::Authorization),
                (b"if-none-match", Self::IfNoneMatch),
                (b"last-modified", Self::LastModified),
            ],
            14 => &[(b"content-length", Self::ContentLength), (b"x-forwarded-by", Self::XForwardedBy)],
            15 => &[(b"accept-encoding", Self::AcceptEncoding), (b"x-forwarded-for", Self::XForwardedFor)],
            16 => &[
                (b"x-forwarded-host", Self::XForwardedHost),
                (b"x-forwarded-port", Self::XForwardedPort),
                (b"proxy-connection", Self::ProxyConnection),
            ],
            17 => &[
                (b"transfer-encoding", Self::TransferEncoding),
                (b"if-modified-since", Self::IfModifiedSince),
                (b"x-forwarded-proto", Self::XForwardedProto),
            ],
            19 => &[(b"if-unmodified-since", Self::IfUnmodifiedSince)],
            _ => &[],
        };
        group.iter().find(|(known, _)| is_same_name(name, known)).map_or(Self::Other, |(_, kind)| *kind)
    }
}

impl Known {
    /// What a name that is not known by itself becomes behind a gateway that gives all marks one
    /// sign, as CGI and its like do: `X_Forwarded_For` is `X-Forwarded-For` there. `Other` for a
    /// name without such marks.
    #[must_use]
    pub fn resembled_by(name: &[u8]) -> Self {
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
        let mut dashed = [0; 32];
        let Some(dashed) = dashed.get_mut(..name.len()) else { return Self::Other };
        if name.iter().all(is_plain) {
            return Self::Other;
        }
        for (to, byte) in dashed.iter_mut().zip(name) {
            *to = if is_plain(byte) { *byte } else { b'-' };
        }
        Self::of(dashed)
    }
}

/// Whether two names are the same where letters have no case and all marks are one sign: in one of
/// the ways in which servers and gateways name a field to an application.
#[must_use]
pub fn are_alike(one: &[u8], other: &[u8]) -> bool {
    let same =
        |(a, b): (&u8, &u8)| a.eq_ignore_ascii_case(b) || !a.is_ascii_alphanumeric() && !b.is_ascii_alphanumeric();
    one.len() == other.len() && one.iter().zip(other).all(same)
}

/// Whether a token is this name, which has as many bytes, all of them small letters or `-`. Setting
/// the bit that small letters have turns no other byte of a token into one of these.
#[inline]
fn is_same_name(token: &[u8], name: &[u8]) -> bool {
    let (token_words, token_tail) = token.as_chunks::<8>();
    let (name_words, name_tail) = name.as_chunks::<8>();
    let small = u64::from_ne_bytes([0x20; 8]);
    token_words.iter().zip(name_words).all(|(a, b)| u64::from_ne_bytes(*a) | small == u64::from_ne_bytes(*b))
        && token_tail.iter().zip(name_tail).all(|(a, b)| a | 0x20 == *b)
}

/// One field as it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// What the name is, where it is one that haechi knows.
    pub known: Known,
    /// The name as it was sent, its letters' case included.
    pub name: &'a [u8],
    /// The value without the blanks around it.
    pub value: &'a [u8],
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    known: Known,
    name_start: u32,
    name_end: u32,
    value_start: u32,
    value_end: u32,
}

/// An ordered list of fields over one buffer.
///
/// It holds at most 4 GiB of text; a field that would not fit is not taken (limits on heads are
/// far below).
#[derive(Clone, Debug, Default)]
pub struct Fields {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

impl Fields {
    /// Empties the list and keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }

    /// How many fields there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds a field at the end.
    pub fn push(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let name = name.as_ref();
        self.push_known(Known::of(name), name, value.as_ref());
    }

    /// Adds a field whose name was classified already.
    pub fn push_known(&mut self, known: Known, name: &[u8], value: &[u8]) {
        let name_start = self.bytes.len();
        let value_start = name_start + name.len();
        let end = value_start + value.len();
        let (Ok(name_start), Ok(value_start), Ok(end)) =
            (u32::try_from(name_start), u32::try_from(value_start), u32::try_from(end))
        else {
            return;
        };
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.entries.push(Entry { known, name_start, name_end: value_start, value_start, value_end: end });
    }

    /// Adds a field as two ranges of a text that [`fill`](Self::fill) brings: so a codec copies a head
    /// once, not field by field.
    #[inline]
    pub fn push_range(&mut self, known: Known, name: Range<usize>, value: Range<usize>) {
        // `fill` takes no text that is too long for this.
        let place = |at: usize| at as u32;
        self.entries.push(Entry {
            known,
            name_start: place(name.start),
            name_end: place(name.end),
            value_start: place(value.start),
            value_end: place(value.end),
        });
    }

    /// Brings the text of the fields that [`push_range`](Self::push_range) added to an empty list.
    pub fn fill(&mut self, text: &[u8]) {
        self.bytes.clear();
        if u32::try_from(text.len()).is_err() {
            self.entries.clear();
            return;
        }
        self.bytes.extend_from_slice(text);
    }

    /// Drops every field of this kind; true if there was one.
    pub fn remove(&mut self, known: Known) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.known != known);
        self.entries.len() != before
    }

    /// Drops every field with this name, in any case; true if there was one.
    pub fn remove_name(&mut self, name: &[u8]) -> bool {
        let before = self.entries.len();
        let bytes = &self.bytes;
        self.entries.retain(|entry| !entry.read(bytes).name.eq_ignore_ascii_case(name));
        self.entries.len() != before
    }

    /// Keeps only the fields that `keep` wants.
    pub fn retain(&mut self, mut keep: impl FnMut(Field<'_>) -> bool) {
        let bytes = &self.bytes;
        self.entries.retain(|entry| keep(entry.read(bytes)));
    }

    /// Puts this field in place of every other of its name.
    pub fn set(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.remove_name(name.as_ref());
        self.push(name, value);
    }

    /// The first value of this kind.
    #[must_use]
    pub fn first(&self, known: Known) -> Option<&[u8]> {
        self.iter().find(|field| field.known == known).map(|field| field.value)
    }

    /// The first value under this name, in any case.
    #[must_use]
    pub fn first_name(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }

    /// Every value of this kind, in order.
    pub fn all(&self, known: Known) -> impl Iterator<Item = &[u8]> {
        self.iter().filter(move |field| field.known == known).map(|field| field.value)
    }

    /// Every field, in order.
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        self.entries.iter().map(|entry| entry.read(&self.bytes))
    }
}

impl Entry {
    fn read<'a>(&self, bytes: &'a [u8]) -> Field<'a> {
        let slice = |start: u32, end: u32| bytes.get(start as usize..end as usize).unwrap_or_default();
        Field {
            known: self.known,
            name: slice(self.name_start, self.name_end),
            value: slice(self.value_start, self.value_end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_order_and_case() {
        let mut fields = Fields::default();
        fields.push("hOsT", "a");
        fields.push("X-One", "1");
        fields.push("x-one", "2");
        assert_eq!(fields.first(Known::Host), Some(&b"a"[..]));
        assert_eq!(fields.first_name(b"X-ONE"), Some(&b"1"[..]));
        fields.set("X-One", "3");
        let names: Vec<_> = fields.iter().map(|f| (f.name.to_vec(), f.value.to_vec())).collect();
        assert_eq!(names, [(b"hOsT".to_vec(), b"a".to_vec()), (b"X-One".to_vec(), b"3".to_vec())]);
    }

    #[test]
    fn names_are_known_in_any_case_and_only_whole() {
        for (name, known) in [
            ("Te", Known::Te),
            ("DATE", Known::Date),
            ("host", Known::Host),
            ("If-Range", Known::IfRange),
            ("KEEP-alive", Known::KeepAlive),
            ("Content-Length", Known::ContentLength),
            ("Transfer-Encoding", Known::TransferEncoding),
            ("X-FORWARDED-Port", Known::XForwardedPort),
            ("If-Unmodified-Since", Known::IfUnmodifiedSince),
        ] {
            assert_eq!(Known::of(name.as_bytes()), known, "{name}");
            for at in 0..name.len() {
                let mut near = name.as_bytes().to_vec();
                near[at] = b'~';
                assert_eq!(Known::of(&near), Known::Other, "{name} changed at {at}");
                near.remove(at);
                assert_eq!(Known::of(&near), Known::Other, "{name} without {at}");
            }
        }
        assert_eq!(Known::of(b""), Known::Other);
    }

    #[test]
    fn marks_are_one_sign_to_some() {
        for name in ["X_Forwarded_For", "x-forwarded_for", "X.Forwarded-For", "x~forwarded|for"] {
            assert_eq!(Known::of(name.as_bytes()), Known::Other, "{name}");
            assert_eq!(Known::resembled_by(name.as_bytes()), Known::XForwardedFor, "{name}");
            assert!(are_alike(name.as_bytes(), b"X-Forwarded-For"), "{name}");
        }
        for name in ["X-Forwarded-For", "X_Forwarded_Fo", "X_Forwarded_For_", "XForwardedFor", "X_Other", ""] {
            assert_eq!(Known::resembled_by(name.as_bytes()), Known::Other, "{name}");
        }
        assert_eq!(Known::resembled_by(&[b'_'; 40]), Known::Other);
        assert!(are_alike(b"X-A", b"x-a") && !are_alike(b"X-A", b"XAA") && !are_alike(b"X-A", b"X-A_"));
    }

    #[test]
    fn ranges_read_from_the_text_that_fills_them() {
        let mut fields = Fields::default();
        fields.push_range(Known::Host, 1..5, 7..8);
        fields.push_range(Known::Other, 9..10, 99..100);
        fields.fill(b" Host: a X");
        fields.push("Y", "z");
        let read: Vec<_> = fields.iter().map(|field| (field.name, field.value)).collect();
        assert_eq!(read, [(&b"Host"[..], &b"a"[..]), (b"X", b""), (b"Y", b"z")]);
    }
}
