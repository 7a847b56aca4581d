use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::telemetry::access_record::sample;

fn line(format: Format, record: &Record<'_>) -> String {
    let mut out = Vec::new();
    format.write(&mut out, record, &mut Stamp::default());
    String::from_utf8(out).unwrap()
}

#[test]
fn json_of_a_whole_record() {
    assert_eq!(
        line(Format::Json, &sample()),
        concat!(
            r#"{"time":"2026-10-09T08:07:06.054Z","client":"203.0.113.9","client_port":51820,"listener":"https","#,
            r#""site":"shop.example","request_id":"0af7651916cd43dd8448eb211c80319c","method":"GET","#,
            r#""host":"shop.example","target":"/cart?id=7","version":"HTTP/2.0","status":200,"bytes_in":12,"#,
            r#""bytes_out":3456,"duration_seconds":0.004213,"upstream":"was","server":"was2","attempts":2,"#,
            r#""connect_seconds":0.000310,"first_byte_seconds":1.002999,"tls_version":"TLSv1.3","#,
            r#""tls_cipher":"TLS_AES_128_GCM_SHA256","tls_server_name":"shop.example","client_subject":"CN=alice","#,
            r#""referer":"https://shop.example/","user_agent":"curl/8.5.0"}"#,
            "\n"
        )
    );
}

#[test]
fn json_leaves_out_what_there_is_not() {
    let record = Record {
        upstream: None,
        tls: None,
        referer: b"",
        user_agent: b"",
        request_id: b"",
        site: "",
        host: b"",
        method: b"",
        target: b"",
        version: "",
        status: 400,
        error: Some("bad_request_line"),
        client: SocketAddr::from(([0, 0, 0, 0, 0, 0xffff, 0xc000, 0x0201], 9)),
        ..sample()
    };
    assert_eq!(
        line(Format::Json, &record),
        concat!(
            r#"{"time":"2026-10-09T08:07:06.054Z","client":"192.0.2.1","client_port":9,"listener":"https","#,
            r#""status":400,"bytes_in":12,"bytes_out":3456,"duration_seconds":0.004213,"#,
            r#""error":"bad_request_line"}"#,
            "\n"
        )
    );
}

#[test]
fn combined_of_a_whole_record() {
    assert_eq!(
        line(Format::Combined, &sample()),
        concat!(
            r#"203.0.113.9 - - [09/Oct/2026:08:07:06 +0000] "GET /cart?id=7 HTTP/2.0" 200 3456 "#,
            r#""https://shop.example/" "curl/8.5.0""#,
            "\n"
        )
    );
}

#[test]
fn combined_escapes_as_nginx_does() {
    let record = Record { user_agent: b"a\"b\\c\n\x7f\xc3\xa9", referer: b"", ..sample() };
    let text = line(Format::Combined, &record);
    assert!(text.ends_with("\"-\" \"a\\x22b\\x5Cc\\x0A\\x7F\\xC3\\xA9\"\n"), "{text}");
}

#[test]
fn combined_of_bytes_that_were_no_request() {
    let record = Record { method: b"", status: 0, user_agent: b"", referer: b"", bytes_out: 0, ..sample() };
    let text = line(Format::Combined, &record);
    assert!(text.ends_with("] \"-\" 000 0 \"-\" \"-\"\n"), "{text}");
}

#[test]
fn what_steers_a_terminal_is_escaped() {
    let record = Record { user_agent: "\u{1b}[31m\u{9b}ü\u{7f}\"\\\t".as_bytes(), ..sample() };
    let text = line(Format::Json, &record);
    assert!(text.contains(r#""user_agent":"\u001b[31m\u009bü\u007f\"\\\u0009""#), "{text}");
}

#[test]
fn long_text_is_cut() {
    let long = vec![b'a'; 3 * TEXT_MAX];
    let record = Record { target: &long, ..sample() };
    let value: Value = serde_json::from_str(&line(Format::Json, &record)).unwrap();
    assert_eq!(value["target"].as_str().unwrap().len(), TEXT_MAX);
}

#[test]
fn the_stamp_follows_the_clock() {
    let mut stamp = Stamp::default();
    let mut out = Vec::new();
    for seconds in [0, 951_782_399, 951_782_400, 4_107_542_399] {
        let record = Record { time: UNIX_EPOCH + Duration::from_secs(seconds), ..sample() };
        Format::Json.write(&mut out, &record, &mut stamp);
    }
    Format::Json.write(&mut out, &Record { time: UNIX_EPOCH - Duration::from_secs(1), ..sample() }, &mut stamp);
    let times: Vec<_> = out.split(|byte| *byte == b'\n').filter_map(|line| line.get(9..32)).collect();
    assert_eq!(times.len(), 5);
    for (time, expected) in times.iter().zip([
        "1970-01-01T00:00:00.000",
        "2000-02-28T23:59:59.000",
        "2000-02-29T00:00:00.000",
        "2100-02-28T23:59:59.000",
        "1970-01-01T00:00:00.000",
    ]) {
        assert_eq!(*time, expected.as_bytes());
    }
}

proptest! {
    #[test]
    fn any_bytes_make_one_valid_line(
        method in any::<Vec<u8>>(),
        target in any::<Vec<u8>>(),
        host in any::<Vec<u8>>(),
        user_agent in any::<String>(),
        error in any::<Option<String>>(),
        millis in 0_u64..4_000_000_000_000,
        took in any::<Duration>(),
        status in any::<u16>(),
    ) {
        let record = Record {
            time: SystemTime::UNIX_EPOCH + Duration::from_millis(millis),
            took,
            method: &method,
            target: &target,
            host: &host,
            user_agent: user_agent.as_bytes(),
            error: error.as_deref(),
            status,
            ..sample()
        };
        let json = line(Format::Json, &record);
        prop_assert_eq!(json.find('\n'), Some(json.len() - 1));
        let value: Value = serde_json::from_str(&json).unwrap();
        let absent = |text: &str| if text.is_empty() { Value::Null } else { text.into() };
        prop_assert_eq!(&value["target"], &absent(&String::from_utf8_lossy(&target)));
        prop_assert_eq!(&value["user_agent"], &absent(&user_agent));
        prop_assert_eq!(&value["status"], status);

        let combined = line(Format::Combined, &record);
        prop_assert_eq!(combined.find('\n'), Some(combined.len() - 1));
        prop_assert!(combined.trim_end().bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        prop_assert_eq!(combined.matches('"').count(), 6);
    }
}
