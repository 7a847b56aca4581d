//! A place in a head that moves forward, and the classes of bytes it moves over.

use std::ops::Range;

use super::fault::FieldFault;
use crate::head::Known;

/// A place in a head. Every step returns `None`, and stays where it is or inside its piece, when the
/// bytes end too early.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// One line of a field section.
pub(super) enum Line {
    /// A field; the ranges are places in the cursor's bytes, the value without blanks around it.
    /// `is_line`: just one blank stood there, before it.
    Field { known: Known, name: Range<usize>, value: Range<usize>, is_line: bool },
    /// The empty line behind the last field.
    End,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes lie behind.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// What lies ahead.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The bytes in a range of places.
    pub(super) fn slice(&self, range: Range<usize>) -> &'a [u8] {
        self.bytes.get(range).unwrap_or_default()
    }

    /// The next byte.
    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Moves over `count` bytes.
    pub(super) fn skip(&mut self, count: usize) {
        self.at += count;
    }

    /// Moves over the bytes of a token and returns them.
    #[inline]
    pub(super) fn token(&mut self) -> &'a [u8] {
        let rest = self.rest();
        let length = token_length(rest);
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    /// Moves over CRLF.
    #[inline(always)]
    pub(super) fn line_end(&mut self) -> Result<Option<()>, FieldFault> {
        match self.rest() {
            [b'\r', b'\n', ..] => {
                self.at += 2;
                Ok(Some(()))
            }
            [] | [b'\r'] => Ok(None),
            // RFC 9112 §2.2: LF alone may be taken for a line end, and a bare CR must never be.
            // Others read such lines in other ways, so both are refused.
            _ => Err(FieldFault::LineEnd),
        }
    }

    /// Moves over text of a value or reason phrase to the control byte that ends it.
    #[inline(always)]
    pub(super) fn text(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        loop {
            self.at += clean_length(self.rest());
            match self.peek()? {
                // RFC 9110 §5.5: HTAB is the one control byte inside a value.
                b'\t' => self.at += 1,
                _ => return Some(start..self.at),
            }
        }
    }

    /// Moves over one line of a field section (RFC 9112 §5).
    #[inline]
    pub(super) fn field_line(&mut self) -> Result<Option<Line>, FieldFault> {
        let rest = self.rest();
        let name_end = name_length(rest);
        if name_end == 0 || rest.get(name_end) != Some(&b':') {
            return self.no_field(rest.get(name_end).copied(), name_end == 0);
        }
        let mut start = name_end + 1;
        while rest.get(start).is_some_and(is_blank) {
            start += 1;
        }
        let mut end = start;
        loop {
            end += clean_length(rest.get(end..).unwrap_or_default());
            match rest.get(end..) {
                Some([b'\r', b'\n', ..]) => break,
                // RFC 9110 §5.5: HTAB is the one control byte inside a value.
                Some([b'\t', ..]) => end += 1,
                None | Some([] | [b'\r']) => return Ok(None),
                Some([b'\r' | b'\n', ..]) => return Err(FieldFault::LineEnd),
                // RFC 9110 §5.5: NUL and other control bytes are dangerous in a value.
                Some(_) => return Err(FieldFault::Value),
            }
        }
        let line = self.at;
        self.at += end + 2;
        let whole = end;
        while end > start && rest.get(end - 1).is_some_and(is_blank) {
            end -= 1;
        }
        let known = Known::of(rest.get(..name_end).unwrap_or_default());
        let is_line = end == whole && start == name_end + 2 && rest.get(name_end + 1) == Some(&b' ');
        Ok(Some(Line::Field { known, name: line..line + name_end, value: line + start..line + end, is_line }))
    }

    /// A line that has no colon behind a name, but `byte`.
    #[cold]
    fn no_field(&mut self, byte: Option<u8>, is_nameless: bool) -> Result<Option<Line>, FieldFault> {
        match byte {
            None => Ok(None),
            Some(b'\r') if is_nameless => Ok(self.line_end()?.map(|()| Line::End)),
            // RFC 9112 §5.2: a server either refuses obs-fold or replaces it. §2.2 says the same of
            // blanks between the first line and the first field.
            Some(b' ' | b'\t') if is_nameless => Err(FieldFault::Folded),
            Some(b'\n') => Err(FieldFault::LineEnd),
            // RFC 9112 §5.1: no blank may stand between the name and the colon.
            Some(_) => Err(FieldFault::Name),
        }
    }
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Whether a byte may stand in a token (RFC 9110 §5.6.2).
#[inline]
pub(super) fn is_token(byte: u8) -> bool {
    TOKEN[byte as usize]
}

/// How many bytes at the front may stand in a request-target: visible ones (RFC 3986 §2) but `#`,
/// which begins a fragment and is never sent (RFC 9110 §7.1).
#[inline]
pub(super) fn target_length(bytes: &[u8]) -> usize {
    front(bytes, |byte| !byte.is_ascii_graphic() | (byte == b'#'))
}

/// How many bytes at the front are no control bytes.
#[inline(always)]
fn clean_length(bytes: &[u8]) -> usize {
    front(bytes, |byte| byte.is_ascii_control())
}

/// How many bytes at the front are the name of a field, where a colon follows them.
#[inline(always)]
fn name_length(bytes: &[u8]) -> usize {
    // Nearly all names have letters, digits and `-`, which a block can tell from the rest.
    let plain = front(bytes, |byte| !byte.is_ascii_alphanumeric() & (byte != b'-'));
    if bytes.get(plain) == Some(&b':') { plain } else { token_length(bytes) }
}

/// How many bytes at the front are of a token.
#[inline(always)]
fn token_length(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !is_token(*byte)).unwrap_or(bytes.len())
}

/// The number of bytes before the first that `stops`, as NUL must. Sixteen are looked at together:
/// where `stops` has no branch the compiler makes one comparison of vectors of it.
#[inline(always)]
fn front(bytes: &[u8], stops: impl Fn(u8) -> bool) -> usize {
    let first = |block: [u8; BLOCK]| {
        let marks = block.map(|byte| if stops(byte) { 0xff } else { 0 });
        u128::from_le_bytes(marks).trailing_zeros() as usize / 8
    };
    let mut rest = bytes;
    while let Some((block, behind)) = rest.split_first_chunk() {
        let at = first(*block);
        if at < BLOCK {
            return bytes.len() - rest.len() + at;
        }
        rest = behind;
    }
    let mut padded = [0; BLOCK];
    padded[..rest.len()].copy_from_slice(rest);
    bytes.len() - rest.len() + first(padded)
}

const BLOCK: usize = 16;

static TOKEN: [bool; 256] = byte_set(b"!#$%&'*+-.^_`|~");

/// Letters, digits and these marks.
pub(super) const fn byte_set(marks: &[u8]) -> [bool; 256] {
    let mut set = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        set[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < marks.len() {
        set[marks[at] as usize] = true;
        at += 1;
    }
    set
}
