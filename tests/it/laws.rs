//! What holds for any bytes that a reader of haechi is given. Each function panics where a law is
//! broken; the tests here and the fuzz targets call the same ones.

use haechi::codec::h1::{
    BodyDecoder, BodyFault, CHUNK_END, Framing, HeadLimits, end_head, parse_request, parse_response, write_chunk_size,
    write_last_chunk, write_line, write_request_line, write_status_line,
};
use haechi::config as written;
use haechi::diagnostic::SourceFile;
use haechi::handler::static_files::range::{MAX_RANGES, Selection, select};
use haechi::head::{Fields, Method, RequestHead, ResponseHead, Version};

const LIMITS: HeadLimits = HeadLimits { head: 4096, fields: 64, target: 1024 };

/// A request that is taken is one for httparse too, in the same words; a piece of it says nothing
/// else; and what we would send on is read back as what we understood.
pub fn request(input: &[u8]) {
    let mut head = RequestHead::default();
    let whole = parse_request(input, &LIMITS, &mut head);
    for cut in cuts(input.len()) {
        let piece = parse_request(&input[..cut], &LIMITS, &mut RequestHead::default());
        let complete = matches!(whole, Ok(Some(request)) if request.length <= cut);
        assert!(piece == whole || !complete && piece == Ok(None), "cut at {cut}: {piece:?}, whole: {whole:?}");
    }
    let Ok(Some(found)) = whole else { return };
    assert!(found.length <= input.len().min(LIMITS.head));
    assert_ne!(found.framing, Framing::UntilClose);

    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut other = httparse::Request::new(&mut headers);
    match other.parse(&input[..found.length]) {
        Ok(status) => {
            assert_eq!(status, httparse::Status::Complete(found.length));
            assert_eq!(other.method.map(str::as_bytes), Some(head.method_name()));
            let target = other.path.unwrap_or_default().as_bytes();
            if target.starts_with(b"/") {
                assert_eq!(target, head.target);
                assert_same_fields(other.headers, &head.fields);
            } else {
                assert!(head.target == b"*" || target.ends_with(head.target.strip_prefix(b"/").unwrap()));
            }
        }
        // Of the minor versions it knows 0 and 1.
        Err(fault) => assert_eq!((fault, head.version), (httparse::Error::Version, Version::Http11)),
    }

    if head.version == Version::Http11 {
        let mut sent = Vec::new();
        write_request_line(&mut sent, head.method_name(), &head.target);
        write_fields(&mut sent, &head.fields);
        let mut again = RequestHead::default();
        let roomy = HeadLimits { head: 2 * LIMITS.head, ..LIMITS };
        let read = parse_request(&sent, &roomy, &mut again).unwrap().unwrap();
        assert_eq!(read.length, sent.len());
        assert_eq!((read.framing, read.persistent), (found.framing, found.persistent));
        assert_eq!((read.expects_continue, read.upgrade), (found.expects_continue, found.upgrade));
        assert_eq!((again.method_name(), &again.target), (head.method_name(), &head.target));
        assert!(pairs(&again.fields).eq(pairs(&head.fields)));
        assert_lines(&head.fields);
    }
}

/// The same laws for a response.
pub fn response(input: &[u8]) {
    for method in [Method::Get, Method::Head] {
        response_to(method, input);
    }
}

fn response_to(method: Method, input: &[u8]) {
    let mut head = ResponseHead::default();
    let whole = parse_response(input, &LIMITS, method, &mut head);
    for cut in cuts(input.len()) {
        let piece = parse_response(&input[..cut], &LIMITS, method, &mut ResponseHead::default());
        let complete = matches!(whole, Ok(Some(response)) if response.length <= cut);
        assert!(piece == whole || !complete && piece == Ok(None), "cut at {cut}: {piece:?}, whole: {whole:?}");
    }
    let Ok(Some(found)) = whole else { return };
    assert!(found.length <= input.len().min(LIMITS.head));
    assert!(!found.persistent || found.framing != Framing::UntilClose);

    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut other = httparse::Response::new(&mut headers);
    match other.parse(&input[..found.length]) {
        Ok(status) => {
            assert_eq!(status, httparse::Status::Complete(found.length));
            assert_eq!(other.code, Some(head.status));
            assert_same_fields(other.headers, &head.fields);
        }
        Err(fault) => assert_eq!((fault, head.version), (httparse::Error::Version, Version::Http11)),
    }

    if head.version == Version::Http11 {
        let mut sent = Vec::new();
        write_status_line(&mut sent, head.status, &head.reason);
        write_fields(&mut sent, &head.fields);
        let mut again = ResponseHead::default();
        let roomy = HeadLimits { head: 2 * LIMITS.head, ..LIMITS };
        let read = parse_response(&sent, &roomy, method, &mut again).unwrap().unwrap();
        assert_eq!(read.length, sent.len());
        assert_eq!((read.framing, read.persistent, read.interim), (found.framing, found.persistent, found.interim));
        assert_eq!(again.status, head.status);
        assert!(pairs(&again.fields).eq(pairs(&head.fields)));
        assert_lines(&head.fields);
    }
}

/// A chunked body is the same however it is split, and what we send on is read back as the same
/// payload and trailers.
pub fn chunked(input: &[u8]) {
    let whole = decode(input, input.len().max(1));
    for step in [1, 2, 3, 7] {
        assert_eq!(decode(input, step), whole, "in steps of {step}");
    }
    let Body { payload, end: Ok(length), trailers } = whole else { return };
    assert!(length <= input.len());

    let mut sent = Vec::new();
    for chunk in payload.chunks(10) {
        write_chunk_size(&mut sent, chunk.len());
        sent.extend_from_slice(chunk);
        sent.extend_from_slice(CHUNK_END);
    }
    let mut fields = Fields::default();
    for (name, value) in &trailers {
        fields.push(name, value);
    }
    write_last_chunk(&mut sent, &fields);
    assert_eq!(decode(&sent, sent.len()), Body { payload, end: Ok(sent.len()), trailers });
}

/// Whatever a Range field says, the parts lie within the file, are few, and share no byte. The first
/// eight bytes are the file's length.
pub fn range(input: &[u8]) {
    let Some((length, text)) = input.split_first_chunk() else { return };
    let length = u64::from_le_bytes(*length);
    for value in [text.to_vec(), [b"bytes=", text].concat()] {
        if let Selection::Parts(mut parts) = select(&value, length) {
            assert!(!parts.is_empty() && parts.len() <= MAX_RANGES);
            assert!(parts.iter().all(|part| part.start < part.end && part.end <= length));
            parts.sort_by_key(|part| part.start);
            assert!(parts.is_sorted_by(|one, two| one.end <= two.start));
        }
    }
}

/// Any text is a config, whose defaults can be written out and read again, or has faults that can be
/// printed.
pub fn config(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    match written::parse(vec![SourceFile::new("haechi.toml", text)]) {
        Ok(config) => {
            let text = config.to_toml_with_defaults();
            let again = written::parse(vec![SourceFile::new("haechi.toml", &text)]);
            let again = again.unwrap_or_else(|faults| panic!("{faults}\nin {text}"));
            assert_eq!(again.to_toml_with_defaults(), text);
        }
        Err(faults) => assert!(!faults.to_string().is_empty()),
    }
}

#[derive(Debug, PartialEq)]
struct Body {
    payload: Vec<u8>,
    /// Bytes that the body took on the wire.
    end: Result<usize, BodyFault>,
    trailers: Vec<(Vec<u8>, Vec<u8>)>,
}

fn decode(input: &[u8], step: usize) -> Body {
    let mut decoder = BodyDecoder::new(Framing::Chunked);
    let (mut at, mut shown, mut payload) = (0, 0, Vec::new());
    let end = loop {
        let run = match decoder.advance(&input[at..shown]) {
            Ok(run) => run,
            Err(fault) => break Err(fault),
        };
        let data = at + run.skip..at + run.skip + run.data;
        at = data.end;
        payload.extend_from_slice(&input[data]);
        decoder.consume(run.data);
        if run.done {
            break Ok(at);
        }
        if run.data == 0 {
            assert_eq!(at, shown, "a decoder that wants more leaves nothing");
            if shown == input.len() {
                break decoder.end_of_input().map(|()| at);
            }
            shown = (shown + step).min(input.len());
        }
    };
    let trailers = decoder.trailers().iter().map(|field| (field.name.to_vec(), field.value.to_vec())).collect();
    Body { payload, end, trailers }
}

/// Every place in short inputs, some in long ones.
fn cuts(length: usize) -> impl Iterator<Item = usize> {
    (0..length).step_by(length / 256 + 1)
}

fn write_fields(out: &mut Vec<u8>, fields: &Fields) {
    for field in fields.iter() {
        write_line(out, field);
    }
    end_head(out);
}

/// A line that is copied whole says what its parts say.
fn assert_lines(fields: &Fields) {
    for field in fields.iter().filter(|field| !field.line.is_empty()) {
        assert_eq!(field.line, [field.name, b": ", field.value, b"\r\n"].concat());
    }
}

fn pairs(fields: &Fields) -> impl Iterator<Item = (&[u8], &[u8])> {
    fields.iter().map(|field| (field.name, field.value))
}

fn assert_same_fields(theirs: &[httparse::Header<'_>], ours: &Fields) {
    let theirs: Vec<_> = theirs.iter().map(|field| (field.name.as_bytes(), field.value)).collect();
    let ours: Vec<_> = pairs(ours).collect();
    assert_eq!(theirs, ours);
}
