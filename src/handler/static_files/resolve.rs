//! From a request path to a path beneath the root. Pure.
//!
//! The path comes in normalised and percent-decoded. This room trusts neither: whatever could name
//! something outside the root, or two things at once, names nothing. The kernel guards the root a
//! second time when the file is opened.

/// The path beneath the root that a request path names; `None` where nothing can be there.
///
/// The empty path and one that ends in `/` name a directory; `.` is the root named without a slash.
#[must_use]
pub fn resolve<'p>(path: &'p [u8], strip_prefix: Option<&[u8]>, hidden: bool) -> Option<&'p [u8]> {
    let rest = match strip_prefix {
        None => path,
        Some(prefix) => path.strip_prefix(prefix.strip_suffix(b"/").unwrap_or(prefix))?,
    };
    if rest.is_empty() && !path.is_empty() {
        return Some(b".");
    }
    // `/static-old` does not lie beneath `/static`.
    if rest.first() != Some(&b'/') {
        return None;
    }
    let start = rest.iter().position(|byte| *byte != b'/').unwrap_or(rest.len());
    let beneath = rest.get(start..).unwrap_or_default();
    let mut names = beneath.split(|byte| *byte == b'/');
    // RFC 8615: `/.well-known/` is public by definition, and certificates are proven through it.
    let first = names.next().unwrap_or_default();
    let first_ok = first.is_empty() || first == b".well-known" || is_servable(first, hidden);
    (first_ok && names.all(|name| name.is_empty() || is_servable(name, hidden))).then_some(beneath)
}

/// Whether a name in a directory may be reached by a request.
#[must_use]
pub fn is_servable(name: &[u8], hidden: bool) -> bool {
    if name.first() == Some(&b'.') && (!hidden || name == b"." || name == b"..") {
        return false;
    }
    // What the normaliser leaves encoded would be a separator or an end in somebody's eyes.
    let is_ambiguous = |at: usize| matches!(name.get(at + 1..at + 3), Some(b"2F" | b"2f" | b"5C" | b"5c" | b"00"));
    !name.iter().enumerate().any(|(at, byte)| match byte {
        b'/' | b'\\' | 0 => true,
        b'%' => is_ambiguous(at),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_what_lies_beneath() {
        let table: &[(&str, Option<&str>, Option<&str>)] = &[
            ("/", None, Some("")),
            ("/a.html", None, Some("a.html")),
            ("/a/b/", None, Some("a/b/")),
            ("//a", None, Some("a")),
            ("/static/a", Some("/static/"), Some("a")),
            ("/static/a", Some("/static"), Some("a")),
            ("/static/", Some("/static/"), Some("")),
            ("/static", Some("/static/"), Some(".")),
            ("/static-old/a", Some("/static"), None),
            ("/other/a", Some("/static/"), None),
            ("/.well-known/acme-challenge/x", None, Some(".well-known/acme-challenge/x")),
            ("/a/.well-known/x", None, None),
            ("", None, None),
            ("a", None, None),
            ("*", None, None),
        ];
        for (path, prefix, expected) in table {
            let found = resolve(path.as_bytes(), prefix.map(str::as_bytes), false);
            assert_eq!(found, expected.map(str::as_bytes), "{path} {prefix:?}");
        }
    }

    #[test]
    fn no_way_out() {
        let paths: &[&[u8]] = &[
            b"/..",
            b"/../etc/passwd",
            b"/a/../../b",
            b"/a/..",
            b"/./a",
            b"/..%2fetc",
            b"/a%2Fb",
            b"/a%5cb",
            b"/a\\..\\b",
            b"/a\0.html",
            b"/a%00.html",
            b"//../a",
        ];
        for path in paths {
            for hidden in [false, true] {
                assert_eq!(resolve(path, None, hidden), None, "{}", path.escape_ascii());
            }
        }
    }

    #[test]
    fn dotfiles_are_shown_only_when_asked() {
        for path in [&b"/.git/config"[..], b"/a/.htpasswd", b"/..."] {
            assert_eq!(resolve(path, None, false), None);
            assert_eq!(resolve(path, None, true), path.get(1..));
        }
    }

    proptest! {
        #[test]
        fn what_is_found_stays_beneath(path in "[/.%a2fF5cC0\\\\]{0,24}", hidden: bool) {
            if let Some(beneath) = resolve(path.as_bytes(), None, hidden) {
                prop_assert!(!beneath.starts_with(b"/"));
                prop_assert!(!beneath.contains(&b'\\'));
                prop_assert!(beneath.split(|byte| *byte == b'/').all(|name| name != b".." && name != b"."));
            }
        }
    }
}
