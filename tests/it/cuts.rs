//! Wherever a message is cut in two, on either side, the exchange is the same; wherever it ends early,
//! nobody takes it for whole; and both directions run at once.

use std::io::ErrorKind;

use haechi::net::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::engine::messages::{End, Message, requests, responses};
use crate::engine::{Engine, PLAIN, answer_all, settle, talk};

/// What came of a connection: what the origin and the client understood.
type Outcome = (Vec<Message>, Vec<Message>);

fn read(asked: &[u8], heard: &[u8], methods: &[&str]) -> Outcome {
    let methods: Vec<String> = methods.iter().map(|method| (*method).to_owned()).collect();
    let mut heard = responses(heard, &methods).unwrap();
    // Whether a client is told to go on depends on whether it went on already.
    heard.retain(|message| message.status() != 100);
    for message in &mut heard {
        message.fields.retain(|(name, _)| name != "date");
    }
    (requests(asked).unwrap(), heard)
}

/// What a client sends on one connection, its methods, and how many requests reach the origin.
const CONVERSATIONS: &[(&str, &[u8], &[&str], usize)] = &[
    (
        "three in a row",
        b"GET /a?b=c HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\nPOST /d HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcdeHEAD /e HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        &["GET", "POST", "HEAD"],
        3,
    ),
    (
        "chunks",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: X-Hop\r\n\r\n3;e=\"f\"\r\nabc\r\nA\r\n0123456789\r\n0\r\nX-Sum: 1\r\nHost: b\r\nX-Hop: 2\r\n\r\nGET /z HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        &["POST", "GET"],
        2,
    ),
    (
        "a body that waits",
        b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
        &["PUT"],
        1,
    ),
    ("1.0", b"POST /old HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc", &["POST"], 1),
    ("absolute", b"\r\nGET http://a/b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", &["GET"], 1),
    ("for us", b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", &["OPTIONS"], 0),
    (
        "two lengths",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /no HTTP/1.1\r\nHost: a\r\n\r\n",
        &["POST"],
        0,
    ),
    (
        "a bad chunk",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n0\r\n\r\nGET /no HTTP/1.1\r\nHost: a\r\n\r\n",
        &["POST"],
        0,
    ),
];

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: now\r\n\r\nok";
const BARE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: now\r\n\r\n";

fn converse(engine: &Engine, sent: &[u8], methods: &[&str], cut: usize) -> Outcome {
    let (first, second) = sent.split_at(cut);
    let answers: Vec<&[u8]> = methods.iter().map(|method| if *method == "HEAD" { BARE } else { OK }).collect();
    let (heard, asked) = engine.with_origin(
        async |stream| talk(stream, &[first, second], false).await,
        async |stream| answer_all(stream, &answers, usize::MAX).await,
    );
    read(&asked, &heard, methods)
}

#[test]
fn a_client_s_bytes_may_be_cut_anywhere() {
    let engine = Engine::new(PLAIN);
    for (name, sent, methods, reached) in CONVERSATIONS {
        let whole = converse(&engine, sent, methods, 0);
        let arrived = whole.0.iter().filter(|message| message.end == End::Whole).count();
        assert_eq!((arrived, whole.1.len()), (*reached, methods.len()), "{name}: {whole:?}");
        for cut in 1..sent.len() {
            let mut piece = converse(&engine, sent, methods, cut);
            if arrived == 0 {
                // How far a request came that is refused in its body is all the same.
                piece.0.retain(|message| message.end == End::Whole);
                assert_eq!(piece.0, [], "{name} cut at {cut}");
                assert_eq!(piece.1, whole.1, "{name} cut at {cut}");
            } else {
                assert_eq!(piece, whole, "{name} cut at {cut}");
            }
        }
    }
}

/// An answer: its method, its bytes, and what the client is to understand of it.
const ANSWERS: &[(&str, &str, &[u8])] = &[
    ("length", "GET", b"HTTP/1.1 200 Fine\r\nContent-Length: 11\r\nX: 1\r\nDate: now\r\n\r\nhello there"),
    (
        "chunks",
        "GET",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nDate: now\r\n\r\n3;a=b\r\nabc\r\n00b\r\nhello there\r\n0\r\nX-Sum: 1\r\n\r\n",
    ),
    ("until the end", "GET", b"HTTP/1.1 200 OK\r\nDate: now\r\n\r\nall that comes"),
    ("1.0", "GET", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nDate: now\r\n\r\nok"),
    ("nothing", "GET", b"HTTP/1.1 204 No\r\nDate: now\r\n\r\n"),
    ("nothing with a length", "GET", b"HTTP/1.1 204 No\r\nContent-Length: 5\r\nDate: now\r\n\r\n"),
    ("not modified", "GET", b"HTTP/1.1 304 No\r\nContent-Length: 5\r\nDate: now\r\n\r\n"),
    ("head", "HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nDate: now\r\n\r\n"),
    ("head of chunks", "HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nDate: now\r\n\r\n"),
    ("empty", "GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: now\r\n\r\n"),
    (
        "hints",
        "GET",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early\r\nLink: </b>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: now\r\n\r\nok",
    ),
];

fn request(method: &str, version: &str) -> Vec<u8> {
    format!("{method} / HTTP/{version}\r\nHost: a\r\nConnection: close\r\n\r\n").into_bytes()
}

#[test]
fn an_origin_s_bytes_may_be_cut_anywhere() {
    let engine = Engine::new(PLAIN);
    for (name, method, sent) in ANSWERS {
        for version in ["1.1", "1.0"] {
            let ask = request(method, version);
            let run = |cut: usize| {
                let (heard, asked) = engine.with_origin(
                    async |stream| talk(stream, &[&ask], false).await,
                    async |stream| answer_all(stream, &[sent], cut).await,
                );
                read(&asked, &heard, &[method])
            };
            let whole = run(sent.len());
            let last = whole.1.last().unwrap();
            assert!(matches!(last.end, End::Whole | End::Close), "{name}: {last:?}");
            assert!(last.status() < 500, "{name}: {last:?}");
            for cut in 0..sent.len() {
                assert_eq!(run(cut), whole, "{name} for {version} cut at {cut}");
            }
        }
    }
}

#[test]
fn an_answer_that_ends_anywhere_too_early_is_never_whole() {
    let engine = Engine::new(PLAIN);
    for (name, method, sent) in ANSWERS {
        if *name == "until the end" {
            continue;
        }
        let ask = request(method, "1.1");
        for cut in 0..sent.len() {
            let (heard, _) = engine.with_origin(
                async |stream| talk(stream, &[&ask], false).await,
                async |stream| answer_all(stream, &[&sent[..cut]], cut).await,
            );
            let (_, heard) = read(b"", &heard, &[method]);
            let last = heard.last().unwrap_or_else(|| panic!("{name} cut at {cut}: nothing"));
            assert!(last.end == End::Cut || last.status() == 502, "{name} cut at {cut}: {last:?}");
        }
    }
}

#[test]
fn an_http_1_0_client_of_a_broken_answer_is_reset() {
    let engine = Engine::new(PLAIN);
    let (_, _, sent) = ANSWERS[1];
    let body = sent.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    for cut in body..=sent.len() {
        let (ours, mut theirs) = engine.sockets();
        let client = async {
            theirs.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
            let mut heard = Vec::new();
            theirs.read_to_end(&mut heard).await.map_err(|error| error.kind())
        };
        let origin = async |stream| answer_all(stream, &[&sent[..cut]], cut).await;
        let (ended, _) = engine.with_origin_over(Stream::Tcp(ours.into()), client, origin);
        if cut == sent.len() {
            assert!(ended.is_ok(), "whole: {ended:?}");
        } else {
            assert_eq!(ended, Err(ErrorKind::ConnectionReset), "cut at {cut}");
        }
    }
}

#[test]
fn an_answer_without_a_length_that_ends_in_a_reset_is_broken() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let engine = Engine::before_server(PLAIN, listener.local_addr().unwrap());
    let (_, _, sent) = ANSWERS[2];
    let body = sent.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    for cut in body + 1..=sent.len() {
        let (near, mut far) = tokio::io::duplex(4096);
        let ask = request("GET", "1.1");
        let (heard, ()) = engine.run(Stream::Memory(near), async {
            let listener = tokio::net::TcpListener::from_std(listener.try_clone().unwrap()).unwrap();
            far.write_all(&ask).await.unwrap();
            let (mut server, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                assert!(server.read_buf(&mut asked).await.unwrap() > 0);
            }
            server.write_all(&sent[..cut]).await.unwrap();
            // A reset overtakes what was not read: the client has a part before it comes.
            let mut heard = Vec::new();
            while heard.is_empty() {
                assert!(far.read_buf(&mut heard).await.unwrap() > 0);
            }
            server.set_zero_linger().unwrap();
            drop(server);
            far.read_to_end(&mut heard).await.unwrap();
            (heard, ())
        });
        let (_, heard) = read(b"", &heard, &["GET"]);
        assert_eq!(heard.last().map(|message| message.end), Some(End::Cut), "cut at {cut}: {heard:?}");
    }
}

/// Reads until `heard` ends with these bytes.
async fn hear(stream: &mut DuplexStream, heard: &mut Vec<u8>, end: &[u8]) {
    while !heard.ends_with(end) {
        let more = stream.read_buf(heard).await.unwrap();
        assert!(more > 0, "ended with {:?}", String::from_utf8_lossy(heard));
    }
}

#[test]
fn an_early_answer_and_the_upload_run_at_once() {
    let engine = Engine::new(PLAIN);
    let part = vec![b'x'; 100_000];
    // Each side waits for the other's last piece before it sends its next.
    let client = async |mut stream: DuplexStream| {
        let mut heard = Vec::new();
        stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n").await.unwrap();
        for mark in [b"one", b"two", b"end"] {
            stream.write_all(&part).await.unwrap();
            hear(&mut stream, &mut heard, mark).await;
        }
        // The connection is of use after that.
        stream.write_all(&request("GET", "1.1")).await.unwrap();
        stream.read_to_end(&mut heard).await.unwrap();
        heard
    };
    let origin = async |mut stream: DuplexStream| {
        let mut asked = Vec::new();
        let pieces: [&[u8]; 3] = [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\none", b"two", b"end"];
        for (at, piece) in pieces.iter().enumerate() {
            while requests(&asked).unwrap().first().map_or(0, |request| request.body.len()) < part.len() * (at + 1) {
                assert!(stream.read_buf(&mut asked).await.unwrap() > 0);
            }
            stream.write_all(piece).await.unwrap();
        }
        hear(&mut stream, &mut asked, b"\r\n\r\n").await;
        stream.write_all(OK).await.unwrap();
    };
    let (heard, ()) = engine.with_origin(client, origin);
    let (_, heard) = read(b"", &heard, &["POST", "GET"]);
    let bodies: Vec<_> = heard.iter().map(|message| (message.body.as_slice(), message.end)).collect();
    assert_eq!(bodies, [(&b"onetwoend"[..], End::Whole), (b"ok", End::Whole)]);
}

#[test]
fn a_client_that_ends_its_sending_gets_its_answer() {
    let engine = Engine::new(PLAIN);
    for (name, method, sent) in ANSWERS {
        let ask = format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
        let (heard, asked) = engine.with_origin(
            async |stream| talk(stream, &[ask.as_bytes()], true).await,
            async |stream| answer_all(stream, &[sent], sent.len()).await,
        );
        let (_, heard) = read(&asked, &heard, &[method]);
        let last = heard.last().unwrap_or_else(|| panic!("{name}: nothing"));
        assert!(last.end != End::Cut && last.status() < 500, "{name}: {last:?}");
    }
}

#[test]
fn the_client_that_leaves_takes_the_exchange_along() {
    let engine = Engine::new(PLAIN);
    let begun: [&[u8]; 4] = [
        b"",
        b"HTTP/1.1 103 Early\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ];
    for answer in begun {
        for ask in
            [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc"]
        {
            let client = async |mut stream: DuplexStream| {
                stream.write_all(ask).await.unwrap();
                settle().await;
                // With what came unread.
                drop(stream);
            };
            let origin = async |mut stream: DuplexStream| {
                let mut asked = Vec::new();
                stream.read_buf(&mut asked).await.unwrap();
                stream.write_all(answer).await.unwrap();
                settle().await;
                // What more it says tells that nobody listens.
                let _ = stream.write_all(b"4\r\nmore\r\n").await;
                let _ = stream.read_to_end(&mut asked).await;
                asked
            };
            let ((), asked) = engine.with_origin(client, origin);
            let asked = requests(&asked).unwrap();
            assert_eq!(asked.len(), 1);
            assert_eq!(asked[0].end, if ask.starts_with(b"GET") { End::Whole } else { End::Cut });
        }
    }
}

#[test]
fn a_client_that_breaks_off_is_noticed_while_the_origin_is_silent() {
    let engine = Engine::new(PLAIN);
    for head in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let (ours, mut theirs) = engine.sockets();
        let client = async {
            theirs.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            // It goes with what came unread, so that its kernel resets the connection.
            theirs.peek(&mut [0]).await.unwrap();
            drop(theirs);
        };
        let answer = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n4\r\nhalf\r\n");
        let origin = async |mut stream: DuplexStream| {
            let mut asked = Vec::new();
            stream.read_buf(&mut asked).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.read_to_end(&mut asked).await.unwrap()
        };
        engine.with_origin_over(Stream::Tcp(ours.into()), client, origin);
    }
}

#[test]
fn each_piece_of_an_answer_goes_on_at_once() {
    let engine = Engine::new(PLAIN);
    let pieces: [(&str, [&[u8]; 3]); 3] = [
        ("Content-Length: 9", [b"one", b"two", b"end"]),
        ("Transfer-Encoding: chunked", [b"3\r\none\r\n", b"3\r\ntwo\r\n", b"3\r\nend\r\n0\r\n\r\n"]),
        ("X: y", [b"one", b"two", b"end"]),
    ];
    for (framing, pieces) in pieces {
        let (heard, next) = tokio::sync::mpsc::channel(1);
        let client = async move |mut stream: DuplexStream| {
            stream.write_all(&request("GET", "1.1")).await.unwrap();
            let mut bytes = Vec::new();
            for word in [b"one", b"two", b"end"] {
                while !bytes.windows(3).any(|three| three == word) {
                    assert!(stream.read_buf(&mut bytes).await.unwrap() > 0);
                }
                heard.send(()).await.unwrap();
            }
            stream.read_to_end(&mut bytes).await.unwrap();
        };
        let origin = async move |mut stream: DuplexStream| {
            let mut next = next;
            stream.read_buf(&mut Vec::new()).await.unwrap();
            stream.write_all(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n").as_bytes()).await.unwrap();
            for piece in pieces {
                stream.write_all(piece).await.unwrap();
                // The client has it before the next is sent.
                next.recv().await.unwrap();
            }
        };
        engine.with_origin(client, origin);
    }
}
