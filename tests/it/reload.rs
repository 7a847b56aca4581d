//! Edits of the config while it serves: taken when right, refused when wrong, and felt by nobody.

use crate::harness::certs::Authority;
use crate::harness::haechi::{Haechi, PROXY, Signal, client_address, replace};
use crate::harness::load::Load;
use crate::harness::tools::run;
use crate::harness::websocket::{self, Socket};
use crate::harness::{Client, Next, Origin, Wire, answer, eventually, get, pace};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// What the edits put into the config: listeners, routes, servers' fields.
fn text(listeners: &str, routes: &str, server: &str) -> String {
    format!(
        r#"
[listener.http]
bind = ["@http"]
[listener.https]
bind = ["@https"]
[listener.https.tls]
certificates = [{{ cert = "certs/site.crt", key = "certs/site.key" }}]
{listeners}
[[site]]
hosts = ["*"]
[[site.route]]
path = "/"
proxy = {{ upstream = "was" }}
{routes}
[upstream.was]
servers = [{{ address = "@origin", {server} }}]
"#
    )
}

/// Echoes WebSockets at `/socket`, sends pieces at `/long` until `done`, answers the rest at once.
fn origin(done: &Arc<AtomicBool>) -> Origin {
    let done = Arc::clone(done);
    Origin::start(move |arrival, wire| match arrival.target.as_str() {
        "/socket" => websocket::serve(arrival, wire),
        "/long" => {
            let piece = [b"4000\r\n".as_slice(), &[b'x'; 0x4000], b"\r\n"].concat();
            let mut sent = wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            while sent.is_ok() && !done.load(Ordering::SeqCst) {
                pace(Duration::from_millis(20));
                sent = wire.send(&piece);
            }
            sent.and_then(|()| wire.send("3\r\nend\r\n0\r\n\r\n")).map_or(Next::Close, |()| Next::Keep)
        }
        _ => wire.send(answer(200, "ok")).map_or(Next::Close, |()| Next::Keep),
    })
}

fn serial(https: SocketAddr) -> String {
    let said = run("openssl", ["s_client", "-connect", &https.to_string()]);
    let start = said.out.find("-----BEGIN CERTIFICATE").unwrap_or_else(|| panic!("no certificate: {}", said.err));
    said.out[start..].split("-----END").next().unwrap_or_default().to_owned()
}

#[test]
fn ten_edits_under_load_fail_no_request_no_tunnel_no_download() {
    let done = Arc::new(AtomicBool::new(false));
    let origin = origin(&done);
    let plan = Haechi::plan(&text("", "", "weight = 1")).with("origin", origin.address);
    let authority = Authority::new("test");
    authority.write(&plan.dir().join("certs"), "site", &["localhost"]);
    let mut haechi = plan.start();
    let (http, https) = (haechi.at("http"), haechi.at("https"));

    let mut load = Load::new();
    for x in 2..6 {
        load = load.keep_alive(client_address(x), http, "/", Duration::from_millis(5));
    }
    load = load.fresh(client_address(6), http, "/", Duration::from_millis(10));
    let mut socket = Socket::connect(http, "/socket");
    load.add(Duration::from_millis(20), move || match socket.echo("hello") {
        Ok(text) if text == "hello" => Ok(()),
        other => Err(format!("WebSocket: {other:?}")),
    });
    let download = thread::spawn(move || {
        let mut wire = Wire::connect(http).unwrap();
        wire.send("GET /long HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        wire.read_response("GET")
    });
    load.more(20);

    let added = "[[site.route]]\npath = \"/added\"\nrespond = { status = 200, body = \"added\" }\n";
    haechi.edit(&text("", added, "weight = 1")); // 1: a route
    assert_eq!(get(http, "/added").text(), "added");
    load.more(20);
    haechi.edit(&text("", &added.replace("added\" }", "changed\" }"), "weight = 1")); // 2: what it says
    assert_eq!(get(http, "/added").text(), "changed");
    load.more(20);
    let header = "response_headers = { set = { X-New = \"1\" } }\n";
    haechi.edit(&text("", &(header.to_owned() + added), "weight = 1")); // 3: a field
    assert_eq!(get(http, "/").field("x-new"), Some("1"));
    load.more(20);
    let listener = "[listener.more]\nbind = [\"@more\"]\n";
    haechi.edit(&text(listener, "", "weight = 1")); // 4: a listener comes
    let more = haechi.at("more");
    assert_eq!(get(more, "/").text(), "ok");
    load.more(20);
    haechi.edit(&text("", "", "weight = 1")); // 5: and goes
    eventually("the listener is gone", || Wire::connect(more).is_err().then_some(()));
    load.more(20);
    haechi.edit(&text("", "", "weight = 5")); // 6: a weight
    load.more(20);
    let before = serial(https);
    let generation = haechi.generation();
    authority.write(&haechi.dir().join("certs"), "site", &["localhost"]); // 7: a certificate, the config untouched
    haechi.reloaded_since(generation);
    eventually("the new certificate", || (serial(https) != before).then_some(()));
    load.more(20);
    haechi.edit(&text("[listener.http.limits]\nbody = \"5MiB\"\n", "", "weight = 5")); // 8: a limit of a busy listener
    load.more(20);
    let site = "[[site]]\nhosts = [\"new.example\"]\n[[site.route]]\npath = \"/\"\nrespond = { status = 204 }\n";
    haechi.edit(&text("", site, "weight = 5")); // 9: a site
    load.more(20);
    haechi.edit(&text("", "", "weight = 1, name = \"one\"")); // 10: a name
    load.more(50);

    done.store(true, Ordering::SeqCst);
    let download = download.join().unwrap().expect("the download is whole");
    assert!(download.body.ends_with(b"end") && download.body.len() % 0x4000 == 3, "{} bytes", download.body.len());
    let (answered, faults) = load.end();
    assert!(faults.is_empty(), "{} of {answered} failed: {faults:?}", faults.len());
    let reloads = haechi.metric("haechi_config_reloads_total", &[]).expect("reloads are counted");
    assert!(reloads >= 10.0, "{reloads}");
}

#[test]
fn a_broken_edit_changes_nothing_and_names_the_line() {
    let origin = Origin::named("old");
    let mut haechi = Haechi::plan(PROXY).with("origin", origin.address).start();
    let http = haechi.at("http");
    let generation = haechi.generation();
    assert_eq!(haechi.metric("haechi_config_last_reload_successful", &[]), Some(1.0));

    let broken = PROXY
        .replace("upstream = \"was\" }", "upstream = \"wos\" }")
        .replace("path = \"/\"", "path = \"/\"\npaths = 1");
    haechi.write(&broken);
    let said = haechi.refused();
    // The text begins with an empty line, so that these are lines 10 and 11.
    for part in ["haechi.toml:10:", "haechi.toml:11:", "`paths`", "`wos`", "`was`"] {
        assert!(said.contains(part), "/status does not name {part}: {said}");
        // A thread of its own writes there.
        eventually("stderr names it", || haechi.stderr().contains(part).then_some(()));
    }
    assert_eq!(get(http, "/").text(), "old");
    assert_eq!(haechi.generation(), generation);
    assert_eq!(haechi.metric("haechi_config_last_reload_successful", &[]), Some(0.0));

    let before = haechi.generation();
    haechi.write(&PROXY.replace("path = \"/\"", "path = \"/\"\nresponse_headers = { set = { X-New = \"1\" } }"));
    eventually("it is taken when it is right", || (haechi.generation() > before).then_some(()));
    assert_eq!(get(http, "/").field("x-new"), Some("1"));
    // The generation is told a step before these.
    let taken =
        || haechi.metric("haechi_config_last_reload_successful", &[]) == Some(1.0) && haechi.last_error().is_none();
    eventually("it is told as taken", || taken().then_some(()));
}

#[test]
fn what_cannot_be_bound_is_a_broken_edit_too() {
    let origin = Origin::named("old");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut haechi = Haechi::plan(PROXY).with("origin", origin.address).start();
    let generation = haechi.generation();
    let address = taken.local_addr().unwrap().to_string();
    haechi.write(&format!("{PROXY}\n[listener.more]\nbind = [\"@more\"]\n[listener.taken]\nbind = [\"{address}\"]\n"));
    let said = haechi.refused();
    assert!(said.contains(&address), "{said}");
    assert_eq!(haechi.generation(), generation);
    assert_eq!(get(haechi.at("http"), "/").text(), "old");
    assert!(Wire::connect(haechi.at("more")).is_err(), "nothing of a refused edit stays");
}

/// A folder whose `..data` link leads to the files of one version, as a ConfigMap is mounted.
fn swap(folder: &Path, version: &str, text: &str) {
    fs::create_dir_all(folder.join(version)).unwrap();
    fs::write(folder.join(version).join("haechi.toml"), text).unwrap();
    symlink(version, folder.join("..new")).unwrap();
    fs::rename(folder.join("..new"), folder.join("..data")).unwrap();
}

#[test]
fn a_swapped_link_is_an_edit() {
    let origin = Origin::named("old");
    let plan = Haechi::plan(PROXY).with("origin", origin.address).placed(|folder, text| {
        let mount = folder.join("mount");
        swap(&mount, "..v1", text);
        symlink("..data/haechi.toml", mount.join("haechi.toml")).unwrap();
        mount.join("haechi.toml")
    });
    let mut haechi = plan.start();
    let generation = haechi.generation();
    let text =
        haechi.filled(&PROXY.replace("path = \"/\"", "path = \"/\"\nresponse_headers = { set = { X-New = \"1\" } }"));
    swap(&haechi.dir().join("mount"), "..v2", &text);
    haechi.reloaded_since(generation);
    assert_eq!(get(haechi.at("http"), "/").field("x-new"), Some("1"));
    fs::remove_dir_all(haechi.dir().join("mount/..v1")).unwrap();
    let generation = haechi.generation();
    let text = haechi.filled(PROXY);
    swap(&haechi.dir().join("mount"), "..v3", &text);
    haechi.reloaded_since(generation);
    assert_eq!(get(haechi.at("http"), "/").field("x-new"), None);
}

#[test]
fn a_site_s_folder_may_be_a_link_that_a_deployment_swaps() {
    let text = "[listener.http]\nbind = [\"@http\"]\n[[site]]\nhosts = [\"*\"]\n[[site.route]]\npath = \"/\"\nfiles = { root = \"current\" }\n";
    let plan = Haechi::plan(text).file("one/index.html", "one").file("two/index.html", "two");
    symlink("one", plan.dir().join("current")).unwrap();
    let haechi = plan.start();
    let http = haechi.at("http");
    assert_eq!(get(http, "/").text(), "one");
    symlink("two", haechi.dir().join("next")).unwrap();
    fs::rename(haechi.dir().join("next"), haechi.dir().join("current")).unwrap();
    eventually("the new release", || (get(http, "/").text() == "two").then_some(()));
}

#[test]
fn a_listener_may_be_opened_to_every_address_and_shut_again() {
    let origin = Origin::named("old");
    let mut haechi = Haechi::plan(PROXY).with("origin", origin.address).start();
    let http = haechi.at("http");
    let mut kept = Client::connect(http).unwrap();
    let any = SocketAddr::from(([0, 0, 0, 0], http.port())).to_string();
    for text in [PROXY.replace("@http", &any), PROXY.to_owned()] {
        haechi.edit(&text);
        assert_eq!((kept.get("/").text().as_str(), get(http, "/").text().as_str()), ("old", "old"));
    }
}

#[test]
fn sighup_reloads() {
    let origin = Origin::named("old");
    let haechi = Haechi::plan(PROXY).with("origin", origin.address).start();
    let before = haechi.metric("haechi_config_reloads_total", &[]).expect("reloads are counted");
    haechi.signal(Signal::HUP);
    eventually("one more reload", || haechi.metric("haechi_config_reloads_total", &[]).filter(|now| *now > before));
    assert_eq!(get(haechi.at("http"), "/").text(), "old");
}

#[test]
fn included_files_are_watched_as_they_come_change_and_go() {
    let site = |host: &str, body: &str| {
        format!(
            "[[site]]\nhosts = [\"{host}\"]\n[[site.route]]\npath = \"/\"\nrespond = {{ status = 200, body = \"{body}\" }}\n"
        )
    };
    let text = "include = [\"sites/*.toml\"]\n[listener.http]\nbind = [\"@http\"]\n";
    let haechi = Haechi::plan(text).file("sites/a.toml", site("*", "first")).start();
    let http = haechi.at("http");
    assert_eq!(get(http, "/").text(), "first");
    let sites = haechi.dir().join("sites");

    let generation = haechi.generation();
    replace(&sites.join("a.toml"), &site("*", "second"));
    haechi.reloaded_since(generation);
    assert_eq!(get(http, "/").text(), "second");

    let generation = haechi.generation();
    fs::write(sites.join("b.toml"), site("test.example", "third")).unwrap();
    haechi.reloaded_since(generation);
    assert_eq!(get(http, "/").text(), "third");

    fs::write(sites.join("b.toml"), site("test.example", "fourth") + "nonsense = 1\n").unwrap();
    let said = haechi.refused();
    assert!(said.contains("b.toml:6:"), "{said}");
    assert_eq!(get(http, "/").text(), "third");

    let generation = haechi.generation();
    fs::remove_file(sites.join("b.toml")).unwrap();
    eventually("the file is gone from what serves", || (haechi.generation() > generation).then_some(()));
    assert_eq!(get(http, "/").text(), "second");
}

#[test]
fn a_file_is_read_when_its_writer_is_done() {
    let origin = Origin::named("old");
    let mut haechi = Haechi::plan(PROXY).with("origin", origin.address).start();
    let generation = haechi.generation();
    let refused = |haechi: &Haechi| haechi.metric("haechi_config_last_reload_successful", &[]);
    let text =
        haechi.filled(&PROXY.replace("path = \"/\"", "path = \"/\"\nresponse_headers = { set = { X-New = \"1\" } }"));
    let mut file = fs::File::create(haechi.config()).unwrap();
    for line in text.split_inclusive('\n') {
        std::io::Write::write_all(&mut file, line.as_bytes()).unwrap();
        assert_eq!(refused(&haechi), Some(1.0), "half a file was taken for a broken one");
        assert_eq!(haechi.generation(), generation, "half a file was taken for a whole one");
        pace(Duration::from_millis(20));
    }
    drop(file);
    haechi.reloaded_since(generation);
    assert_eq!(haechi.generation(), generation + 1);
    assert_eq!(get(haechi.at("http"), "/").field("x-new"), Some("1"));
}

#[test]
fn a_reload_forgets_neither_health_nor_connections_nor_counts() {
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let health = "[upstream.was.health]\nhttp = \"/health\"\ninterval = \"200ms\"\nfall = 2\n";
    let text = PROXY.replace("\"@origin\"", "\"@one\", \"@two\"") + health;
    let mut haechi = Haechi::plan(&text).with("one", one.address).with("two", two.address).start();
    let http = haechi.at("http");
    two.stop();
    haechi.becomes("was", &two.address.to_string(), "down");
    let mut client = Client::connect(http).unwrap();
    assert_eq!(client.get("/").text(), "one");
    let sent = haechi.metric("haechi_server_requests_total", &[]).unwrap();
    let said = haechi.stderr().len();

    haechi.edit(&text.replace("path = \"/\"", "path = \"/\"\nresponse_headers = { set = { X-New = \"1\" } }"));
    assert_eq!(haechi.health("was", &two.address.to_string()).as_deref(), Some("down"));
    for _ in 0..10 {
        let response = client.get("/");
        assert_eq!((response.text().as_str(), response.field("x-new")), ("one", Some("1")), "on the old connection");
    }
    assert!(haechi.metric("haechi_server_requests_total", &[]).unwrap() >= sent + 10.0);
    let since = haechi.stderr()[said..].to_owned();
    assert!(!since.contains(&two.address.to_string()), "its state is told anew: {since}");
    let connections: std::collections::HashSet<usize> =
        one.arrivals_for("/").iter().map(|arrival| arrival.connection).collect();
    assert!(connections.len() <= 2, "one of each worker at most: {connections:?}");
}
