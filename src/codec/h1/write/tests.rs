use super::*;

fn written(write: impl Fn(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn heads() {
    let request = written(|out| {
        write_request_line(out, b"GET", b"/a?b");
        write_field(out, b"Host", b"a");
        write_field(out, b"X-Empty", b"");
        end_head(out);
    });
    assert_eq!(request, "GET /a?b HTTP/1.1\r\nHost: a\r\nX-Empty: \r\n\r\n");
    assert_eq!(written(|out| write_status_line(out, 200, b"")), "HTTP/1.1 200 OK\r\n");
    assert_eq!(written(|out| write_status_line(out, 404, b"Gone fishing")), "HTTP/1.1 404 Gone fishing\r\n");
    assert_eq!(written(|out| write_status_line(out, 599, b"")), "HTTP/1.1 599 \r\n");
}

#[test]
fn chunks() {
    for length in [1, 9, 10, 15, 16, 255, 256, 4096, 65_535, usize::MAX] {
        assert_eq!(written(|out| write_chunk_size(out, length)), format!("{length:x}\r\n"));
    }
    let mut trailers = Fields::default();
    assert_eq!(written(|out| write_last_chunk(out, &trailers)), "0\r\n\r\n");
    trailers.push("X-Sum", "1");
    assert_eq!(written(|out| write_last_chunk(out, &trailers)), "0\r\nX-Sum: 1\r\n\r\n");
}
