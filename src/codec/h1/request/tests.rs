use super::*;
use crate::codec::h1::FramingFault;

const LIMITS: HeadLimits = HeadLimits { head: 300, fields: 6, target: 40 };

type Outcome = Result<Option<(Request, String)>, RequestFault>;

fn parse_piece(input: &[u8]) -> Outcome {
    let mut head = RequestHead::default();
    let request = parse_request(input, &LIMITS, &mut head)?;
    Ok(request.map(|request| (request, show(&head))))
}

fn show(head: &RequestHead) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut shown = format!("{} {} {}", text(head.method_name()), text(&head.target), head.version.as_str());
    for field in head.fields.iter() {
        shown += &format!("|{}={}", text(field.name), text(field.value));
    }
    shown
}

/// Parses the whole, and sees that no cut of it says anything else.
fn parse(input: impl AsRef<[u8]>) -> Outcome {
    let input = input.as_ref();
    let whole = parse_piece(input);
    for cut in 0..input.len() {
        let piece = parse_piece(&input[..cut]);
        let complete = matches!(&whole, Ok(Some((request, _))) if request.length <= cut);
        assert!(
            piece == whole || !complete && piece == Ok(None),
            "{:?} cut at {cut}: {piece:?}, whole: {whole:?}",
            String::from_utf8_lossy(input)
        );
    }
    whole
}

fn accept(input: impl AsRef<[u8]>) -> (Request, String) {
    let input = input.as_ref();
    let text = String::from_utf8_lossy(input);
    match parse(input) {
        Ok(Some(accepted)) => accepted,
        other => panic!("{text:?}: {other:?}"),
    }
}

fn refuse(input: impl AsRef<[u8]>, fault: impl Into<RequestFault>) {
    let text = String::from_utf8_lossy(input.as_ref()).into_owned();
    assert_eq!(parse(input), Err(fault.into()), "{text:?}");
}

/// A request with these lines behind Host.
fn with(lines: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

#[test]
fn plain_request() {
    let input = "GET /a?b=c HTTP/1.1\r\nhOsT:example.com:80 \t\r\nX-Empty:\r\nX-Tab: \t a\tb \r\n\r\nGET";
    let (request, head) = accept(input);
    assert_eq!(head, "GET /a?b=c HTTP/1.1|hOsT=example.com:80|X-Empty=|X-Tab=a\tb");
    let expected = Request {
        length: input.len() - 3,
        framing: Framing::None,
        persistent: true,
        expects_continue: false,
        upgrade: false,
    };
    assert_eq!(request, expected);
}

#[test]
fn head_is_emptied_before_it_is_filled_again() {
    let mut head = RequestHead::default();
    for method in ["BREW", "GET"] {
        let input = format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
        parse_request(input.as_bytes(), &LIMITS, &mut head).unwrap().unwrap();
        assert_eq!(show(&head), format!("{method} / HTTP/1.1|Host=a"));
    }
    assert!(head.method_text.is_empty());
}

#[test]
fn values_may_hold_bytes_above_ascii_rfc9110_5_5() {
    let (_, head) = accept(with("X: gr\u{fc}n\r\n"));
    assert!(head.ends_with("X=gr\u{fc}n"));
}

#[test]
fn one_empty_line_before_the_request_is_skipped_rfc9112_2_2() {
    let input = "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(accept(input).0.length, input.len());
    refuse(format!("\r\n{input}"), RequestFault::RequestLine);
    refuse("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", RequestFault::RequestLine);
    refuse("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", FieldFault::LineEnd);
}

#[test]
fn request_line_has_three_parts_and_single_blanks_rfc9112_3() {
    for line in [
        " GET / HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET / HTTP/1.1x",
        "GET / HTTP/1.10",
        "GET / HTTP/01.1",
        "GET / http/1.1",
        "GET / HTTP/1,1",
        "GET / HTTP/a.1",
        "GET /",
        "GET / ",
        "GET",
        "G@T / HTTP/1.1",
        "G\0T / HTTP/1.1",
        ": / HTTP/1.1",
    ] {
        let found = parse(format!("{line}\r\nHost: a\r\n\r\n"));
        assert!(matches!(found, Err(RequestFault::RequestLine | RequestFault::Target)), "{line:?}: {found:?}");
    }
    refuse("GET / HTTP/1.1\nHost: a\r\n\r\n", FieldFault::LineEnd);
    refuse("GET / HTTP/1.1\rHost: a\r\n\r\n", FieldFault::LineEnd);
}

#[test]
fn methods() {
    assert_eq!(accept("brew-1 / HTTP/1.1\r\nHost: a\r\n\r\n").1, "brew-1 / HTTP/1.1|Host=a");
    refuse("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", RequestFault::Method);
    refuse("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", RequestFault::Method);
    refuse("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", RequestFault::Http2Preface);
}

#[test]
fn versions_rfc9110_2_5() {
    assert!(accept("GET / HTTP/1.0\r\n\r\n").1.ends_with("HTTP/1.0"));
    assert!(accept("GET / HTTP/1.9\r\nHost: a\r\n\r\n").1.starts_with("GET / HTTP/1.1"));
    for version in ["0.9", "2.0", "3.0", "9.9"] {
        refuse(format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n"), RequestFault::Version);
    }
}

#[test]
fn targets_rfc9112_3_2() {
    for (line, stored) in [
        ("GET /", "/"),
        ("GET //a", "//a"),
        ("GET /%zz|{}[]\"<>\\^`", "/%zz|{}[]\"<>\\^`"),
        ("OPTIONS *", "*"),
        ("OPTIONS /", "/"),
        ("GET http://a", "/"),
        ("GET http://a/", "/"),
        ("GET HTTPS://A/b?c", "/b?c"),
        ("GET http://a?b", "/?b"),
        ("OPTIONS http://a", "*"),
        ("OPTIONS http://a?b", "/?b"),
        ("OPTIONS http://a/", "/"),
    ] {
        let (_, head) = accept(format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(head.split(' ').nth(1), Some(stored), "{line}");
    }
    for line in [
        "GET *",
        "GET a",
        "GET a:80",
        "GET ?a",
        "GET *a",
        "OPTIONS **",
        "GET ftp://a/",
        "GET http:/a",
        "GET http://",
        "GET http:///b",
        "GET http://u@a/",
        "GET http://a:b/",
        "GET http://a:80:80/",
        "GET http://[::1/",
        "GET /a#b",
        "GET /a\u{7f}",
        "GET /a\0",
        "GET /a\tb",
        "GET /gr\u{fc}n",
    ] {
        refuse(format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n"), RequestFault::Target);
    }
}

#[test]
fn every_byte_of_a_target() {
    for byte in 0..=255_u8 {
        // Behind eight plain bytes and in front of none, so that words and tail are both met.
        for (before, behind) in [("/", ""), ("/2345678", "9"), ("/23456789abcdef", "ghijklmnop")] {
            let mut input = format!("GET {before}").into_bytes();
            input.push(byte);
            input.extend_from_slice(format!("{behind} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
            let legal = byte.is_ascii_graphic() && byte != b'#';
            assert_eq!(parse(&input).is_ok_and(|found| found.is_some()), legal, "{byte:#x} behind {before}");
        }
    }
}

#[test]
fn every_byte_of_a_name_rfc9110_5_6_2() {
    for byte in 0..=255_u8 {
        let input = [b"GET / HTTP/1.1\r\nHost: a\r\nX".as_slice(), &[byte], b"Y: z\r\n\r\n"].concat();
        let legal = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:".contains(&byte);
        assert_eq!(parse(&input).is_ok_and(|found| found.is_some()), legal, "{byte:#x}");
    }
}

#[test]
fn every_byte_of_a_value_rfc9110_5_5() {
    for byte in 0..=255_u8 {
        for (before, behind) in [("", ""), ("2345678", "9"), ("123456789abcdefgh", "ghijklmnop")] {
            let input = [
                b"GET / HTTP/1.1\r\nHost: a\r\nX: ".as_slice(),
                before.as_bytes(),
                &[byte],
                behind.as_bytes(),
                b"\r\n\r\n",
            ]
            .concat();
            let legal = byte == b'\t' || byte >= b' ' && byte != 0x7f;
            assert_eq!(parse(&input).is_ok_and(|found| found.is_some()), legal, "{byte:#x} behind {before}");
        }
    }
}

#[test]
fn field_lines_rfc9112_5() {
    refuse(with("A : b\r\n"), FieldFault::Name);
    refuse(with("A\t: b\r\n"), FieldFault::Name);
    refuse(with(": b\r\n"), FieldFault::Name);
    refuse(with("A\r\n"), FieldFault::Name);
    refuse(with("A: b\r\n c\r\n"), FieldFault::Folded);
    refuse(with("A: b\r\n\tc\r\n"), FieldFault::Folded);
    refuse("GET / HTTP/1.1\r\n Host: a\r\n\r\n", FieldFault::Folded);
    refuse(with("A: b\nC: d\r\n"), FieldFault::LineEnd);
    refuse(with("A: b\rC: d\r\n"), FieldFault::LineEnd);
    refuse(with("A: b\r\r\n"), FieldFault::LineEnd);
    refuse(with("A: b\0\r\n"), FieldFault::Value);
    refuse("GET / HTTP/1.1\r\nHost: a\r\n\n", FieldFault::LineEnd);
    refuse("GET / HTTP/1.1\r\nHost: a\r\n\rx", FieldFault::LineEnd);
}

#[test]
fn host_rfc9112_3_2() {
    let host = |value: &str| format!("GET / HTTP/1.1\r\nHost: {value}\r\n\r\n");
    for value in ["a", "A.b-c_d.example", "a:80", "a:", "127.0.0.1:8080", "[::1]", "[::1]:443", "a%2Fb", "a:65535"] {
        accept(host(value));
    }
    for value in [
        "",
        ":80",
        "a b",
        "a,b c",
        "a/b",
        "a?b",
        "a#b",
        "u@a",
        "a:b",
        "a:80:80",
        "a:-1",
        "a:65536",
        "[::1",
        "[::1]80",
        "::1",
        "[a]",
        "[]",
        "[fe80::1%25eth0]",
        "http://a",
        "a\\b",
        "a%2",
        "a%zz",
        "a\tb",
        "<a>",
        "gr\u{fc}n",
    ] {
        refuse(host(value), RequestFault::HostMalformed);
    }
    refuse("GET / HTTP/1.1\r\n\r\n", RequestFault::HostMissing);
    refuse("GET http://a/ HTTP/1.1\r\n\r\n", RequestFault::HostMissing);
    refuse("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", RequestFault::HostRepeated);
    refuse("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", RequestFault::HostRepeated);
    accept("GET / HTTP/1.0\r\n\r\n");
}

#[test]
fn host_and_absolute_target_agree_rfc9112_3_2_2() {
    accept("GET http://a:80/ HTTP/1.1\r\nHost: A:80\r\n\r\n");
    refuse("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", RequestFault::HostDiffers);
    refuse("GET http://a/ HTTP/1.1\r\nHost: a:80\r\n\r\n", RequestFault::HostDiffers);
    let (_, head) = accept("GET http://a:80/b HTTP/1.0\r\nX: y\r\n\r\n");
    assert_eq!(head, "GET /b HTTP/1.0|X=y|Host=a:80");
}

#[test]
fn content_length_rfc9112_6_3() {
    for (value, length) in [("0", 0), ("5", 5), ("007", 7), ("9223372036854775807", i64::MAX as u64)] {
        assert_eq!(accept(with(&format!("Content-Length: {value}\r\n"))).0.framing, Framing::Length(length));
    }
    for value in ["", "-1", "+1", "1 1", "1,1", "5, 5", "0x5", "5;", "9223372036854775808", "99999999999999999999999"] {
        refuse(with(&format!("Content-Length: {value}\r\n")), FramingFault::ContentLength);
    }
    refuse(with("Content-Length: 5\r\ncontent-length: 5\r\n"), FramingFault::ContentLengthRepeated);
    refuse(with("Content-Length: 5\r\nContent-Length: 6\r\n"), FramingFault::ContentLengthRepeated);
}

#[test]
fn transfer_encoding_rfc9112_6_1() {
    assert_eq!(accept(with("Transfer-Encoding: chunked\r\n")).0.framing, Framing::Chunked);
    assert_eq!(accept(with("transfer-encoding:Chunked \r\n")).0.framing, Framing::Chunked);
    for value in [
        "",
        "identity",
        "gzip",
        "gzip, chunked",
        "chunked, chunked",
        ",chunked",
        "chunked,",
        "xchunked",
        "\"chunked\"",
        "chunked;a",
        "chunked x",
    ] {
        refuse(with(&format!("Transfer-Encoding: {value}\r\n")), FramingFault::TransferCoding);
    }
    let chunked = "Transfer-Encoding: chunked\r\n";
    refuse(with(&chunked.repeat(2)), FramingFault::TransferEncodingRepeated);
    refuse(with(&format!("{chunked}Content-Length: 5\r\n")), FramingFault::BothLengths);
    refuse(with(&format!("Content-Length: 5\r\n{chunked}")), FramingFault::BothLengths);
    refuse(format!("POST / HTTP/1.0\r\n{chunked}\r\n"), FramingFault::TransferEncodingInHttp10);
}

#[test]
fn lookalikes_of_framing_fields() {
    for name in [
        "Content_Length",
        "Transfer_Encoding",
        "transfer.encoding",
        "ContentLength",
        "Content-Length-",
        "-Content-Length",
        "Content--Length",
        "Transfer-Encoding'",
        "TRANSFER~ENCODING",
        "|Transfer-Encoding|",
    ] {
        refuse(with(&format!("{name}: 5\r\n")), FramingFault::Lookalike);
    }
    accept(with("Content-Length-Hint: 5\r\nX-Transfer-Encoding: 5\r\nTransfer-Encodings: x\r\nContent-Lengt: 4\r\n"));
    for name in ["Content-Length\u{b}", "Content-Length\u{85}", "Transfer-Encoding\0", "Transfer\u{17f}Encoding"] {
        refuse(with(&format!("{name}: 5\r\n")), FieldFault::Name);
    }
}

#[test]
fn persistence_rfc9112_9_3() {
    for (version, connection, persistent) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: x, CLOSE\r\n", false),
        ("1.1", "Connection: x\r\nConnection: close\r\n", false),
        ("1.1", "Connection: closed\r\n", true),
        ("1.1", "Connection: keep-alive, close\r\n", false),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: close, keep-alive\r\n", false),
        ("1.9", "", true),
    ] {
        let (request, _) = accept(format!("GET / HTTP/{version}\r\nHost: a\r\n{connection}\r\n"));
        assert_eq!(request.persistent, persistent, "HTTP/{version} {connection:?}");
    }
}

#[test]
fn expect_rfc9110_10_1_1() {
    let expects = |lines: &str| accept(with(lines)).0.expects_continue;
    assert!(expects("Expect: 100-Continue\r\nContent-Length: 5\r\n"));
    assert!(expects("Expect: 100-continue\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n"));
    assert!(!expects("Expect: 100-continue\r\n"));
    assert!(!expects("Expect: 100-continue\r\nContent-Length: 0\r\n"));
    for value in ["200-ok", "100-continue, x", "100-continue=1", "100"] {
        refuse(with(&format!("Expect: {value}\r\nContent-Length: 5\r\n")), RequestFault::Expectation);
    }
    for value in ["100-continue", "x"] {
        let (request, _) = accept(format!("POST / HTTP/1.0\r\nExpect: {value}\r\nContent-Length: 5\r\n\r\n"));
        assert!(!request.expects_continue);
    }
}

#[test]
fn upgrade_rfc9110_7_8() {
    let upgrade =
        |version: &str, lines: &str| accept(format!("GET / HTTP/{version}\r\nHost: a\r\n{lines}\r\n")).0.upgrade;
    assert!(upgrade("1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\n"));
    assert!(upgrade("1.1", "Upgrade: websocket\r\nConnection: keep-alive, upgrade\r\nContent-Length: 0\r\n"));
    assert!(!upgrade("1.0", "Connection: upgrade\r\nUpgrade: websocket\r\n"));
    assert!(!upgrade("1.1", "Upgrade: websocket\r\n"));
    assert!(!upgrade("1.1", "Connection: Upgrade\r\nUpgrade: h2c\r\n"));
    assert!(!upgrade("1.1", "Connection: Upgrade\r\nUpgrade: websocket, H2C\r\n"));
    assert!(!upgrade("1.1", "Connection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n"));
    assert!(!upgrade("1.1", "Connection: upgrade\r\n"));
    assert!(!upgrade("1.1", "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n"));
    assert!(!upgrade("1.1", "Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n"));
}

#[test]
fn limits_hold_to_the_byte() {
    let padded = |bytes: usize| {
        let frame = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
        format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(bytes - frame))
    };
    accept(padded(LIMITS.head));
    refuse(padded(LIMITS.head + 1), RequestFault::HeadTooLarge);
    refuse(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(LIMITS.head)), RequestFault::HeadTooLarge);

    let target = |bytes: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(bytes - 1));
    accept(target(LIMITS.target));
    refuse(target(LIMITS.target + 1), RequestFault::TargetTooLong);
    refuse(target(LIMITS.head), RequestFault::TargetTooLong);

    let fields = |count: usize| with(&"X: y\r\n".repeat(count - 1));
    accept(fields(LIMITS.fields));
    refuse(fields(LIMITS.fields + 1), RequestFault::TooManyFields);
}

#[test]
fn statuses() {
    for (fault, status) in [
        (RequestFault::RequestLine, 400),
        (RequestFault::Method, 405),
        (RequestFault::TargetTooLong, 414),
        (RequestFault::Expectation, 417),
        (RequestFault::HeadTooLarge, 431),
        (RequestFault::TooManyFields, 431),
        (FramingFault::TransferCoding.into(), 501),
        (FramingFault::BothLengths.into(), 400),
        (FieldFault::Name.into(), 400),
        (RequestFault::Version, 505),
    ] {
        assert_eq!(fault.status(), status, "{fault}");
    }
}

#[test]
fn lines_that_we_would_write_otherwise_are_not_copied() {
    let mut head = RequestHead::default();
    let text = b"GET / HTTP/1.1\r\nHost: a\r\nA:b\r\nC:  d\r\nE: f \r\nG:\th\r\nI: \r\nK: l m\r\nN:\r\n\r\n";
    parse_request(text, &HeadLimits { fields: 8, ..LIMITS }, &mut head).unwrap().unwrap();
    let lines: Vec<_> = head.fields.iter().map(|field| field.line).collect();
    assert_eq!(lines, [&b"Host: a\r\n"[..], b"", b"", b"", b"", b"I: \r\n", b"K: l m\r\n", b""]);
}

#[test]
fn fields_that_come_again_mean_what_they_meant() {
    let mut heads: Vec<String> = Vec::new();
    for line in ["GET / HTTP/1.1", "POST /longer?q HTTP/1.1", "GET / HTTP/1.0", "GET http://a/ HTTP/1.0", "GET /"] {
        for fields in [
            "Host: a\r\n",
            "Host: a\r\nX: 1\r\n",
            "Host: a\r\nTransfer-Encoding: chunked\r\n",
            "Host: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n",
            "Host: a\r\nConnection: upgrade\r\nUpgrade: b\r\n",
            "A: 1\r\n",
            "",
        ] {
            heads.push(format!("{line}\r\n{fields}\r\n"));
        }
    }
    for first in &heads {
        for second in &heads {
            for end in 0..=second.len() {
                let mut reader = RequestReader::default();
                let _ = reader.read(first.as_bytes(), &LIMITS);
                let input = format!("{}{first}", &second[..end]);
                for bytes in [&second.as_bytes()[..end], input.as_bytes()] {
                    let request = reader.read(bytes, &LIMITS);
                    let read = request.map(|request| request.map(|request| (request, show(reader.head()))));
                    assert_eq!(read, parse_piece(bytes), "{:?} behind {first:?}", String::from_utf8_lossy(bytes));
                }
            }
        }
    }
}

#[test]
fn fields_that_come_again_meet_the_limits_of_their_time() {
    let mut reader = RequestReader::default();
    let head = b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n";
    assert!(reader.read(head, &LIMITS).unwrap().is_some());
    assert_eq!(reader.read(head, &HeadLimits { fields: 1, ..LIMITS }), Err(RequestFault::TooManyFields));
    assert!(reader.read(head, &LIMITS).unwrap().is_some());
    assert_eq!(reader.read(head, &HeadLimits { head: head.len() - 1, ..LIMITS }), Err(RequestFault::HeadTooLarge));
}
