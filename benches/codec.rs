//! What a head costs: read, written, and read by httparse for comparison.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use haechi::codec::h1::{
    BodyDecoder, Framing, HeadLimits, end_head, parse_request, parse_response, write_field, write_request_line,
};
use haechi::head::{Method, RequestHead, ResponseHead};

const LIMITS: HeadLimits = HeadLimits { head: 16 * 1024, fields: 100, target: 8 * 1024 };

const PLAIN: &[u8] = b"GET /small HTTP/1.1\r\nHost: bench.test\r\nUser-Agent: bench/1\r\nAccept: */*\r\n\r\n";

const BROWSER: &[u8] = b"GET /shop/items?id=42&sort=price HTTP/1.1\r\n\
    Host: shop.example.com\r\n\
    Connection: keep-alive\r\n\
    sec-ch-ua: \"Chromium\";v=\"128\", \"Not;A=Brand\";v=\"24\"\r\n\
    sec-ch-ua-mobile: ?0\r\n\
    sec-ch-ua-platform: \"Linux\"\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Referer: https://shop.example.com/shop/\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-US,en;q=0.9\r\n\
    Cookie: JSESSIONID=0123456789ABCDEF0123456789ABCDEF.node1; theme=dark; consent=yes\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Server: origin\r\n\
    Date: Fri, 20 Nov 2026 10:00:00 GMT\r\n\
    Content-Type: text/plain\r\n\
    Content-Length: 1024\r\n\
    ETag: \"abc\"\r\n\r\n";

fn requests(criterion: &mut Criterion) {
    for (name, input) in [("plain", PLAIN), ("browser", BROWSER)] {
        let mut group = criterion.benchmark_group(format!("request/{name}"));
        group.throughput(Throughput::Bytes(input.len() as u64));
        let mut head = RequestHead::default();
        group.bench_function("read", |bencher| {
            bencher.iter(|| black_box(parse_request(black_box(input), &LIMITS, &mut head)));
        });
        let mut out = Vec::new();
        group.bench_function("write", |bencher| {
            bencher.iter(|| {
                out.clear();
                write_request_line(&mut out, head.method_name(), &head.target);
                for field in head.fields.iter() {
                    write_field(&mut out, field.name, field.value);
                }
                end_head(&mut out);
                black_box(&out);
            });
        });
        // Splits lines and copies nothing; what the fields mean is not looked at.
        group.bench_function("httparse", |bencher| {
            bencher.iter(|| {
                let mut headers = [httparse::EMPTY_HEADER; 32];
                let mut request = httparse::Request::new(&mut headers);
                black_box(request.parse(black_box(input)))
            });
        });
        group.finish();
    }
}

fn responses(criterion: &mut Criterion) {
    let mut head = ResponseHead::default();
    criterion.bench_function("response/read", |bencher| {
        bencher.iter(|| black_box(parse_response(black_box(RESPONSE), &LIMITS, Method::Get, &mut head)));
    });
}

fn chunks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("chunked");
    for size in [16, 4096] {
        let chunk = format!("{size:x}\r\n{}\r\n", "x".repeat(size));
        let input = (chunk.repeat(64 * 1024 / size) + "0\r\n\r\n").into_bytes();
        group.throughput(Throughput::Bytes(input.len() as u64));
        group.bench_function(format!("{size} bytes a chunk"), |bencher| {
            bencher.iter(|| {
                let mut decoder = BodyDecoder::new(Framing::Chunked);
                let mut rest = black_box(input.as_slice());
                while let Ok(run) = decoder.advance(rest) {
                    decoder.consume(run.data);
                    rest = rest.get(run.skip + run.data..).unwrap_or_default();
                    if run.done {
                        break;
                    }
                }
                black_box(decoder.finished())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, requests, responses, chunks);
criterion_main!(benches);
