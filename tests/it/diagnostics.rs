//! What the operator reads about a bad config, word for word.
//!
//! A case in `tests/diagnostics` is the main file, `==== PATH` before each included one, a line `----`
//! and the message. HAECHI_BLESS=1 writes the messages anew.

#![allow(clippy::unwrap_used, reason = "a test may stop at what it did not expect")]

use std::fs;
use std::path::{Path, PathBuf};

use haechi::config;
use haechi::diagnostic::SourceFile;

#[test]
fn bad_configs_are_told_as_written() {
    let bless = std::env::var_os("HAECHI_BLESS").is_some();
    let mut different = Vec::new();
    for case in cases() {
        let text = fs::read_to_string(&case).unwrap();
        let (input, expected) = text.split_once("----\n").unwrap_or_else(|| panic!("{}: no ----", case.display()));
        let message = match config::parse(files(input)) {
            Ok(_) => panic!("{} is a good config", case.display()),
            Err(faults) => format!("{faults}\n"),
        };
        if bless {
            fs::write(&case, format!("{input}----\n{message}")).unwrap();
        } else if message != expected {
            different.push(format!("{}\nexpected:\n{expected}\nsaid:\n{message}", case.display()));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnostics");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|name| name == "case")).collect();
    cases.sort();
    assert!(cases.len() >= 25, "{} cases", cases.len());
    cases
}

fn files(input: &str) -> Vec<SourceFile> {
    let mut parts = input.split("==== ");
    let main = SourceFile::new("haechi.toml", parts.next().unwrap_or_default());
    let included = parts.map(|part| {
        let (path, text) = part.split_once('\n').unwrap();
        SourceFile::new(path, text)
    });
    std::iter::once(main).chain(included).collect()
}
