use super::*;
use std::fs;
use std::os::unix::fs::symlink;

/// What a path comes to: the bytes of a file, `dir`, `none`, or the refusal.
fn outcome(tree: &Tree, path: &str, patience: Patience) -> String {
    match tree.open(path.as_bytes(), patience) {
        Err(errno) => format!("{errno:?}"),
        Ok(None) => "none".to_owned(),
        Ok(Some(file)) => {
            let mut bytes = [0; 16];
            match rustix::io::pread(&file, &mut bytes, 0) {
                Err(Errno::ISDIR) => "dir".to_owned(),
                read => String::from_utf8_lossy(&bytes[..read.unwrap()]).into_owned(),
            }
        }
    }
}

fn make() -> tempfile::TempDir {
    let outer = tempfile::tempdir().unwrap();
    let root = outer.path().join("root");
    fs::create_dir_all(root.join("a/b")).unwrap();
    fs::write(outer.path().join("secret"), "secret").unwrap();
    fs::write(root.join("a/file"), "inside").unwrap();
    for (link, target) in [
        ("in", "a/file"),
        ("a/b/up", "../file"),
        ("folder", "a/b"),
        ("chain", "in"),
        ("out", "../secret"),
        ("a/b/far", "../../../secret"),
        ("loop", "loop"),
        ("gone", "nowhere"),
    ] {
        symlink(target, root.join(link)).unwrap();
    }
    symlink(outer.path().join("secret"), root.join("absolute")).unwrap();
    symlink(root.join("a/file"), root.join("absolute_in")).unwrap();
    outer
}

#[test]
fn each_policy_by_each_way() {
    let outer = make();
    let xdev = format!("{:?}", Errno::XDEV);
    let eloop = format!("{:?}", Errno::LOOP);
    // Path, then what inside, deny and follow make of it.
    let table: &[(&str, &str, &str, &str)] = &[
        ("", "dir", "dir", "dir"),
        ("a/file", "inside", "inside", "inside"),
        ("a//file", "inside", "inside", "inside"),
        ("a/b/", "dir", "dir", "dir"),
        ("a/file/", "none", "none", "none"),
        ("a/file/x", "none", "none", "none"),
        ("none", "none", "none", "none"),
        ("in", "inside", &eloop, "inside"),
        ("chain", "inside", &eloop, "inside"),
        ("folder/up", "inside", &eloop, "inside"),
        ("folder", "dir", &eloop, "dir"),
        ("gone", "none", &eloop, "none"),
        ("out", &xdev, &eloop, "secret"),
        ("a/b/far", &xdev, &eloop, "secret"),
        ("absolute", &xdev, &eloop, "secret"),
        ("absolute_in", &xdev, &eloop, "inside"),
        ("loop", &eloop, &eloop, &eloop),
    ];
    for (symlinks, column) in [(Symlinks::Inside, 0), (Symlinks::Deny, 1), (Symlinks::Follow, 2)] {
        let mut tree = Tree::open_root(&outer.path().join("root"), symlinks).unwrap();
        for way in [tree.way, Way::Walk] {
            tree.way = way;
            for (path, inside, deny, follow) in table {
                let expected = [inside, deny, follow][column];
                let found = outcome(&tree, path, Patience::Blocking);
                assert_eq!(found, *expected, "{path} {symlinks:?} {way:?}");
                let hurried = outcome(&tree, path, Patience::Cached);
                assert!(hurried == found || hurried == format!("{:?}", Errno::AGAIN), "{path} {way:?}: {hurried}");
            }
        }
    }
}

#[test]
fn a_known_path_needs_no_patience() {
    let outer = make();
    let tree = Tree::open_root(&outer.path().join("root"), Symlinks::Inside).unwrap();
    if tree.way == (Way::Openat2 { cached: true }) {
        assert_eq!(outcome(&tree, "a/file", Patience::Blocking), "inside");
        assert_eq!(outcome(&tree, "a/file", Patience::Cached), "inside");
    }
}

#[test]
fn no_dots_lead_out() {
    let outer = make();
    for symlinks in [Symlinks::Inside, Symlinks::Deny] {
        let mut tree = Tree::open_root(&outer.path().join("root"), symlinks).unwrap();
        for way in [tree.way, Way::Walk] {
            tree.way = way;
            for path in ["../secret", "a/../../secret", "a/b/../../../secret"] {
                assert_eq!(outcome(&tree, path, Patience::Blocking), format!("{:?}", Errno::XDEV), "{path} {way:?}");
            }
        }
    }
}
