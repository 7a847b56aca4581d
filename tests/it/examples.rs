//! What a stranger reads first is true: the configs to copy, README's config, ARCHITECTURE's map and names.

use super::harness::tools::{Said, run};
use haechi::tls::mint;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

#[test]
fn every_example_is_a_good_config() {
    // As in a clone after `haechi demo`: sites and certificates are neighbours of `config`.
    let folder = site_and_certificate("localhost");
    fs::create_dir(folder.path().join("config")).unwrap();
    let examples = examples();
    assert!(examples.len() >= 4, "{examples:?}");
    for example in examples {
        let copy = folder.path().join("config").join(example.file_name().unwrap());
        fs::copy(&example, &copy).unwrap();
        let said = check(&copy);
        assert_eq!((said.code, &*said.err), (0, ""), "{}", example.display());
    }
}

#[test]
fn the_config_in_the_readme_is_a_good_one() {
    let folder = site_and_certificate("shop");
    let said = check_text(&folder, &block("README.md", "toml"));
    assert_eq!((said.code, &*said.err), (0, ""));
}

#[test]
fn the_message_in_the_readme_is_what_is_said() {
    let folder = site_and_certificate("shop");
    let typo = block("README.md", "toml").replacen("upstream = \"tomcat\"", "upstream = \"tomact\"", 1);
    let said = check_text(&folder, &typo);
    let message = said.err.replace(folder.path().to_str().unwrap(), "/etc/haechi");
    assert_eq!((said.code, message), (1, block("README.md", "text") + "\n1 fault\n"));
}

#[test]
fn the_map_has_the_rooms_in_their_order() {
    let rooms: Vec<String> = read("src/lib.rs").lines().filter_map(|line| between(line, "pub mod ", ";")).collect();
    let map: Vec<String> = read("ARCHITECTURE.md").lines().filter_map(|line| between(line, "| `", "` |")).collect();
    assert!(rooms.len() > 10, "{rooms:?}");
    assert_eq!(map, rooms);
}

#[test]
fn every_name_in_the_architecture_exists() {
    let text = read("ARCHITECTURE.md");
    let prose: String = text.split("```").step_by(2).collect();
    let mut source = String::new();
    collect(&root().join("src"), &mut source);
    let words: HashSet<&str> = source.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
    let quoted: Vec<&str> = prose.split('`').skip(1).step_by(2).collect();
    assert!(quoted.len() > 100, "{} names", quoted.len());
    let names = quoted.iter().flat_map(|name| name.split("::"));
    let names = names.filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
    let gone: Vec<&str> = names.filter(|name| !words.contains(name)).collect();
    assert!(gone.is_empty(), "not in src: {gone:?}");
}

/// A folder that holds what the examples name: a site, and a certificate of this name.
fn site_and_certificate(name: &str) -> TempDir {
    let folder = tempfile::Builder::new().prefix("haechi-it-").tempdir().unwrap();
    fs::create_dir(folder.path().join("static")).unwrap();
    let certs = folder.path().join("certs");
    mint(&certs.join(format!("{name}.crt")), &certs.join(format!("{name}.key"))).unwrap();
    folder
}

fn check_text(folder: &TempDir, text: &str) -> Said {
    let config = folder.path().join("haechi.toml");
    fs::write(&config, text).unwrap();
    check(&config)
}

fn check(config: &Path) -> Said {
    run(env!("CARGO_BIN_EXE_haechi"), ["check".as_ref(), "--config".as_ref(), config.as_os_str()])
}

/// The only block of this language in a page.
fn block(page: &str, language: &str) -> String {
    let text = read(page);
    let fence = format!("```{language}\n");
    let mut blocks = text.split(&fence).skip(1);
    let (Some(block), None) = (blocks.next(), blocks.next()) else {
        panic!("{page}: one {language} block was expected")
    };
    block.split("```").next().unwrap().to_owned()
}

fn examples() -> Vec<PathBuf> {
    let files = fs::read_dir(root().join("config")).unwrap().map(|entry| entry.unwrap().path());
    let mut examples: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|name| name == "toml")).collect();
    examples.sort();
    examples
}

fn between(line: &str, before: &str, after: &str) -> Option<String> {
    Some(line.strip_prefix(before)?.split_once(after)?.0.to_owned())
}

fn collect(folder: &Path, source: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, source);
        } else {
            source.push_str(&fs::read_to_string(&path).unwrap());
            source.push('\n');
        }
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
