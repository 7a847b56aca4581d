//! Response heads (RFC 9112 §4, §5, §6).

use std::time::Duration;

use super::HeadLimits;
use super::cursor::Cursor;
use super::fault::ResponseFault;
use super::framing::{Framing, Lengths, Options, decimal, list, refuse_lookalike};
use crate::head::{Known, Method, ResponseHead, Version};

/// What a response head says besides its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response {
    /// Bytes of the head in the input.
    pub length: usize,
    /// Where the body ends.
    pub framing: Framing,
    /// Whether the server lets the connection live on (RFC 9112 §9.3), and the end of this response
    /// is beyond doubt.
    pub persistent: bool,
    /// How long the server says it keeps an idle connection: `Keep-Alive: timeout=N`.
    pub keep_alive_timeout: Option<Duration>,
    /// Whether another response to the same request follows: 1xx (RFC 9110 §15.2) but 101, behind
    /// which another protocol is spoken.
    pub interim: bool,
}

/// Reads a response head at the front of `input` into `head`; `request` is the method that it
/// answers. `Ok(None)`: more bytes are needed.
///
/// `head` may hold anything unless the answer is `Ok(Some(_))`. Fields of a length stay in it even
/// where the status forbids a body.
///
/// # Errors
/// What is not a response, or could be read in two ways; see [`ResponseFault`].
pub fn parse_response(
    input: &[u8],
    limits: &HeadLimits,
    request: Method,
    head: &mut ResponseHead,
) -> Result<Option<Response>, ResponseFault> {
    let window = input.get(..limits.head).unwrap_or(input);
    head.clear();
    let response = read(window, limits, request, head)?;
    if response.is_none() && input.len() >= limits.head {
        return Err(ResponseFault::HeadTooLarge);
    }
    Ok(response)
}

#[inline(never)]
fn read(
    window: &[u8],
    limits: &HeadLimits,
    request: Method,
    head: &mut ResponseHead,
) -> Result<Option<Response>, ResponseFault> {
    let mut cursor = Cursor::new(window);
    if read_status_line(&mut cursor, head)?.is_none() {
        return Ok(None);
    }

    let (mut lengths, mut options) = (Lengths::default(), Options::default());
    let mut keep_alive_timeout = None;
    let version = head.version;
    let section = cursor.field_section(&mut head.fields, |before, field| {
        if before == limits.fields {
            return Err(ResponseFault::TooManyFields);
        }
        let text = field.value;
        match field.known {
            Known::ContentLength => lengths.content_length(text)?,
            Known::TransferEncoding => lengths.transfer_encoding(version, text)?,
            Known::Connection => options.read(text),
            Known::KeepAlive => keep_alive_timeout = keep_alive_timeout.or_else(|| read_keep_alive(text)),
            known => refuse_lookalike(known, field.name)?,
        }
        Ok(())
    })?;
    if section.is_none() {
        return Ok(None);
    }

    let framing = match head.status {
        // RFC 9112 §6.3 item 1: these have no body, whatever the fields say.
        100..=199 | 204 | 304 => Framing::None,
        _ if request == Method::Head => Framing::None,
        // Item 8: with no length said, the end of the connection is the end of the body.
        _ => lengths.framing(Framing::UntilClose),
    };
    let certain = match head.status {
        // What follows is another protocol.
        101 => false,
        // RFC 9110 §8.6, RFC 9112 §6.1: no length may stand here. A server that says one may well
        // send the bytes too, and they would be read as the next response.
        100..=199 | 204 => !lengths.said(),
        _ => framing != Framing::UntilClose,
    };
    Ok(Some(Response {
        length: cursor.at(),
        framing,
        persistent: certain && options.persistent(head.version),
        keep_alive_timeout,
        interim: matches!(head.status, 100..=199) && head.status != 101,
    }))
}

/// `HTTP-version SP status-code SP [reason-phrase] CRLF` (RFC 9112 §4).
fn read_status_line(cursor: &mut Cursor<'_>, head: &mut ResponseHead) -> Result<Option<()>, ResponseFault> {
    let Some(version) = cursor.rest().first_chunk::<9>() else { return Ok(None) };
    head.version = match version {
        b"HTTP/1.1 " => Version::Http11,
        b"HTTP/1.0 " => Version::Http10,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor, b' ']
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            // RFC 9110 §2.5: a higher minor version is read as the highest known of its major one.
            if *major != b'1' {
                return Err(ResponseFault::Version);
            }
            Version::Http11
        }
        _ => return Err(ResponseFault::StatusLine),
    };
    cursor.skip(9);
    let Some(code) = cursor.rest().first_chunk::<3>() else { return Ok(None) };
    let status = decimal(code).ok_or(ResponseFault::StatusLine)?;
    // RFC 9110 §15: what is outside 100 to 599 is invalid.
    head.status = u16::try_from(status).ok().filter(|code| (100..600).contains(code)).ok_or(ResponseFault::Status)?;
    cursor.skip(3);
    match cursor.peek() {
        None => return Ok(None),
        Some(b' ') => {
            cursor.skip(1);
            let Some(reason) = cursor.text() else { return Ok(None) };
            head.reason.extend_from_slice(reason);
        }
        // The SP before an empty reason is left out by many servers.
        Some(b'\r') => {}
        Some(_) => return Err(ResponseFault::StatusLine),
    }
    match cursor.peek() {
        Some(b'\r' | b'\n') => Ok(cursor.line_end()?),
        // RFC 9112 §4: HTAB, SP and visible bytes only.
        _ => Err(ResponseFault::StatusLine),
    }
}

/// The `timeout` parameter in seconds, capped at a day.
fn read_keep_alive(value: &[u8]) -> Option<Duration> {
    list(value).find_map(|parameter| {
        let (name, seconds) = parameter.split_at_checked(8)?;
        let seconds = decimal(seconds).filter(|_| name.eq_ignore_ascii_case(b"timeout="))?;
        Some(Duration::from_secs(seconds.min(86_400)))
    })
}

#[cfg(test)]
mod tests;
