//! RFC 9110 and RFC 9112 point by point, end to end: each test is named by its rule and section. The
//! syntax of heads and bodies is tested beside the codec and in `framing`.

use crate::engine::messages::{End, Message, requests, responses};
use crate::engine::{Engine, PLAIN, answer_all, talk};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What the origin was asked, and what the client heard, for these bytes of a client on one connection
/// and these answers.
fn exchange(engine: &Engine, sent: &str, answers: &[&[u8]]) -> (Vec<Message>, Vec<Message>) {
    let methods: Vec<String> = sent
        .split("\r\n")
        .filter_map(|line| Some(line.split_once(' ').filter(|_| line.contains(" HTTP/1."))?.0.to_owned()))
        .collect();
    let (heard, asked) = engine.with_origin(
        async |stream| talk(stream, &[sent.as_bytes()], false).await,
        async |stream| answer_all(stream, answers, usize::MAX).await,
    );
    (requests(&asked).unwrap(), responses(&heard, &methods).unwrap())
}

/// A request with these lines, the last on its connection.
fn ask(line: &str, fields: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n")
}

/// The one request that the origin gets for that.
fn asked(engine: &Engine, line: &str, fields: &str) -> Message {
    let (mut asked, heard) = exchange(engine, &ask(line, fields), &[OK]);
    assert_eq!((asked.len(), heard[0].status()), (1, 200), "{line} {fields:?}: {heard:?}");
    asked.remove(0)
}

/// The answer that the client gets for a request that must not reach the origin.
fn refused(engine: &Engine, line: &str, fields: &str) -> Message {
    let (asked, mut heard) = exchange(engine, &ask(line, fields), &[OK]);
    assert_eq!((asked.len(), heard.len()), (0, 1), "{line} {fields:?}: {asked:?}");
    heard.remove(0)
}

/// What the client gets for this answer, and whether the origin's connection is used again.
fn given_on(engine: &Engine, method: &str, answer: &str) -> (Message, bool) {
    let sent = format!("{method} /1 HTTP/1.1\r\nHost: a\r\n\r\n{}", ask("GET /2", ""));
    let (asked, mut heard) = exchange(engine, &sent, &[answer.as_bytes(), OK]);
    heard.retain(|message| message.status() >= 200);
    (heard.remove(0), asked.len() == 2)
}

#[test]
fn via_is_added_to_requests_rfc9110_7_6_3() {
    let engine = Engine::new(PLAIN);
    assert_eq!(asked(&engine, "GET /", "").values("via"), ["1.1 haechi"]);
    let (asked_by_old, _) = exchange(&engine, "GET / HTTP/1.0\r\nHost: a\r\n\r\n", &[OK]);
    assert_eq!(asked_by_old[0].values("via"), ["1.0 haechi"]);
    let fields = "Via: 1.0 fred, 1.1 haechi\r\nVia: 1.1 p\r\n";
    assert_eq!(asked(&engine, "GET /", fields).values("via"), ["1.0 fred, 1.1 haechi", "1.1 p", "1.1 haechi"]);

    let engine = Engine::new(&PLAIN.replace("request_id = false", "request_id = false\nvia = false"));
    assert_eq!(asked(&engine, "GET /", "Via: 1.0 fred\r\n").values("via"), ["1.0 fred"]);
}

#[test]
fn a_loop_ends_at_a_name_of_our_own_rfc9110_7_6_3() {
    let engine = Engine::new(&PLAIN.replace("request_id = false", "request_id = false\nvia = \"seoul-1\""));
    assert_eq!(asked(&engine, "GET /", "").values("via"), ["1.1 seoul-1"]);
    asked(&engine, "GET /", "Via: 1.1 seoul-2, 1.1 seoul-10\r\n");
    assert_eq!(refused(&engine, "GET /", "Via: 1.1 a\r\nVia: 2.0 b, 1.1 Seoul-1 (x)\r\n").status(), 508);
}

#[test]
fn max_forwards_is_counted_for_options_rfc9110_7_6_2() {
    let engine = Engine::new(PLAIN);
    let left = |fields: &str| asked(&engine, "OPTIONS /a", fields).values("max-forwards");
    assert_eq!(left(""), [""; 0]);
    assert_eq!(left("Max-Forwards: 1\r\n"), ["0"]);
    assert_eq!(left("Max-Forwards: 010\r\n"), ["9"]);
    let answer = refused(&engine, "OPTIONS /a", "Max-Forwards: 0\r\n");
    assert_eq!(answer.status(), 204);
    assert!(answer.values("allow")[0].contains("OPTIONS"));
    assert_eq!(asked(&engine, "GET /", "Max-Forwards: 0\r\n").values("max-forwards"), ["0"], "means nothing for GET");
    for value in ["", "-1", "1, 2", "x", "1\r\nMax-Forwards: 1"] {
        assert_eq!(refused(&engine, "OPTIONS /a", &format!("Max-Forwards: {value}\r\n")).status(), 400, "{value:?}");
    }
}

#[test]
fn options_for_the_whole_server_is_ours_to_answer_rfc9110_9_3_7() {
    let engine = Engine::new(PLAIN);
    for line in ["OPTIONS *", "OPTIONS http://a"] {
        assert_eq!(refused(&engine, line, "").status(), 204, "{line}");
    }
    assert_eq!(asked(&engine, "OPTIONS /", "").target, "/");
}

#[test]
fn trace_and_connect_are_not_served_rfc9110_9_3_8() {
    let engine = Engine::new(PLAIN);
    for line in ["TRACE /", "CONNECT a:443"] {
        for fields in ["", "Max-Forwards: 0\r\n"] {
            let answer = refused(&engine, line, fields);
            assert_eq!(answer.status(), 405, "{line}");
            assert!(!answer.values("allow")[0].contains(&line[..5]), "{line}");
        }
    }
}

#[test]
fn connection_tokens_end_fields_and_trailers_here_rfc9110_7_6_1() {
    let engine = Engine::new(PLAIN);
    let sent = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Hop, Cookie\r\nX-Hop: 1\r\nCookie: a=b\r\nTE: trailers\r\nKeep-Alive: 3\r\nProxy-Connection: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Hop: 1\r\nX-End: 2\r\n\r\n";
    let answer = b"HTTP/1.1 200 OK\r\nConnection: x-hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nTransfer-Encoding: chunked\r\n\r\n1\r\ny\r\n0\r\nX-Hop: 1\r\nX-End: 2\r\n\r\n";
    let (asked, heard) = exchange(&engine, sent, &[answer]);
    for message in [&asked[0], &heard[0]] {
        for name in ["x-hop", "te", "keep-alive", "proxy-connection", "trailer"] {
            assert_eq!(message.values(name), [""; 0], "{name}");
        }
        assert_eq!(message.trailers, [("x-end".to_owned(), b"2".to_vec())]);
    }
    assert_eq!(asked[0].values("cookie"), ["a=b"], "what matters end to end cannot be taken away");
    assert_eq!(asked[0].values("connection"), ["keep-alive"]);
}

#[test]
fn trailers_that_would_be_believed_are_dropped_both_ways_rfc9110_6_5_1() {
    let engine = Engine::new(PLAIN);
    let names = [
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "Authorization",
        "Cookie",
        "Set-Cookie",
        "Content-Type",
        "Cache-Control",
        "Location",
        "X-Forwarded-For",
        "X_Forwarded_For",
        "X-Real-IP",
        "Content_Length",
        "Expect",
        "Range",
        "Via",
        "Connection",
        "Max-Forwards",
        "WWW-Authenticate",
        "Content-Encoding",
    ];
    let trailers: String = names.iter().map(|name| format!("{name}: 1\r\n")).collect();
    let body = format!("Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n{trailers}X-Sum: 1\r\nETag: \"a\"\r\n\r\n");
    let sent = format!("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{body}");
    let (asked, heard) = exchange(&engine, &sent, &[format!("HTTP/1.1 200 OK\r\n{body}").as_bytes()]);
    for message in [&asked[0], &heard[0]] {
        let left: Vec<&str> = message.trailers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(left, ["x-sum", "etag"]);
    }
}

#[test]
fn lookalikes_of_what_servers_believe_do_not_reach_them() {
    let text = PLAIN
        .replace("request_id = false", "request_id = \"X-Request-Id\"\ntrusted_proxies = [\"127.0.0.1\"]")
        .replace("proxy = {", "request_headers = { set = { X-Site = \"shop\" } }\nproxy = {");
    for engine in [Engine::new(PLAIN), Engine::new(&text)] {
        for name in ["X_Forwarded_For", "x_forwarded-proto", "X.Forwarded.Host", "X_Real_IP", "Content_Type"] {
            let request = asked(&engine, "GET /", &format!("{name}: 1\r\nX_Other: 2\r\n"));
            assert_eq!(request.values(&name.to_lowercase()), [""; 0], "{name}");
            assert_eq!(request.values("x_other"), ["2"]);
        }
    }
    let request = asked(&Engine::new(&text), "GET /", "X_Request_Id: 1\r\nX_Site: evil\r\nx-site: evil\r\n");
    assert_eq!((request.values("x_request_id"), request.values("x_site")), (vec![], vec![]));
    assert_eq!(request.values("x-site"), ["shop"]);
    assert_ne!(request.values("x-request-id"), ["1"]);
}

#[test]
fn expectations_are_met_by_us_rfc9110_10_1_1() {
    let engine = Engine::new(PLAIN);
    let request = asked(&engine, "POST /", "Expect: 100-Continue\r\nContent-Length: 0\r\n");
    assert_eq!(request.values("expect"), [""; 0]);
    assert_eq!(refused(&engine, "POST /", "Expect: 200-maybe\r\n").status(), 417);
    // The client waits for the word.
    let (heard, asked) = engine.with_origin(
        async |stream| {
            let head = ask("POST /", "Expect: 100-continue\r\nContent-Length: 3\r\n");
            talk(stream, &[head.as_bytes(), b"abc"], false).await
        },
        async |stream| answer_all(stream, &[OK], usize::MAX).await,
    );
    let heard = responses(&heard, &["POST".to_owned()]).unwrap();
    assert_eq!(heard.iter().map(Message::status).collect::<Vec<_>>(), [100, 200]);
    assert_eq!(requests(&asked).unwrap()[0].body, b"abc");
}

const SWITCH: &str = "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: ";

#[test]
fn only_what_both_sides_agree_on_is_switched_to_rfc9110_7_8() {
    let engine = Engine::new(PLAIN);
    let offer = |offered: &str, chosen: &str| {
        let sent = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: {offered}\r\n\r\n");
        let answer = format!("{SWITCH}{chosen}\r\n\r\nbytes");
        let (heard, asked) = engine.with_origin(
            async |stream| talk(stream, &[sent.as_bytes()], true).await,
            async |stream| answer_all(stream, &[answer.as_bytes()], usize::MAX).await,
        );
        let offered = requests(&asked).unwrap()[0].values("upgrade");
        let mut heard = responses(&heard, &["GET".to_owned()]).unwrap();
        heard.retain(|answer| answer.status() != 100);
        (offered, heard.remove(0))
    };
    let (offered, answer) = offer("websocket", "WebSocket");
    assert_eq!(
        (offered, answer.end, answer.body.as_slice()),
        (vec!["websocket".to_owned()], End::Switched, &b"bytes"[..])
    );
    for (offered, chosen) in [
        ("websocket", "irc/6.9"),
        ("websocket", "websocket, x"),
        ("websocket", "websocket\r\nUpgrade: x"),
        ("h2c", "h2c"),
        ("HTTP/2.0, TLS/1.0", "TLS/1.0"),
        ("websocket, h2c", "h2c"),
    ] {
        let (sent_on, answer) = offer(offered, chosen);
        assert_eq!(answer.status(), 502, "{offered} and {chosen}");
        assert!(
            !sent_on.iter().any(|value| value.to_lowercase().contains("h2c") || value.contains("TLS")),
            "{sent_on:?}"
        );
    }
    let (answer, reused) = given_on(&engine, "GET", &format!("{SWITCH}websocket\r\n\r\nbytes"));
    assert_eq!((answer.status(), reused), (502, false), "nobody asked for another protocol");
}

#[test]
fn interim_answers_pass_in_order_rfc9110_15_2() {
    let engine = Engine::new(PLAIN);
    let answer = "HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 102 Busy\r\n\r\nHTTP/1.1 103 Early\r\nLink: a\r\nContent-Length: 3\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    for (version, expected) in [("1.1", vec![102, 103, 200]), ("1.0", vec![200])] {
        let sent = format!("GET / HTTP/{version}\r\nHost: a\r\nConnection: close\r\n\r\n");
        let (_, heard) = exchange(&engine, &sent, &[answer.as_bytes()]);
        assert_eq!(heard.iter().map(Message::status).collect::<Vec<_>>(), expected, "{version}");
        assert!(heard.iter().all(|message| message.values("x-hop").is_empty()));
    }
}

#[test]
fn answers_without_a_body_have_the_length_they_may_have_rfc9110_8_6() {
    let engine = Engine::new(PLAIN);
    for (method, status, fields, length, reused) in [
        ("GET", 204, "", None, true),
        ("GET", 204, "Content-Length: 5\r\n", None, false),
        ("GET", 204, "Transfer-Encoding: chunked\r\n", None, false),
        ("GET", 304, "", None, true),
        ("GET", 304, "Content-Length: 5\r\n", Some("5"), true),
        ("HEAD", 200, "Content-Length: 5\r\n", Some("5"), true),
        ("HEAD", 200, "", None, true),
        ("HEAD", 200, "Transfer-Encoding: chunked\r\n", None, true),
        ("GET", 205, "Content-Length: 0\r\n", Some("0"), true),
    ] {
        let (answer, again) = given_on(&engine, method, &format!("HTTP/1.1 {status} X\r\n{fields}\r\n"));
        assert_eq!(answer.status(), status);
        assert_eq!(answer.values("content-length").first().map(String::as_str), length, "{method} {status} {fields}");
        assert_eq!(answer.values("transfer-encoding"), [""; 0], "{method} {status} {fields}");
        assert_eq!(again, reused, "{method} {status} {fields}");
    }
}

#[test]
fn surplus_bytes_answer_nobody_rfc9112_9_2() {
    let engine = Engine::new(PLAIN);
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    for (method, answer) in [
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        ("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No\r\n\r\n"),
        ("GET", "HTTP/1.1 304 No\r\n\r\n"),
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ] {
        let (first, reused) = given_on(&engine, method, &format!("{answer}{evil}"));
        assert!(first.status() < 500 && first.body != b"evil", "{answer}: {first:?}");
        assert!(!reused, "{answer}");
    }
}

#[test]
fn answers_that_two_could_read_in_two_ways_are_refused_rfc9112_6_3() {
    let engine = Engine::new(PLAIN);
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 000 X\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 099 X\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 600 X\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 1000 X\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent_Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        "HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\rSet-Cookie: b\r\nContent-Length: 2\r\n\r\nok",
    ] {
        let (answer_got, reused) = given_on(&engine, "GET", answer);
        assert_eq!((answer_got.status(), reused), (502, false), "{answer:?}");
    }
}

#[test]
fn of_single_fields_the_first_is_given_on_rfc9110_5_3() {
    let engine = Engine::new(PLAIN);
    let names = ["Content-Type", "Date", "ETag", "Last-Modified", "Location", "Retry-After", "Server"];
    let fields: String = names.iter().map(|name| format!("{name}: 1\r\n{name}: 2\r\n")).collect();
    let answer = format!("HTTP/1.1 200 OK\r\n{fields}Set-Cookie: 1\r\nSet-Cookie: 2\r\nContent-Length: 0\r\n\r\n");
    let (answer, _) = given_on(&engine, "GET", &answer);
    for name in names {
        assert_eq!(answer.values(&name.to_lowercase()), ["1"], "{name}");
    }
    assert_eq!(answer.values("set-cookie"), ["1", "2"]);
}

#[test]
fn no_line_can_be_added_to_a_head_rfc9110_5_5() {
    let text = PLAIN.replace("request_id = false", "request_id = \"X-Request-Id\"\ntrusted_proxies = [\"127.0.0.1\"]")
        + r#"
[[site.route]]
path = "/moved/"
redirect = { to = "https://b${path}?${query}", status = 308 }
"#;
    let engine = Engine::new(&text);
    for target in ["/moved/%0d%0aX-Evil:%201", "/moved/a?b=%0d%0aX-Evil:1", "/moved/%0aX-Evil:1;%0d"] {
        let answer = refused(&engine, &format!("GET {target}"), "");
        assert!(matches!(answer.status(), 308 | 400), "{target}: {answer:?}");
        assert_eq!(answer.values("x-evil"), [""; 0], "{target}");
    }
    // Ids that are no plain text are not taken over, from anybody.
    for id in ["a b", "a\tb", "\u{e9}", ""] {
        let request = asked(&engine, "GET /", &format!("X-Request-Id: {id}\r\n"));
        assert_eq!(request.values("x-request-id")[0].len(), 32, "{id:?}");
    }
    let request = asked(&engine, "GET /%0d%0aX-Evil:%201", "Cookie: a=b%0d%0aX-Evil: 1\r\n");
    assert_eq!(request.values("x-evil"), [""; 0]);
}
