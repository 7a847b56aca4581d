//! What is decided.

use std::fs;
use std::time::Duration;

use super::{becomes, config, db, explained, group, pool, start};
use crate::harness::haechi::Signal;
use crate::harness::{eventually, within};

const LONG: Duration = Duration::from_secs(30);

#[test]
fn two_writable_servers_are_told_and_the_operators_word_ends_it() {
    let Some(group) = group() else { return };
    let haechi = start(&group, &config(""), &[]);
    becomes(&haechi, "writer", "serves out out");
    becomes(&haechi, "reader", "out serves serves");

    group[1].sql("SET GLOBAL read_only = 0");
    becomes(&haechi, "writer", "keeps out out");
    assert_eq!(haechi.metric("haechi_db_double_primary", &[("upstream", "writer")]), Some(1.0));
    assert_eq!(haechi.metric("haechi_db_writable_servers", &[("upstream", "writer")]), Some(2.0));
    assert!(haechi.stderr().contains("more than one primary"), "{}", haechi.stderr());
    let text = explained(&haechi);
    assert!(text.contains("upstream writer (primary): double_primary, epoch 1, last confirmed primary: a"), "{text}");
    assert!(text.contains("a and b take writes: no new ones go to any"), "{text}");

    // By itself, when one is read-only again.
    group[1].sql("SET GLOBAL read_only = 1");
    becomes(&haechi, "writer", "serves out out");
    // By the operator's word: not on one that replicates, but on the one that is.
    group[1].sql("SET GLOBAL read_only = 0");
    becomes(&haechi, "writer", "keeps out out");
    let (done, said) = db(&haechi, &["confirm", "writer", "b"]);
    assert!(!done && said.contains("`b` replicates from `a`: stop that first"), "{said}");
    let (done, said) = db(&haechi, &["confirm", "writer", "a"]);
    assert!(done && said.contains("a is the primary of writer from epoch 2"), "{said}");
    assert!(said.contains("get nothing until they are seen read-only: b"), "{said}");
    becomes(&haechi, "writer", "serves out out");
    assert_eq!(haechi.metric("haechi_db_double_primary", &[("upstream", "writer")]), Some(0.0));
    let (done, said) = db(&haechi, &["confirm", "nowhere", "a"]);
    assert!(
        !done && said.contains("no upstream with a role is called `nowhere`; there are `reader`, `writer`"),
        "{said}"
    );
}

#[test]
fn a_replica_that_stops_or_lags_is_out_and_comes_back_by_itself() {
    let Some(group) = group() else { return };
    let haechi = start(&group, &config(""), &[]);
    becomes(&haechi, "reader", "out serves serves");
    group[1].sql("STOP SLAVE SQL_THREAD");
    becomes(&haechi, "reader", "out out serves");
    group[2].sql("STOP SLAVE IO_THREAD");
    becomes(&haechi, "reader", "serves out out");
    assert_eq!(pool(&haechi, "reader")["standing"], "fallback");
    group[1].sql("START SLAVE");
    becomes(&haechi, "reader", "out serves out");
    group[2].sql("START SLAVE");
    becomes(&haechi, "reader", "out serves serves");
    // Behind by more than max_lag: what it gets it may apply only after a delay.
    group[1].sql("STOP SLAVE; CHANGE MASTER TO MASTER_DELAY = 3600; START SLAVE");
    let mut order = 0;
    within(LONG, "the delayed replica is out for its lag", || {
        order += 1;
        group[0].sql(&format!("INSERT INTO shop.orders VALUES ({order}, 9)"));
        let reason = pool(&haechi, "reader")["servers"][1]["reason"].as_str().unwrap_or_default().to_owned();
        reason.contains("behind, more than 5s").then_some(())
    });
    group[1].sql("STOP SLAVE; CHANGE MASTER TO MASTER_DELAY = 0; START SLAVE");
    becomes(&haechi, "reader", "out serves serves");
}

#[test]
fn a_candidate_without_known_transactions_needs_the_operators_word_and_a_restart_forgets_nothing() {
    let Some(mut group) = group() else { return };
    let mut haechi = start(&group, &config(""), &[]);
    becomes(&haechi, "writer", "serves out out");
    // What the replica never gets, and haechi sees on the primary.
    group[1].sql("STOP SLAVE");
    group[2].sql("STOP SLAVE");
    group[0].sql("INSERT INTO shop.orders VALUES (1, 0)");
    let position = group[0].sql("SELECT @@gtid_binlog_pos");
    eventually("the order is seen", || {
        pool(&haechi, "writer")["primary_gtids"].as_str().is_some_and(|seen| seen.contains(&position)).then_some(())
    });
    group[0].kill();
    becomes(&haechi, "writer", "out out out");
    group[1].promote();
    eventually("the candidate is refused", || (pool(&haechi, "writer")["standing"] == "refused").then_some(()));

    haechi.signal(Signal::TERM);
    assert!(haechi.ended(LONG).success());
    let kept = fs::read_to_string(haechi.dir().join("state/database.state")).unwrap();
    assert!(kept.contains(&position), "{kept}");
    haechi.start_again();
    eventually("it is refused after a restart too", || {
        (haechi.runs() && serves_status(&haechi) && pool(&haechi, "writer")["standing"] == "refused").then_some(())
    });
    assert!(explained(&haechi).contains("lacks transactions that a had"), "{}", explained(&haechi));

    let (done, said) = db(&haechi, &["confirm", "writer", "b"]);
    assert!(!done && said.contains("with --accept-data-loss they are given up"), "{said}");
    let (done, said) = db(&haechi, &["confirm", "writer", "b", "--accept-data-loss"]);
    assert!(done && said.contains("given up: "), "{said}");
    becomes(&haechi, "writer", "out serves out");

    // The old one is back, writable, with an order that nobody else has.
    group[0].restart();
    becomes(&haechi, "writer", "out keeps out");
    within(LONG, "what is errant is named", || {
        explained(&haechi).contains("has what the primary has not").then_some(())
    });
    assert_eq!(haechi.metric("haechi_db_errant", &[("upstream", "writer"), ("server", "a")]), Some(1.0));
    group[0].sql("SET GLOBAL read_only = 1");
    becomes(&haechi, "writer", "out serves out");
}

#[test]
fn a_damaged_memory_is_told_and_nobody_is_the_primary_without_the_operators_word() {
    let Some(group) = group() else { return };
    let haechi = start(&group, &config(""), &[("state/database.state", "haechi database state 1\n{}".to_owned())]);
    eventually("nobody is accepted", || (pool(&haechi, "writer")["standing"] == "refused").then_some(()));
    assert!(haechi.stderr().contains("what was known of databases' primaries is lost"), "{}", haechi.stderr());
    assert!(haechi.dir().join("state/database.state.damaged").exists());
    let (done, said) = db(&haechi, &["confirm", "writer", "a"]);
    assert!(done, "{said}");
    becomes(&haechi, "writer", "serves out out");
}

#[test]
fn a_worker_that_dies_a_reload_and_an_upgrade_forget_nothing() {
    let Some(mut group) = group() else { return };
    let mut haechi = start(&group, &config(""), &[]);
    becomes(&haechi, "writer", "serves out out");
    let kill = |haechi: &crate::harness::Haechi| {
        let worker = i32::try_from(haechi.worker()).ok().and_then(rustix::process::Pid::from_raw).unwrap();
        rustix::process::kill_process(worker, Signal::KILL).unwrap();
    };
    kill(&haechi);
    within(LONG, "a new worker knows the primary", || {
        (serves_status(&haechi) && super::verdicts(&haechi, "writer") == "serves out out").then_some(())
    });
    assert_eq!(pool(&haechi, "writer")["epoch"], 1);
    haechi.edit(&(config("").replace("rise = 2", "rise = 1")));
    becomes(&haechi, "writer", "serves out out");
    assert_eq!(pool(&haechi, "writer")["epoch"], 1);
    // An old primary that a new worker never saw alive.
    group[0].kill();
    becomes(&haechi, "writer", "out out out");
    group[1].promote();
    becomes(&haechi, "writer", "out serves out");
    haechi.signal(Signal::USR2);
    within(LONG, "the upgraded one knows the primary", || {
        (serves_status(&haechi) && super::verdicts(&haechi, "writer") == "out serves out").then_some(())
    });
    assert_eq!(pool(&haechi, "writer")["epoch"], 2);
    assert_eq!(pool(&haechi, "writer")["aside"][0]["server"], "a");
}

fn serves_status(haechi: &crate::harness::Haechi) -> bool {
    let answer = crate::harness::client::send(haechi.admin(), &crate::harness::client::Request::get("/healthz"));
    answer.is_ok_and(|answer| answer.status == 200)
}
