//! The frame around everything: three bytes of length, one of sequence.

use std::borrow::Cow;

use super::Fault;

/// A payload of this length goes on in the next packet.
const FULL: usize = 0xff_ffff;

/// A whole packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// What it holds; put together where it came in several parts.
    pub payload: Cow<'a, [u8]>,
    /// The bytes that it took of the input.
    pub length: usize,
}

/// The packet at the start of `input`; `None`: it is not whole yet. One of 16 MiB and more is put together
/// from its parts. `sequence` is the number that is due, and moves with each packet read.
///
/// # Errors
/// [`Fault::Sequence`], and [`Fault::TooMuch`] as soon as a length says that it is larger than `most` bytes.
pub fn parse_packet<'a>(input: &'a [u8], sequence: &mut u8, most: usize) -> Result<Option<Packet<'a>>, Fault> {
    let mut due = *sequence;
    let mut whole = Cow::Borrowed(&[][..]);
    let mut rest = input;
    loop {
        let [a, b, c, found, after @ ..] = rest else { return Ok(None) };
        let length = usize::from(*a) | usize::from(*b) << 8 | usize::from(*c) << 16;
        if *found != due {
            return Err(Fault::Sequence { expected: due, found: *found });
        }
        if whole.len() + length > most {
            return Err(Fault::TooMuch(most));
        }
        let Some((payload, after)) = after.split_at_checked(length) else { return Ok(None) };
        due = due.wrapping_add(1);
        if whole.is_empty() {
            whole = Cow::Borrowed(payload);
        } else {
            whole.to_mut().extend_from_slice(payload);
        }
        rest = after;
        if length < FULL {
            *sequence = due;
            return Ok(Some(Packet { payload: whole, length: input.len() - rest.len() }));
        }
    }
}

/// Writes a payload as one packet, or as several where it is 16 MiB or more.
pub fn write_packet(out: &mut Vec<u8>, sequence: &mut u8, payload: &[u8]) {
    let mut rest = payload;
    loop {
        let (part, after) = rest.split_at(rest.len().min(FULL));
        let [a, b, c, ..] = part.len().to_le_bytes();
        out.extend_from_slice(&[a, b, c, *sequence]);
        out.extend_from_slice(part);
        *sequence = sequence.wrapping_add(1);
        rest = after;
        if part.len() < FULL {
            return;
        }
    }
}
