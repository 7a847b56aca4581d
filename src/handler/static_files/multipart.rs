//! Framing of several ranges in one body (RFC 9110 §14.6). Pure.

use std::ops::Range;

use bytes::Bytes;

use super::body::Piece;

/// The pieces of a multipart/byteranges body: each span behind its own small head, and the end.
pub(super) fn frame(spans: &[Range<u64>], content_type: &[u8], length: u64, boundary: &str) -> Vec<Piece> {
    let kind = String::from_utf8_lossy(content_type);
    let mut pieces = Vec::with_capacity(spans.len() * 2 + 1);
    let mut line_end = "";
    for span in spans {
        let range = content_range(span, length);
        let head = format!("{line_end}--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: {range}\r\n\r\n");
        pieces.push(Piece::Text(Bytes::from(head)));
        pieces.push(Piece::Span(span.clone()));
        line_end = "\r\n";
    }
    pieces.push(Piece::Text(Bytes::from(format!("\r\n--{boundary}--\r\n"))));
    pieces
}

/// The value of Content-Range for a span that is not empty (RFC 9110 §14.4).
pub(super) fn content_range(span: &Range<u64>, length: u64) -> String {
    format!("bytes {}-{}/{length}", span.start, span.end.saturating_sub(1))
}
