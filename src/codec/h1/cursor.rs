//! A place in a head that moves forward, and the classes of bytes it moves over.

use std::ops::Range;

use super::fault::FieldFault;
use crate::head::words::{below, equal, every, is_plain, unmarked};
use crate::head::{Fields, Known};

/// A place in a head. Every step returns `None`, and stays where it is or inside its piece, when the
/// bytes end too early.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// One line of a field section.
pub(super) enum Line<'a> {
    /// A field.
    Field(FieldText<'a>),
    /// The empty line behind the last field.
    End,
}

/// A field where it stands.
pub(super) struct FieldText<'a> {
    pub(super) known: Known,
    pub(super) name: &'a [u8],
    /// Without blanks around it.
    pub(super) value: &'a [u8],
    /// Where in the cursor's bytes the name begins.
    name_at: usize,
    /// The same of the value.
    value_at: usize,
    /// Whether just one blank stood there, before the value.
    is_line: bool,
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

    /// Moves over a field section (RFC 9112 §5), whose text is the same as the cursor's, into `fields`,
    /// which are empty. Each field is shown to `take` before.
    #[inline(always)]
    pub(super) fn field_section<F: From<FieldFault>>(
        &mut self,
        fields: &mut Fields,
        mut take: impl FnMut(usize, &FieldText<'a>) -> Result<(), F>,
    ) -> Result<Option<()>, F> {
        loop {
            let field = match self.field_line()? {
                None => return Ok(None),
                Some(Line::End) => break,
                Some(Line::Field(field)) => field,
            };
            take(fields.len(), &field)?;
            let (name, value) =
                (field.name_at..field.name_at + field.name.len(), field.value_at..field.value_at + field.value.len());
            fields.push_range(field.known, name, value, field.is_line);
        }
        fields.fill(self.slice(0..self.at));
        Ok(Some(()))
    }

    /// Moves over one line of a field section.
    #[inline(always)]
    pub(super) fn field_line(&mut self) -> Result<Option<Line<'a>>, FieldFault> {
        let rest = self.rest();
        if let [b'\r', ..] = rest {
            return Ok(self.line_end()?.map(|()| Line::End));
        }
        let Some((name, [_, behind @ ..])) = rest.split_at_checked(colon(rest)) else { return self.no_field() };
        let known = Known::of(name);
        // A name that is known is a token.
        if known == Known::Other && !is_plain(name) && token_length(name) < name.len() || name.is_empty() {
            return self.no_field();
        }
        let blanks = behind.iter().position(|byte| !is_blank(byte)).unwrap_or(behind.len());
        let text = behind.get(blanks..).unwrap_or_default();
        let mut end = 0;
        loop {
            end += clean_length(text.get(end..).unwrap_or_default());
            match text.get(end..) {
                Some([b'\r', b'\n', ..]) => break,
                // RFC 9110 §5.5: HTAB is the one control byte inside a value.
                Some([b'\t', ..]) => end += 1,
                None | Some([] | [b'\r']) => return Ok(None),
                Some([b'\r' | b'\n', ..]) => return Err(FieldFault::LineEnd),
                // RFC 9110 §5.5: NUL and other control bytes are dangerous in a value.
                Some(_) => return Err(FieldFault::Value),
            }
        }
        let name_at = self.at;
        let value_at = name_at + name.len() + 1 + blanks;
        self.at = value_at + end + 2;
        let mut value = text.get(..end).unwrap_or_default();
        while let [front @ .., b' ' | b'\t'] = value {
            value = front;
        }
        let is_line = value.len() == end && blanks == 1 && behind.first() == Some(&b' ');
        Ok(Some(Line::Field(FieldText { known, name, value, name_at, value_at, is_line })))
    }

    /// A line that has no colon behind a name.
    #[cold]
    fn no_field(&mut self) -> Result<Option<Line<'a>>, FieldFault> {
        let rest = self.rest();
        let name_end = token_length(rest);
        match rest.get(name_end) {
            None => Ok(None),
            // RFC 9112 §5.2: a server either refuses obs-fold or replaces it. §2.2 says the same of
            // blanks between the first line and the first field.
            Some(b' ' | b'\t') if name_end == 0 => Err(FieldFault::Folded),
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
    let is_foreign = |byte: u8| !byte.is_ascii_graphic() || byte == b'#';
    let foreign = |word| below(word, b'!') | equal(word, b'#') | equal(word, 0x7f) | word & every(0x80);
    unmarked(bytes, foreign, is_foreign)
}

/// How many bytes at the front are no control bytes.
#[inline(always)]
fn clean_length(bytes: &[u8]) -> usize {
    unmarked(bytes, |word| below(word, b' ') | equal(word, 0x7f), |byte| byte.is_ascii_control())
}

/// How many bytes stand before the first colon.
#[inline(always)]
fn colon(bytes: &[u8]) -> usize {
    unmarked(bytes, |word| equal(word, b':'), |byte| byte == b':')
}

/// How many bytes at the front are of a token.
#[inline]
fn token_length(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !is_token(*byte)).unwrap_or(bytes.len())
}

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
