//! Who answers readers, by what the servers themselves say and log.

use std::collections::BTreeSet;
use std::fs;

use super::traffic::LONG;
use super::{becomes, group, pool, start};
use crate::harness::mariadb::MariaDb;
use crate::harness::writers::ask;
use crate::harness::{Haechi, eventually, within};

/// `reader` may fall back to the primary, `strict` may not. Checks are far enough apart for a session that came
/// before one of them to be over before the next.
const POOLS: &str = r#"
    [process]
    state = "@dir/state"
    lag = "1m"
    [listener.reader]
    bind = ["@r"]
    mode = "tcp"
    upstream = "reader"
    [listener.strict]
    bind = ["@s"]
    mode = "tcp"
    upstream = "strict"
    [upstream.reader]
    servers = [{ address = "@a", name = "a" }, { address = "@b", name = "b" }, { address = "@c", name = "c" }]
    [upstream.reader.health]
    mysql = { user = "haechi_check", password = "secret", role = "replica", max_lag = "1s", fallback = "primary" }
    interval = "500ms"
    rise = 1
    [upstream.strict]
    servers = [{ address = "@a", name = "a" }, { address = "@b", name = "b" }, { address = "@c", name = "c" }]
    hold = "0s"
    [upstream.strict.health]
    mysql = { user = "strict_check", password = "secret", role = "replica", max_lag = "1s", fallback = "none" }
    interval = "500ms"
    rise = 1
"#;

fn begin() -> Option<(Vec<MariaDb>, Haechi)> {
    let group = group()?;
    group[0].sql("CREATE USER strict_check IDENTIFIED BY 'secret'; GRANT REPLICA MONITOR ON *.* TO strict_check");
    let haechi = start(&group, POOLS, &[]);
    becomes(&haechi, "reader", "out serves serves");
    becomes(&haechi, "strict", "out serves serves");
    Some((group, haechi))
}

/// The server that answers a query at this listener, `1` for `a`; or what the client was told.
fn answers(haechi: &Haechi, listener: &str) -> Result<u32, String> {
    let said = ask(haechi.at(listener), "SELECT @@server_id");
    if said.code == 0 { Ok(said.out.trim().parse().unwrap()) } else { Err(said.err) }
}

/// Queries until each of these servers has answered one, and no other.
fn are_answered_by(haechi: &Haechi, listener: &str, servers: &[u32]) {
    let expected: BTreeSet<u32> = servers.iter().copied().collect();
    let mut seen = BTreeSet::new();
    within(LONG, &format!("answers of {expected:?}"), || {
        seen.insert(answers(haechi, listener).unwrap());
        assert!(seen.is_subset(&expected), "{seen:?}, not {expected:?}");
        (seen == expected).then_some(())
    });
    for _ in 0..10 {
        let answer = answers(haechi, listener).unwrap();
        assert!(expected.contains(&answer), "{answer}, not {expected:?}");
    }
}

#[test]
fn a_replica_gets_no_reader_after_two_checks_since_it_stopped_and_all_again_when_it_follows() {
    let Some((group, haechi)) = begin() else { return };
    are_answered_by(&haechi, "r", &[2, 3]);

    // The replica's own log tells the order of what came to it.
    let journal = group[1].dir().join("general");
    group[1].sql(&format!("SET GLOBAL general_log_file = '{}', general_log = 1", journal.display()));
    let came = |who: &str, since: &str| {
        let text = fs::read_to_string(&journal).unwrap();
        let since = text.split_once(since).map(|(_, after)| after.to_owned()).unwrap_or_default();
        let mark = format!("{who}@");
        since.lines().filter(|line| line.contains("Connect") && line.contains(&mark)).count()
    };
    within(LONG, "readers come to it", || {
        answers(&haechi, "r").unwrap();
        (came("app", "") > 0).then_some(())
    });
    let stop = "STOP SLAVE SQL_THREAD";
    group[1].sql(stop);
    within(LONG, "it was checked four times", || {
        // Who is on it when that is seen is cut.
        assert_ne!(answers(&haechi, "r"), Ok(1), "it is for replicas to answer");
        (came("haechi_check", stop) >= 4).then_some(())
    });
    let text = fs::read_to_string(&journal).unwrap();
    let after = text.split_once(stop).unwrap().1.match_indices("haechi_check@").nth(1).unwrap().0;
    let late = &text.split_once(stop).unwrap().1[after..];
    assert!(!late.contains("app@"), "readers came after two checks:\n{late}");
    are_answered_by(&haechi, "r", &[3]);
    group[1].sql("START SLAVE");
    becomes(&haechi, "reader", "out serves serves");
    are_answered_by(&haechi, "r", &[2, 3]);

    // What it gets it may apply only after a delay.
    group[1].sql("STOP SLAVE; CHANGE MASTER TO MASTER_DELAY = 3600; START SLAVE");
    let mut order = 0;
    within(LONG, "it is out for its lag", || {
        order += 1;
        group[0].sql(&format!("INSERT INTO shop.orders VALUES ({order}, 9)"));
        let reason = pool(&haechi, "reader")["servers"][1]["reason"].as_str().unwrap_or_default().to_owned();
        reason.contains("behind, more than 1s").then_some(())
    });
    are_answered_by(&haechi, "r", &[3]);
    group[1].sql("STOP SLAVE; CHANGE MASTER TO MASTER_DELAY = 0; START SLAVE");
    becomes(&haechi, "reader", "out serves serves");
    are_answered_by(&haechi, "r", &[2, 3]);
}

#[test]
fn where_no_replica_is_left_the_primary_answers_or_nobody() {
    let Some((group, haechi)) = begin() else { return };
    are_answered_by(&haechi, "s", &[2, 3]);

    group[1].sql("STOP SLAVE");
    group[2].sql("STOP SLAVE IO_THREAD");
    becomes(&haechi, "reader", "serves out out");
    becomes(&haechi, "strict", "out out out");
    are_answered_by(&haechi, "r", &[1]);
    answers(&haechi, "s").unwrap_err();
    let count = [("listener", "strict"), ("outcome", "no_server")];
    eventually("that is counted", || (haechi.metric("haechi_sessions_total", &count) == Some(1.0)).then_some(()));

    group[2].sql("START SLAVE");
    for (upstream, listener) in [("reader", "r"), ("strict", "s")] {
        becomes(&haechi, upstream, "out out serves");
        are_answered_by(&haechi, listener, &[3]);
    }
}
