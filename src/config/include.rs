//! Reads the main file and what it includes: the only place where the config meets files.

use std::io;
use std::path::{Path, PathBuf};

use super::model::Config;
use super::parse;
use crate::diagnostic::{Diagnostic, Faults, SourceFile, Spanned};
use crate::reading::Reading;

/// Reads a config from its main file; an error holds every fault of every file.
pub fn load(path: &Path) -> Result<Config, Faults> {
    let (config, faults) = scan(path, &Reading::of_disk())?;
    match Faults::new(config.sources.clone(), faults) {
        Some(faults) => Err(faults),
        None => Ok(config),
    }
}

/// Reads what can be read of a config, and every fault of its texts. With faults the config is good
/// for nothing but for looking for more of them, in the files that it names.
///
/// # Errors
/// Where the main file cannot be read.
pub fn scan(path: &Path, reading: &Reading) -> Result<(Config, Vec<Diagnostic>), Faults> {
    let main = read(path, reading).map_err(|error| Diagnostic::anywhere(unreadable(path, &error)))?;
    let mut files = vec![main];
    let mut faults = Vec::new();
    for pattern in parse::include_patterns(&files[0]) {
        for found in expand(reading, &files[0].folder, &pattern, &mut faults) {
            include(reading, &found, &pattern, &mut files, &mut faults);
        }
    }
    let (config, more) = parse::parse_all(files);
    faults.extend(more);
    Ok((config, faults))
}

/// Reads a file, shown by this path and resolved from where it really lies.
fn read(path: &Path, reading: &Reading) -> io::Result<SourceFile> {
    // What is too large is cut, maybe within a character; `parse` sees that it is.
    let bytes = reading.file(path)?;
    let text = match str::from_utf8(&bytes) {
        Ok(text) => text.to_owned(),
        Err(_) if bytes.len() > parse::LARGEST_FILE => String::from_utf8_lossy(&bytes).into_owned(),
        Err(fault) => return Err(io::Error::new(io::ErrorKind::InvalidData, fault)),
    };
    let folder = std::path::absolute(path)?.parent().map(Path::to_path_buf).unwrap_or_default();
    Ok(SourceFile { path: path.to_path_buf(), folder, text })
}

fn include(
    reading: &Reading,
    found: &Path,
    pattern: &Spanned<String>,
    files: &mut Vec<SourceFile>,
    faults: &mut Vec<Diagnostic>,
) {
    // Two patterns may find one file, and `*.toml` the main one.
    if files.iter().any(|file| file.location() == found) {
        return;
    }
    let main = &files[0];
    let shown = match (found.strip_prefix(&main.folder), main.path.parent()) {
        (Ok(relative), Some(folder)) => folder.join(relative),
        _ => found.to_path_buf(),
    };
    match read(found, reading) {
        Ok(file) => files.push(SourceFile { path: shown, ..file }),
        Err(error) => faults.push(Diagnostic::error(pattern.span, unreadable(&shown, &error))),
    }
}

/// The files that a pattern means, sorted; `*` and `?` match within one name, not a leading dot.
fn expand(reading: &Reading, folder: &Path, pattern: &Spanned<String>, faults: &mut Vec<Diagnostic>) -> Vec<PathBuf> {
    let mut found = vec![folder.to_path_buf()];
    for component in Path::new(&pattern.value).components() {
        let name = component.as_os_str().to_string_lossy();
        if !name.contains(['*', '?']) {
            found = found.into_iter().map(|folder| folder.join(component)).collect();
            continue;
        }
        let mut matching = Vec::new();
        for folder in found {
            match entries(reading, &folder, &name) {
                Ok(entries) => matching.extend(entries),
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                Err(error) => faults.push(Diagnostic::error(pattern.span, unreadable(&folder, &error))),
            }
        }
        found = matching;
    }
    found
}

fn entries(reading: &Reading, folder: &Path, pattern: &str) -> io::Result<Vec<PathBuf>> {
    let mut names = reading.names(folder)?;
    names.retain(|name| matches(pattern.as_bytes(), name.as_encoded_bytes()));
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

/// Whether a name fits a pattern. One star is kept to come back to: a later one makes earlier ones final.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    if name.starts_with(b".") && !pattern.starts_with(b".") {
        return false;
    }
    let (mut at, mut in_name) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while in_name < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, in_name));
                at += 1;
            }
            Some(&byte) if byte == b'?' || byte == name[in_name] => {
                at += 1;
                in_name += 1;
            }
            _ => {
                let Some((star_at, taken)) = star else { return false };
                star = Some((star_at, taken + 1));
                (at, in_name) = (star_at + 1, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    format!("cannot read `{}`: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const MAIN: &str = "include = [\"sites/*.toml\"]\n[listener.http]\nbind = [\"127.0.0.1:0\"]\n";

    fn site(host: &str) -> String {
        format!("[[site]]\nhosts = [\"{host}\"]\nroute = [{{ path = \"/\", files = {{ root = \"www\" }} }}]\n")
    }

    #[test]
    fn included_files_follow_in_the_order_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("sites")).unwrap();
        for name in ["b", "a", "c"] {
            fs::write(folder.path().join(format!("sites/{name}.toml")), site(name)).unwrap();
        }
        fs::write(folder.path().join("sites/.a.toml"), "not read").unwrap();
        fs::write(folder.path().join("sites/a.toml~"), "not read").unwrap();
        let main = folder.path().join("haechi.toml");
        fs::write(&main, MAIN).unwrap();

        let config = load(&main).unwrap();
        let hosts: Vec<String> = config.sites.iter().map(|site| site.hosts[0].value.to_string()).collect();
        assert_eq!(hosts, ["a", "b", "c"]);
        assert_eq!(config.files().len(), 4);
        assert_eq!(config.include_folders, [folder.path().join("sites")]);
        let super::super::Action::Files(files) = &config.sites[0].routes[0].action else { panic!("files") };
        assert_eq!(files.root.value, folder.path().join("sites/www"));
    }

    #[test]
    fn a_pattern_may_match_nothing_and_a_plain_path_may_not() {
        let folder = tempfile::tempdir().unwrap();
        let main = folder.path().join("haechi.toml");
        fs::write(&main, MAIN).unwrap();
        assert_eq!(load(&main).unwrap().sites.len(), 0);

        fs::write(&main, MAIN.replace("*.toml", "shop.toml")).unwrap();
        let faults = load(&main).unwrap_err();
        let shown = folder.path().join("sites/shop.toml");
        assert!(
            faults.diagnostics()[0].message.starts_with(&format!("cannot read `{}`: No such file", shown.display()))
        );
        assert!(faults.to_string().contains("haechi.toml:1:12"), "{faults}");
    }

    #[test]
    fn a_file_is_read_once_though_two_patterns_find_it() {
        let folder = tempfile::tempdir().unwrap();
        let main = folder.path().join("haechi.toml");
        fs::write(&main, MAIN.replace("[\"sites/*.toml\"]", "[\"*.toml\", \"a.toml\"]")).unwrap();
        fs::write(folder.path().join("a.toml"), site("a")).unwrap();
        assert_eq!(load(&main).unwrap().sites.len(), 1);
    }

    #[test]
    fn a_main_file_that_is_not_there_is_one_fault() {
        let faults = load(Path::new("/nonexistent/haechi.toml")).unwrap_err();
        assert_eq!(
            faults.to_string(),
            "error: cannot read `/nonexistent/haechi.toml`: No such file or directory (os error 2)\n\n1 fault"
        );
    }

    #[test]
    fn stars_and_question_marks_match_within_a_name() {
        let fits = |pattern: &str, name: &str| matches(pattern.as_bytes(), name.as_bytes());
        assert!(fits("*.toml", "a.toml") && fits("*", "a") && fits("a?c", "abc") && fits("*a*b", "xaxbxb"));
        assert!(!fits("*.toml", "a.tom") && !fits("a?c", "ac") && !fits("*", ".a") && !fits("*a*b", "xbxa"));
    }
}
