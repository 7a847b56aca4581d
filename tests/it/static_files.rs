//! Files end to end: what a browser asks for, and what an attacker does.

use crate::harness::certs::Authority;
use crate::harness::client::{Request, send};
use crate::harness::haechi::{Haechi, Plan};
use crate::harness::tools::curl;
use crate::harness::{Client, Wire, eventually, get};
use std::fs;
use std::os::unix::fs::symlink;

const FILES: &str = r#"
[listener.http]
bind = ["@http"]

[[site]]
hosts = ["*"]

[[site.route]]
path = "/"
files = { root = "www", precompressed = ["br", "gzip"], cache_control = "max-age=60" }

[[site.route]]
path = "/app/"
files = { root = "app", strip_prefix = true, fallback = "/index.html" }

[[site.route]]
path = "/list/"
files = { root = "www", strip_prefix = true, listing = true }
"#;

fn site() -> Plan {
    Haechi::plan(FILES)
        .file("www/index.html", "<h1>home</h1>")
        .file("www/digits.txt", "0123456789")
        .file("www/a b.txt", "blank")
        .file("www/한글.txt", "hangul")
        .file("www/style.css", "plain")
        .file("www/style.css.gz", "gzipped")
        .file("www/style.css.br", "brotli")
        .file("www/folder/index.html", "folder")
        .file("www/bare/one.txt", "one")
        .file("www/.secret", "secret")
        .file("www/.git/config", "secret")
        .file("app/index.html", "single page")
        .file("app/real.js", "real")
        .file("secret.txt", "secret")
}

#[test]
fn files_are_served_with_what_caches_need() {
    let haechi = site().start();
    let mut client = Client::connect(haechi.at("http")).unwrap();
    let home = client.get("/");
    assert_eq!((home.status, home.text().as_str()), (200, "<h1>home</h1>"));
    assert_eq!(home.field("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(home.field("cache-control"), Some("max-age=60"));
    assert_eq!(home.field("accept-ranges"), Some("bytes"));
    let etag = home.field("etag").expect("an ETag").to_owned();
    let modified = home.field("last-modified").expect("Last-Modified").to_owned();
    for (name, value) in [("If-None-Match", etag.as_str()), ("If-None-Match", "*"), ("If-Modified-Since", &modified)] {
        let response = client.send(&Request::get("/").with(name, value)).unwrap();
        assert_eq!((response.status, response.body.len()), (304, 0), "{name}: {value}");
        assert_eq!(response.field("etag"), Some(etag.as_str()));
    }
    assert_eq!(client.send(&Request::get("/").with("If-Match", "\"other\"")).unwrap().status, 412);
    let past = "Sun, 06 Nov 1994 08:49:37 GMT";
    assert_eq!(client.send(&Request::get("/").with("If-Unmodified-Since", past)).unwrap().status, 412);
    assert_eq!(client.send(&Request::get("/").with("If-Modified-Since", past)).unwrap().status, 200);
    let head = client.send(&Request::new("HEAD", "/")).unwrap();
    assert_eq!((head.status, head.field("content-length")), (200, Some("13")));
    assert_eq!(client.get("/a%20b.txt").text(), "blank");
    assert_eq!(client.get("/%ED%95%9C%EA%B8%80.txt").text(), "hangul");
    assert_eq!(client.get("/none").status, 404);
    let post = client.send(&Request::post("/", "x")).unwrap();
    assert_eq!(post.status, 405);
    assert!(post.field("allow").is_some_and(|allow| allow.contains("GET")));
}

#[test]
fn ranges_are_cut_from_the_whole() {
    let haechi = site().start();
    let mut client = Client::connect(haechi.at("http")).unwrap();
    let mut range = |range: &str| client.send(&Request::get("/digits.txt").with("Range", range)).unwrap();
    for (asked, status, body, content_range) in [
        ("bytes=0-3", 206, "0123", Some("bytes 0-3/10")),
        ("bytes=5-", 206, "56789", Some("bytes 5-9/10")),
        ("bytes=-2", 206, "89", Some("bytes 8-9/10")),
        ("bytes=8-100", 206, "89", Some("bytes 8-9/10")),
        ("bytes=10-", 416, "", Some("bytes */10")),
        ("bytes=4-3", 200, "0123456789", None),
        ("lines=1-2", 200, "0123456789", None),
        ("bytes=a-b", 200, "0123456789", None),
    ] {
        let response = range(asked);
        assert_eq!((response.status, response.field("content-range")), (status, content_range), "{asked}");
        if status != 416 {
            assert_eq!(response.text(), body, "{asked}");
        }
    }
    let parts = range("bytes=0-1, 8-9");
    assert_eq!(parts.status, 206);
    let kind = parts.field("content-type").unwrap_or_default().to_owned();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").expect("several parts").trim_matches('"');
    let text = parts.text();
    let bodies: Vec<&str> = text
        .split(&format!("--{boundary}"))
        .filter_map(|part| part.split_once("\r\n\r\n").map(|(_, body)| body.trim_end_matches("\r\n")))
        .collect();
    assert_eq!(bodies, ["01", "89"]);

    let mut client = Client::connect(haechi.at("http")).unwrap();
    let etag = client.get("/digits.txt").field("etag").unwrap().to_owned();
    let request = Request::get("/digits.txt").with("Range", "bytes=0-1");
    assert_eq!(client.send(&request.clone().with("If-Range", &etag)).unwrap().status, 206);
    assert_eq!(client.send(&request.with("If-Range", "\"other\"")).unwrap().status, 200);
}

#[test]
fn a_compressed_neighbour_is_served_to_those_who_take_it() {
    let haechi = site().start();
    let mut client = Client::connect(haechi.at("http")).unwrap();
    for (accepted, coding, body) in [
        ("gzip, br", Some("br"), "brotli"),
        ("gzip", Some("gzip"), "gzipped"),
        ("br;q=0, gzip", Some("gzip"), "gzipped"),
        ("identity", None, "plain"),
        ("zstd", None, "plain"),
    ] {
        let response = client.send(&Request::get("/style.css").with("Accept-Encoding", accepted)).unwrap();
        assert_eq!((response.field("content-encoding"), response.text().as_str()), (coding, body), "{accepted}");
        assert_eq!(response.field("vary").map(str::to_lowercase).as_deref(), Some("accept-encoding"), "{accepted}");
        assert_eq!(response.field("content-type"), Some("text/css; charset=utf-8"), "{accepted}");
    }
    let plain = client.get("/style.css");
    let packed = client.send(&Request::get("/style.css").with("Accept-Encoding", "br")).unwrap();
    assert_ne!(plain.field("etag"), packed.field("etag"));
}

#[test]
fn folders_lead_to_their_index_fallback_or_list() {
    let haechi = site().start();
    let http = haechi.at("http");
    let folder = get(http, "/folder?a=b");
    assert!(matches!(folder.status, 301 | 302 | 307 | 308), "{}", folder.status);
    assert!(folder.field("location").is_some_and(|location| location.ends_with("/folder/?a=b")), "{folder:?}");
    assert_eq!(get(http, "/folder/").text(), "folder");
    assert!(matches!(get(http, "/bare/").status, 403 | 404));
    assert_eq!(get(http, "/app/deep/link").text(), "single page");
    assert_eq!(get(http, "/app/real.js").text(), "real");
    let list = get(http, "/list/bare/");
    assert_eq!(list.status, 200);
    assert!(list.text().contains("one.txt"), "{}", list.text());
    assert!(!get(http, "/list/").text().contains("secret"), "dotfiles are not listed");
}

#[test]
fn there_is_no_way_out_of_the_root() {
    let plan = site();
    let www = plan.dir().join("www");
    symlink(plan.dir().join("secret.txt"), www.join("absolute")).unwrap();
    symlink("../secret.txt", www.join("relative")).unwrap();
    symlink("..", www.join("up")).unwrap();
    symlink("digits.txt", www.join("inside")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(www.join("pipe")).status().unwrap();
    assert!(made.success());
    let haechi = plan.start();
    let http = haechi.at("http");
    for target in [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/folder/../../secret.txt",
        "/folder/..%2f..%2fsecret.txt",
        "/..%5csecret.txt",
        "/..\\secret.txt",
        "/.%2e/secret.txt",
        "/%252e%252e/secret.txt",
        "/..;/secret.txt",
        "/%c0%ae%c0%ae/secret.txt",
        "/secret.txt%00.html",
        "/index.html%00",
        "//secret.txt",
        "/app/../../secret.txt",
        "/list/..%2fsecret.txt",
        "/absolute",
        "/relative",
        "/up/secret.txt",
        "/.secret",
        "/.git/config",
        "/folder/../.secret",
        "/%2esecret",
        "/pipe",
        "/style.css.gz/",
        "/digits.txt/",
        "/digits.txt/x",
    ] {
        let mut wire = Wire::connect(http).unwrap();
        wire.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap();
        let response = wire.read_response("GET").unwrap_or_else(|error| panic!("{target}: {error}"));
        assert!(matches!(response.status, 400 | 403 | 404), "{target}: {} {}", response.status, response.text());
        assert!(!response.text().contains("secret"), "{target}");
    }
    assert_eq!(get(http, "/app/..%2fsecret.txt").status, 404, "a refused path has no fallback");
    assert_eq!(get(http, "/app/missing").text(), "single page");
    assert_eq!(get(http, "/inside").text(), "0123456789", "a link that stays inside is followed");
}

#[test]
fn a_changed_file_is_seen_and_a_running_download_is_not_mixed() {
    let haechi = site().start();
    let http = haechi.at("http");
    let www = haechi.dir().join("www");
    assert_eq!(get(http, "/digits.txt").text(), "0123456789");
    fs::write(www.join("beside"), "changed").unwrap();
    fs::rename(www.join("beside"), www.join("digits.txt")).unwrap();
    eventually("the new file", || (get(http, "/digits.txt").text() == "changed").then_some(()));
    fs::write(www.join("late.txt"), "late").unwrap();
    eventually("a file that was not there", || (get(http, "/late.txt").text() == "late").then_some(()));
    fs::remove_file(www.join("late.txt")).unwrap();
    eventually("a file that is gone", || (get(http, "/late.txt").status == 404).then_some(()));
}

#[test]
fn large_files_are_whole_over_plain_tls_and_http_2() {
    let large: Vec<u8> = (0..20_000_000_u32).map(|at| (at % 251) as u8).collect();
    let text = format!("{FILES}\n[listener.https]\nbind = [\"@https\"]\n[listener.https.tls]\ndirectory = \"certs\"\n");
    let plan = Haechi::plan(&text).file("www/large.bin", &large).file("app/index.html", "");
    let authority = Authority::new("test");
    authority.write(&plan.dir().join("certs"), "site", &["localhost"]);
    let haechi = plan.start();
    let mut client = Client::connect(haechi.at("http")).unwrap();
    for _ in 0..2 {
        assert!(client.get("/large.bin").body == large, "plain");
    }
    let range = client.send(&Request::get("/large.bin").with("Range", "bytes=9999999-15000000")).unwrap();
    assert!(range.body == large[9_999_999..=15_000_000], "a range");
    for version in ["--http1.1", "--http2"] {
        let out = haechi.dir().join("out");
        let url = format!("https://{}/large.bin", haechi.at("https"));
        curl([version, "-k", "-o", out.to_str().unwrap(), &url]);
        assert!(fs::read(&out).unwrap() == large, "{version}");
    }
    assert_eq!(send(haechi.at("http"), &Request::get("/none")).unwrap().status, 404);
}
