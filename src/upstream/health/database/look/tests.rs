use super::*;

const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

fn greeting(version: &str) -> Greeting {
    let after =
        [&[1, 0, 0, 0][..], b"8 bytes.\0", &[0xff, 0xff, 45, 2, 0, 0xff, 0xc1, 21], &[0; 10], b"and 12 more.\0x\0"];
    Greeting::parse(&[b"\x0a", version.as_bytes(), &[0], &after.concat()].concat()).unwrap()
}

fn look(version: &str) -> Look {
    Look::new(greeting(version), true)
}

fn set(pairs: &[(&str, Option<&str>)]) -> ResultSet {
    let columns = pairs.iter().map(|(name, _)| (*name).to_owned()).collect();
    ResultSet { columns, rows: vec![pairs.iter().map(|(_, value)| value.map(str::to_owned)).collect()] }
}

fn variables() -> ResultSet {
    let gtids = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-77,\n4350f323-7565-4e59-8763-4b1b83a0ce0e:shop:1-3";
    set(&[
        ("account", Some("haechi_check@10.0.0.%")),
        ("server_id", Some("21")),
        ("read_only", Some("1")),
        ("super_read_only", Some("1")),
        ("offline_mode", Some("0")),
        ("server_uuid", Some(UUID)),
        ("gtid_executed", Some(gtids)),
    ])
}

fn observation(answer: Option<Answer>) -> Observation {
    match answer {
        Some(Answer::MySql(seen)) => *seen,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_version_is_asked_in_its_own_words() {
    for (version, show, privilege) in [
        ("5.7.44", "SHOW SLAVE STATUS", "REPLICATION CLIENT"),
        ("8.0.21", "SHOW SLAVE STATUS", "REPLICATION CLIENT"),
        ("8.0.22", "SHOW REPLICA STATUS", "REPLICATION CLIENT"),
        ("8.4.2", "SHOW REPLICA STATUS", "REPLICATION CLIENT"),
        ("9.1.0", "SHOW REPLICA STATUS", "REPLICATION CLIENT"),
        ("5.5.5-10.3.39-MariaDB", "SHOW ALL SLAVES STATUS", "REPLICATION CLIENT"),
        ("5.5.5-10.5.8-MariaDB", "SHOW ALL SLAVES STATUS", "REPLICATION SLAVE ADMIN"),
        ("11.4.7-MariaDB", "SHOW ALL SLAVES STATUS", "REPLICA MONITOR"),
    ] {
        let look = look(version);
        assert!(look.query().ends_with(&format!("; {show}")), "{version}: {}", look.query());
        let denied = ServerError { code: ACCESS_DENIED, message: "Access denied".to_owned() };
        let fault = look.read(&[variables()], Some(denied)).unwrap_err().to_string();
        assert_eq!(fault, format!("a grant is missing: GRANT {privilege} ON *.* TO 'haechi_check'@'10.0.0.%'"));
    }
    assert_eq!(Look::new(greeting("8.4.2"), false).query(), "SELECT 1");
}

#[test]
fn a_replica_of_either_age_is_the_same_observation() {
    let old = [
        ("Channel_Name", Some("")),
        ("Master_Host", Some("10.0.1.21")),
        ("Master_Port", Some("3306")),
        ("Master_Server_Id", Some("20")),
        ("Master_UUID", Some(UUID)),
        ("Slave_IO_Running", Some("Connecting")),
        ("Slave_SQL_Running", Some("Yes")),
        ("Seconds_Behind_Master", None),
        ("Last_IO_Error", Some("error connecting to master")),
        ("Last_SQL_Error", Some("")),
    ];
    let new = old.map(|(name, value)| {
        let name = name.replace("Master", "Source").replace("Slave", "Replica");
        (&*name.leak(), value)
    });
    let before = observation(look("8.0.21").read(&[variables(), set(&old)], None).unwrap());
    let after = observation(look("8.4.2").read(&[variables(), set(&new)], None).unwrap());
    assert_eq!(before.replication, after.replication);
    let [channel] = &after.replication[..] else { panic!("{after:?}") };
    assert_eq!((channel.io, channel.sql, channel.lag), (Thread::Connecting, Thread::Running, None));
    assert_eq!((&*channel.source_host, channel.source_port, channel.source_server_id), ("10.0.1.21", 3306, Some(20)));
    assert_eq!(channel.source_uuid, UUID.parse().ok());

    assert_eq!((after.identity.server_id, after.identity.uuid), (21, UUID.parse().ok()));
    assert!(after.writable.read_only && after.writable.super_read_only && !after.writable.offline_mode);
    let shop = GtidSet::parse(Dialect::MySql, "4350f323-7565-4e59-8763-4b1b83a0ce0e:shop:2").unwrap();
    assert!(after.gtids.contains(&shop));
}

#[test]
fn an_answer_that_lacks_something_is_no_observation() {
    let nobody = ResultSet::default();
    assert!(observation(look("8.4.2").read(&[variables(), nobody.clone()], None).unwrap()).replication.is_empty());
    for column in ["server_id", "read_only", "super_read_only", "gtid_executed"] {
        let mut lacks = variables();
        let at = lacks.columns.iter().position(|name| name == column).unwrap();
        lacks.rows[0][at] = None;
        let fault = look("8.4.2").read(&[lacks, nobody.clone()], None).unwrap_err();
        assert_eq!(fault.to_string(), format!("the answer lacks {column}"));
    }
    assert!(look("8.4.2").read(&[variables()], None).is_err());
    let mut odd = variables();
    odd.rows[0][6] = Some("not a set".to_owned());
    assert_eq!(
        look("8.4.2").read(&[odd, nobody], None).unwrap_err().to_string(),
        "its transaction ids: not a server's uuid"
    );
}
