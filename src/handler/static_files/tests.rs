use super::*;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

use crate::head::Known;

/// A folder, the root that serves it, and a thread's memory of it.
struct Site {
    folder: tempfile::TempDir,
    root: Root,
    files: Files,
    now: Instant,
}

impl Site {
    fn new(files: &[(&str, &[u8])], change: impl FnOnce(&mut Spec)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let mut spec = Spec::new(folder.path());
        change(&mut spec);
        let files = Files::new(Bounds::default(), Disk::new(2));
        Self { root: Root::open(spec).unwrap(), folder, files, now: Instant::now() }
    }

    async fn ask(&self, method: Method, path: &str, fields: &[(&str, &str)]) -> Result<Answer, Failure> {
        let mut list = Fields::default();
        for (name, value) in fields {
            list.push(name, value);
        }
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query.as_bytes())));
        let request = Request { method, path: path.as_bytes(), query, fields: &list };
        self.root.serve(&self.files, self.now, request).await
    }

    /// The status, and the body where there is one.
    async fn see(&self, path: &str, fields: &[(&str, &str)]) -> (u16, String) {
        match self.ask(Method::Get, path, fields).await {
            Err(failure) => (failure.status(), String::new()),
            Ok(answer) => (answer.status, String::from_utf8_lossy(&read(answer.body).await).into_owned()),
        }
    }
}

/// The whole body, through the way of TLS; checks that its length was told.
async fn read(mut body: FileBody) -> Vec<u8> {
    let length = body.length();
    let mut bytes = Vec::new();
    while std::future::poll_fn(|cx| body.poll_fill(cx)).await.unwrap() {
        // In steps that fit nothing, so that pieces are taken in parts.
        let n = body.data().len().min(1013);
        bytes.extend_from_slice(&body.data()[..n]);
        body.consume(n);
    }
    if !matches!(body, FileBody::Empty { .. }) {
        assert_eq!((length, body.length()), (bytes.len() as u64, 0));
    }
    bytes
}

fn field(answer: &Answer, name: &str) -> String {
    String::from_utf8_lossy(answer.fields.first_name(name.as_bytes()).unwrap_or(b"-")).into_owned()
}

#[tokio::test]
async fn a_file_and_its_fields() {
    let site = Site::new(&[("a.html", b"hello")], |spec| spec.cache_control = Some("max-age=60".into()));
    for _ in 0..2 {
        let answer = site.ask(Method::Get, "/a.html", &[]).await.unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(field(&answer, "content-type"), "text/html; charset=utf-8");
        assert_eq!(field(&answer, "accept-ranges"), "bytes");
        assert_eq!(field(&answer, "cache-control"), "max-age=60");
        assert_eq!(field(&answer, "vary"), "-");
        assert!(field(&answer, "etag").starts_with('"') && field(&answer, "last-modified").ends_with(" GMT"));
        assert!(answer.fields.first(Known::ContentLength).is_none());
        site.files.reuse(answer.fields);
        assert_eq!(read(answer.body).await, b"hello");
    }
    let head = site.ask(Method::Head, "/a.html", &[("Range", "bytes=0-0")]).await.unwrap();
    assert_eq!((head.status, head.body.length(), field(&head, "content-range").as_str()), (200, 5, "-"));
    assert!(read(head.body).await.is_empty());
}

#[tokio::test]
async fn other_methods() {
    let site = Site::new(&[("a", b"x")], |spec| spec.fallback = Some("/a".into()));
    for (method, status) in [(Method::Options, 204), (Method::Post, 405), (Method::Delete, 405), (Method::Other, 405)] {
        for path in ["/a", "/none"] {
            let answer = site.ask(method, path, &[]).await.unwrap();
            assert_eq!((answer.status, field(&answer, "allow").as_str()), (status, "GET, HEAD, OPTIONS"));
            assert_eq!(answer.body.length(), 0);
        }
    }
}

#[tokio::test]
async fn what_is_no_file_is_not_served() {
    let site = Site::new(&[("a/file", b"x"), (".env", b"key"), ("locked", b"x")], |_| {});
    let folder = site.folder.path();
    rustix::fs::mknodat(rustix::fs::CWD, folder.join("pipe"), rustix::fs::FileType::Fifo, 0o644.into(), 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.join("socket")).unwrap();
    symlink("/etc/passwd", folder.join("passwd")).unwrap();
    symlink("a/file", folder.join("inside")).unwrap();
    let table = [
        ("/a/file", 200),
        ("/inside", 200),
        ("/passwd", 403),
        ("/pipe", 404),
        ("/socket", 404),
        ("/a", 404),
        ("/a/", 404),
        ("/", 404),
        ("/a/file/", 404),
        ("/.env", 404),
        ("/../a/file", 404),
        ("/%2e%2e/a/file", 404),
        ("/..%2fa", 404),
        ("/a\\file", 404),
        ("/a/file\0", 404),
        ("/a/file%00", 404),
    ];
    for (path, status) in table {
        assert_eq!(site.see(path, &[]).await.0, status, "{path}");
    }
    assert_eq!(site.see(&format!("/{}", "x".repeat(300)), &[]).await.0, 404);
    assert_eq!(site.see(&"/x".repeat(3000), &[]).await.0, 404);

    fs::set_permissions(folder.join("locked"), fs::Permissions::from_mode(0o000)).unwrap();
    // The superuser may read it all the same.
    let expected = if fs::File::open(folder.join("locked")).is_ok() { 200 } else { 403 };
    assert_eq!(site.see("/locked", &[]).await.0, expected);
    assert_eq!(Failure::from(Errno::ACCESS).status(), 403);
    assert_eq!(Failure::from(Errno::IO).status(), 500);
}

#[tokio::test]
async fn directories() {
    let files: &[(&str, &[u8])] = &[("index.html", b"top"), ("a b/index.htm", b"sub"), ("empty/x", b"")];
    let site = Site::new(files, |spec| spec.index = vec!["index.html".into(), "index.htm".into()]);
    assert_eq!(site.see("/", &[]).await, (200, "top".into()));
    assert_eq!(site.see("/a b/", &[]).await, (200, "sub".into()));
    assert_eq!(site.see("/empty", &[]).await.0, 404);
    for (path, location) in [("/a b", "/a%20b/"), ("/a b?x=1&y", "/a%20b/?x=1&y"), ("//a b", "/a%20b/")] {
        let answer = site.ask(Method::Get, path, &[]).await.unwrap();
        assert_eq!((answer.status, field(&answer, "location").as_str()), (308, location));
    }
    let page = site.ask(Method::Get, "/", &[]).await.unwrap();
    assert_eq!(field(&page, "content-type"), "text/html; charset=utf-8");
}

#[tokio::test]
async fn a_prefix_is_no_part_of_the_folder() {
    let site = Site::new(&[("index.html", b"top"), ("a", b"x")], |spec| spec.strip_prefix = Some(b"/static/".to_vec()));
    assert_eq!(site.see("/static/a", &[]).await, (200, "x".into()));
    assert_eq!(site.see("/static/", &[]).await, (200, "top".into()));
    let answer = site.ask(Method::Get, "/static", &[]).await.unwrap();
    assert_eq!((answer.status, field(&answer, "location").as_str()), (308, "/static/"));
    assert_eq!(site.see("/a", &[]).await.0, 404);
}

#[tokio::test]
async fn a_listing() {
    let site = Site::new(&[("a/<b>", b"x"), ("a/.c", b"x")], |spec| spec.listing = true);
    let (status, page) = site.see("/a/", &[]).await;
    assert_eq!(status, 200);
    assert!(page.contains("./%3Cb%3E") && page.contains("&lt;b&gt;") && !page.contains(".c"), "{page}");
    assert_eq!(site.ask(Method::Get, "/a", &[]).await.unwrap().status, 308);
    let head = site.ask(Method::Head, "/a/", &[]).await.unwrap();
    assert_eq!(head.body.length(), page.len() as u64);
}

#[tokio::test]
async fn a_single_page_site() {
    let files: &[(&str, &[u8])] = &[("index.html", b"app"), ("a.js", b"js"), ("assets/x", b"")];
    let site = Site::new(files, |spec| spec.fallback = Some("/index.html".into()));
    for path in ["/users/7", "/assets/", "/assets", "/gone.js"] {
        assert_eq!(site.see(path, &[]).await, (200, "app".into()), "{path}");
    }
    assert_eq!(site.see("/a.js", &[]).await, (200, "js".into()));
    assert_eq!(site.see("/.env", &[]).await.0, 404);
    fs::remove_file(site.folder.path().join("index.html")).unwrap();
    let later = Site { now: site.now + Duration::from_secs(1), ..site };
    assert_eq!(later.see("/users/7", &[]).await.0, 404);
}

#[tokio::test]
async fn codings_that_lie_beside() {
    let site = Site::new(&[("a.js", b"plain"), ("b.js", b"only"), ("a.js.br", b"BR"), ("a.js.gz", b"GZ")], |spec| {
        spec.precompressed = vec![Coding::Brotli, Coding::Gzip, Coding::Zstd];
    });
    let mut tags = Vec::new();
    for (accept, coding, body) in
        [("gzip, br, zstd", "br", "BR"), ("gzip", "gzip", "GZ"), ("zstd", "-", "plain"), ("", "-", "plain")]
    {
        let answer = site.ask(Method::Get, "/a.js", &[("Accept-Encoding", accept)]).await.unwrap();
        assert_eq!(field(&answer, "content-encoding"), coding, "{accept}");
        assert_eq!(field(&answer, "content-type"), "text/javascript; charset=utf-8");
        assert_eq!(field(&answer, "vary"), "Accept-Encoding");
        tags.push(field(&answer, "etag"));
        assert_eq!(read(answer.body).await, body.as_bytes());
    }
    assert!(tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2] && tags[2] == tags[3]);
    // The tag of one coding does not stand for another.
    let with = |tag: &str, accept: &str| {
        vec![("If-None-Match".to_owned(), tag.to_owned()), ("Accept-Encoding".to_owned(), accept.to_owned())]
    };
    for (tag, accept, status) in
        [(&tags[0], "br", 304), (&tags[0], "gzip", 200), (&tags[2], "br", 200), (&tags[2], "", 304)]
    {
        let list = with(tag, accept);
        let list: Vec<_> = list.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answer = site.ask(Method::Get, "/a.js", &list).await.unwrap();
        assert_eq!((answer.status, field(&answer, "vary").as_str()), (status, "Accept-Encoding"), "{list:?}");
    }
    let only = site.ask(Method::Get, "/b.js", &[("Accept-Encoding", "br")]).await.unwrap();
    assert_eq!((field(&only, "vary").as_str(), field(&only, "content-encoding").as_str()), ("Accept-Encoding", "-"));

    // One that is older than the plain file was made from another.
    let old = std::time::SystemTime::now() - Duration::from_secs(3600);
    fs::File::options().append(true).open(site.folder.path().join("a.js.br")).unwrap().set_modified(old).unwrap();
    let later = Site { now: site.now + Duration::from_secs(1), ..site };
    assert_eq!(later.see("/a.js", &[("Accept-Encoding", "br")]).await.1, "plain");
}

#[tokio::test]
async fn conditions() {
    let site = Site::new(&[("a", b"hello")], |spec| spec.cache_control = Some("no-cache".into()));
    let first = site.ask(Method::Get, "/a", &[]).await.unwrap();
    let (etag, date) = (field(&first, "etag"), field(&first, "last-modified"));
    for (name, value, status) in [
        ("If-None-Match", etag.as_str(), 304),
        ("If-Modified-Since", date.as_str(), 304),
        ("If-None-Match", "\"x\"", 200),
        ("If-Match", "\"x\"", 412),
        ("If-Match", etag.as_str(), 200),
        ("If-Unmodified-Since", date.as_str(), 200),
        ("If-Unmodified-Since", "Thu, 01 Jan 1970 00:00:00 GMT", 412),
    ] {
        for method in [Method::Get, Method::Head] {
            let answer = site.ask(method, "/a", &[(name, value)]).await.unwrap();
            assert_eq!(answer.status, status, "{name}: {value}");
            if status == 304 {
                assert_eq!(
                    (field(&answer, "etag"), field(&answer, "cache-control")),
                    (etag.clone(), "no-cache".into())
                );
                assert_eq!((field(&answer, "content-type").as_str(), answer.body.length()), ("-", 5));
                assert!(read(answer.body).await.is_empty());
            }
        }
    }
    // A condition that fails goes before a range.
    let ranged = [("If-None-Match", etag.as_str()), ("Range", "bytes=0-0")];
    assert_eq!(site.ask(Method::Get, "/a", &ranged).await.unwrap().status, 304);
    assert_eq!(site.see("/a", &[("If-Range", &etag), ("Range", "bytes=0-0")]).await, (206, "h".into()));
    assert_eq!(site.see("/a", &[("If-Range", "\"x\""), ("Range", "bytes=0-0")]).await, (200, "hello".into()));
}

/// The bytes of a file that has no two alike places.
fn pattern(length: usize) -> Vec<u8> {
    (0..length as u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).take(length).collect()
}

/// The parts of a multipart/byteranges body: Content-Range and bytes.
fn take_apart(body: &[u8], boundary: &str) -> Vec<(String, Vec<u8>)> {
    let mut parts = Vec::new();
    let mut rest = body.strip_prefix(format!("--{boundary}\r\n").as_bytes()).expect("no first boundary");
    loop {
        let end = rest.windows(4).position(|four| four == b"\r\n\r\n").expect("no end of a head");
        let head = std::str::from_utf8(&rest[..end]).unwrap();
        assert!(head.contains("Content-Type: application/octet-stream\r\n"), "{head}");
        let range = head.split("Content-Range: ").nth(1).unwrap().lines().next().unwrap().to_owned();
        rest = &rest[end + 4..];
        let line = format!("\r\n--{boundary}");
        let end = rest.windows(line.len()).position(|window| window == line.as_bytes()).expect("no next boundary");
        parts.push((range, rest[..end].to_vec()));
        rest = &rest[end + line.len()..];
        if rest == b"--\r\n" {
            return parts;
        }
        rest = rest.strip_prefix(b"\r\n").expect("no line end after a boundary");
    }
}

#[tokio::test]
async fn ranges_of_small_and_large_files() {
    for length in [100_usize, 1_000_000] {
        let bytes = pattern(length);
        let site = Site::new(&[("a", &bytes)], |_| {});
        for (value, start, end) in [("bytes=1-9", 1, 10), ("bytes=90-", 90, length), ("bytes=-7", length - 7, length)] {
            let answer = site.ask(Method::Get, "/a", &[("Range", value)]).await.unwrap();
            assert_eq!(answer.status, 206);
            assert_eq!(field(&answer, "content-range"), format!("bytes {start}-{}/{length}", end - 1));
            assert_eq!(read(answer.body).await, bytes[start..end], "{value}");
        }
        let answer = site.ask(Method::Get, "/a", &[("Range", "bytes=0-4, 50-59, -3")]).await.unwrap();
        assert_eq!(answer.status, 206);
        let kind = field(&answer, "content-type");
        let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
        assert_eq!((field(&answer, "content-range").as_str(), answer.fields.all(Known::ContentType).count()), ("-", 1));
        let parts = take_apart(&read(answer.body).await, boundary);
        let spans = [(0, 5), (50, 60), (length - 3, length)];
        let expected: Vec<_> = spans
            .iter()
            .map(|(start, end)| (format!("bytes {start}-{}/{length}", end - 1), bytes[*start..*end].to_vec()))
            .collect();
        assert_eq!(parts, expected);
        let beyond = site.ask(Method::Get, "/a", &[("Range", "bytes=1000000-")]).await.unwrap();
        assert_eq!((beyond.status, field(&beyond, "content-range")), (416, format!("bytes */{length}")));
        assert_eq!(site.see("/a", &[("Range", "bytes=0-1"), ("Range", "bytes=0-1")]).await.0, 200);
    }
}

#[tokio::test]
async fn a_hit_asks_nobody_and_a_change_is_seen_within_a_second() {
    let mut site = Site::new(&[("a", b"old")], |_| {});
    let path = site.folder.path().join("a");
    assert_eq!(site.see("/a", &[]).await, (200, "old".into()));
    // Replaced by another file, as editors do.
    fs::write(site.folder.path().join("b"), b"new").unwrap();
    fs::rename(site.folder.path().join("b"), &path).unwrap();
    assert_eq!(site.see("/a", &[]).await.1, "old", "asked the disk within the second");
    site.now += Duration::from_secs(1);
    assert_eq!(site.see("/a", &[]).await.1, "new");
    // Edited in place, to the same length.
    fs::write(&path, b"NEW").unwrap();
    site.now += Duration::from_secs(1);
    assert_eq!(site.see("/a", &[]).await.1, "NEW");
    fs::remove_file(&path).unwrap();
    assert_eq!(site.see("/a", &[]).await.0, 200);
    site.now += Duration::from_secs(1);
    assert_eq!(site.see("/a", &[]).await.0, 404);
}

#[test]
fn faults_name_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let fault = |change: &dyn Fn(&mut Spec)| {
        let mut spec = Spec::new(folder.path());
        change(&mut spec);
        Root::open(spec).unwrap_err().to_string()
    };
    assert_eq!(fault(&|spec| spec.root = "/nowhere/at/all".into()), "cannot open the folder `/nowhere/at/all`");
    assert_eq!(fault(&|spec| spec.fallback = Some("/../x".into())), "`/../x` names no file beneath the folder");
    assert_eq!(fault(&|spec| spec.index = vec![String::new()]), "`` names no file beneath the folder");
    assert_eq!(fault(&|spec| spec.cache_control = Some("a\nb".into())), "`a\\nb` is no field value");
    fs::write(folder.path().join("file"), "").unwrap();
    assert!(fault(&|spec| spec.root = folder.path().join("file")).contains("file"));
}
