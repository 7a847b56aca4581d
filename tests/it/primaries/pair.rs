//! Databases behind a pair of hosts: what becomes of writes when the active one dies, and which of the two acts
//! when a primary is lost.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::traffic::{PAUSE, acknowledge_what_replicas_have, lost, promotion, writes_go_on};
use super::{accounts, db_of, named, verdicts_of};
use crate::harness::host::{Host, VIP};
use crate::harness::mariadb::{self, MariaDb};
use crate::harness::namespaces::Namespace;
use crate::harness::segment::Segment;
use crate::harness::writers::Writers;
use crate::harness::{eventually, within};

const PATIENCE: Duration = Duration::from_secs(60);

/// `a`, the primary, and `b`, on the last host of the segment.
fn databases(segment: &Segment) -> Option<Vec<MariaDb>> {
    let group = mariadb::group_at(&segment.hosts[3], "192.168.0.14".parse().unwrap(), 1)?;
    accounts(&group);
    Some(group)
}

/// A host of the pair, with the writers' address on the virtual one.
fn begin<'n>(at: &'n Namespace, name: &str, priority: u8, group: &[MariaDb], told: &TempDir) -> Host<'n> {
    let (first, second) = (group[0].address, group[1].address);
    let told = told.path().display();
    let more = format!(
        r#"
        priority = {priority}
        preempt = false
        [listener.writer]
        bind = ["{VIP}:3306"]
        mode = "tcp"
        upstream = "writer"
        [upstream.writer]
        servers = [{{ address = "{first}", name = "a" }}, {{ address = "{second}", name = "b" }}]
        [upstream.writer.health]
        mysql = {{ user = "haechi_check", password = "secret", role = "primary" }}
        interval = "50ms"
        timeout = "2s"
        [upstream.writer.hooks]
        on_primary_lost = {{ command = ["/bin/sh", "{told}/promote.sh", "{told}/{name}"] }}
        on_primary_changed = {{ command = ["/bin/sh", "-c", "cat >> {told}/{name}"] }}
        "#
    );
    Host::start(at, name, &more)
}

/// Both hosts of the pair: the first is active, and both know `a` for the primary.
fn begin_both<'n>(segment: &'n Segment, group: &[MariaDb], told: &TempDir) -> (Host<'n>, Host<'n>) {
    let first = begin(&segment.hosts[0], "one", 150, group, told);
    first.becomes("active", "silence");
    let second = begin(&segment.hosts[1], "two", 100, group, told);
    second.becomes("backup", "fit");
    for host in [&first, &second] {
        assert_eq!(knows(host, "serves out")["primary"], "a");
    }
    (first, second)
}

/// Waits until the host gives `a` and `b` these verdicts; what it says of the pool.
fn knows(host: &Host<'_>, verdicts: &str) -> Value {
    within(PATIENCE, &format!("it is known that {verdicts}"), || {
        let (_, text) = db_of(&host.file("haechi.toml"), &["explain", "--json"]);
        let said: Value = serde_json::from_str(&text).unwrap_or_default();
        let pool = named(&said["upstreams"], "writer");
        (verdicts_of(&pool) == verdicts).then_some(pool)
    })
}

/// What the hooks of a host were told, in its order.
fn told(folder: &Path, host: &str) -> Vec<Value> {
    let text = fs::read_to_string(folder.join(host)).unwrap_or_default();
    serde_json::Deserializer::from_str(&text).into_iter().map_while(Result::ok).collect()
}

fn events(told: &[Value]) -> Vec<&str> {
    told.iter().filter_map(|one| one["event"].as_str()).collect()
}

/// Writers that come by the virtual address.
fn write_at(client: &Namespace) -> Writers {
    // A client that waits for an answer hears by this that the host is gone which would have passed it on.
    for key in ["time", "intvl"] {
        client.enter(|| fs::write(format!("/proc/sys/net/ipv4/tcp_keepalive_{key}"), "1").unwrap());
    }
    let address = SocketAddr::new(VIP.parse().unwrap(), 3306);
    let writers = client.enter(|| Writers::start(1..=4, address, PAUSE));
    writes_go_on(&writers);
    writers
}

#[test]
fn no_acknowledged_row_is_lost_when_the_active_host_dies_or_loses_its_link() {
    let Some(segment) = Segment::new(4) else { return };
    let client = &segment.hosts[2];
    let Some(group) = databases(&segment) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (mut first, second) = begin_both(&segment, &group, &folder);
    let writers = write_at(client);

    first.dies();
    second.becomes("active", "silence");
    writes_go_on(&writers);
    assert_eq!(knows(&second, "serves out")["epoch"], 1, "nobody else was the primary meanwhile");

    first.start_again();
    first.becomes("backup", "fit");
    let known = knows(&first, "serves out");
    assert_eq!((&known["primary"], &known["epoch"]), (&"a".into(), &1.into()), "it remembers");
    segment.unplug(1);
    first.becomes("active", "silence");
    second.becomes("fault", "no_link");
    writes_go_on(&writers);

    lost(&writers.stop(), &group[0]);
    // All that the other server has came by replication.
    let own = group[1].sql("SELECT @@gtid_binlog_state");
    assert!(!own.contains("0-2-"), "`b` was written to: {own}");
    assert_eq!(knows(&first, "serves out")["primary"], "a");
}

#[test]
fn writes_go_on_when_the_active_host_dies_together_with_the_primary() {
    let Some(segment) = Segment::new(4) else { return };
    let client = &segment.hosts[2];
    let Some(mut group) = databases(&segment) else { return };
    acknowledge_what_replicas_have(&group);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("promote.sh"), promotion(&group)).unwrap();
    let (mut first, second) = begin_both(&segment, &group, &folder);
    let writers = write_at(client);

    first.dies();
    group[0].kill();
    second.becomes("active", "silence");
    let known = knows(&second, "out serves");
    assert_eq!((&known["primary"], &known["epoch"]), (&"b".into(), &2.into()));
    writes_go_on(&writers);
    lost(&writers.stop(), &group[1]);
    eventually("the hooks of the host that took over have run", || {
        (events(&told(folder.path(), "two")) == ["primary_lost", "primary_changed"]).then_some(())
    });
    assert_eq!(told(folder.path(), "one"), Vec::<Value>::new());
}

#[test]
fn hooks_run_once_and_on_the_active_host_alone() {
    let Some(segment) = Segment::new(4) else { return };
    let Some(mut group) = databases(&segment) else { return };
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("promote.sh"), promotion(&group)).unwrap();
    let (first, second) = begin_both(&segment, &group, &folder);
    let gtids = knows(&first, "serves out")["primary_gtids"].clone();

    group[0].kill();
    for host in [&first, &second] {
        assert_eq!(knows(host, "out serves")["primary"], "b");
    }
    let done = eventually("both hooks have run", || {
        let done = told(folder.path(), "one");
        (done.len() == 2).then_some(done)
    });
    assert_eq!(events(&done), ["primary_lost", "primary_changed"]);
    let [lost, changed] = &*done else { unreachable!() };
    // What was seen of each server, and of the primary before.
    assert_eq!((&lost["upstream"], &lost["primary"], &lost["epoch"]), (&"writer".into(), &"a".into(), &1.into()));
    assert_eq!(lost["primary_gtids"], gtids);
    let [dead, alive] = &**lost["servers"].as_array().unwrap() else { panic!("{lost}") };
    assert_eq!((&dead["server"], &dead["answers"]), (&"a".into(), &false.into()));
    assert!(dead["failures"].as_u64() >= Some(3) && dead["seen"].as_str().unwrap().contains("refused"), "{dead}");
    assert_eq!((&alive["server"], &alive["role"], &alive["gtids"]), (&"b".into(), &"replica".into(), &gtids));
    assert_eq!(
        (&changed["old_primary"], &changed["primary"], &changed["epoch"]),
        (&"a".into(), &"b".into(), &2.into())
    );

    // Where the first one was quick, there is a new primary before the second has missed the old one.
    eventually("the other host has left it to this one", || {
        second.log().contains("on_primary_changed is left to the active host").then_some(())
    });
    assert_eq!(told(folder.path(), "two"), Vec::<Value>::new());
    assert_eq!(told(folder.path(), "one"), done);
}

#[test]
fn a_loss_while_neither_host_is_active_is_acted_on_by_the_one_that_becomes_it() {
    let Some(segment) = Segment::new(4) else { return };
    let Some(mut group) = databases(&segment) else { return };
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("promote.sh"), promotion(&group)).unwrap();
    let (first, second) = begin_both(&segment, &group, &folder);
    for host in [&second, &first] {
        assert_eq!(host.told("drain").code, 0);
        host.becomes("fault", "drained");
    }

    group[0].kill();
    for host in [&first, &second] {
        within(PATIENCE, "it waits", || host.log().contains("it runs here if this becomes it").then_some(()));
    }
    assert!(told(folder.path(), "one").is_empty() && told(folder.path(), "two").is_empty());
    assert_eq!(second.told("undrain").code, 0);
    second.becomes("active", "silence");
    for host in [&first, &second] {
        knows(host, "out serves");
    }
    eventually("its hooks have run", || {
        (events(&told(folder.path(), "two")) == ["primary_lost", "primary_changed"]).then_some(())
    });

    // The loss is over: the other one has nothing to do when it becomes active.
    assert_eq!(first.told("undrain").code, 0);
    first.becomes("backup", "fit");
    assert_eq!(second.told("drain").code, 0);
    first.becomes("active", "hand_over");
    assert_eq!(knows(&first, "out serves")["epoch"], 2);
    assert_eq!(told(folder.path(), "one"), Vec::<Value>::new());
}
