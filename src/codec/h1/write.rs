//! Heads and chunks as they go out: CRLF, one blank behind the colon, nothing passed through raw.
//!
//! What is written was parsed or made by us, so nothing is checked again here.

use crate::head::{Field, Fields};

/// Ends the data of a chunk (RFC 9112 §7.1).
pub const CHUNK_END: &[u8] = b"\r\n";

/// Begins a request head (RFC 9112 §3).
pub fn write_request_line(out: &mut Vec<u8>, method: &[u8], target: &[u8]) {
    out.reserve(method.len() + target.len() + 12);
    out.extend_from_slice(method);
    out.push(b' ');
    out.extend_from_slice(target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// Begins a response head (RFC 9112 §4). An empty reason stands for the usual one of this status.
pub fn write_status_line(out: &mut Vec<u8>, status: u16, reason: &[u8]) {
    if status == 200 && matches!(reason, b"" | b"OK") {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    let reason = if reason.is_empty() { usual_reason(status) } else { reason };
    out.reserve(reason.len() + 15);
    out.extend_from_slice(b"HTTP/1.1 ");
    let digit = |value: u16| b'0' + (value % 10) as u8;
    out.extend_from_slice(&[digit(status / 100), digit(status / 10), digit(status), b' ']);
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

/// Adds one field line (RFC 9112 §5).
#[inline]
pub fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Adds the length of a body (RFC 9112 §6.2).
pub fn write_length(out: &mut Vec<u8>, length: u64) {
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(b"Content-Length: ");
    out.extend_from_slice(digits.format(length).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Adds one field line that may be written somewhere already.
#[inline]
pub fn write_line(out: &mut Vec<u8>, field: Field<'_>) {
    if field.line.is_empty() {
        write_field(out, field.name, field.value);
    } else {
        out.extend_from_slice(field.line);
    }
}

/// Ends a head.
pub fn end_head(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// Begins a chunk of `length` bytes, which is not 0: that would be the last one (RFC 9112 §7.1).
pub fn write_chunk_size(out: &mut Vec<u8>, length: usize) {
    debug_assert!(length > 0);
    let digits = (usize::BITS - length.leading_zeros()).div_ceil(4);
    for place in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(length >> (4 * place)) & 15]);
    }
    out.extend_from_slice(b"\r\n");
}

/// Ends a chunked body (RFC 9112 §7.1.2).
pub fn write_last_chunk(out: &mut Vec<u8>, trailers: &Fields) {
    out.extend_from_slice(b"0\r\n");
    for field in trailers.iter() {
        write_field(out, field.name, field.value);
    }
    out.extend_from_slice(b"\r\n");
}

/// The phrase that RFC 9110 §15 and the registry give; empty for a status outside them.
fn usual_reason(status: u16) -> &'static [u8] {
    http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default().as_bytes()
}

#[cfg(test)]
mod tests;
