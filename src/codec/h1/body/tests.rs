use super::*;

/// What a body came to: payload, bytes used or the fault, trailers.
type Outcome = (Vec<u8>, Result<usize, BodyFault>, Vec<String>);

/// Feeds `input` in pieces that end at `cuts`, and forwards at most `most` bytes of data a time.
fn decode(framing: Framing, input: &[u8], cuts: &[usize], most: usize) -> Outcome {
    let mut decoder = BodyDecoder::new(framing);
    let (mut at, mut payload) = (0, Vec::new());
    let result = 'body: {
        for end in cuts.iter().copied().chain([input.len()]) {
            loop {
                let run = match decoder.advance(&input[at..end]) {
                    Ok(run) => run,
                    Err(fault) => break 'body Err(fault),
                };
                at += run.skip;
                let data = run.data.min(most);
                assert!(at + data <= end);
                payload.extend_from_slice(&input[at..at + data]);
                decoder.consume(data);
                at += data;
                if run.done && data == run.data {
                    assert!(decoder.finished());
                    break 'body Ok(at);
                }
                if run.data == 0 {
                    assert_eq!(at, end, "framing bytes were left over");
                    break;
                }
            }
        }
        decoder.end_of_input().map(|()| at)
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let trailers =
        decoder.trailers().iter().map(|field| format!("{}={}", text(field.name), text(field.value))).collect();
    (payload, result, trailers)
}

/// Decodes the whole, and sees that no split changes anything.
fn chunked(input: impl AsRef<[u8]>) -> Outcome {
    let input = input.as_ref();
    let whole = decode(Framing::Chunked, input, &[], usize::MAX);
    for cut in 0..=input.len() {
        assert_eq!(decode(Framing::Chunked, input, &[cut], usize::MAX), whole, "cut at {cut}");
        assert_eq!(decode(Framing::Chunked, input, &[cut], 1), whole, "cut at {cut}, byte by byte");
    }
    let every: Vec<_> = (0..input.len()).collect();
    assert_eq!(decode(Framing::Chunked, input, &every, usize::MAX), whole, "in single bytes");
    whole
}

fn refuse(input: impl AsRef<[u8]>, fault: impl Into<BodyFault>) {
    let text = String::from_utf8_lossy(input.as_ref()).into_owned();
    assert_eq!(chunked(input).1, Err(fault.into()), "{text:?}");
}

#[test]
fn lengths() {
    assert_eq!(decode(Framing::None, b"next", &[], 9), (vec![], Ok(0), vec![]));
    assert_eq!(decode(Framing::Length(0), b"next", &[], 9), (vec![], Ok(0), vec![]));
    for most in [1, 2, 9] {
        assert_eq!(decode(Framing::Length(3), b"abcnext", &[1], most), (b"abc".to_vec(), Ok(3), vec![]));
        assert_eq!(
            decode(Framing::Length(9), b"abc", &[1], most),
            (b"abc".to_vec(), Err(BodyFault::Truncated), vec![])
        );
        assert_eq!(decode(Framing::UntilClose, b"abc", &[1], most), (b"abc".to_vec(), Ok(3), vec![]));
    }
}

#[test]
fn remaining_is_what_is_left_of_a_length() {
    let mut body = BodyDecoder::new(Framing::Length(5));
    assert_eq!(body.advance(b"abcdefg"), Ok(Run { skip: 0, data: 5, done: true }));
    body.consume(2);
    assert_eq!((body.remaining(), body.finished()), (Some(3), false));
    body.consume(3);
    assert_eq!((body.remaining(), body.finished()), (Some(0), true));
    assert_eq!(BodyDecoder::new(Framing::Chunked).remaining(), None);
    assert_eq!(BodyDecoder::new(Framing::UntilClose).remaining(), None);
}

#[test]
fn chunks_rfc9112_7_1() {
    assert_eq!(chunked("0\r\n\r\nnext"), (vec![], Ok(5), vec![]));
    assert_eq!(chunked("3\r\nabc\r\n0\r\n\r\nnext"), (b"abc".to_vec(), Ok(13), vec![]));
    assert_eq!(chunked("3\r\nabc\r\n00a\r\n0123456789\r\n000\r\n\r\n").0, b"abc0123456789");
    assert_eq!(chunked("1;a=\"b \t\"\r\nx\r\n0;z\r\n\r\n").0, b"x");
    assert_eq!(chunked("2\r\n\r\n\r\n0\r\n\r\n").0, b"\r\n");
    for input in ["", "3", "3\r\nab", "3\r\nabc", "3\r\nabc\r\n", "0\r\n", "0\r\nA: b\r\n"] {
        assert_eq!(chunked(input).1, Err(BodyFault::Truncated), "{input:?}");
    }
}

#[test]
fn chunk_sizes_are_strict() {
    for size in [
        "",
        ";a",
        " 3",
        "3 ",
        "\t3",
        "3 ;a",
        "+3",
        "-3",
        "0x3",
        "g",
        "3,3",
        "3\0",
        "0000000000000003",
        "fffffffffffffffff",
    ] {
        refuse(format!("{size}\r\nabc\r\n0\r\n\r\n"), BodyFault::ChunkSize);
    }
    assert_eq!(chunked("000000000000003\r\nabc\r\n0\r\n\r\n").0, b"abc");
    for line_end in ["\n", "\r", "\r\r\n", "\n\r"] {
        refuse(format!("3{line_end}abc\r\n0\r\n\r\n"), BodyFault::ChunkSize);
    }
}

#[test]
fn chunks_end_where_their_size_says() {
    for end in ["\n", "\r", "", "d\r\n", " \r\n", "\r\r\n"] {
        refuse(format!("3\r\nabc{end}0\r\n\r\n"), BodyFault::ChunkEnd);
    }
}

#[test]
fn chunk_extensions_are_bounded_rfc9112_7_1_1() {
    for extension in [";a\0", ";a\n", ";a\u{7f}", ";\u{fc}"] {
        refuse(format!("1{extension}\r\nx\r\n0\r\n\r\n"), BodyFault::ChunkExtension);
    }
    let chunk = |bytes: usize| format!("1;{}\r\nx\r\n", "e".repeat(bytes));
    let most = usize::from(MAX_EXTENSION);
    assert_eq!(chunked(chunk(most) + "0\r\n\r\n").0, b"x");
    refuse(chunk(most + 1), BodyFault::ChunkExtension);
    let full = MAX_EXTENSIONS as usize / most;
    let every = chunk(most).repeat(full);
    assert!(decode(Framing::Chunked, (every.clone() + "0\r\n\r\n").as_bytes(), &[], 9).1.is_ok());
    assert_eq!(decode(Framing::Chunked, (every + "0;e\r\n\r\n").as_bytes(), &[], 9).1, Err(BodyFault::ChunkExtension));
}

#[test]
fn trailers_rfc9110_6_5() {
    let (_, result, trailers) = chunked("0\r\nX-Sum: 1 \r\nETag: \"a\"\r\nGrpc-Status:0\r\n\r\nnext");
    assert_eq!((result, trailers), (Ok(42), vec!["X-Sum=1".into(), "ETag=\"a\"".into(), "Grpc-Status=0".into()]));
    for name in [
        "Content-Length",
        "Transfer-Encoding",
        "Transfer_Encoding",
        "Host",
        "Connection",
        "Upgrade",
        "TE",
        "Trailer",
        "Authorization",
        "Proxy-Authorization",
        "WWW-Authenticate",
        "Cookie",
        "Set-Cookie",
        "Content-Type",
        "Content-Encoding",
        "Content-Range",
        "Range",
        "If-Match",
        "Expect",
        "Cache-Control",
        "Vary",
        "Location",
        "X-Forwarded-For",
        "Via",
        "Max-Forwards",
    ] {
        assert_eq!(chunked(format!("0\r\n{name}: 1\r\nX: y\r\n\r\n")).2, ["X=y"], "{name}");
    }
}

#[test]
fn trailer_lines_are_as_strict_as_header_lines() {
    for (lines, fault) in [
        ("X : y\r\n", FieldFault::Name),
        ("X\r\n", FieldFault::Name),
        (": y\r\n", FieldFault::Name),
        (" X: y\r\n", FieldFault::Folded),
        ("X: y\r\n z\r\n", FieldFault::Folded),
        ("X: y\n", FieldFault::LineEnd),
        ("X: y\rZ: z\r\n", FieldFault::LineEnd),
        ("X: \0\r\n", FieldFault::Value),
        ("\n", FieldFault::LineEnd),
        ("\rx\r\n", FieldFault::LineEnd),
    ] {
        refuse(format!("0\r\n{lines}\r\n"), fault);
    }
}

#[test]
fn trailers_are_bounded() {
    let fields = |count: usize| format!("0\r\n{}\r\n", "X: y\r\n".repeat(count));
    assert_eq!(chunked(fields(MAX_TRAILER_FIELDS)).2.len(), MAX_TRAILER_FIELDS);
    refuse(fields(MAX_TRAILER_FIELDS + 1), BodyFault::TrailersTooLarge);

    let section = |bytes: usize| format!("0\r\nX:{}\r\n\r\n", "y".repeat(bytes - 6));
    let feed = |input: String, cuts: &[usize]| decode(Framing::Chunked, input.as_bytes(), cuts, 9).1;
    for cuts in [&[][..], &[100, 5000]] {
        assert!(feed(section(MAX_TRAILER_BYTES), cuts).is_ok());
        assert_eq!(feed(section(MAX_TRAILER_BYTES + 1), cuts), Err(BodyFault::TrailersTooLarge));
        assert_eq!(feed(format!("0\r\n{}", "X".repeat(20_000)), cuts), Err(BodyFault::TrailersTooLarge));
    }
}
