//! hyper's verdict on the same bytes: what the codec takes, hyper takes for the same, or is known to
//! refuse. What the codec refuses is no matter: it may be stricter.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

use bytes::Bytes;
use haechi::codec::h1::{BodyDecoder, Framing, HeadLimits, parse_request, parse_response};
use haechi::head::{Method, RequestHead, ResponseHead, Version};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;

const LIMITS: HeadLimits = HeadLimits { head: 4096, fields: 64, target: 1024 };

type Said = (String, String, Vec<u8>);

/// Method, target and body of the first request are the same for hyper.
pub fn request(input: &[u8]) {
    let mut head = RequestHead::default();
    let Ok(Some(found)) = parse_request(input, &LIMITS, &mut head) else { return };
    let Some(body) = whole_body(found.framing, &input[found.length..]) else { return };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let ours = (text(head.method_name()), text(&head.target), body);
    let heard = Rc::new(RefCell::new(None::<Said>));
    let theirs = Rc::clone(&heard);
    let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let heard = Rc::clone(&theirs);
        async move {
            let (method, uri) = (request.method().to_string(), request.uri().clone());
            let target = uri.path_and_query().map_or_else(|| "*".to_owned(), ToString::to_string);
            if let Ok(body) = request.into_body().collect().await {
                heard.borrow_mut().get_or_insert((method, target, body.to_bytes().to_vec()));
            }
            Ok::<_, Infallible>(http::Response::new(Empty::<Bytes>::new()))
        }
    });
    block_on(async {
        let (near, mut far) = tokio::io::duplex(64 * 1024);
        let served =
            hyper::server::conn::http1::Builder::new().half_close(true).serve_connection(TokioIo::new(near), service);
        far.write_all(input).await.unwrap();
        far.shutdown().await.unwrap();
        let mut ignored = Vec::new();
        let _ = tokio::join!(served, tokio::io::AsyncReadExt::read_to_end(&mut far, &mut ignored));
    });
    let Some(theirs) = heard.take() else {
        assert!(may_be_refused(input, &head), "hyper refuses what was taken: {ours:?}");
        return;
    };
    // OPTIONS without a path is for the whole server, whatever form the target has.
    let ours_target = if ours.1 == "*" && theirs.1 == "/" { "/".to_owned() } else { ours.1 };
    assert_eq!((ours.0, ours_target, ours.2), theirs);
}

/// What hyper is known to refuse of what the codec takes: bytes that its `Uri` type has no place for,
/// versions after 1.1, and targets of forms that it does not read.
fn may_be_refused(input: &[u8], head: &RequestHead) -> bool {
    let later = head.version == Version::Http11 && !input.windows(8).any(|bytes| bytes == b"HTTP/1.1");
    let line = input.split(|byte| *byte == b'\n').find(|line| line.len() > 1).unwrap_or_default();
    let target = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    later || str::from_utf8(target).is_ok_and(|target| target.parse::<http::Uri>().is_err())
}

/// Status and body of the final response are the same for hyper.
pub fn response(input: &[u8]) {
    let mut head = ResponseHead::default();
    let mut rest = input;
    let found = loop {
        let Ok(Some(found)) = parse_response(rest, &LIMITS, Method::Get, &mut head) else { return };
        rest = &rest[found.length..];
        if !found.interim {
            break found;
        }
    };
    let Some(body) = whole_body(found.framing, rest).filter(|_| head.status != 101) else { return };
    let theirs = block_on(async {
        let (near, mut far) = tokio::io::duplex(64 * 1024);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near)).await.unwrap();
        let request = http::Request::get("/").header("Host", "a").body(Empty::<Bytes>::new()).unwrap();
        let ask = async {
            let response = sender.send_request(request).await.ok()?;
            let status = response.status().as_u16();
            Some((status, response.into_body().collect().await.ok()?.to_bytes().to_vec()))
        };
        let feed = async {
            // Not before the question: hyper takes no answer to what it did not ask.
            tokio::io::AsyncReadExt::read_u8(&mut far).await.unwrap();
            far.write_all(input).await.unwrap();
            far.shutdown().await.unwrap();
            let mut ignored = Vec::new();
            let _ = tokio::io::AsyncReadExt::read_to_end(&mut far, &mut ignored).await;
        };
        tokio::join!(ask, feed, connection).0
    });
    let Some(theirs) = theirs else {
        let later = !input.windows(7).any(|bytes| bytes == b"HTTP/1.");
        assert!(later || is_later(input), "hyper refuses what was taken: {}", String::from_utf8_lossy(input));
        return;
    };
    assert_eq!((head.status, body), theirs);
}

/// Whether any head in the input has a version after 1.1, which hyper does not know.
fn is_later(input: &[u8]) -> bool {
    input.windows(8).any(|bytes| bytes.starts_with(b"HTTP/1.") && !matches!(bytes[7], b'0' | b'1'))
}

/// The payload of a body that is all there.
fn whole_body(framing: Framing, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut decoder = BodyDecoder::new(framing);
    let (mut at, mut payload) = (0, Vec::new());
    loop {
        let run = decoder.advance(&bytes[at..]).ok()?;
        let data = at + run.skip..at + run.skip + run.data;
        at = data.end;
        payload.extend_from_slice(&bytes[data]);
        decoder.consume(run.data);
        if run.done {
            return Some(payload);
        }
        if run.data == 0 {
            return decoder.end_of_input().is_ok().then_some(payload);
        }
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}
