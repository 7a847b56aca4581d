//! A directory shown as a page.

use std::fmt::Write;
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime};

use percent_encoding::percent_encode;
use rustix::fs::{AtFlags, Dir, FileType, statat};

use super::PATH;
use super::resolve::is_servable;

/// More names than these are not shown.
pub(super) const MAX_NAMES: usize = 10_000;

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub bytes: Vec<u8>,
    pub kind: Kind,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    File {
        /// In bytes.
        size: u64,
        modified: Option<SystemTime>,
    },
    /// A symbolic link; what it leads to is seen when it is followed.
    Link,
}

/// Reads the servable names of a directory; true: there are more than are shown.
pub(super) fn read(directory: &OwnedFd, hidden: bool, links: bool) -> rustix::io::Result<(Vec<Name>, bool)> {
    let mut names = Vec::new();
    for found in Dir::read_from(directory)? {
        let found = found?;
        let bytes = found.file_name().to_bytes();
        if !is_servable(bytes, hidden) {
            continue;
        }
        // A name that vanished since, or that nobody may look at, is not shown.
        let Ok(stat) = statat(directory, found.file_name(), AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Kind::Directory,
            FileType::RegularFile => Kind::File {
                size: u64::try_from(stat.st_size).unwrap_or(0),
                modified: u64::try_from(stat.st_mtime)
                    .ok()
                    .and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))),
            },
            FileType::Symlink if links => Kind::Link,
            _ => continue,
        };
        if names.len() == MAX_NAMES {
            return Ok((names, true));
        }
        names.push(Name { bytes: bytes.to_vec(), kind });
    }
    Ok((names, false))
}

/// The page for a directory with this request path: directories first, each kind by name.
pub(super) fn render(path: &[u8], mut names: Vec<Name>, cut: bool) -> String {
    names.sort_by(|one, two| {
        let rank = |name: &Name| name.kind != Kind::Directory;
        rank(one).cmp(&rank(two)).then_with(|| one.bytes.cmp(&two.bytes))
    });
    let title = escape(&String::from_utf8_lossy(path));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
         <h1>{title}</h1>\n<table>\n"
    );
    if path.len() > 1 {
        page.push_str("<tr><td><a href=\"../\">../</a><td><td>\n");
    }
    for name in &names {
        row(&mut page, name);
    }
    page.push_str("</table>\n");
    if cut {
        page.push_str("<p>There are more files than are shown here.</p>\n");
    }
    page
}

fn row(page: &mut String, name: &Name) {
    let slash = if name.kind == Kind::Directory { "/" } else { "" };
    let text = escape(&String::from_utf8_lossy(&name.bytes));
    // `./` keeps a name with a colon from being read as a scheme.
    let link = percent_encode(&name.bytes, PATH);
    let _ = write!(page, "<tr><td><a href=\"./{link}{slash}\">{text}{slash}</a><td>");
    if let Kind::File { size, modified } = &name.kind {
        let _ = write!(page, "{size}<td>{}", modified.and_then(super::look::http_date).unwrap_or_default());
    } else {
        page.push_str("<td>");
    }
    page.push('\n');
}

fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> Name {
        Name { bytes: name.into(), kind: Kind::File { size: 7, modified: Some(SystemTime::UNIX_EPOCH) } }
    }

    #[test]
    fn names_are_escaped_and_sorted() {
        let names = vec![
            file("z\"><script>"),
            file("a&b.txt"),
            file("javascript:x"),
            Name { bytes: b"zoo".to_vec(), kind: Kind::Directory },
            Name { bytes: b"\xff?#%".to_vec(), kind: Kind::Link },
        ];
        let page = render(b"/<i>/", names, false);
        assert!(!page.contains("<script>") && !page.contains("<i>"), "{page}");
        assert!(page.contains("<h1>/&lt;i&gt;/</h1>"), "{page}");
        let links: Vec<&str> = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        let expected = ["../", "./zoo/", "./a&b.txt", "./javascript:x", "./z%22%3E%3Cscript%3E", "./%FF%3F%23%25"];
        assert_eq!(links, expected);
        assert!(page.contains("7<td>Thu, 01 Jan 1970 00:00:00 GMT"), "{page}");
    }

    #[test]
    fn the_top_has_no_way_up_and_a_cut_is_told() {
        let page = render(b"/", vec![], true);
        assert!(!page.contains("../"));
        assert!(page.contains("more files"));
    }

    #[test]
    fn only_what_can_be_asked_for_is_read() {
        let root = tempfile::tempdir().unwrap();
        for name in ["plain", ".hidden", "back\\slash", "twice%2Fencoded"] {
            std::fs::write(root.path().join(name), "x").unwrap();
        }
        std::fs::create_dir(root.path().join("folder")).unwrap();
        std::os::unix::fs::symlink("plain", root.path().join("link")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, root.path().join("pipe"), FileType::Fifo, rustix::fs::Mode::RUSR, 0)
            .unwrap();
        let seen = |hidden, links| {
            let directory = OwnedFd::from(std::fs::File::open(root.path()).unwrap());
            let (names, cut) = read(&directory, hidden, links).unwrap();
            assert!(!cut);
            let mut names: Vec<_> = names.into_iter().map(|name| String::from_utf8(name.bytes).unwrap()).collect();
            names.sort();
            names.join(" ")
        };
        assert_eq!(seen(false, true), "folder link plain");
        assert_eq!(seen(false, false), "folder plain");
        assert_eq!(seen(true, false), ".hidden folder plain");
    }

    #[test]
    fn a_large_directory_is_cut() {
        let root = tempfile::tempdir().unwrap();
        for n in 0..=MAX_NAMES {
            std::fs::write(root.path().join(n.to_string()), "").unwrap();
        }
        let (names, cut) = read(&OwnedFd::from(std::fs::File::open(root.path()).unwrap()), false, false).unwrap();
        assert_eq!((names.len(), cut), (MAX_NAMES, true));
    }
}
