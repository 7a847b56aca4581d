//! The laws of the tree that a compiler does not check: the way of the data, the size of files, and
//! who may read a clock.

use std::fs;
use std::path::{Path, PathBuf};

/// Files of the thin shell: they own a socket, a timer or a task, so they may ask what time it is.
/// Everything else takes `now` as an argument. A name that ends in `/` stands for a folder.
const MAY_READ_THE_CLOCK: &[&str] = &[
    "src/admin/",
    "src/app/",
    "src/demo/",
    "src/guard/life.rs",
    "src/guard/pool_hooks.rs",
    "src/guard/mod.rs",
    "src/guard/questions.rs",
    "src/guard/rounds.rs",
    "src/guard/reload.rs",
    "src/guard/watch.rs",
    "src/guard/workers.rs",
    "src/handler/proxy/",
    "src/http/",
    "src/l4/reach.rs",
    "src/l4/session.rs",
    "src/l4/udp/port.rs",
    "src/listener/",
    "src/main.rs",
    "src/hook/child.rs",
    "src/net/",
    "src/serve.rs",
    "src/serve/",
    "src/telemetry/access_log.rs",
    "src/telemetry/access_writer.rs",
    "src/upstream/dial.rs",
    "src/upstream/discovery/names.rs",
    "src/upstream/health/probe.rs",
    "src/upstream/health/task.rs",
    "src/upstream/lease.rs",
    "src/upstream/pool.rs",
    "src/vrrp/check.rs",
    "src/vrrp/host/speaker.rs",
    "src/vrrp/probe.rs",
];

/// Two subjects live in a longer file than this.
const MOST_LINES: usize = 500;

#[test]
fn a_module_uses_only_modules_below_it() {
    let order = module_order(&code_only(&read(&root().join("src/lib.rs"))));
    assert!(order.len() > 10, "lib.rs was not understood: {order:?}");
    let faults: Vec<String> = sources("src")
        .iter()
        .filter(|path| !path.ends_with("lib.rs") && !path.ends_with("main.rs"))
        .flat_map(|path| {
            let module = module_of(path);
            edges(&code_only(&read(path)), depth_of(path))
                .into_iter()
                .filter_map(|(line, used)| upward(&order, &module, &used).map(|why| (line, why)))
                .map(|(line, why)| format!("{}:{line}: {why}", shown(path)))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(faults.is_empty(), "edges against the way of the data:\n{}", faults.join("\n"));
}

#[test]
fn files_hold_one_subject() {
    let long: Vec<String> = ["src", "tests", "benches"]
        .iter()
        .flat_map(|folder| sources(folder))
        .map(|path| (shown(&path), read(&path).lines().count()))
        .filter(|(_, lines)| *lines > MOST_LINES)
        .map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect();
    assert!(long.is_empty(), "longer than {MOST_LINES} lines:\n{}", long.join("\n"));
}

#[test]
fn only_the_shell_reads_the_clock() {
    let faults: Vec<String> = sources("src")
        .iter()
        .filter(|path| !path.ends_with("tests.rs"))
        .filter(|path| !MAY_READ_THE_CLOCK.iter().any(|allowed| allows(allowed, &shown(path))))
        .flat_map(|path| {
            let code = without_tests(&code_only(&read(path)));
            let lines = lines_with(&code, "Instant::now");
            lines.into_iter().map(|line| format!("{}:{line}", shown(path))).collect::<Vec<_>>()
        })
        .collect();
    assert!(faults.is_empty(), "`Instant::now` outside the shell, take `now` as an argument:\n{}", faults.join("\n"));
}

// The three checks above are only as good as their reading of Rust, so that is tested as well.

#[test]
fn an_upward_edge_is_seen_however_it_is_written() {
    let order: Vec<String> = ["app", "serve", "net"].map(str::to_owned).to_vec();
    let seen = |code: &str, module: &str, depth: usize| -> Vec<usize> {
        edges(&code_only(code), depth)
            .into_iter()
            .filter(|(_, used)| upward(&order, module, used).is_some())
            .map(|(line, _)| line)
            .collect()
    };
    assert_eq!(seen("use crate::app::Start;", "net", 1), [1]);
    assert_eq!(seen("use crate::net::Io;", "serve", 1), [0_usize; 0]);
    assert_eq!(seen("\nuse crate::{net::{app, Io}, serve};", "net", 1), [2]);
    assert_eq!(seen("use crate :: {\n    net,\n    app as top,\n};", "serve", 1), [3]);
    assert_eq!(seen("pub(crate) fn f() { crate::app::run() }", "serve", 1), [1]);
    assert_eq!(seen("// crate::app\nconst A: &str = \"crate::app\";\n/* crate::app */", "net", 1), [0_usize; 0]);
    assert_eq!(seen("use super::app;", "serve", 1), [1]);
    assert_eq!(seen("use super::app;", "serve", 2), [0_usize; 0]);
    assert_eq!(seen("use super::super::app;", "serve", 2), [1]);
    assert_eq!(seen("mod tests { use super::app; }\nuse super::app;", "serve", 1), [2]);
    assert_eq!(seen("use crate::nowhere;", "serve", 1), [1], "a name outside the order is a fault too");
}

#[test]
fn a_clock_in_a_test_module_is_not_counted() {
    let code = "fn f() {}\n#[cfg(test)]\nmod tests {\n fn g() { Instant::now(); }\n}\nfn h() { Instant::now(); }";
    assert_eq!(lines_with(&without_tests(&code_only(code)), "Instant::now"), [6]);
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every `.rs` file under a folder of the project, in the order of names.
fn sources(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.expect("an entry of a folder").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn allows(allowed: &str, path: &str) -> bool {
    if allowed.ends_with('/') { path.starts_with(allowed) } else { path == allowed }
}

/// The top module that a file of `src` belongs to.
fn module_of(path: &Path) -> String {
    let below = path.strip_prefix(root().join("src")).expect("a file of src");
    let first = below.components().next().expect("a name").as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// How many `super` lead from a file's own module to the crate's root.
fn depth_of(path: &Path) -> usize {
    let below = path.strip_prefix(root().join("src")).expect("a file of src");
    below.components().count() - usize::from(path.ends_with("mod.rs"))
}

fn module_order(code: &str) -> Vec<String> {
    let tokens = tokens(code);
    let names = tokens.windows(3).filter(|window| window[0].1 == "mod" && window[2].1 == ";");
    names.map(|window| window[1].1.to_owned()).collect()
}

/// Why an edge from `module` to `used` goes against the order, if it does.
fn upward(order: &[String], module: &str, used: &str) -> Option<String> {
    let place = |name: &str| order.iter().position(|known| known == name);
    match (place(module), place(used)) {
        (Some(from), Some(to)) if to < from => Some(format!("`{module}` uses `{used}`, which stands above it")),
        (_, None) => Some(format!("`crate::{used}` is no module of lib.rs")),
        (None, _) => Some(format!("`{module}` is no module of lib.rs")),
        _ => None,
    }
}

/// Top modules that a file names, with the line: by `crate::`, grouped or not, and by as many `super::`
/// as lead to the root.
fn edges(code: &str, depth: usize) -> Vec<(usize, String)> {
    let tokens = tokens(code);
    let text = |at: usize| tokens.get(at).map_or("", |token| token.1);
    let mut found = Vec::new();
    let mut braces = 0_usize;
    let mut modules: Vec<usize> = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match text(at) {
            "{" => {
                braces += 1;
                if at >= 2 && text(at - 2) == "mod" {
                    modules.push(braces);
                }
            }
            "}" => {
                if modules.last() == Some(&braces) {
                    modules.pop();
                }
                braces = braces.saturating_sub(1);
            }
            "crate" if text(at + 1) == "::" => {
                let (names, next) = first_names(&tokens, at + 2);
                found.extend(names);
                at = next;
                continue;
            }
            "super" if text(at + 1) == "::" && (at == 0 || text(at - 1) != "::") => {
                let mut supers = 0;
                while text(at) == "super" && text(at + 1) == "::" {
                    supers += 1;
                    at += 2;
                }
                if supers == depth + modules.len() {
                    let (names, next) = first_names(&tokens, at);
                    found.extend(names);
                    at = next;
                }
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// The first names of a path or of each member of a group, and where to read on.
fn first_names(tokens: &[(usize, &str)], mut at: usize) -> (Vec<(usize, String)>, usize) {
    let Some(&(line, first)) = tokens.get(at) else { return (Vec::new(), at) };
    if first != "{" {
        return (vec![(line, first.to_owned())], at + 1);
    }
    let mut names = Vec::new();
    let mut depth = 0_usize;
    let mut fresh = false;
    while let Some(&(line, token)) = tokens.get(at) {
        at += 1;
        match token {
            "{" => {
                depth += 1;
                fresh = depth == 1;
            }
            "}" => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            "," if depth == 1 => fresh = true,
            name if fresh && depth == 1 => {
                names.push((line, name.to_owned()));
                fresh = false;
            }
            _ => {}
        }
    }
    (names, at)
}

/// Names, `::`, and single other characters, each with its line.
fn tokens(code: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut line = 1;
    let mut at = 0;
    while let Some(first) = code[at..].chars().next() {
        let rest = &code[at..];
        let length = if first.is_alphanumeric() || first == '_' {
            rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        if first == '\n' {
            line += 1;
        }
        if !first.is_whitespace() {
            found.push((line, &rest[..length]));
        }
        at += length;
    }
    found
}

/// The text with comments and literals blanked out; lines stay where they are.
fn code_only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = raw_string(rest, at.checked_sub(1).map(|before| bytes[before])) {
            length
        } else if rest.starts_with('"') {
            quoted(rest, '"')
        } else if rest.starts_with('\'') {
            character(rest)
        } else {
            0
        };
        let length = if skipped == 0 { rest.chars().next().map_or(1, char::len_utf8) } else { skipped };
        if skipped == 0 {
            out.push_str(&rest[..length]);
        } else {
            out.extend(rest[..length].chars().filter(|c| *c == '\n'));
            out.push(' ');
        }
        at += length;
    }
    out
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of a character literal; 0 for a lifetime.
fn character(rest: &str) -> usize {
    let mut chars = rest.chars().skip(1);
    match (chars.next(), chars.next()) {
        (Some('\\'), _) => quoted(rest, '\''),
        (Some(c), Some('\'')) => c.len_utf8() + 2,
        _ => 0,
    }
}

fn raw_string(rest: &str, before: Option<u8>) -> Option<usize> {
    if before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return None;
    }
    let start = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = start.bytes().take_while(|byte| *byte == b'#').count();
    let body = start[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let opened = rest.len() - body.len();
    Some(body.find(&end).map_or(rest.len(), |at| opened + at + end.len()))
}

/// The code with the bodies of `#[cfg(test)] mod` blanked out.
fn without_tests(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(start) = rest.find("#[cfg(test)]") {
        let (before, after) = rest.split_at(start);
        out.push_str(before);
        let body = after.find('{').filter(|open| !after[..*open].contains(';'));
        let Some(open) = body else {
            let end = after.find(';').map_or(after.len(), |end| end + 1);
            rest = &after[end..];
            continue;
        };
        let mut depth = 0_usize;
        let mut end = after.len();
        for (at, c) in after.char_indices().skip(open) {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                end = at + 1;
                break;
            }
        }
        out.extend(after[..end].chars().filter(|c| *c == '\n'));
        rest = &after[end..];
    }
    out.push_str(rest);
    out
}

fn lines_with(code: &str, wanted: &str) -> Vec<usize> {
    code.lines().enumerate().filter(|(_, line)| line.contains(wanted)).map(|(at, _)| at + 1).collect()
}
