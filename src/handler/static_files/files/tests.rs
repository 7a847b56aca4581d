use super::super::look::{Sight, Volume};
use super::super::tree::{Patience, Symlinks, Tree};
use super::*;

fn entry() -> Arc<Entry> {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("a"), [b'x'; 1000]).unwrap();
    let tree = Tree::open_root(root.path(), Symlinks::Inside).unwrap();
    let volume = Volume { tree, index: vec![], precompressed: vec![], cache_control: None, listing: false };
    let Ok(Sight::File(entry)) = volume.look(b"a", Patience::Blocking) else { panic!("no file") };
    entry
}

fn check(table: &Table) {
    assert_eq!(table.files, table.slots.values().map(Slot::files).sum::<usize>());
    assert_eq!(table.bytes, table.slots.iter().map(|(key, slot)| slot.weight(key)).sum::<usize>());
    assert_eq!(table.order.len(), table.slots.len());
    assert!(table.order.iter().all(|key| table.slots.contains_key(key)));
    assert!(table.files <= table.bounds.files && table.bytes <= table.bounds.bytes);
}

fn named(n: usize) -> Vec<u8> {
    format!("{n}").into_bytes()
}

#[test]
fn bounded_by_files_and_the_one_in_use_stays() {
    let files = Files::new(Bounds { files: 8, bytes: usize::MAX }, Disk::new(1));
    let (entry, now) = (entry(), Instant::now());
    for n in 0..100 {
        files.keep(0, &named(n), Arc::clone(&entry), now);
        check(&files.table.borrow());
        assert!(files.fresh(0, b"0", now).is_some(), "the one in use went at {n}");
    }
    assert_eq!(files.table.borrow().slots.len(), 8);
}

#[test]
fn bounded_by_bytes() {
    let entry = entry();
    let files = Files::new(Bounds { files: 1000, bytes: 5 * (entry.weight() + 200) }, Disk::new(1));
    for n in 0..100 {
        files.keep(0, &named(n), Arc::clone(&entry), Instant::now());
        check(&files.table.borrow());
    }
    assert!((5..8).contains(&files.table.borrow().slots.len()));
}

#[test]
fn what_is_larger_than_the_bound_is_not_kept() {
    for bounds in [Bounds { files: 0, bytes: usize::MAX }, Bounds { files: 9, bytes: 100 }] {
        let (files, now) = (Files::new(bounds, Disk::new(1)), Instant::now());
        files.keep(0, b"a", entry(), now);
        check(&files.table.borrow());
        assert!(files.fresh(0, b"a", now).is_none());
    }
}

#[test]
fn fresh_for_a_second_and_for_one_root() {
    let (files, now) = (Files::new(Bounds::default(), Disk::new(1)), Instant::now());
    files.keep(1, b"a", entry(), now);
    assert!(files.fresh(1, b"a", now + Duration::from_millis(999)).is_some());
    assert!(files.fresh(1, b"a", now + Duration::from_secs(1)).is_none());
    assert!(files.fresh(2, b"a", now).is_none());
    files.forget(1, b"a");
    assert!(files.fresh(1, b"a", now).is_none());
    check(&files.table.borrow());
}

#[test]
fn what_nobody_asks_for_is_closed() {
    let (files, now) = (Files::new(Bounds::default(), Disk::new(1)), Instant::now());
    files.sweep(now);
    let entry = entry();
    files.keep(0, b"asked", Arc::clone(&entry), now);
    files.keep(0, b"left", Arc::clone(&entry), now);
    files.fresh(0, b"asked", now + SWEEP / 2);
    files.sweep(now + SWEEP);
    check(&files.table.borrow());
    assert_eq!(files.table.borrow().slots.len(), 1);
    files.sweep(now + SWEEP * 2);
    check(&files.table.borrow());
    assert_eq!(Arc::strong_count(&entry), 1);
}

#[test]
fn heads_are_used_again_and_come_empty() {
    let files = Files::new(Bounds::default(), Disk::new(1));
    for _ in 0..SPARE_HEADS * 2 {
        let mut fields = Fields::default();
        fields.push("A", "b");
        files.reuse(fields);
    }
    assert_eq!(files.spare.borrow().len(), SPARE_HEADS);
    assert!(files.fields().is_empty());
    assert_eq!(files.spare.borrow().len(), SPARE_HEADS - 1);
}
