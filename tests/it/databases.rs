//! What checks learn of real databases.

mod tls;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use haechi::codec::gtid::GtidSet;
use haechi::upstream::health::{Check, DatabaseQuestion, Engine, Pace, Passed, Question, Reason, Secret, probe};
use haechi::upstream::role::{Answer, Observation, PostgresAnswer, RedisAnswer, RedisRole, Thread};

use crate::harness::certs::Authority;
use crate::harness::mariadb::{self, MariaDb};
use crate::harness::postgres::Postgres;
use crate::harness::redis::Redis;
use crate::harness::{Haechi, eventually, within};

/// A check of MariaDB, plain, that looks at its part.
fn question(user: &str, password: &str) -> Check {
    check_of(Engine::MySql, user, password)
}

fn check_of(engine: Engine, user: &str, password: &str) -> Check {
    Check {
        port: None,
        question: Question::Database(DatabaseQuestion {
            engine,
            user: user.into(),
            password: Secret(password.as_bytes().into()),
            tls: None,
            observe: true,
            max_answer: 1 << 20,
        }),
        tls: None,
        proxy_header: None,
        pace: Pace { timeout: Duration::from_secs(5), ..Pace::default() },
    }
}

fn ask(check: &Check, server: &MariaDb) -> Result<Passed, Reason> {
    ask_at(check, server.address)
}

fn ask_at(check: &Check, address: SocketAddr) -> Result<Passed, Reason> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(probe(check, address, &address.to_string()))
}

fn look(check: &Check, server: &MariaDb) -> Observation {
    match ask(check, server) {
        Ok(Passed { answer: Some(Answer::MySql(seen)), .. }) => *seen,
        other => panic!("{other:?}\n{}", server.log()),
    }
}

fn refusal(check: &Check, server: &MariaDb) -> String {
    ask(check, server).expect_err("a refusal").to_string()
}

/// An account with what the documentation asks for.
fn account(server: &MariaDb, by: &str) {
    server.sql(&format!("CREATE USER haechi_check IDENTIFIED {by}; GRANT REPLICA MONITOR ON *.* TO haechi_check"));
}

#[test]
fn a_group_tells_who_takes_writes_and_who_follows() {
    let Some(mut group) = mariadb::group(2) else { return };
    account(&group[0], "BY 'secret'");
    group[1].caught_up_with(&group[0]);
    let check = question("haechi_check", "secret");

    let primary = look(&check, &group[0]);
    assert!(primary.writable.is_writable() && primary.replication.is_empty(), "{primary:?}");
    assert_eq!((primary.identity.server_id, primary.identity.domain), (1, Some(0)));
    assert!(primary.identity.version.contains("MariaDB") && !primary.identity.version.starts_with("5.5.5"));

    let replica = look(&check, &group[1]);
    assert!(!replica.writable.is_writable());
    let [channel] = &replica.replication[..] else { panic!("{replica:?}") };
    assert!(channel.is_running() && channel.lag == Some(Duration::ZERO), "{channel:?}");
    assert_eq!((channel.source_port, channel.source_server_id), (group[0].address.port(), Some(1)));
    assert!(replica.gtids.contains(&primary.gtids), "{} {}", replica.gtids, primary.gtids);

    // A stopped thread, then what is written meanwhile is missing.
    group[1].sql("STOP SLAVE SQL_THREAD");
    group[0].sql("INSERT INTO shop.orders VALUES (1, 0)");
    let (primary, replica) = (look(&check, &group[0]), look(&check, &group[1]));
    let channel = &replica.replication[0];
    assert_eq!((channel.io, channel.sql, channel.lag), (Thread::Running, Thread::Stopped, None));
    let missing = primary.gtids.difference(&replica.gtids);
    assert!(!missing.is_empty() && replica.gtids.difference(&primary.gtids).is_empty(), "{missing}");

    // The source dies; who followed it says so.
    group[0].kill();
    within(Duration::from_secs(20), "the replica knows of it", || {
        let channel = look(&check, &group[2]).replication.remove(0);
        (channel.io == Thread::Connecting && channel.lag.is_none() && !channel.io_error.is_empty()).then_some(())
    });
    let reason = refusal(&check, &group[0]);
    assert_eq!(reason, "connect: connection refused");

    // Another is promoted; what the old primary writes after its return is errant.
    group[2].promote();
    group[2].sql("INSERT INTO shop.orders VALUES (2, 0)");
    group[0].restart();
    group[0].sql("INSERT INTO shop.orders VALUES (3, 0)");
    let (new, old) = (look(&check, &group[2]), look(&check, &group[0]));
    assert!(new.writable.is_writable() && old.writable.is_writable());
    let errant: GtidSet = old.gtids.difference(&new.gtids);
    assert!(errant.to_string().starts_with("0-1-"), "{errant}");
}

#[test]
fn refusals_say_what_is_missing_and_no_server_counts_an_aborted_connection() {
    let Some(server) = MariaDb::start(7) else { return };
    server.sql("CREATE USER haechi_check IDENTIFIED BY 'secret'");
    let check = question("haechi_check", "secret");
    assert_eq!(refusal(&check, &server), "a grant is missing: GRANT REPLICA MONITOR ON *.* TO 'haechi_check'@'%'");
    let mut plain = check.clone();
    if let Question::Database(question) = &mut plain.question {
        question.observe = false;
    }
    assert!(ask(&plain, &server).unwrap().answer.is_none(), "no grant is needed to be told that it lives");

    server.sql("GRANT REPLICA MONITOR ON *.* TO haechi_check; FLUSH STATUS");
    for _ in 0..20 {
        look(&check, &server);
    }
    for counter in ["Aborted_connects", "Aborted_clients", "Connection_errors_peer_address"] {
        let count = server.sql(&format!("SHOW GLOBAL STATUS LIKE '{counter}'"));
        assert!(count.ends_with("\t0"), "{count}");
    }
    let wrong = refusal(&question("haechi_check", "wrong"), &server);
    assert!(
        wrong.starts_with("login refused: error 1045: Access denied for user 'haechi_check'@'127.0.0.1'"),
        "{wrong}"
    );
    assert!(
        wrong.ends_with("it needs the right password for 'haechi_check', or an account 'haechi_check' for this host"),
        "{wrong}"
    );
}

#[test]
fn passwords_are_shown_by_ed25519_and_none_at_all() {
    let Some(mut server) = MariaDb::laid_out(7) else { return };
    server.options.push("--plugin-load-add=auth_ed25519".to_owned());
    server.restart();
    server.sql("CREATE USER signed IDENTIFIED VIA ed25519 USING PASSWORD('a longer password than 32 bytes, it is')");
    server.sql("CREATE USER short IDENTIFIED VIA ed25519 USING PASSWORD('kurz'); CREATE USER nobody");
    server.sql(
        "CREATE USER either IDENTIFIED VIA mysql_native_password USING PASSWORD('old') OR ed25519 USING PASSWORD('new')",
    );
    for (user, password) in [
        ("signed", "a longer password than 32 bytes, it is"),
        ("short", "kurz"),
        ("nobody", ""),
        ("either", "old"),
        ("either", "new"),
    ] {
        server.sql(&format!("GRANT REPLICA MONITOR ON *.* TO {user}"));
        look(&question(user, password), &server);
    }
    let wrong = refusal(&question("signed", "another"), &server);
    assert!(wrong.starts_with("login refused: error 1045"), "{wrong}");
}

fn look_at_postgres(check: &Check, server: &Postgres) -> PostgresAnswer {
    match ask_at(check, server.address) {
        Ok(Passed { answer: Some(Answer::Postgres(seen)), .. }) => seen,
        other => panic!("{other:?}\n{}", server.log()),
    }
}

fn postgres(user: &str, password: &str) -> Check {
    check_of(Engine::Postgres { database: "postgres".into() }, user, password)
}

#[test]
fn postgres_tells_primary_and_standby() {
    let hba = "host replication postgres 127.0.0.1/32 trust\nhost all open 127.0.0.1/32 trust\n\
               host all old 127.0.0.1/32 md5\nhost all clear 127.0.0.1/32 password\nhost all all 127.0.0.1/32 scram-sha-256";
    let Some(primary) = Postgres::start(hba) else { return };
    primary.sql("CREATE ROLE haechi_check LOGIN PASSWORD 'secret'");
    primary.sql("GRANT pg_monitor TO haechi_check");
    primary.sql("CREATE ROLE open LOGIN; CREATE ROLE clear LOGIN PASSWORD 'secret'");
    primary.sql("SET password_encryption = md5; CREATE ROLE old LOGIN PASSWORD 'secret'");
    let standby = primary.standby();
    let check = postgres("haechi_check", "secret");

    let seen = look_at_postgres(&check, &primary);
    assert!(!seen.in_recovery && !seen.read_only && seen.streaming.is_none() && seen.lag.is_none(), "{seen:?}");
    let seen = within(Duration::from_secs(20), "the standby streams", || {
        Some(look_at_postgres(&check, &standby)).filter(|seen| seen.streaming == Some(true))
    });
    assert!(seen.in_recovery && seen.lag == Some(Duration::ZERO), "{seen:?}");
    assert!(look_at_postgres(&postgres("open", ""), &standby).streaming.is_none(), "an account without pg_monitor");
    look_at_postgres(&postgres("old", "secret"), &primary);

    // What is received and not applied is late.
    primary.sql("CREATE TABLE first (id int)");
    within(Duration::from_secs(20), "something was applied", || {
        (standby.sql("SELECT to_regclass('first') IS NOT NULL") == "t").then_some(())
    });
    standby.sql("SELECT pg_wal_replay_pause()");
    primary.sql("CREATE TABLE orders (id int)");
    within(Duration::from_secs(20), "the standby is behind", || {
        look_at_postgres(&check, &standby).lag.filter(|lag| *lag > Duration::ZERO)
    });
    drop(primary);
    within(Duration::from_secs(20), "nothing comes in any more", || {
        (look_at_postgres(&check, &standby).streaming == Some(false)).then_some(())
    });
    standby.sql("SELECT pg_wal_replay_resume()");
    standby.sql("SELECT pg_promote()");
    standby.sql("ALTER SYSTEM SET default_transaction_read_only = on");
    standby.sql("SELECT pg_reload_conf()");
    within(Duration::from_secs(20), "a primary that an operator closed", || {
        let seen = look_at_postgres(&check, &standby);
        (!seen.in_recovery && seen.read_only).then_some(())
    });

    let refusal = |check: &Check| ask_at(check, standby.address).expect_err("a refusal").to_string();
    let wrong = refusal(&postgres("haechi_check", "wrong"));
    assert_eq!(
        wrong,
        "login refused: error 28P01: password authentication failed for user \"haechi_check\"; \
         it needs the right password for \"haechi_check\""
    );
    assert_eq!(
        refusal(&postgres("clear", "secret")),
        "postgres: the server asks for the password in clear and there is no TLS"
    );
    assert!(refusal(&check_of(Engine::MySql, "haechi_check", "secret")).starts_with("timed out"), "who speaks first?");
}

#[test]
fn redis_tells_primary_and_replica() {
    let (Some(primary), Some(replica)) = (Redis::start(), Redis::start()) else { return };
    let look = |user: &str, password: &str, server: &Redis| match ask_at(
        &check_of(Engine::Redis, user, password),
        server.address,
    ) {
        Ok(Passed { answer: Some(Answer::Redis(seen)), .. }) => seen,
        other => panic!("{other:?}\n{}", server.log()),
    };
    let refusal = |user: &str, password: &str, server: &Redis| {
        ask_at(&check_of(Engine::Redis, user, password), server.address).expect_err("a refusal").to_string()
    };
    assert_eq!(look("default", "", &primary).role, RedisRole::Primary);
    let port = primary.address.port();
    replica.say(&["REPLICAOF", "127.0.0.1", &port.to_string()]);
    let seen: RedisAnswer = within(Duration::from_secs(20), "the link is up", || {
        let seen = look("default", "", &replica);
        matches!(&seen.role, RedisRole::Replica { connected: true, .. }).then_some(seen)
    });
    let RedisRole::Replica { source_port, read_only, last_heard, .. } = seen.role else { panic!("{seen:?}") };
    assert!(source_port == port && read_only && last_heard.is_some());
    assert_eq!(seen.history, look("default", "", &primary).history);

    replica.say(&["ACL", "SETUSER", "haechi_check", "on", ">secret", "+ping"]);
    assert_eq!(refusal("haechi_check", "secret", &replica), "a grant is missing: ACL SETUSER haechi_check +info +ping");
    replica.say(&["ACL", "SETUSER", "haechi_check", "+info"]);
    look("haechi_check", "secret", &replica);
    let wrong = refusal("haechi_check", "wrong", &replica);
    assert!(wrong.starts_with("redis: WRONGPASS"), "{wrong}");
    replica.say(&["CONFIG", "SET", "requirepass", "secret"]);
    assert!(refusal("default", "", &replica).starts_with("redis: NOAUTH"));
    look("default", "secret", &replica);
    drop(primary);
    within(Duration::from_secs(20), "the link is down", || {
        matches!(
            look("default", "secret", &replica).role,
            RedisRole::Replica { connected: false, last_heard: None, .. }
        )
        .then_some(())
    });
}

/// The whole way from a config: a password in a file, TLS, and what the operator reads of it.
#[test]
fn the_program_checks_as_its_config_says() {
    let Some(mut server) = MariaDb::laid_out(7) else { return };
    let ca = Authority::new("the database's");
    ca.write(server.dir(), "db", &["db.internal", "127.0.0.1"]);
    for option in [
        format!("--ssl-cert={}/db.crt", server.dir().display()),
        format!("--ssl-key={}/db.key", server.dir().display()),
    ] {
        server.options.push(option);
    }
    server.restart();
    server.sql(
        "CREATE USER haechi_check IDENTIFIED BY 'secret' REQUIRE SSL; GRANT REPLICA MONITOR ON *.* TO haechi_check",
    );

    let plan = Haechi::plan(
        r#"
        [listener.http]
        bind = ["@http"]
        [upstream.secure]
        servers = [{ address = "@db", name = "db" }]
        health = { interval = "50ms", mysql = { user = "haechi_check", password_file = "db.pw", role = "primary", tls = { ca = "ca.pem" } } }
        [upstream.plain]
        servers = [{ address = "@db", name = "db" }]
        health = { interval = "50ms", mysql = { user = "haechi_check", password = "secret" } }
        [upstream.short]
        servers = [{ address = "@db", name = "db" }]
        health = { interval = "50ms", mysql = { user = "haechi_check", password = "secret", max_answer = "1KiB", role = "primary", tls = { ca = "ca.pem" } } }
        [upstream.stranger]
        servers = [{ address = "@db", name = "db" }]
        health = { interval = "50ms", mysql = { user = "haechi_check", password = "secret", tls = { ca = "ca.pem", server_name = "other.internal" } } }
        "#,
    );
    let plan = plan.with("db", server.address).file("ca.pem", &ca.pem).file("db.pw", "wrong\n");
    let haechi = plan.start();
    let password = haechi.dir().join("db.pw");
    for upstream in ["secure", "plain", "stranger"] {
        haechi.becomes(upstream, "db", "down");
    }
    let reason = |upstream: &str| reason(&haechi, upstream);
    for upstream in ["secure", "plain"] {
        // With a role a server is down before it is asked.
        eventually("the login is refused", || reason(upstream).contains("login refused: error 1045").then_some(()));
    }
    assert!(reason("stranger").starts_with("tls: "), "{}", reason("stranger"));
    eventually("its answer is too long", || reason("short").contains("sent more than 1024 bytes").then_some(()));
    let failed = |upstream: &str, reason: &str| {
        haechi.metric("haechi_server_check_failures_total", &[("upstream", upstream), ("reason", reason)]).unwrap()
    };
    assert!(failed("short", "answer_too_long") >= 1.0 && failed("secure", "database") >= 1.0);
    assert!(failed("stranger", "tls") >= 1.0 && failed("stranger", "answer_too_long") == 0.0);
    assert!(haechi.stderr().contains("every user of this host may read the password in"), "{}", haechi.stderr());

    // The file is watched: the right password in it is all that is needed.
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&password, "secret\n").unwrap();
    haechi.becomes("secure", "db", "up");
    let said = haechi.stderr();
    assert!(!said.contains("secret"), "a password in the log: {said}");
}

/// Why the only server of an upstream is as it is.
fn reason(haechi: &Haechi, upstream: &str) -> String {
    let status = haechi.status();
    let upstreams = status["upstreams"].as_array().expect("upstreams");
    let found = upstreams.iter().find(|found| found["name"] == upstream).expect("an upstream");
    found["servers"][0]["reason"].as_str().expect("a reason").to_owned()
}
