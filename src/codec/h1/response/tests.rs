use super::*;
use crate::codec::h1::{FieldFault, FramingFault};

const LIMITS: HeadLimits = HeadLimits { head: 300, fields: 6, target: 0 };

type Outcome = Result<Option<(Response, ResponseHead)>, ResponseFault>;

fn parse_piece(input: &[u8], request: Method) -> Outcome {
    let mut head = ResponseHead::default();
    Ok(parse_response(input, &LIMITS, request, &mut head)?.map(|response| (response, head)))
}

/// Parses the whole, and sees that no cut of it says anything else.
fn parse(input: &[u8], request: Method) -> Outcome {
    let length =
        |outcome: &Outcome| outcome.as_ref().map(|found| found.as_ref().map(|found| found.0)).map_err(|fault| *fault);
    let whole = parse_piece(input, request);
    for cut in 0..input.len() {
        let piece = length(&parse_piece(&input[..cut], request));
        let complete = matches!(&whole, Ok(Some((response, _))) if response.length <= cut);
        assert!(
            piece == length(&whole) || !complete && piece == Ok(None),
            "{:?} cut at {cut}: {piece:?}, whole: {whole:?}",
            String::from_utf8_lossy(input)
        );
    }
    whole
}

fn accept_for(request: Method, input: impl AsRef<[u8]>) -> (Response, ResponseHead) {
    match parse(input.as_ref(), request) {
        Ok(Some(accepted)) => accepted,
        other => panic!("{:?}: {other:?}", String::from_utf8_lossy(input.as_ref())),
    }
}

fn accept(input: impl AsRef<[u8]>) -> Response {
    accept_for(Method::Get, input).0
}

fn refuse(input: impl AsRef<[u8]>, fault: impl Into<ResponseFault>) {
    let found = parse(input.as_ref(), Method::Get).map(|found| found.map(|found| found.0));
    assert_eq!(found, Err(fault.into()), "{:?}", String::from_utf8_lossy(input.as_ref()));
}

#[test]
fn plain_response() {
    let input = "HTTP/1.1 200 Fine\tby me \u{fc}\r\nContent-Length: 3\r\nServer:  x \r\n\r\nabc";
    let (response, head) = accept_for(Method::Get, input);
    let expected = Response {
        length: input.len() - 3,
        framing: Framing::Length(3),
        persistent: true,
        keep_alive_timeout: None,
        interim: false,
    };
    assert_eq!(response, expected);
    assert_eq!((head.status, head.reason.as_slice()), (200, "Fine\tby me \u{fc}".as_bytes()));
    assert_eq!(head.fields.first(Known::Server), Some(&b"x"[..]));
}

#[test]
fn status_line_rfc9112_4() {
    for line in ["HTTP/1.1 200 OK", "HTTP/1.1 200 ", "HTTP/1.1 200", "HTTP/1.0 599 x", "HTTP/1.7 200 OK"] {
        accept(format!("{line}\r\n\r\n"));
    }
    for line in [
        "HTTP/1.1  200 OK",
        "HTTP/1.1\t200 OK",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 200\tOK",
        "HTTP/1.1 +20 OK",
        "HTTP/1.1 2x0 OK",
        "HTTP/1.1 200 O\0K",
        "HTTP/1.1 200 O\u{7f}K",
        "HTTP/1.1 200 O\u{1b}[1mK",
        "http/1.1 200 OK",
        "HTTP/11 200 OK",
        "\r\nHTTP/1.1 200 OK",
        "ICY 200 OK",
        "<html></html>",
    ] {
        refuse(format!("{line}\r\n\r\n"), ResponseFault::StatusLine);
    }
    for version in ["0.9", "2.0"] {
        refuse(format!("HTTP/{version} 200 OK\r\n\r\n"), ResponseFault::Version);
    }
    for status in ["000", "099", "600", "999"] {
        refuse(format!("HTTP/1.1 {status} x\r\n\r\n"), ResponseFault::Status);
    }
    refuse("HTTP/1.1 200 OK\n\r\n", FieldFault::LineEnd);
    refuse("HTTP/1.1 200 OK\rX: y\r\n\r\n", FieldFault::LineEnd);
}

#[test]
fn field_lines_rfc9112_5() {
    for (lines, fault) in [
        ("A : b\r\n", FieldFault::Name),
        (": b\r\n", FieldFault::Name),
        ("A\r\n", FieldFault::Name),
        (" A: b\r\n", FieldFault::Folded),
        ("A: b\r\n c\r\n", FieldFault::Folded),
        ("A: b\nC: d\r\n", FieldFault::LineEnd),
        ("A: b\rC: d\r\n", FieldFault::LineEnd),
        ("A: \0\r\n", FieldFault::Value),
    ] {
        refuse(format!("HTTP/1.1 200 OK\r\n{lines}\r\n"), fault);
    }
}

#[test]
fn lengths_rfc9112_6_3() {
    let framing = |lines: &str| accept(format!("HTTP/1.1 200 OK\r\n{lines}\r\n")).framing;
    assert_eq!(framing("Content-Length: 0\r\n"), Framing::Length(0));
    assert_eq!(framing("Transfer-Encoding: chunked\r\n"), Framing::Chunked);
    assert_eq!(framing(""), Framing::UntilClose);
    for (lines, fault) in [
        ("Content-Length: 5, 5\r\n", FramingFault::ContentLength),
        ("Content-Length: -5\r\n", FramingFault::ContentLength),
        ("Content-Length: \r\n", FramingFault::ContentLength),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", FramingFault::ContentLengthRepeated),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", FramingFault::ContentLengthRepeated),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", FramingFault::BothLengths),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", FramingFault::BothLengths),
        ("Transfer-Encoding: gzip, chunked\r\n", FramingFault::TransferCoding),
        ("Transfer-Encoding: identity\r\n", FramingFault::TransferCoding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", FramingFault::TransferEncodingRepeated),
        ("Transfer_Encoding: chunked\r\n", FramingFault::Lookalike),
    ] {
        for status in [200, 204, 304] {
            refuse(format!("HTTP/1.1 {status} x\r\n{lines}\r\n"), fault);
        }
    }
    refuse("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", FramingFault::TransferEncodingInHttp10);
}

#[test]
fn statuses_and_methods_without_a_body_rfc9112_6_3_item_1() {
    for lines in ["", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"] {
        for status in [100, 101, 103, 204, 304] {
            let response = accept(format!("HTTP/1.1 {status} x\r\n{lines}\r\n"));
            assert_eq!(response.framing, Framing::None, "{status} {lines}");
            let certain = status == 304 || lines.is_empty() && status != 101;
            assert_eq!(response.persistent, certain, "{status} {lines}");
        }
        let (response, _) = accept_for(Method::Head, format!("HTTP/1.1 200 OK\r\n{lines}\r\n"));
        assert_eq!((response.framing, response.persistent), (Framing::None, true));
    }
}

#[test]
fn interim_responses_rfc9110_15_2() {
    for (status, interim) in [(100, true), (101, false), (102, true), (103, true), (199, true), (200, false)] {
        assert_eq!(accept(format!("HTTP/1.1 {status} x\r\n\r\n")).interim, interim, "{status}");
    }
}

#[test]
fn persistence_rfc9112_9_3() {
    for (version, lines, persistent) in [
        ("1.1", "Content-Length: 0\r\n", true),
        ("1.1", "Content-Length: 0\r\nConnection: close\r\n", false),
        ("1.1", "", false),
        ("1.0", "Content-Length: 0\r\n", false),
        ("1.0", "Content-Length: 0\r\nConnection: keep-alive\r\n", true),
        ("1.0", "Connection: keep-alive\r\n", false),
    ] {
        let response = accept(format!("HTTP/{version} 200 OK\r\n{lines}\r\n"));
        assert_eq!(response.persistent, persistent, "HTTP/{version} {lines:?}");
    }
}

#[test]
fn keep_alive_timeout_is_read() {
    for (value, seconds) in [
        ("timeout=5", Some(5)),
        ("max=100, Timeout=20", Some(20)),
        ("timeout=99999999", Some(86_400)),
        ("timeout=", None),
        ("timeout=-1", None),
        ("max=100", None),
        ("", None),
    ] {
        let response = accept(format!("HTTP/1.1 200 OK\r\nKeep-Alive: {value}\r\n\r\n"));
        assert_eq!(response.keep_alive_timeout, seconds.map(Duration::from_secs), "{value}");
    }
}

#[test]
fn limits_hold_to_the_byte() {
    let padded = |bytes: usize| {
        let frame = "HTTP/1.1 200 OK\r\nX: \r\n\r\n".len();
        format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(bytes - frame))
    };
    accept(padded(LIMITS.head));
    refuse(padded(LIMITS.head + 1), ResponseFault::HeadTooLarge);
    refuse(format!("HTTP/1.1 200 {}", "x".repeat(LIMITS.head)), ResponseFault::HeadTooLarge);
    accept(format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(LIMITS.fields)));
    refuse(format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(LIMITS.fields + 1)), ResponseFault::TooManyFields);
}
