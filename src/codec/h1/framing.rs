//! How a body is delimited: what the framing fields of either side say (RFC 9112 §6).

use super::fault::FramingFault;
use crate::head::{Known, Version};

/// How the end of a body is found (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// The body has this many bytes. 0 was said in so many words, unlike `None`.
    Length(u64),
    /// The body comes in chunks (RFC 9112 §7.1).
    Chunked,
    /// The body ends with the connection; responses only.
    UntilClose,
}

impl Framing {
    /// Whether no byte of a body can follow.
    #[must_use]
    pub fn is_empty(self) -> bool {
        matches!(self, Self::None | Self::Length(0))
    }
}

/// What the framing fields of one head have said so far.
#[derive(Debug, Default)]
pub(super) struct Lengths {
    length: Option<u64>,
    chunked: bool,
}

impl Lengths {
    /// Takes a Content-Length.
    pub(super) fn content_length(&mut self, value: &[u8]) -> Result<(), FramingFault> {
        // RFC 9112 §6.3 item 5 lets equal values pass. Nobody honest sends them.
        if self.length.is_some() {
            return Err(FramingFault::ContentLengthRepeated);
        }
        if self.chunked {
            return Err(FramingFault::BothLengths);
        }
        self.length = Some(decimal(value).ok_or(FramingFault::ContentLength)?);
        Ok(())
    }

    /// Takes a Transfer-Encoding.
    pub(super) fn transfer_encoding(&mut self, version: Version, value: &[u8]) -> Result<(), FramingFault> {
        // RFC 9112 §6.1: in HTTP/1.0 the framing of such a message is faulty.
        if version == Version::Http10 {
            return Err(FramingFault::TransferEncodingInHttp10);
        }
        if self.chunked {
            return Err(FramingFault::TransferEncodingRepeated);
        }
        // RFC 9112 §6.3 item 3: an attempt to smuggle, or a fault that looks like one.
        if self.length.is_some() {
            return Err(FramingFault::BothLengths);
        }
        // RFC 9112 §7: names of codings have no case. No other coding was offered to anybody by TE.
        if !value.eq_ignore_ascii_case(b"chunked") {
            return Err(FramingFault::TransferCoding);
        }
        self.chunked = true;
        Ok(())
    }

    /// Whether any framing field was there.
    pub(super) fn said(&self) -> bool {
        self.chunked || self.length.is_some()
    }

    /// What they come to; `otherwise` where there was none.
    pub(super) fn framing(&self, otherwise: Framing) -> Framing {
        match self.length {
            _ if self.chunked => Framing::Chunked,
            Some(length) => Framing::Length(length),
            None => otherwise,
        }
    }
}

/// Refuses a name that is none of the framing fields but has their letters: `Content_Length` and
/// the like become the real ones behind gateways that map `_`, `.` or other marks to `-`.
#[inline]
pub(in crate::codec) fn refuse_lookalike(known: Known, name: &[u8]) -> Result<(), FramingFault> {
    let same = |letters: &[u8]| {
        name.iter().filter(|byte| byte.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase).eq(letters.iter().copied())
    };
    if known == Known::Other && name.len() >= 13 && (same(b"contentlength") || same(b"transferencoding")) {
        return Err(FramingFault::Lookalike);
    }
    Ok(())
}

/// What the Connection field says of this connection (RFC 9110 §7.6.1).
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
}

impl Options {
    /// Takes a Connection field's value.
    pub(super) fn read(&mut self, value: &[u8]) {
        for token in list(value) {
            match token.len() {
                5 if token.eq_ignore_ascii_case(b"close") => self.close = true,
                10 if token.eq_ignore_ascii_case(b"keep-alive") => self.keep_alive = true,
                7 if token.eq_ignore_ascii_case(b"upgrade") => self.upgrade = true,
                _ => {}
            }
        }
    }

    /// Whether the connection may serve another exchange (RFC 9112 §9.3).
    pub(super) fn persistent(&self, version: Version) -> bool {
        !self.close && (version != Version::Http10 || self.keep_alive)
    }
}

/// The elements of a comma-separated list, without empty ones (RFC 9110 §5.6.1.2).
pub(super) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// A number of digits only. RFC 9110 §8.6 wants protection from overflow; above 2^63 readers that
/// count with signed numbers would differ.
pub(super) fn decimal(value: &[u8]) -> Option<u64> {
    // No number of so many digits is too large.
    let (short, rest) = value.split_at(value.len().min(18));
    let mut number = 0;
    for byte in short {
        number = number * 10 + digit(*byte)?;
    }
    for byte in rest {
        number = number.checked_mul(10)?.checked_add(digit(*byte)?).filter(|number| i64::try_from(*number).is_ok())?;
    }
    (!value.is_empty()).then_some(number)
}

fn digit(byte: u8) -> Option<u64> {
    byte.is_ascii_digit().then(|| u64::from(byte - b'0'))
}
