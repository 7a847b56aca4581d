//! Real files changed in the ways that editors, deployments and mounts change them.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::timeout;

use super::*;

/// Long enough for any machine; a change that is seen ends the wait.
const PATIENCE: Duration = Duration::from_secs(20);

/// Within this a second report of the same change would have come.
const QUIET: Duration = Duration::from_millis(400);

struct Folder(TempDir);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            folder.write(name, text);
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }
}

/// A watch that follows `name`, and has read it.
async fn watch(folder: &Folder, name: &str) -> Watch {
    let watch = Watch::start().unwrap();
    let contents = fs::read(folder.path(name)).unwrap();
    watch.follow(vec![Followed::read(folder.path(name), &contents)]);
    watch
}

async fn changes(watch: &mut Watch) {
    timeout(PATIENCE, watch.changed()).await.expect("the change was not seen");
}

async fn stays(watch: &mut Watch) {
    assert!(timeout(QUIET, watch.changed()).await.is_err(), "a change was reported where there was none");
}

#[tokio::test]
async fn a_file_edited_in_place() {
    let folder = Folder::with(&[("haechi.toml", "a = 1")]);
    let mut watch = watch(&folder, "haechi.toml").await;
    folder.write("haechi.toml", "a = 2");
    changes(&mut watch).await;
    stays(&mut watch).await;
    folder.write("haechi.toml", "a = 3");
    changes(&mut watch).await;
}

#[tokio::test]
async fn a_file_written_again_with_the_same_contents_has_not_changed() {
    let folder = Folder::with(&[("haechi.toml", "a = 1")]);
    let mut watch = watch(&folder, "haechi.toml").await;
    folder.write("haechi.toml", "a = 1");
    stays(&mut watch).await;
}

#[tokio::test]
async fn a_file_renamed_over_again_and_again() {
    let folder = Folder::with(&[("haechi.toml", "a = 1")]);
    let mut watch = watch(&folder, "haechi.toml").await;
    for n in 2..5 {
        folder.write("haechi.toml.new", &format!("a = {n}"));
        fs::rename(folder.path("haechi.toml.new"), folder.path("haechi.toml")).unwrap();
        changes(&mut watch).await;
    }
    stays(&mut watch).await;
}

#[tokio::test]
async fn a_config_map_swaps_its_data_link() {
    let folder = Folder::with(&[("v1/haechi.toml", "a = 1"), ("v2/haechi.toml", "a = 2"), ("v3/haechi.toml", "a = 3")]);
    symlink("v1", folder.path("..data")).unwrap();
    symlink("..data/haechi.toml", folder.path("haechi.toml")).unwrap();
    let mut watch = watch(&folder, "haechi.toml").await;
    for version in ["v2", "v3"] {
        symlink(version, folder.path("..data_tmp")).unwrap();
        fs::rename(folder.path("..data_tmp"), folder.path("..data")).unwrap();
        changes(&mut watch).await;
    }
    stays(&mut watch).await;
}

#[tokio::test]
async fn the_target_of_a_link_edited_in_its_own_folder() {
    let folder = Folder::with(&[("real/haechi.toml", "a = 1")]);
    symlink(folder.path("real/haechi.toml"), folder.path("haechi.toml")).unwrap();
    let mut watch = watch(&folder, "haechi.toml").await;
    folder.write("real/haechi.toml", "a = 2");
    changes(&mut watch).await;
}

#[tokio::test]
async fn a_file_deleted_and_created() {
    let folder = Folder::with(&[("haechi.toml", "a = 1")]);
    let mut watch = watch(&folder, "haechi.toml").await;
    fs::remove_file(folder.path("haechi.toml")).unwrap();
    changes(&mut watch).await;
    folder.write("haechi.toml", "a = 1");
    changes(&mut watch).await;
    stays(&mut watch).await;
}

#[tokio::test]
async fn a_half_written_file_that_is_finished_at_once_is_one_change() {
    let folder = Folder::with(&[("haechi.toml", "a = 1\nb = 1\n")]);
    let mut watch = watch(&folder, "haechi.toml").await;
    folder.write("haechi.toml", "a = 2\n");
    folder.write("haechi.toml", "a = 2\nb = 2\n");
    changes(&mut watch).await;
    stays(&mut watch).await;
}

#[tokio::test]
async fn a_new_file_in_an_included_folder() {
    let folder = Folder::with(&[("sites/shop.toml", "")]);
    let mut watch = Watch::start().unwrap();
    watch.follow(vec![Followed::folder(folder.path("sites"), &[".toml"])]);
    stays(&mut watch).await;
    folder.write("sites/.blog.toml.swp", "half");
    stays(&mut watch).await;
    folder.write("sites/blog.toml", "");
    changes(&mut watch).await;
    stays(&mut watch).await;
}

#[tokio::test]
async fn without_events_a_change_is_seen_by_looking() {
    let folder = Folder::with(&[("haechi.toml", "a = 1")]);
    let mut watch = Watch::start_without_events().unwrap();
    watch.follow(vec![Followed::path(folder.path("haechi.toml"))]);
    stays(&mut watch).await;
    folder.write("haechi.toml", "a = 2");
    changes(&mut watch).await;
    stays(&mut watch).await;
}

#[tokio::test]
async fn a_change_between_reading_and_following_is_seen() {
    let folder = Folder::with(&[("haechi.toml", "a = 2")]);
    let mut watch = Watch::start().unwrap();
    watch.follow(vec![Followed::read(folder.path("haechi.toml"), b"a = 1")]);
    changes(&mut watch).await;
}

#[tokio::test]
async fn what_is_no_longer_followed_does_not_matter() {
    let folder = Folder::with(&[("old.toml", "1"), ("new.toml", "1")]);
    let mut watch = watch(&folder, "old.toml").await;
    watch.follow(vec![Followed::read(folder.path("new.toml"), b"1")]);
    folder.write("old.toml", "2");
    stays(&mut watch).await;
    folder.write("new.toml", "2");
    changes(&mut watch).await;
}

/// The two-second look would cover a deaf eye in all tests above; here only events count.
#[test]
fn the_kernel_tells_of_edits_renames_and_swapped_links() {
    let folder = Folder::with(&[("v1/haechi.toml", "1"), ("v2/haechi.toml", "2")]);
    symlink("v1", folder.path("..data")).unwrap();
    symlink("..data/haechi.toml", folder.path("haechi.toml")).unwrap();
    let (orders, inbox) = mpsc::sync_channel(64);
    let mut events = kernel_events(orders);
    let mut after = |what: &dyn Fn()| {
        rearm(events.as_mut(), &[Followed::path(folder.path("haechi.toml"))]);
        while inbox.try_recv().is_ok() {}
        what();
        inbox.recv_timeout(PATIENCE).is_ok()
    };

    assert!(after(&|| folder.write("v1/haechi.toml", "3")), "edited in place");
    assert!(after(&|| fs::rename(folder.path("v2/haechi.toml"), folder.path("v1/haechi.toml")).unwrap()), "renamed");
    assert!(after(&|| folder.write("v1/haechi.toml", "4")), "the new file edited in place");
    assert!(
        after(&|| {
            symlink("v2", folder.path("..data_tmp")).unwrap();
            fs::rename(folder.path("..data_tmp"), folder.path("..data")).unwrap();
        }),
        "swapped"
    );
    assert!(after(&|| folder.write("v2/haechi.toml", "5")), "created where the link leads now");
}

#[tokio::test]
async fn another_folder_at_a_place_is_a_change_and_what_lies_in_it_is_none() {
    let folder = Folder::with(&[("one/index.html", "1"), ("two/index.html", "2")]);
    symlink("one", folder.path("current")).unwrap();
    let mut watch = Watch::start().unwrap();
    watch.follow(vec![Followed::place(folder.path("current"))]);
    folder.write("one/index.html", "changed");
    folder.write("one/more.html", "");
    stays(&mut watch).await;
    symlink("two", folder.path("next")).unwrap();
    fs::rename(folder.path("next"), folder.path("current")).unwrap();
    changes(&mut watch).await;
    fs::remove_dir_all(folder.path("two")).unwrap();
    folder.write("two/index.html", "another");
    changes(&mut watch).await;
}
