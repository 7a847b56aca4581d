//! What a file is, by its name. Pure.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The Content-Type of a file with this path; text is UTF-8, the unknown is bytes.
pub(super) fn content_type(path: &[u8]) -> Cow<'static, str> {
    match mime_guess::from_path(Path::new(OsStr::from_bytes(path))).first_raw() {
        None => Cow::Borrowed("application/octet-stream"),
        Some(kind) if kind.starts_with("text/") || kind == "application/javascript" => {
            Cow::Owned(format!("{kind}; charset=utf-8"))
        }
        Some(kind) => Cow::Borrowed(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_name() {
        let table: &[(&[u8], &str)] = &[
            (b"index.html", "text/html; charset=utf-8"),
            (b"a/b.CSS", "text/css; charset=utf-8"),
            (b"app.js", "text/javascript; charset=utf-8"),
            (b"app.mjs", "application/javascript; charset=utf-8"),
            (b"data.json", "application/json"),
            (b"gate.svg", "image/svg+xml"),
            (b"a.tar.gz", "application/gzip"),
            (b"README", "application/octet-stream"),
            (b"\xff.png", "image/png"),
        ];
        for (path, expected) in table {
            assert_eq!(content_type(path), *expected, "{}", path.escape_ascii());
        }
    }
}
