//! What holds for any bytes of a client and any bytes of an origin that meet in the engine.

use haechi::codec::h1::{BodyDecoder, Framing, HeadLimits, parse_request, parse_response};
use haechi::head::{Method, RequestHead, ResponseHead, are_alike};

use crate::engine::messages::{End, Message, requests, responses};
use crate::engine::{Engine, PLAIN, talk};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The defaults of a listener.
const LIMITS: HeadLimits = HeadLimits { head: 16 * 1024, fields: 100, target: 8 * 1024 };
/// Stands between what the client and what the origin sends.
const MARK: &[u8] = b"\n====\n";

thread_local! {
    static ENGINE: Engine = Engine::new(PLAIN);
}

/// Whatever both sides send: the engine comes to an end; what reaches the origin is, to a strict
/// reader, what the codec understood of the client; what reaches the client is framed right, and an
/// answer that the origin did not finish is never whole.
pub fn exchange(input: &[u8]) {
    let at = input.windows(MARK.len()).position(|bytes| bytes == MARK);
    let (client, origin) = at.map_or((input, &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"[..]), |at| {
        (&input[..at], &input[at + MARK.len()..])
    });
    let sum = input.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    let cut = sum % (client.len() + 1);
    let pieces = [&client[..cut], &client[cut..]];
    let (heard, asked) = ENGINE.with(|engine| {
        engine.with_origin(
            async |stream| talk(stream, &pieces, true).await,
            async |mut stream| {
                let mut asked = Vec::new();
                // It answers who has asked.
                if stream.read_buf(&mut asked).await.unwrap_or(0) > 0 {
                    let _ = stream.write_all(origin).await;
                }
                let _ = stream.shutdown().await;
                let _ = stream.read_to_end(&mut asked).await;
                asked
            },
        )
    });
    let understood = understand(client);
    let methods: Vec<String> = understood.iter().map(|request| request.method.clone()).collect();
    let heard = responses(&heard, &methods).unwrap_or_else(|fault| panic!("to the client: {fault}"));
    let heard: Vec<Message> =
        heard.into_iter().filter(|answer| answer.status() >= 200 || answer.end == End::Switched).collect();
    if heard.iter().any(|answer| answer.end == End::Switched) {
        return;
    }
    let asked = requests(&asked).unwrap_or_else(|fault| panic!("to the origin: {fault}"));
    let mut left = understood.iter().enumerate();
    let mut first = None;
    for request in &asked {
        let meant = left.find(|(_, meant)| request.what == meant.method && request.target == meant.target);
        let (at, meant) = meant.unwrap_or_else(|| panic!("nobody asked {request:?}\nof {understood:?}"));
        first.get_or_insert((at, request));
        assert!(meant.accepted, "refused, and sent on: {request:?}");
        assert!(meant.body.starts_with(&request.body), "another body: {request:?}\nthan {meant:?}");
        if request.end == End::Whole {
            assert!(meant.whole && meant.body == request.body, "taken for whole: {request:?}\nof {meant:?}");
        }
        assert_eq!(request.values("x-forwarded-for"), ["127.0.0.1"]);
        let alike = |(name, _): &&(String, Vec<u8>)| are_alike(name.as_bytes(), b"x-forwarded-for");
        assert_eq!(request.fields.iter().filter(alike).count(), 1, "{request:?}");
    }
    if let Some((at, request)) = first
        && let Some(answer) = heard.get(at).filter(|answer| answer.end == End::Whole && !is_ours(answer))
    {
        let (status, body) = answered(origin, &request.what).unwrap_or_else(|| panic!("made whole: {answer:?}"));
        assert_eq!((answer.status(), &answer.body), (status, &body));
    }
}

/// A request as the codec understands it.
#[derive(Debug)]
struct Understood {
    method: String,
    target: String,
    body: Vec<u8>,
    whole: bool,
    accepted: bool,
}

/// The requests of a connection, with the refused one that ends it.
fn understand(client: &[u8]) -> Vec<Understood> {
    let mut found = Vec::new();
    let mut rest = client;
    let mut head = RequestHead::default();
    loop {
        let parsed = parse_request(rest, &LIMITS, &mut head);
        let mut request = Understood {
            method: String::from_utf8_lossy(head.method_name()).into_owned(),
            target: String::from_utf8_lossy(&head.target).into_owned(),
            body: Vec::new(),
            whole: false,
            accepted: parsed.is_ok(),
        };
        let read = match parsed {
            Ok(Some(read)) => read,
            Ok(None) => return found,
            Err(_) => {
                found.push(request);
                return found;
            }
        };
        let body = decode(read.framing, &rest[read.length..]);
        (request.body, request.whole) = (body.payload, body.length.is_some());
        let goes_on = read.persistent && body.length.is_some();
        rest = &rest[read.length + body.length.unwrap_or(0)..];
        found.push(request);
        if !goes_on {
            return found;
        }
    }
}

struct Body {
    payload: Vec<u8>,
    /// Bytes on the wire, where it is whole.
    length: Option<usize>,
}

fn decode(framing: Framing, bytes: &[u8]) -> Body {
    let mut decoder = BodyDecoder::new(framing);
    let (mut at, mut payload) = (0, Vec::new());
    loop {
        let Ok(run) = decoder.advance(&bytes[at..]) else { return Body { payload, length: None } };
        let data = at + run.skip..at + run.skip + run.data;
        at = data.end;
        payload.extend_from_slice(&bytes[data]);
        decoder.consume(run.data);
        if run.done || at == bytes.len() && decoder.finished() {
            return Body { payload, length: Some(at) };
        }
        if run.data == 0 {
            let whole = decoder.end_of_input().is_ok();
            return Body { payload, length: whole.then_some(at) };
        }
    }
}

/// Status and body of what the origin says to a request with this method, where it is whole.
fn answered(mut origin: &[u8], method: &str) -> Option<(u16, Vec<u8>)> {
    let limits = HeadLimits { head: 64 * 1024, fields: 256, target: 0 };
    let mut head = ResponseHead::default();
    loop {
        let read = parse_response(origin, &limits, Method::from_token(method.as_bytes()), &mut head).ok()??;
        origin = &origin[read.length..];
        if !read.interim {
            let body = decode(read.framing, origin);
            return body.length.map(|_| (head.status, body.payload));
        }
    }
}

/// Whether an answer looks like one that haechi made itself.
fn is_ours(answer: &Message) -> bool {
    let refused = answer.values("cache-control") == ["no-store"]
        && (answer.body.is_empty() || answer.body.starts_with(answer.what.as_bytes()));
    refused || answer.what == "204" && !answer.values("allow").is_empty()
}
