//! Header and trailer fields: name/value ranges over one buffer.

use std::ops::Range;

use super::names;
use super::words::is_plain;

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
    /// Classifies a field name; the case of its letters does not matter (RFC 9110 §5.1). What is no
    /// token is `Other`.
    #[must_use]
    #[inline]
    pub fn of(name: &[u8]) -> Self {
        names::find(name)
    }
}

impl Known {
    /// What a name that is not known by itself becomes behind a gateway that gives all marks one
    /// sign, as CGI and its like do: `X_Forwarded_For` is `X-Forwarded-For` there. `Other` for a
    /// name without such marks.
    #[must_use]
    pub fn resembled_by(name: &[u8]) -> Self {
        if is_plain(name) { Self::Other } else { Self::of_dashed(name) }
    }

    #[cold]
    fn of_dashed(name: &[u8]) -> Self {
        let mut dashed = [0; 32];
        let Some(dashed) = dashed.get_mut(..name.len()) else { return Self::Other };
        for (to, byte) in dashed.iter_mut().zip(name) {
            *to = if byte.is_ascii_alphanumeric() { *byte } else { b'-' };
        }
        Self::of(dashed)
    }
}

/// A set of kinds of fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds(u64);

impl Kinds {
    /// These.
    #[must_use]
    #[inline]
    pub const fn of(kinds: &[Known]) -> Self {
        let mut set = 0;
        let mut at = 0;
        while at < kinds.len() {
            set |= 1 << kinds[at] as u8;
            at += 1;
        }
        Self(set)
    }

    /// Whether this one is in it.
    #[must_use]
    #[inline]
    pub const fn holds(self, known: Known) -> bool {
        self.0 & 1 << known as u8 != 0
    }

    /// Whether one of `other` is in it.
    #[must_use]
    #[inline]
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
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

/// One field as it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// What the name is, where it is one that haechi knows.
    pub known: Known,
    /// The name as it was sent, its letters' case included.
    pub name: &'a [u8],
    /// The value without the blanks around it.
    pub value: &'a [u8],
    /// The whole line where it stands somewhere just as we write it: `name: value CRLF`. Else empty.
    pub line: &'a [u8],
}

impl<'a> Field<'a> {
    /// A field of ours.
    #[must_use]
    #[inline]
    pub const fn new(known: Known, name: &'a [u8], value: &'a [u8]) -> Self {
        Self { known, name, value, line: b"" }
    }

    /// The field of a line as we write it, whose name has so many bytes.
    #[must_use]
    #[inline]
    pub const fn of_line(known: Known, line: &'a [u8], name_length: usize) -> Self {
        let (name, rest) = line.split_at(name_length);
        let (_, rest) = rest.split_at(SEPARATOR.len());
        let (value, _) = rest.split_at(rest.len() - END.len());
        Self { known, name, value, line }
    }
}

/// What stands between name and value in what we write.
const SEPARATOR: &[u8] = b": ";
/// What ends a line (RFC 9112 §2.2).
const END: &[u8] = b"\r\n";

/// A field that is sent often, as a line that was written once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldLine {
    known: Known,
    line: Box<[u8]>,
    name_length: usize,
}

impl FieldLine {
    /// A line for this name and value, which have no byte that could end it.
    #[must_use]
    pub fn new(name: &[u8], value: &[u8]) -> Self {
        let line = [name, SEPARATOR, value, END].concat().into();
        Self { known: Known::of(name), line, name_length: name.len() }
    }

    /// The field.
    #[must_use]
    #[inline]
    pub fn field(&self) -> Field<'_> {
        Field::of_line(self.known, &self.line, self.name_length)
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    known: Known,
    name_start: u32,
    name_end: u32,
    value_start: u32,
    value_end: u32,
    /// Whether the text holds the line as we would write it.
    is_line: bool,
}

/// An ordered list of fields over one buffer.
///
/// It holds at most 4 GiB of text; a field that would not fit is not taken (limits on heads are
/// far below).
#[derive(Clone, Debug, Default)]
pub struct Fields {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// The kinds that were added since the list was empty.
    kinds: Kinds,
    /// Those that were added more than once.
    repeated: Kinds,
}

impl Fields {
    /// Empties the list and keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.kinds = Kinds::default();
        self.repeated = Kinds::default();
    }

    /// The kinds that there may be; any other is not there.
    #[must_use]
    #[inline]
    pub fn kinds(&self) -> Kinds {
        self.kinds
    }

    /// The kinds of which there may be more than one.
    #[must_use]
    #[inline]
    pub fn repeated(&self) -> Kinds {
        self.repeated
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

    /// Adds a field whose name was classified already. It stands there as a line.
    pub fn push_known(&mut self, known: Known, name: &[u8], value: &[u8]) {
        let start = self.bytes.len();
        let name_end = start + name.len();
        let value_start = name_end + SEPARATOR.len();
        let value_end = value_start + value.len();
        if u32::try_from(value_end + END.len()).is_err() {
            return;
        }
        self.bytes.reserve(name.len() + SEPARATOR.len() + value.len() + END.len());
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(SEPARATOR);
        self.bytes.extend_from_slice(value);
        self.bytes.extend_from_slice(END);
        self.push_range(known, start..name_end, value_start..value_end, true);
    }

    /// Takes the fields of another list in place of its own.
    pub fn copy_from(&mut self, other: &Self) {
        self.bytes.clone_from(&other.bytes);
        self.entries.clone_from(&other.entries);
        self.kinds = other.kinds;
        self.repeated = other.repeated;
    }

    /// Adds a field as two ranges of a text that [`fill`](Self::fill) brings: so a codec copies a head
    /// once, not field by field. `is_line`: it stands there just as we would write it, CRLF behind it.
    #[inline]
    pub fn push_range(&mut self, known: Known, name: Range<usize>, value: Range<usize>, is_line: bool) {
        // There is no text that is too long for this.
        let place = |at: usize| at as u32;
        self.note(known);
        self.entries.push(Entry {
            known,
            name_start: place(name.start),
            name_end: place(name.end),
            value_start: place(value.start),
            value_end: place(value.end),
            is_line,
        });
    }

    #[inline]
    fn note(&mut self, known: Known) {
        let kind = Kinds::of(&[known]);
        self.repeated.0 |= self.kinds.0 & kind.0;
        self.kinds.0 |= kind.0;
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

    /// What [`fill`](Self::fill) brought, and behind it the lines that were pushed later.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.bytes
    }

    /// Drops every field of this kind; true if there was one.
    pub fn remove(&mut self, known: Known) -> bool {
        if !self.kinds.holds(known) {
            return false;
        }
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
        self.all(known).next()
    }

    /// The first value under this name, in any case.
    #[must_use]
    pub fn first_name(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }

    /// Every value of this kind, in order.
    pub fn all(&self, known: Known) -> impl Iterator<Item = &[u8]> {
        let entries = if self.kinds.holds(known) { self.entries.as_slice() } else { &[] };
        entries.iter().filter(move |entry| entry.known == known).map(|entry| entry.value(&self.bytes))
    }

    /// Every field, in order.
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        self.entries.iter().map(|entry| entry.read(&self.bytes))
    }
}

impl Entry {
    fn read<'a>(&self, bytes: &'a [u8]) -> Field<'a> {
        let line = if self.is_line { slice(bytes, self.name_start, self.value_end + END.len() as u32) } else { b"" };
        let name = slice(bytes, self.name_start, self.name_end);
        Field { known: self.known, name, value: self.value(bytes), line }
    }

    fn value<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        slice(bytes, self.value_start, self.value_end)
    }
}

#[inline]
fn slice(bytes: &[u8], start: u32, end: u32) -> &[u8] {
    bytes.get(start as usize..end as usize).unwrap_or_default()
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
        fields.push_range(Known::Host, 1..5, 7..8, false);
        fields.push_range(Known::Other, 9..10, 99..100, false);
        fields.fill(b" Host: a X");
        fields.push("Y", "z");
        let read: Vec<_> = fields.iter().map(|field| (field.name, field.value)).collect();
        assert_eq!(read, [(&b"Host"[..], &b"a"[..]), (b"X", b""), (b"Y", b"z")]);
    }

    #[test]
    fn a_line_is_kept_beside_its_parts() {
        let mut fields = Fields::default();
        fields.push_range(Known::Other, 0..1, 3..4, true);
        fields.push_range(Known::Other, 6..7, 8..9, false);
        fields.fill(b"A: b\r\nC:d\r\n");
        fields.push("E", "f");
        let lines: Vec<_> = fields.iter().map(|field| field.line).collect();
        assert_eq!(lines, [&b"A: b\r\n"[..], b"", b"E: f\r\n"]);
        let line = FieldLine::new(b"Via", b"1.1 a");
        assert_eq!(line.field(), Field { known: Known::Via, name: b"Via", value: b"1.1 a", line: b"Via: 1.1 a\r\n" });
    }
}
