//! From a file that was found and a request's fields to status, fields and body. Pure.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::body::Piece;
use super::conditional::{self, Verdict};
use super::look::{Content, Entry, Representation};
use super::range::{self, Selection};
use super::{FileBody, FileRanges, Files, Request, multipart};
use crate::head::{Field, Fields, Known, Method};

/// What a root answers.
#[derive(Debug)]
pub struct Answer {
    /// 200, 204, 206, 304, 308, 405, 412 or 416.
    pub status: u16,
    /// The fields, without Content-Length: that is [`FileBody::length`] (204 has none).
    /// [`Files::reuse`] takes their memory back.
    pub fields: Fields,
    /// The body.
    pub body: FileBody,
}

impl Answer {
    /// What the request's fields make of a file.
    pub(super) fn of(files: &Files, entry: &Entry, request: &Request<'_>) -> Self {
        let found = entry.choose(request.fields);
        match conditional::evaluate(request.fields, &found.validators) {
            Verdict::Failed => return Self::empty(files, 412),
            Verdict::NotModified => return Self::not_modified(files, found),
            Verdict::Proceed => {}
        }
        match select(request, found) {
            Selection::Whole => Self::whole(files, found, request.method),
            Selection::Parts(spans) => Self::parts(files, found, &spans),
            Selection::Unsatisfiable => {
                let mut answer = Self::empty(files, 416);
                answer.fields.push("Content-Range", format!("bytes */{}", found.size));
                answer
            }
        }
    }

    /// The answer to OPTIONS, and to what files cannot do (RFC 9110 §15.5.6).
    pub(super) fn allow(files: &Files, status: u16) -> Self {
        let mut answer = Self::empty(files, status);
        answer.fields.push("Allow", "GET, HEAD, OPTIONS");
        answer
    }

    /// A redirect that keeps the method (RFC 9110 §15.4.9).
    pub(super) fn redirect(files: &Files, location: &str) -> Self {
        let mut answer = Self::empty(files, 308);
        answer.fields.push("Location", location);
        answer
    }

    /// A page that was made for this request.
    pub(super) fn page(files: &Files, page: Bytes, method: Method) -> Self {
        let mut fields = files.fields();
        fields.push("Content-Type", "text/html; charset=utf-8");
        let body = match method {
            Method::Head => FileBody::Empty { length: page.len() as u64 },
            _ => FileBody::Memory(page),
        };
        Self { status: 200, fields, body }
    }

    fn empty(files: &Files, status: u16) -> Self {
        Self { status, fields: files.fields(), body: FileBody::Empty { length: 0 } }
    }

    fn whole(files: &Files, found: &Representation, method: Method) -> Self {
        let body = match (method, &found.content) {
            (Method::Head, _) => FileBody::Empty { length: found.size },
            (_, Content::Memory(bytes)) => FileBody::Memory(bytes.clone()),
            (_, Content::Disk(file)) => {
                FileBody::File(FileRanges::new(Arc::clone(file), [Piece::Span(0..found.size)], files.disk().clone()))
            }
        };
        Self { status: 200, fields: whole_copy(files, found), body }
    }

    /// RFC 9110 §15.3.7: one span as it is, several in a multipart body.
    fn parts(files: &Files, found: &Representation, spans: &[Range<u64>]) -> Self {
        if let [span] = spans {
            let mut fields = whole_copy(files, found);
            fields.push("Content-Range", multipart::content_range(span, found.size));
            return Self { status: 206, fields, body: pieces(files, found, vec![Piece::Span(span.clone())]) };
        }
        let boundary = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        let mut fields = copy(files, found, |field| field.known != Known::ContentType);
        fields.push("Content-Type", format!("multipart/byteranges; boundary={boundary}"));
        let kind = found.fields.first(Known::ContentType).unwrap_or_default();
        let framed = multipart::frame(spans, kind, found.size, &boundary);
        Self { status: 206, fields, body: pieces(files, found, framed) }
    }

    /// RFC 9110 §15.4.5: what a cache needs to refresh what it holds.
    fn not_modified(files: &Files, found: &Representation) -> Self {
        let fields = copy(files, found, |field| {
            matches!(field.known, Known::CacheControl | Known::Etag | Known::LastModified) || field.name == b"Vary"
        });
        Self { status: 304, fields, body: FileBody::Empty { length: found.size } }
    }
}

/// RFC 9110 §14.2: ranges are defined for GET alone. A second Range field makes both doubtful.
fn select(request: &Request<'_>, found: &Representation) -> Selection {
    let mut values = request.fields.all(Known::Range);
    match (values.next(), values.next()) {
        (Some(value), None)
            if request.method == Method::Get && conditional::range_counts(request.fields, &found.validators) =>
        {
            range::select(value, found.size)
        }
        _ => Selection::Whole,
    }
}

/// The file's own fields.
fn whole_copy(files: &Files, found: &Representation) -> Fields {
    let mut fields = files.fields();
    fields.copy_from(&found.fields);
    fields
}

/// The file's own fields, as far as they are wanted.
fn copy(files: &Files, found: &Representation, wanted: impl Fn(&Field<'_>) -> bool) -> Fields {
    let mut fields = files.fields();
    for field in found.fields.iter().filter(wanted) {
        fields.push_known(field.known, field.name, field.value);
    }
    fields
}

/// A body of these pieces; what is in memory is put together there.
fn pieces(files: &Files, found: &Representation, pieces: Vec<Piece>) -> FileBody {
    let bytes = match &found.content {
        Content::Disk(file) => return FileBody::File(FileRanges::new(Arc::clone(file), pieces, files.disk().clone())),
        Content::Memory(bytes) => bytes,
    };
    let part = |span: &Range<u64>| bytes.get(span.start as usize..span.end as usize).unwrap_or_default();
    if let [Piece::Span(span)] = pieces.as_slice() {
        return FileBody::Memory(bytes.slice_ref(part(span)));
    }
    let mut body = BytesMut::new();
    for piece in &pieces {
        body.extend_from_slice(match piece {
            Piece::Text(text) => text,
            Piece::Span(span) => part(span),
        });
    }
    FileBody::Memory(body.freeze())
}
