//! Which paths the kernel must watch so that any change of a followed one is reported.

use std::collections::{BTreeSet, HashMap};
use std::path::{Component, Path, PathBuf};
use std::{fs, path};

use super::Followed;

/// Beyond this many the rest is only looked at; the kernel's own limit is often 8192 for a user.
const MOST: usize = 4096;

/// As many links as the kernel itself follows on one path.
const MOST_LINKS: usize = 40;

/// For each path: itself, its folder, and the folder of each symbolic link on the way to it.
/// Folders come first, they see the most. What happens in a place does not matter.
pub(super) fn to_watch(followed: &[Followed]) -> Vec<PathBuf> {
    let mut folders = BTreeSet::new();
    let mut files = Vec::new();
    // Thousands of certificates lie in few folders: each folder is walked to once.
    let mut ends: HashMap<PathBuf, PathBuf> = HashMap::new();
    for one in followed {
        let Ok(path) = path::absolute(&one.path) else { continue };
        let end = match (path.parent(), path.file_name()) {
            (Some(folder), Some(name)) if !one.place => {
                if !ends.contains_key(folder) {
                    ends.insert(folder.to_path_buf(), walk(folder, &mut folders));
                }
                let direct = ends.get(folder).map(|end| end.join(name)).unwrap_or_default();
                if fs::read_link(&direct).is_ok() { walk(&path, &mut folders) } else { direct }
            }
            _ => walk(&path, &mut folders),
        };
        if let Some(folder) = end.parent().filter(|folder| !folders.contains(*folder)) {
            folders.insert(folder.to_path_buf());
        }
        if !one.place {
            files.push(end);
        }
    }
    files.sort_unstable_by(|one, other| one.as_os_str().cmp(other.as_os_str()));
    files.dedup();
    files.retain(|file| !folders.contains(file));
    folders.into_iter().chain(files).take(MOST).collect()
}

/// Follows `path` link by link, notes the folders of links on its way, and tells its end.
fn walk(path: &Path, folders: &mut BTreeSet<PathBuf>) -> PathBuf {
    let mut here = PathBuf::new();
    let mut ahead: Vec<PathBuf> = parts(path);
    let mut links = 0;
    while let Some(part) = ahead.pop() {
        if part == Path::new("..") {
            here.pop();
            continue;
        }
        let folder = here.clone();
        here.push(part);
        if let Ok(target) = fs::read_link(&here) {
            links += 1;
            if links > MOST_LINKS {
                break;
            }
            folders.insert(folder.clone());
            ahead.extend(parts(&target));
            // An absolute target replaces all of it at its first part, the root.
            here = folder;
        }
    }
    here
}

/// The parts of a path, the last one first.
fn parts(path: &Path) -> Vec<PathBuf> {
    path.components().rev().filter(|part| *part != Component::CurDir).map(|part| part.as_os_str().into()).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_folder_that_holds_a_link_on_the_way_is_watched() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        for folder in ["etc", "mount/v1"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(root.join("mount/v1/haechi.toml"), "").unwrap();
        symlink("v1", root.join("mount/..data")).unwrap();
        symlink("..data/haechi.toml", root.join("mount/haechi.toml")).unwrap();
        symlink(root.join("mount/haechi.toml"), root.join("etc/haechi.toml")).unwrap();

        let watched = to_watch(&[Followed::path(root.join("etc/haechi.toml")), Followed::place(root.join("mount/v1"))]);

        let expected = ["etc", "mount", "mount/v1", "mount/v1/haechi.toml"].map(|path| root.join(path));
        assert_eq!(watched, expected);
    }

    #[test]
    fn a_loop_of_links_ends() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        symlink("b", root.join("a")).unwrap();
        symlink("a", root.join("b")).unwrap();
        assert!(to_watch(&[Followed::path(root.join("a"))]).contains(&root));
    }

    #[test]
    fn a_file_that_is_not_there_has_its_folder_watched() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        assert_eq!(to_watch(&[Followed::path(root.join("later"))]), [root.clone(), root.join("later")]);
    }
}
