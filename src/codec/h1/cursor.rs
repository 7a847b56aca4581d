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
    Field { known: Known, name: Range<usize>, value: Range<usize> },
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
        let length = rest.iter().position(|byte| !is_token(*byte)).unwrap_or(rest.len());
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
        let start = self.at;
        let name = self.token();
        let name_end = self.at;
        match self.peek() {
            None => return Ok(None),
            Some(b':') if !name.is_empty() => self.at += 1,
            Some(b'\r') if name.is_empty() => return Ok(self.line_end()?.map(|()| Line::End)),
            // RFC 9112 §5.2: a server either refuses obs-fold or replaces it. §2.2 says the same of
            // blanks between the first line and the first field.
            Some(b' ' | b'\t') if name.is_empty() => return Err(FieldFault::Folded),
            Some(b'\n') => return Err(FieldFault::LineEnd),
            // RFC 9112 §5.1: no blank may stand between the name and the colon.
            Some(_) => return Err(FieldFault::Name),
        }
        while let Some(b' ' | b'\t') = self.peek() {
            self.at += 1;
        }
        let Some(mut value) = self.text() else { return Ok(None) };
        match self.peek() {
            Some(b'\r' | b'\n') => {}
            // RFC 9110 §5.5: NUL and other control bytes are dangerous in a value.
            _ => return Err(FieldFault::Value),
        }
        if self.line_end()?.is_none() {
            return Ok(None);
        }
        while value.end > value.start && matches!(self.bytes.get(value.end - 1), Some(b' ' | b'\t')) {
            value.end -= 1;
        }
        Ok(Some(Line::Field { known: Known::of(name), name: start..name_end, value }))
    }
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
    front(
        bytes,
        |word| below(word, 0x21) | equal(word, 0x7f) | equal(word, b'#') | (word & HIGH),
        |byte| !byte.is_ascii_graphic() || byte == b'#',
    )
}

/// How many bytes at the front are no control bytes.
#[inline]
fn clean_length(bytes: &[u8]) -> usize {
    front(bytes, |word| below(word, 0x20) | equal(word, 0x7f), |byte| byte < 0x20 || byte == 0x7f)
}

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The number of bytes before the first that `stops`. Whole blocks are passed by one comparison of
/// vectors; then `stop_word` says the same of eight bytes at once, by the high bit of each, and may be
/// wrong above the first.
#[inline(always)]
fn front(bytes: &[u8], stop_word: impl Fn(u64) -> u64, stops: impl Fn(u8) -> bool) -> usize {
    let mut rest = bytes;
    while let Some((block, behind)) = rest.split_first_chunk::<16>() {
        if block.iter().fold(false, |hit, byte| hit | stops(*byte)) {
            break;
        }
        rest = behind;
    }
    while let Some((word, behind)) = rest.split_first_chunk::<8>() {
        let hit = stop_word(u64::from_le_bytes(*word));
        if hit != 0 {
            return bytes.len() - rest.len() + (hit.trailing_zeros() / 8) as usize;
        }
        rest = behind;
    }
    let tail = rest.iter().position(|byte| stops(*byte)).unwrap_or(rest.len());
    bytes.len() - rest.len() + tail
}

/// Marks the bytes of `word` below `limit`, which is at most 0x80. A borrow can mark a byte above
/// a marked one wrongly, never the lowest.
#[inline(always)]
fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(LOW * limit as u64) & !word & HIGH
}

/// Marks the bytes of `word` that equal `byte`, with the same licence as [`below`].
#[inline(always)]
fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ (LOW * byte as u64), 1)
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
