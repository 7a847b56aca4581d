//! What becomes of writes: four writers at haechi's address for writers note what was acknowledged.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use super::{becomes, config, explained, group, pool, start};
use crate::harness::mariadb::MariaDb;
use crate::harness::writers::{Session, Writers, ask};
use crate::harness::{eventually, within};

pub(super) const LONG: Duration = Duration::from_secs(30);
/// Four writers of it make 200 rows a second.
pub(super) const PAUSE: Duration = Duration::from_millis(20);

/// The script of an operator: `b` applies all that it has and is promoted, those behind it follow it.
pub(super) fn promotion(group: &[MariaDb]) -> String {
    let client = |server: &MariaDb| {
        format!("mariadb --no-defaults --user=root --socket={} --vertical", server.dir().join("socket").display())
    };
    let (b, address) = (client(&group[1]), group[1].address);
    let follow = format!(
        "STOP SLAVE; CHANGE MASTER TO MASTER_HOST='{}', MASTER_PORT={}; START SLAVE",
        address.ip(),
        address.port()
    );
    let followers: String =
        group[2..].iter().map(|server| format!("{} --execute \"{follow}\"\n", client(server))).collect();
    format!(
        r#"
        set -e
        cat >> "$1"
        {b} --execute 'STOP SLAVE IO_THREAD'
        received=$({b} --execute 'SHOW SLAVE STATUS' | sed -n 's/ *Gtid_IO_Pos: //p')
        [ -n "$received" ]
        {b} --execute "SELECT MASTER_GTID_WAIT('$received', 20)"
        {b} --execute 'STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only = 0'
        {followers}"#
    )
}

/// From here on a row is acknowledged when a replica has it.
pub(super) fn acknowledge_what_replicas_have(group: &[MariaDb]) {
    group[0].sql("SET GLOBAL rpl_semi_sync_master_enabled = 1, rpl_semi_sync_master_wait_point = 'AFTER_SYNC'");
    for replica in &group[1..] {
        replica.sql("SET GLOBAL rpl_semi_sync_slave_enabled = 1; STOP SLAVE IO_THREAD; START SLAVE IO_THREAD");
    }
}

pub(super) fn rows(server: &MariaDb) -> BTreeSet<u64> {
    server.sql("SELECT id FROM shop.orders").lines().map(|line| line.parse().unwrap()).collect()
}

#[track_caller]
pub(super) fn lost(acknowledged: &BTreeSet<u64>, server: &MariaDb) {
    let rows = rows(server);
    let lost: Vec<_> = acknowledged.difference(&rows).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged rows are lost: {lost:?}", lost.len(), acknowledged.len());
}

pub(super) fn writes_go_on(writers: &Writers) {
    let before = writers.acknowledged();
    within(LONG, "writes go on", || (writers.acknowledged() > before + 40).then_some(()));
}

#[test]
fn writes_follow_a_killed_primary_to_the_promoted_one_and_its_return_takes_none() {
    let Some(mut group) = group() else { return };
    // The rows that count are those that the replicas had: what an asynchronous primary alone has dies with it.
    acknowledge_what_replicas_have(&group);
    let hooks = "[upstream.writer.hooks]\n\
                 on_primary_lost = { command = [\"/bin/sh\", \"@dir/promote.sh\", \"@dir/lost.json\"] }\n\
                 on_primary_changed = { command = [\"/bin/sh\", \"-c\", \"cat > @dir/changed.json\"] }\n";
    let haechi = start(&group, &config(hooks), &[("promote.sh", promotion(&group))]);
    becomes(&haechi, "writer", "serves out out");
    becomes(&haechi, "reader", "out serves serves");
    let writers = Writers::start(1..=4, haechi.at("w"), PAUSE);
    writes_go_on(&writers);

    group[0].kill();
    becomes(&haechi, "writer", "out serves out");
    writes_go_on(&writers);
    becomes(&haechi, "reader", "out out serves");
    let read = |name: &str| std::fs::read_to_string(haechi.dir().join(name)).unwrap_or_default();
    let told = |name: &str| serde_json::from_str::<serde_json::Value>(&read(name)).ok();
    let lost_json = eventually("the hook was told", || told("lost.json"));
    assert_eq!((&lost_json["event"], &lost_json["primary"]), (&"primary_lost".into(), &"a".into()));
    assert_eq!(lost_json["servers"].as_array().map(Vec::len), Some(3));
    let changed = eventually("the other hook was told", || told("changed.json"));
    assert_eq!((&changed["old_primary"], &changed["primary"]), (&"a".into(), &"b".into()));
    assert!(explained(&haechi).contains("hook primary_lost of writer"), "{}", explained(&haechi));

    // The old primary boots writable, as my.cnf of so many says.
    group[0].restart();
    assert_eq!(group[0].sql("SELECT @@read_only"), "0");
    let before = rows(&group[0]);
    becomes(&haechi, "writer", "out keeps out");
    assert_eq!(haechi.metric("haechi_db_double_primary", &[("upstream", "writer")]), Some(1.0));
    writes_go_on(&writers);
    let acknowledged = writers.stop();
    assert_eq!(rows(&group[0]), before, "the old primary got writes");
    lost(&acknowledged, &group[1]);
    group[0].sql("SET GLOBAL read_only = 1");
    becomes(&haechi, "writer", "out serves out");
}

#[test]
fn a_second_writable_server_gets_no_write_and_open_sessions_stay() {
    let Some(group) = group() else { return };
    let haechi = start(&group, &config(""), &[]);
    becomes(&haechi, "writer", "serves out out");
    let writers = Writers::start(1..=4, haechi.at("w"), PAUSE);
    writes_go_on(&writers);
    group[1].sql("SET GLOBAL read_only = 0");
    becomes(&haechi, "writer", "keeps out out");
    writes_go_on(&writers);
    // Nobody new comes in.
    let newcomer = Writers::start(5..=5, haechi.at("w"), PAUSE);
    writes_go_on(&writers);
    assert_eq!(newcomer.acknowledged(), 0);
    // All that is new on `b` came by replication.
    let own = group[1].sql("SELECT @@gtid_binlog_state");
    assert!(!own.contains("0-2-"), "`b` was written to: {own}");
    group[1].sql("SET GLOBAL read_only = 1");
    becomes(&haechi, "writer", "serves out out");
    eventually("who waited is let in", || (newcomer.acknowledged() > 0).then_some(()));
    let mut acknowledged = newcomer.stop();
    acknowledged.extend(writers.stop());
    lost(&acknowledged, &group[0]);
    assert_eq!(pool(&haechi, "writer")["epoch"], 1);
}

#[test]
fn sessions_are_cut_at_a_planned_change_over_and_wait_for_the_new_primary() {
    let Some(group) = group() else { return };
    let haechi = start(&group, &config(""), &[]);
    becomes(&haechi, "writer", "serves out out");
    let writers = Writers::start(1..=4, haechi.at("w"), PAUSE);
    writes_go_on(&writers);
    group[0].sql("SET GLOBAL read_only = 1");
    group[1].caught_up_with(&group[0]);
    group[1].promote();
    group[2].follow(&group[1]);
    group[0].follow(&group[1]);
    becomes(&haechi, "writer", "out serves out");
    writes_go_on(&writers);
    lost(&writers.stop(), &group[1]);
}

#[test]
fn sessions_on_a_demoted_primary_are_cut_although_no_other_takes_its_place() {
    let Some(group) = group() else { return };
    let haechi = start(&group, &config(""), &[]);
    becomes(&haechi, "writer", "serves out out");
    let writer = haechi.at("w");
    let sessions = |which: &str| {
        group[0].sql(&format!("SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'app' AND {which}"))
    };
    // One that waits for its application, and one whose application waits for an answer that is an hour away.
    let mut idle = Session::open(writer);
    assert!(idle.write(1, 1));
    let asking = thread::spawn(move || ask(writer, "SELECT SLEEP(3600)"));
    eventually("both are on the primary", || {
        (sessions("command = 'Sleep'") == "1" && sessions("state = 'User sleep'") == "1").then_some(())
    });

    group[0].sql("SET GLOBAL read_only = 1");
    becomes(&haechi, "writer", "out out out");
    let said = asking.join().unwrap();
    assert!(said.err.contains("ERROR 2013"), "{said:?}");
    eventually("the idle one is gone from the server", || (sessions("command = 'Sleep'") == "0").then_some(()));
    let cut = [("listener", "writer"), ("outcome", "server_down")];
    eventually("both are counted", || (haechi.metric("haechi_sessions_total", &cut) == Some(2.0)).then_some(()));
    let now = pool(&haechi, "writer");
    assert_eq!((&now["epoch"], &now["primary"]), (&1.into(), &"a".into()), "nobody took its place: {now}");
    assert!(!idle.write(2, 1));

    // It is made the primary again: applications come anew, and what was refused is nowhere.
    group[0].sql("SET GLOBAL read_only = 0");
    becomes(&haechi, "writer", "serves out out");
    assert!(Session::open(writer).write(3, 1));
    assert_eq!(rows(&group[0]), BTreeSet::from([1, 3]));
}
