//! The formats of the access log: a record in, a line out.
//!
//! What a client sent can hold any byte. A line is always one line, printable and well formed:
//! JSON by RFC 8259, the combined format with nginx's escapes.

use std::time::{Duration, UNIX_EPOCH};

use super::access_record::{Record, TlsPart, UpstreamPart};
use super::stamp::{Stamp, digits};
use crate::net::{write_address, write_small};

/// Of each text this much is written: the default limit of a request-target.
const TEXT_MAX: usize = 8 << 10;

/// How a record is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line; a key that has no value is left out.
    Json,
    /// The combined format of Apache and nginx; what it has no place for is left out.
    Combined,
}

impl Format {
    /// Appends the record's line, its end included. `stamp` keeps the text of the current second
    /// between calls.
    pub fn write(self, out: &mut Vec<u8>, record: &Record<'_>, stamp: &mut Stamp) {
        let since = record.time.duration_since(UNIX_EPOCH).unwrap_or_default();
        stamp.set(since.as_secs());
        match self {
            Self::Json => json(out, record, stamp, since.subsec_millis()),
            Self::Combined => combined(out, record, stamp),
        }
    }
}

fn json(out: &mut Vec<u8>, record: &Record<'_>, stamp: &Stamp, millis: u32) {
    out.extend_from_slice(br#"{"time":""#);
    out.extend_from_slice(&stamp.rfc3339);
    out.push(b'.');
    digits(out, millis, 1_000);
    out.extend_from_slice(br#"Z","client":""#);
    write_address(out, record.client.ip());
    out.push(b'"');
    number(out, br#","client_port":"#, record.client.port().into());
    text(out, br#","mode":""#, record.mode.as_bytes());
    text(out, br#","listener":""#, record.listener.as_bytes());
    text(out, br#","site":""#, record.site.as_bytes());
    text(out, br#","request_id":""#, record.request_id);
    text(out, br#","method":""#, record.method);
    text(out, br#","host":""#, record.host);
    text(out, br#","target":""#, record.target);
    text(out, br#","version":""#, record.version.as_bytes());
    if record.mode.is_empty() {
        number(out, br#","status":"#, record.status.into());
    }
    number(out, br#","bytes_in":"#, record.bytes_in);
    number(out, br#","bytes_out":"#, record.bytes_out);
    seconds(out, br#","duration_seconds":"#, record.took);
    if let Some(part) = &record.upstream {
        upstream(out, part);
    }
    if let Some(part) = &record.tls {
        tls(out, part);
    }
    text(out, br#","referer":""#, record.referer);
    text(out, br#","user_agent":""#, record.user_agent);
    text(out, br#","error":""#, record.error.unwrap_or_default().as_bytes());
    out.extend_from_slice(b"}\n");
}

fn upstream(out: &mut Vec<u8>, part: &UpstreamPart<'_>) {
    text(out, br#","upstream":""#, part.upstream.as_bytes());
    text(out, br#","server":""#, part.server.as_bytes());
    number(out, br#","attempts":"#, part.attempts.into());
    if let Some(took) = part.connect {
        seconds(out, br#","connect_seconds":"#, took);
    }
    if let Some(took) = part.first_byte {
        seconds(out, br#","first_byte_seconds":"#, took);
    }
}

fn tls(out: &mut Vec<u8>, part: &TlsPart<'_>) {
    text(out, br#","tls_version":""#, part.version.as_bytes());
    text(out, br#","tls_cipher":""#, part.cipher.as_bytes());
    text(out, br#","tls_server_name":""#, part.sni.as_bytes());
    text(out, br#","client_subject":""#, part.client_subject.as_bytes());
}

fn combined(out: &mut Vec<u8>, record: &Record<'_>, stamp: &Stamp) {
    write_address(out, record.client.ip());
    out.extend_from_slice(b" - - [");
    out.extend_from_slice(&stamp.common);
    out.extend_from_slice(b"] \"");
    if let (Some(part), false) = (&record.upstream, record.mode.is_empty()) {
        // A session stands as its protocol and its server.
        escape_combined(out, &record.mode.as_bytes().to_ascii_uppercase());
        out.push(b' ');
        escape_combined(out, part.upstream.as_bytes());
        out.push(b'/');
        escape_combined(out, part.server.as_bytes());
    } else if record.method.is_empty() {
        out.push(b'-');
    } else {
        escape_combined(out, record.method);
        out.push(b' ');
        escape_combined(out, record.target);
        out.push(b' ');
        escape_combined(out, record.version.as_bytes());
    }
    out.extend_from_slice(b"\" ");
    digits(out, record.status.into(), 1_000);
    number(out, b" ", record.bytes_out);
    for value in [record.referer, record.user_agent] {
        out.extend_from_slice(b" \"");
        escape_combined(out, if value.is_empty() { b"-" } else { value });
        out.push(b'"');
    }
    out.push(b'\n');
}

/// A key and its text; nothing where the text is empty. `key` ends with the opening quote. Inlined, so
/// that a key is a store or two and no call.
#[inline(always)]
fn text(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    if value.is_empty() {
        return;
    }
    out.extend_from_slice(key);
    escape_json(out, value);
    out.push(b'"');
}

#[inline(always)]
fn number(out: &mut Vec<u8>, key: &[u8], value: u64) {
    out.extend_from_slice(key);
    match u8::try_from(value) {
        // Most numbers of a line: attempts, whole seconds, the body of a GET.
        Ok(small) => write_small(out, small),
        Err(_) => out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
    }
}

/// Seconds with six decimals.
fn seconds(out: &mut Vec<u8>, key: &[u8], took: Duration) {
    number(out, key, took.as_secs());
    out.push(b'.');
    digits(out, took.subsec_micros(), 1_000_000);
}

/// Text inside of a JSON string (RFC 8259 §7). Bytes that are not UTF-8 become U+FFFD; characters
/// that steer a terminal are escaped though JSON would let some of them pass.
fn escape_json(out: &mut Vec<u8>, text: &[u8]) {
    let text = text.get(..TEXT_MAX).unwrap_or(text);
    if is_plain(text) {
        out.extend_from_slice(text);
        return;
    }
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' => out.extend_from_slice(br#"\""#),
                '\\' => out.extend_from_slice(br"\\"),
                _ if character.is_control() => {
                    // Every control character is below U+00A0.
                    let code = u32::from(character) as u8;
                    out.extend_from_slice(br"\u00");
                    hex(out, code, b"0123456789abcdef");
                }
                _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

/// Text inside of quotes as nginx escapes it: `\xHH` for what is not printable ASCII, for quotes
/// and for backslashes.
fn escape_combined(out: &mut Vec<u8>, text: &[u8]) {
    let text = text.get(..TEXT_MAX).unwrap_or(text);
    if is_plain(text) {
        out.extend_from_slice(text);
        return;
    }
    for byte in text {
        if is_special(*byte) {
            out.extend_from_slice(br"\x");
            hex(out, *byte, b"0123456789ABCDEF");
        } else {
            out.push(*byte);
        }
    }
}

/// Whether no byte needs an escape. Pieces of a fixed length are looked at as one by the compiler's
/// vectors; the last piece may overlap the one before, so that no rest is left for a slow loop.
fn is_plain(text: &[u8]) -> bool {
    let found = if let Some(last) = text.last_chunk::<16>() {
        let (pieces, _) = text.as_chunks::<16>();
        pieces.iter().any(has_special) | has_special(last)
    } else if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        has_special(first) | has_special(last)
    } else {
        text.iter().any(|byte| is_special(*byte))
    };
    !found
}

fn has_special<const N: usize>(piece: &[u8; N]) -> bool {
    // No early end: that would be a branch for each byte.
    piece.iter().fold(false, |found, byte| found | is_special(*byte))
}

fn is_special(byte: u8) -> bool {
    !(b' '..=b'~').contains(&byte) | (byte == b'"') | (byte == b'\\')
}

fn hex(out: &mut Vec<u8>, byte: u8, figures: &[u8; 16]) {
    out.extend_from_slice(&[figures[usize::from(byte >> 4)], figures[usize::from(byte & 15)]]);
}

#[cfg(test)]
mod tests;
