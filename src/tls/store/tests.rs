use std::fs;

use super::*;
use crate::tls::tests::minted::{Authority, new_folder};

fn shown(store: &Store, name: Option<&str>) -> String {
    store.find(name, |_| true).unwrap().pair().cert.file_stem().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn names_choose_the_certificate() {
    let (listed, directory) = (new_folder(), new_folder());
    let authority = Authority::new("ca");
    authority.server(&["b.example"]).write(&directory, "b");
    authority.server(&["*.example"]).write(&directory, "a");
    let first = authority.server(&["z.example"]).write(&listed, "z");
    let spec = StoreSpec { certificates: vec![first], directory: Some(directory.path().to_owned()) };
    let store = Store::load(&spec, None, &Known::default(), &Reading::of_disk()).unwrap();
    for (name, expected) in [
        (Some("b.example"), "b"),
        (Some("c.example"), "a"),
        (Some("x.c.example"), "z"),
        (Some("example"), "z"),
        (Some("z.example"), "z"),
        (Some("other"), "z"),
        (None, "z"),
    ] {
        assert_eq!(shown(&store, name), expected, "{name:?}");
    }
    let spec = StoreSpec { certificates: Vec::new(), directory: spec.directory };
    assert_eq!(shown(&Store::load(&spec, None, &Known::default(), &Reading::of_disk()).unwrap(), None), "a");
}

#[test]
fn twins_are_chosen_by_what_the_client_can_verify() {
    let folder = new_folder();
    let authority = Authority::new("ca");
    let rsa = authority.rsa_server(&["a"]).write(&folder, "rsa");
    let ecdsa = authority.server(&["a"]).write(&folder, "ecdsa");
    let store = Store::load(
        &StoreSpec { certificates: vec![rsa, ecdsa], directory: None },
        None,
        &Known::default(),
        &Reading::of_disk(),
    )
    .unwrap();
    assert_eq!(shown(&store, Some("a")), "ecdsa");
    for name in [Some("a"), None] {
        let of_kind = |rsa: bool| store.find(name, |certificate| certificate.is_rsa() == rsa).unwrap().is_rsa();
        assert!(of_kind(true) && !of_kind(false), "{name:?}");
        assert!(store.find(name, |_| false).is_some());
    }
}

#[test]
fn a_reload_keeps_what_did_not_change() {
    let folder = new_folder();
    let authority = Authority::new("ca");
    let kept = authority.server(&["kept"]).write(&folder, "kept");
    let changed = authority.server(&["changed"]).write(&folder, "changed");
    let spec = StoreSpec { certificates: vec![kept, changed], directory: None };
    let before = Store::load(&spec, None, &Known::default(), &Reading::of_disk()).unwrap();
    authority.server(&["new"]).write(&folder, "changed");
    let after = Store::load(&spec, Some(&before), &Known::default(), &Reading::of_disk()).unwrap();
    assert!(Arc::ptr_eq(&before.certificates()[0], &after.certificates()[0]));
    assert_eq!(shown(&after, Some("new")), "changed");
    assert_eq!(shown(&after, Some("changed")), "kept");
}

#[test]
fn every_fault_is_told() {
    let folder = new_folder();
    fs::write(folder.path().join("lonely.crt"), "").unwrap();
    fs::write(folder.path().join("notes.txt"), "").unwrap();
    let missing = Pair { cert: "no.crt".into(), key: "no.key".into() };
    let spec = StoreSpec { certificates: vec![missing], directory: Some(folder.path().to_owned()) };
    let faults = Store::load(&spec, None, &Known::default(), &Reading::of_disk()).unwrap_err();
    assert!(matches!(faults[..], [LoadFault::Lonely { .. }, LoadFault::Unreadable { .. }]), "{faults:?}");
    let empty = new_folder();
    for directory in [None, Some(empty.path().to_owned())] {
        let faults = Store::load(
            &StoreSpec { certificates: Vec::new(), directory },
            None,
            &Known::default(),
            &Reading::of_disk(),
        )
        .unwrap_err();
        assert!(matches!(faults[..], [LoadFault::Empty { .. }]));
    }
    let spec = StoreSpec { certificates: Vec::new(), directory: Some(empty.path().join("no")) };
    assert!(matches!(
        Store::load(&spec, None, &Known::default(), &Reading::of_disk()).unwrap_err()[..],
        [LoadFault::Unreadable { .. }]
    ));
}

#[test]
fn thousands_of_certificates_load_and_are_found() {
    const COUNT: usize = 5_000;
    let folder = new_folder();
    let authority = Authority::new("ca");
    let server = authority.server(&["x"]);
    for number in 0..COUNT {
        server.renamed(&authority, &format!("site{number}.example")).write(&folder, &format!("{number:04}"));
    }
    let spec = StoreSpec { certificates: Vec::new(), directory: Some(folder.path().to_owned()) };
    let store = Store::load(&spec, None, &Known::default(), &Reading::of_disk()).unwrap();
    let again = Store::load(&spec, Some(&store), &Known::default(), &Reading::of_disk()).unwrap();
    assert_eq!(shown(&again, Some("site4711.example")), "4711");
    assert!(store.certificates().iter().zip(again.certificates()).all(|(one, other)| Arc::ptr_eq(one, other)));
}
