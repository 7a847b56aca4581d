//! Claims and orders, in folders of their own.

use super::*;

fn config() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("haechi.toml");
    fs::write(&config, "").unwrap();
    (folder, config)
}

#[test]
fn a_second_instance_is_refused_by_name_and_process() {
    let (folder, config) = config();
    let link = folder.path().join("link.toml");
    std::os::unix::fs::symlink(&config, &link).unwrap();
    let first = Instance::claim_in(folder.path(), &config).unwrap();

    let fault = Instance::claim_in(folder.path(), &link).unwrap_err();
    let expected = format!("{} is already served by process {}", link.display(), std::process::id());
    assert_eq!(fault.to_string(), expected);

    drop(first);
    Instance::claim_in(folder.path(), &config).unwrap();
}

#[test]
fn another_config_is_another_instance() {
    let (folder, config) = config();
    let other = folder.path().join("other.toml");
    fs::write(&other, "").unwrap();
    let _first = Instance::claim_in(folder.path(), &config).unwrap();
    Instance::claim_in(folder.path(), &other).unwrap();
}

#[test]
fn what_a_killed_process_left_is_no_hindrance() {
    let (folder, config) = config();
    let place = Place::of(folder.path(), &config).unwrap();
    fs::write(&place.lock, "").unwrap();
    drop(UnixListener::bind(&place.socket).unwrap());
    assert!(place.socket.exists());
    Instance::claim_in(folder.path(), &config).unwrap();
}

#[test]
fn a_folder_that_others_can_write_to_is_not_used() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let user = rustix::process::geteuid().as_raw();
    assert!(made_private(&folder.path().join("new"), user));
    assert!(!made_private(&folder.path().join("new"), user.wrapping_add(1)));
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(!made_private(folder.path(), user));
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(folder.path().join("new"), &link).unwrap();
    assert!(!made_private(&link, user));
}

#[tokio::test]
async fn orders_are_answered_and_nonsense_is_not_passed_on() {
    let (folder, config) = config();
    let instance = Instance::claim_in(folder.path(), &config).unwrap();
    let (sender, mut orders) = mpsc::channel::<Asked>(1);
    let app = async {
        while let Some(asked) = orders.recv().await {
            let line = format!("{:?}", asked.order);
            asked.answer(line);
        }
    };
    let socket = instance.socket.clone();
    let asking = tokio::task::spawn_blocking(move || {
        let said = |text: &[u8]| {
            let mut stream = UnixStream::connect(&socket).unwrap();
            stream.write_all(text).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        };
        assert_eq!(ask_in(folder.path(), &config, &Order::Status).unwrap(), "Status");
        assert_eq!(ask_in(folder.path(), &config, &Order::Reload).unwrap(), "Reload");
        let order = Order::Explain { upstream: Some("db".into()) };
        assert_eq!(ask_in(folder.path(), &config, &order).unwrap(), "Explain { upstream: Some(\"db\") }");
        let order = Order::Confirm { upstream: "db".into(), server: "10.0.1.21:3306".into(), accept_loss: true };
        assert_eq!(ask_in(folder.path(), &config, &order).unwrap(), format!("{order:?}"));
        assert_eq!(said(b"halt\n"), "{\"error\":\"unknown order\"}\n");
        assert_eq!(said(&[b'x'; MOST_ORDER_BYTES as usize]), "{\"error\":\"unknown order\"}\n");
    });
    tokio::select! {
        heard = instance.hear(sender) => heard.unwrap(),
        () = app => {}
        asked = asking => asked.unwrap(),
    }
}

#[tokio::test]
async fn an_app_that_stops_says_so() {
    let (folder, config) = config();
    let instance = Instance::claim_in(folder.path(), &config).unwrap();
    let (sender, orders) = mpsc::channel(1);
    drop(orders);
    let asking = tokio::task::spawn_blocking(move || ask_in(folder.path(), &config, &Order::Status).unwrap());
    tokio::select! {
        heard = instance.hear(sender) => heard.unwrap(),
        line = asking => assert_eq!(line.unwrap(), r#"{"error":"stopping"}"#),
    }
}
