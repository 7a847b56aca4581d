//! A place in a head that moves forward, and the classes of bytes it moves over.

use super::fault::FieldFault;
use crate::head::words::{below, equal, every, is_plain, unmarked};
use crate::head::{Fields, Known};

/// A place in a head. Every step returns `None`, and stays where it is or inside its piece, when the
/// bytes end too early.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    rest: &'a [u8],
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
    /// Blanks between the colon and the value.
    blanks: usize,
    /// Whether the line is as we would write it.
    is_line: bool,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, rest: bytes }
    }

    /// How many bytes lie behind.
    pub(super) fn at(&self) -> usize {
        self.bytes.len() - self.rest.len()
    }

    /// What lies ahead.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next byte.
    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Moves over `count` bytes.
    pub(super) fn skip(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }

    /// Moves over `count` bytes, or to the end where there are fewer, and returns them.
    #[inline]
    pub(super) fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at_checked(count).unwrap_or((self.rest, &[]));
        self.rest = rest;
        taken
    }

    /// Moves over the bytes of a token and returns them.
    #[inline]
    pub(super) fn token(&mut self) -> &'a [u8] {
        self.take(token_length(self.rest))
    }

    /// Moves over CRLF.
    #[inline(always)]
    pub(super) fn line_end(&mut self) -> Result<Option<()>, FieldFault> {
        match self.rest {
            [b'\r', b'\n', rest @ ..] => {
                self.rest = rest;
                Ok(Some(()))
            }
            [] | [b'\r'] => Ok(None),
            // RFC 9112 §2.2: LF alone may be taken for a line end, and a bare CR must never be.
            // Others read such lines in other ways, so both are refused.
            _ => Err(FieldFault::LineEnd),
        }
    }

    /// Moves over text of a value or reason phrase to the control byte that ends it, and returns it.
    #[inline(always)]
    pub(super) fn text(&mut self) -> Option<&'a [u8]> {
        let text = self.take(text_length(self.rest));
        (!self.rest.is_empty()).then_some(text)
    }

    /// Moves over a field section (RFC 9112 §5) and puts it into `fields`, which are empty. Each field is
    /// shown to `take` before, with the number of those before it.
    #[inline(always)]
    pub(super) fn field_section<F: From<FieldFault>>(
        &mut self,
        fields: &mut Fields,
        mut take: impl FnMut(usize, &FieldText<'a>) -> Result<(), F>,
    ) -> Result<Option<()>, F> {
        let section = self.rest;
        loop {
            let name_at = section.len() - self.rest.len();
            let field = match self.field_line()? {
                None => return Ok(None),
                Some(Line::End) => break,
                Some(Line::Field(field)) => field,
            };
            take(fields.len(), &field)?;
            let name_end = name_at + field.name.len();
            let value_at = name_end + 1 + field.blanks;
            let value_end = value_at + field.value.len();
            fields.push_range(field.known, name_at..name_end, value_at..value_end, field.is_line);
        }
        fields.fill(section.get(..section.len() - self.rest.len()).unwrap_or_default());
        Ok(Some(()))
    }

    /// Moves over one line of a field section.
    #[inline(always)]
    pub(super) fn field_line(&mut self) -> Result<Option<Line<'a>>, FieldFault> {
        if let [b'\r', ..] = self.rest {
            return Ok(self.line_end()?.map(|()| Line::End));
        }
        let Some((name, [_, behind @ ..])) = self.rest.split_at_checked(colon(self.rest)) else {
            return no_field(self.rest);
        };
        let known = Known::of(name);
        // A name that is known is a token.
        if known == Known::Other && !is_token(name) {
            return no_field(self.rest);
        }
        let Some((text, rest)) = behind.split_at_checked(text_length(behind)) else { return Ok(None) };
        let [b'\r', b'\n', rest @ ..] = rest else { return no_line_end(rest) };
        self.rest = rest;
        let mut value = text;
        while let [b' ' | b'\t', behind @ ..] = value {
            value = behind;
        }
        let blanks = text.len() - value.len();
        while let [front @ .., b' ' | b'\t'] = value {
            value = front;
        }
        let is_line = value.len() + 1 == text.len() && text.starts_with(b" ");
        Ok(Some(Line::Field(FieldText { known, name, blanks, value, is_line })))
    }
}

/// What a line is that has no colon behind a name.
#[cold]
fn no_field<'a>(line: &[u8]) -> Result<Option<Line<'a>>, FieldFault> {
    let name_end = token_length(line);
    match line.get(name_end) {
        None => Ok(None),
        // RFC 9112 §5.2: a server either refuses obs-fold or replaces it. §2.2 says the same of
        // blanks between the first line and the first field.
        Some(b' ' | b'\t') if name_end == 0 => Err(FieldFault::Folded),
        Some(b'\n') => Err(FieldFault::LineEnd),
        // RFC 9112 §5.1: no blank may stand between the name and the colon.
        Some(_) => Err(FieldFault::Name),
    }
}

/// What stands behind a value where no line end does.
#[cold]
fn no_line_end<'a>(rest: &[u8]) -> Result<Option<Line<'a>>, FieldFault> {
    match rest {
        [] | [b'\r'] => Ok(None),
        [b'\r' | b'\n', ..] => Err(FieldFault::LineEnd),
        // RFC 9110 §5.5: NUL and other control bytes are dangerous in a value.
        _ => Err(FieldFault::Value),
    }
}

/// Whether these bytes are one (RFC 9110 §5.6.2).
#[inline]
fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && (is_plain(bytes) || token_length(bytes) == bytes.len())
}

/// How many bytes at the front may stand in a request-target: visible ones (RFC 3986 §2) but `#`,
/// which begins a fragment and is never sent (RFC 9110 §7.1).
#[inline]
pub(super) fn target_length(bytes: &[u8]) -> usize {
    let is_foreign = |byte: u8| !byte.is_ascii_graphic() || byte == b'#';
    let foreign = |word| below(word, b'!') | equal(word, b'#') | equal(word, 0x7f) | word & every(0x80);
    unmarked(bytes, foreign, is_foreign)
}

/// How many bytes at the front may stand in a value: no control bytes but HTAB (RFC 9110 §5.5). Sixteen
/// are looked at together: as `stops` has no branch the compiler makes comparisons of vectors of it.
#[inline(always)]
fn text_length(bytes: &[u8]) -> usize {
    let stops = |byte: u8| byte.is_ascii_control() & (byte != b'\t');
    let mut rest = bytes;
    while let Some((block, behind)) = rest.split_first_chunk::<16>() {
        let marks = u128::from_le_bytes(block.map(|byte| if stops(byte) { 0xff } else { 0 }));
        if marks != 0 {
            return bytes.len() - rest.len() + marks.trailing_zeros() as usize / 8;
        }
        rest = behind;
    }
    let last = rest.iter().position(|byte| stops(*byte)).unwrap_or(rest.len());
    bytes.len() - rest.len() + last
}

/// How many bytes stand before the first colon.
#[inline(always)]
fn colon(bytes: &[u8]) -> usize {
    unmarked(bytes, |word| equal(word, b':'), |byte| byte == b':')
}

/// How many bytes at the front are of a token.
#[inline]
fn token_length(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !TOKEN[usize::from(*byte)]).unwrap_or(bytes.len())
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
