//! Bodies: which of the bytes that came are payload, and where the body ends (RFC 9112 §6.3, §7.1).

use super::cursor::{Cursor, FieldText, Line};
use super::fault::{BodyFault, FieldFault};
use super::framing::{Framing, refuse_lookalike};
use crate::head::{Fields, Known};

/// Digits of a chunk size, leading zeros included; fifteen cannot overflow (RFC 9112 §7.1).
const MAX_SIZE_DIGITS: u8 = 15;
/// Bytes of one chunk's extensions (RFC 9112 §7.1.1 asks for a limit).
const MAX_EXTENSION: u16 = 256;
/// Bytes of all extensions of a body: a body of small chunks is no channel of its own.
const MAX_EXTENSIONS: u32 = 8 * 1024;
/// Bytes of the trailer section.
const MAX_TRAILER_BYTES: usize = 8 * 1024;
/// Fields of the trailer section.
const MAX_TRAILER_FIELDS: usize = 32;

/// Follows one body through the bytes of its connection.
///
/// The caller shows what it has with [`advance`](Self::advance), drops `skip` bytes at the front,
/// forwards as much of the `data` behind them as it likes, and says how much by
/// [`consume`](Self::consume). What it kept back it shows again.
#[derive(Debug)]
pub struct BodyDecoder {
    state: State,
    /// Bytes of chunk extensions so far.
    extensions: u32,
    /// Made when a trailer field is met.
    trailers: Option<Box<Trailers>>,
}

/// What the front of an input is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Bytes of framing at the front. They are dealt with; the caller drops all of them.
    pub skip: usize,
    /// Bytes of payload behind them.
    pub data: usize,
    /// Whether nothing of the body follows `skip` and `data`. What does is the next message.
    pub done: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Payload with an end that is known: bytes left, never 0.
    Length(u64),
    UntilClose,
    /// In a chunk's size line.
    Size {
        size: u64,
        digits: u8,
    },
    Extension {
        size: u64,
        length: u16,
    },
    /// Before the LF of a size line.
    SizeLf {
        size: u64,
    },
    /// In a chunk's payload: bytes left, never 0.
    Chunk(u64),
    /// Before the CR, then the LF, behind a chunk's payload.
    ChunkCr,
    ChunkLf,
    Trailers,
    Done,
}

#[derive(Debug, Default)]
struct Trailers {
    /// The line that is not whole yet.
    line: Vec<u8>,
    bytes: usize,
    count: usize,
    fields: Fields,
}

impl BodyDecoder {
    /// A decoder before the first byte of a body.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size { size: 0, digits: 0 },
            Framing::UntilClose => State::UntilClose,
        };
        Self { state, extensions: 0, trailers: None }
    }

    /// Looks at what came and was not consumed yet. A run without data that is not done wants more
    /// bytes than there are.
    ///
    /// # Errors
    /// What is not the chunked coding, to the letter. The decoder is of no use afterwards.
    pub fn advance(&mut self, input: &[u8]) -> Result<Run, BodyFault> {
        let mut skip = 0;
        loop {
            let rest = input.get(skip..).unwrap_or_default();
            match self.state {
                State::Done => return Ok(Run { skip, data: 0, done: true }),
                State::UntilClose => return Ok(Run { skip, data: rest.len(), done: false }),
                State::Length(left) => {
                    let data = shorter(rest.len(), left);
                    return Ok(Run { skip, data, done: data as u64 == left });
                }
                State::Chunk(left) => return Ok(Run { skip, data: shorter(rest.len(), left), done: false }),
                State::Trailers => match self.read_trailer(rest)? {
                    Some(length) => skip += length,
                    None => return Ok(Run { skip: input.len(), data: 0, done: false }),
                },
                _ => match rest.first() {
                    None => return Ok(Run { skip, data: 0, done: false }),
                    Some(byte) => {
                        self.state = self.step(*byte)?;
                        skip += 1;
                    }
                },
            }
        }
    }

    /// Says that the caller took this many of the data bytes of the last [`advance`](Self::advance).
    pub fn consume(&mut self, data: usize) {
        match &mut self.state {
            State::Length(left) => {
                *left = left.saturating_sub(data as u64);
                if *left == 0 {
                    self.state = State::Done;
                }
            }
            State::Chunk(left) => {
                *left = left.saturating_sub(data as u64);
                if *left == 0 {
                    self.state = State::ChunkCr;
                }
            }
            _ => {}
        }
    }

    /// Whether the whole body was consumed.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.state == State::Done
    }

    /// Says that the connection ended.
    ///
    /// # Errors
    /// [`BodyFault::Truncated`] if the body had not (RFC 9112 §8).
    pub fn end_of_input(&mut self) -> Result<(), BodyFault> {
        match self.state {
            State::UntilClose | State::Done => {
                self.state = State::Done;
                Ok(())
            }
            _ => Err(BodyFault::Truncated),
        }
    }

    /// Takes the trailer fields that came and may be used (RFC 9110 §6.5.1): those that frame,
    /// route, authenticate, control or describe the message count in its head only.
    #[must_use]
    pub fn trailers(&mut self) -> Fields {
        self.trailers.take().map_or_else(Fields::default, |trailers| trailers.fields)
    }

    /// Payload bytes to come, where the framing tells.
    #[must_use]
    pub fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            State::Done => Some(0),
            _ => None,
        }
    }

    /// Takes one byte of chunk framing (RFC 9112 §7.1). Only CRLF ends a line here, and no blank may
    /// stand behind the size: other readers take such bytes in different ways.
    fn step(&mut self, byte: u8) -> Result<State, BodyFault> {
        Ok(match (self.state, byte) {
            (State::Size { size, digits }, _) if byte.is_ascii_hexdigit() && digits < MAX_SIZE_DIGITS => {
                State::Size { size: size << 4 | hex_value(byte), digits: digits + 1 }
            }
            (State::Size { size, digits: 1.. }, b'\r') | (State::Extension { size, .. }, b'\r') => {
                State::SizeLf { size }
            }
            (State::Size { size, digits: 1.. }, b';') => State::Extension { size, length: 0 },
            (State::Extension { size, length }, b'\t' | b' '..=b'~')
                if length < MAX_EXTENSION && self.extensions < MAX_EXTENSIONS =>
            {
                self.extensions += 1;
                State::Extension { size, length: length + 1 }
            }
            (State::SizeLf { size: 0 }, b'\n') => State::Trailers,
            (State::SizeLf { size }, b'\n') => State::Chunk(size),
            (State::ChunkCr, b'\r') => State::ChunkLf,
            (State::ChunkLf, b'\n') => State::Size { size: 0, digits: 0 },
            (State::Extension { .. }, _) => return Err(BodyFault::ChunkExtension),
            (State::ChunkCr | State::ChunkLf, _) => return Err(BodyFault::ChunkEnd),
            _ => return Err(BodyFault::ChunkSize),
        })
    }

    /// Takes one line of the trailer section and returns its length in `input`, `None` if it is not
    /// whole; then all of `input` was taken.
    fn read_trailer(&mut self, input: &[u8]) -> Result<Option<usize>, BodyFault> {
        if self.trailers.is_none() && input.starts_with(b"\r\n") {
            self.state = State::Done;
            return Ok(Some(2));
        }
        let trailers = self.trailers.get_or_insert_default();
        let end = memchr::memchr(b'\n', input);
        let piece = end.and_then(|end| input.get(..=end)).unwrap_or(input);
        trailers.bytes += piece.len();
        if trailers.bytes > MAX_TRAILER_BYTES {
            return Err(BodyFault::TrailersTooLarge);
        }
        trailers.line.extend_from_slice(piece);
        if end.is_none() {
            return Ok(None);
        }
        let mut cursor = Cursor::new(&trailers.line);
        match cursor.field_line()? {
            Some(Line::End) => self.state = State::Done,
            Some(Line::Field(FieldText { known, name, value, .. })) => {
                trailers.count += 1;
                if trailers.count > MAX_TRAILER_FIELDS {
                    return Err(BodyFault::TrailersTooLarge);
                }
                if may_trail(known, name) {
                    trailers.fields.push_known(known, name, value);
                }
            }
            None => return Err(FieldFault::LineEnd.into()),
        }
        trailers.line.clear();
        Ok(Some(piece.len()))
    }
}

fn shorter(length: usize, left: u64) -> usize {
    usize::try_from(left).map_or(length, |left| left.min(length))
}

fn hex_value(digit: u8) -> u64 {
    u64::from(match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    })
}

/// Whether a field may stand in a trailer section (RFC 9110 §6.5.1). Nearly every field that haechi
/// knows is one that it or a server acts upon.
#[must_use]
pub fn may_trail(known: Known, name: &[u8]) -> bool {
    const NOT: [&[u8]; 10] = [
        b"age",
        b"content-encoding",
        b"content-range",
        b"expires",
        b"pragma",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"vary",
        b"warning",
        b"www-authenticate",
    ];
    match known {
        Known::Date | Known::Etag | Known::LastModified => true,
        // A lookalike is what it looks like to servers that give all marks of a name one sign.
        Known::Other if Known::resembled_by(name) != Known::Other => false,
        Known::Other => refuse_lookalike(known, name).is_ok() && !NOT.iter().any(|not| name.eq_ignore_ascii_case(not)),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
