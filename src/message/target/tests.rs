use proptest::prelude::*;

use super::*;

fn head(target: &str, host: &str) -> RequestHead {
    let mut head = RequestHead { target: target.as_bytes().to_vec(), ..RequestHead::default() };
    head.fields.push("Host", host);
    head
}

fn normal(path: &str) -> Result<String, TargetFault> {
    let head = head(path, "a");
    RequestTarget::of(&head, false).map(|target| String::from_utf8_lossy(target.normal_path()).into_owned())
}

fn after(path: &str, matched: usize) -> String {
    let head = head(path, "a");
    String::from_utf8(RequestTarget::of(&head, false).unwrap().path_after(matched).into_owned()).unwrap()
}

#[test]
fn a_plain_target_is_read_without_a_copy() {
    let head = head("/a/b.html?x=1&y=/../", "Shop.Example.:8443");
    let target = RequestTarget::of(&head, true).unwrap();
    assert_eq!((target.host(), target.port(), target.effective_port()), (&b"shop.example"[..], Some(8443), 8443));
    assert_eq!((target.path(), target.query()), (&b"/a/b.html"[..], Some(&b"x=1&y=/../"[..])));
    assert!(matches!(target.normal_path, Cow::Borrowed(b"/a/b.html")));
    assert!(matches!(target.resolved_path(), Cow::Borrowed(_)));
    assert_eq!(target.scheme(), "https");
}

#[test]
fn hosts_are_checked_and_normalised() {
    let host = |text: &str| {
        let head = head("/", text);
        RequestTarget::of(&head, false)
            .map(|target| (String::from_utf8(target.host().to_vec()).unwrap(), target.port()))
    };
    assert_eq!(host("A.b"), Ok(("a.b".into(), None)));
    assert_eq!(host("a.b:"), Ok(("a.b".into(), None)));
    assert_eq!(host("10.0.0.1:80"), Ok(("10.0.0.1".into(), Some(80))));
    assert_eq!(host("[::1]:80"), Ok(("[::1]".into(), Some(80))));
    assert_eq!(host("[2001:DB8::1]"), Ok(("[2001:db8::1]".into(), None)));
    assert_eq!(host(""), Ok((String::new(), None)));
    assert_eq!(host(&"a".repeat(253)), Ok(("a".repeat(253), None)));
    for bad in ["a b", "a/b", "u@a", "a\\b", ":80", ".", ".a", "a..b", "[::1", "[zz]", "[::1]x", "a%41", "é"] {
        assert_eq!(host(bad), Err(TargetFault::Host), "{bad}");
    }
    for bad in ["a:65536", "a:+1", "a:8x", "a:1:2", "::1:"] {
        assert!(host(bad).is_err(), "{bad}");
    }
    assert_eq!(host(&"a".repeat(254)), Err(TargetFault::HostLength));
    assert_eq!(host(&"a".repeat(9000)), Err(TargetFault::HostLength));
    let nameless = RequestHead { target: b"/".to_vec(), ..RequestHead::default() };
    assert_eq!(RequestTarget::of(&nameless, false).unwrap().host(), b"");
}

#[test]
fn only_options_may_be_for_the_whole_server() {
    let mut asterisk = head("*", "a");
    assert_eq!(RequestTarget::of(&asterisk, false).unwrap_err(), TargetFault::Form);
    asterisk.method = Method::Options;
    let target = RequestTarget::of(&asterisk, false).unwrap();
    assert!(target.is_asterisk());
    assert_eq!(target.normal_path(), b"*");
    for bad in ["", "a", "http://a/", "?x", "*?x"] {
        assert_eq!(normal(bad), Err(TargetFault::Form), "{bad}");
    }
}

#[test]
fn paths_are_read_as_the_strictest_origin_would() {
    for (raw, expected) in [
        ("/", "/"),
        ("//", "/"),
        ("/a//b///c", "/a/b/c"),
        ("/a/./b/.", "/a/b/"),
        ("/a/b/..", "/a/"),
        ("/a/b/../", "/a/"),
        ("/a/../b", "/b"),
        ("/a//../b", "/b"),
        ("/.well-known/x", "/.well-known/x"),
        ("/a/...", "/a/..."),
        ("/%61dmin", "/admin"),
        ("/a/%2e%2E/b", "/b"),
        ("/a/..;/b", "/b"),
        ("/a/..;x=1/b", "/b"),
        ("/a;x=1/b;jsessionid=Z.node1", "/a/b"),
        ("/a/;x", "/a/"),
        ("/;x/a", "/a"),
        ("/a%3Bb", "/a;b"),
        ("/a%2fb%5cc", "/a%2Fb%5Cc"),
        ("/a%2F..%2Fb", "/a%2F..%2Fb"),
        ("/%252F", "/%252F"),
        ("/100%25", "/100%25"),
        ("/a%0d%0aX", "/a%0D%0AX"),
        ("/%ED%95%9C", "/한"),
        ("/a%20b", "/a b"),
    ] {
        assert_eq!(normal(raw).as_deref(), Ok(expected), "{raw}");
    }
}

#[test]
fn paths_that_cannot_be_read_one_way_are_refused() {
    for (raw, fault) in [
        ("/..", TargetFault::AboveRoot),
        ("/a/../..", TargetFault::AboveRoot),
        ("/%2e%2e/a", TargetFault::AboveRoot),
        ("/..;/a", TargetFault::AboveRoot),
        ("/a%", TargetFault::Escape),
        ("/a%4", TargetFault::Escape),
        ("/a%4g", TargetFault::Escape),
        ("/a%+1", TargetFault::Escape),
        ("/a;%zz", TargetFault::Escape),
        ("/a%00", TargetFault::Nul),
        ("/a;%00", TargetFault::Nul),
        ("/a\0", TargetFault::Nul),
    ] {
        assert_eq!(normal(raw), Err(fault), "{raw}");
    }
}

#[test]
fn the_rest_of_a_path_keeps_the_clients_spelling() {
    assert_eq!(after("/app/x", 5), "x");
    assert_eq!(after("/%61pp/%ED%95%9C;s=1", 5), "%ED%95%9C;s=1");
    assert_eq!(after("/app;v=1/page;jsessionid=Z.node1", 5), "page;jsessionid=Z.node1");
    assert_eq!(after("/app/../app/x", 5), "x");
    assert_eq!(after("//app//x", 5), "x");
    assert_eq!(after("/a%2Fb/x", 7), "x");
    assert_eq!(after("/app", 4), "");
    assert_eq!(after("/app", 99), "");
}

#[test]
fn a_normal_path_is_written_back_safely() {
    let mut out = Vec::new();
    write_normal_path(&mut out, "/a b;c?d#é%2F%\r".as_bytes());
    assert_eq!(String::from_utf8(out).unwrap(), "/a%20b%3Bc%3Fd%23%C3%A9%2F%25%0D");
}

proptest! {
    #[test]
    fn a_normal_path_has_nothing_left_to_resolve(path in "/([ab.;/]|%2e|%2F|%25|%61|;x){0,12}") {
        let head = head(&path, "a");
        if let Ok(target) = RequestTarget::of(&head, false) {
            let normal = String::from_utf8(target.normal_path().to_vec()).unwrap();
            prop_assert!(normal.starts_with('/'));
            prop_assert!(!normal.contains("//") && !normal.contains(';'));
            prop_assert!(normal.split('/').all(|segment| segment != "." && segment != ".."));
            // What is forwarded after a rewrite means the same as what was matched.
            let resolved = head_of(&target.resolved_path());
            let again = RequestTarget::of(&resolved, false).unwrap();
            prop_assert_eq!(again.normal_path(), target.normal_path());
            let mut written = Vec::new();
            write_normal_path(&mut written, target.normal_path());
            let written = head_of(&written);
            let read = RequestTarget::of(&written, false).unwrap();
            prop_assert_eq!(read.normal_path(), target.normal_path());
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(target in prop::collection::vec(any::<u8>(), 0..60), host in prop::collection::vec(any::<u8>(), 0..20), n in 0usize..70) {
        let mut head = RequestHead { target: [b"/", target.as_slice()].concat(), ..RequestHead::default() };
        head.fields.push("Host", &host);
        if let Ok(target) = RequestTarget::of(&head, true) {
            let _ = target.path_after(n);
            prop_assert!(target.host().len() <= 253);
        }
        head.fields.set("Host", "a");
        if let Ok(target) = RequestTarget::of(&head, true) {
            let _ = target.path_after(n);
        }
    }
}

fn head_of(path: &[u8]) -> RequestHead {
    RequestHead { target: path.to_vec(), ..RequestHead::default() }
}
