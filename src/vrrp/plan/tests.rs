use super::*;
use crate::diagnostic::SourceFile;

fn read(instances: &str) -> Vec<config::Vrrp> {
    let text = format!(
        "[listener.http]\nbind = [\"127.0.0.1:0\"]\n[upstream.was]\nservers = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\n{instances}"
    );
    config::parse(vec![SourceFile::new("/etc/haechi/haechi.toml", text)])
        .unwrap_or_else(|faults| panic!("{faults}"))
        .vrrp
}

fn one(instance: &str) -> Plan {
    plans(&read(instance), Some("haechi")).unwrap().remove(0)
}

const FRONT: &str = r#"
[vrrp.front]
interface = "eth0"
virtual_router_id = 51
priority = 150
advert_interval = "100ms"
addresses = ["192.168.0.100/24", "192.168.0.101"]
"#;

#[test]
fn what_is_written_becomes_settings() {
    let plan =
        one(&format!("{FRONT}preempt_delay = \"3s\"\non_partition = \"stop\"\nannounce = {{ refresh = \"0s\" }}\n"));
    let settings = &plan.settings;
    assert_eq!((settings.vrid, settings.priority.value(), settings.interval.duration().as_millis()), (51, 150, 100));
    assert_eq!((settings.preempt, settings.preempt_delay.as_secs()), (true, 3));
    assert_eq!((settings.on_partition, settings.announcements.refresh), (OnPartition::Stop, Duration::ZERO));
    assert_eq!((plan.family, plan.membership, plan.virtual_mac), (Family::V4, Membership::Joined, false));
    assert_eq!(plan.wire.destinations().collect::<Vec<_>>(), [IpAddr::from([224, 0, 0, 18])]);
    let addresses: Vec<String> = plan.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["192.168.0.100/24", "192.168.0.101/32"]);
}

#[test]
fn each_subject_has_its_place_and_its_origin() {
    let track = r#"track = { upstreams = { was = { healthy = 2, weight = 20 } }, interfaces = ["eth1"], exec = [{ command = ["/bin/true"] }] }"#;
    let plan = one(&format!("{FRONT}{track}\n"));
    let names: Vec<&str> = plan.tracked.iter().map(|(subject, _)| &*subject.name).collect();
    assert_eq!(names, ["worker", "listeners", "interface eth1", "upstream was", "check true"]);
    let (upstream, origin) = &plan.tracked[3];
    assert_eq!((upstream.kind, upstream.effect), (Kind::Upstream { at_least: 2 }, Effect::Lower(20)));
    assert_eq!(*origin, Origin::Upstream("was".into()));
    assert_eq!((plan.checks[0].place, plan.checks[0].program.user.as_deref()), (4, Some("haechi")));
    let listeners = one(&format!("{FRONT}track = {{ listeners = [\"http\"] }}\n"));
    assert_eq!(listeners.tracked[1].1, Origin::Listener(Some("http".into())));
}

#[test]
fn version_two_says_its_password_and_version_six_asks_for_what_is_bound() {
    let old = one(&format!(
        "{}version = 2\nauth_pass = \"1111\"\npeers = [\"192.168.0.12\"]\n",
        FRONT.replace("100ms", "1s")
    ));
    let mut wire = old.wire;
    let (source, peer) = (IpAddr::from([192, 168, 0, 11]), wire.destinations().next().unwrap());
    let mut buffer = [0; super::super::packet::LONGEST];
    let utc = super::super::authentication::Utc(Duration::ZERO);
    let length = wire.encode(101, source, peer, utc, &mut buffer);
    assert_eq!((buffer[0], &buffer[length - 8..length]), (0x21, &b"1111\0\0\0\0"[..]));
    assert_eq!((old.membership, peer), (Membership::None, IpAddr::from([192, 168, 0, 12])));

    let six = FRONT.replace("\"192.168.0.100/24\", \"192.168.0.101\"", "\"fe80::77:51/64\", \"fd00:77::100/64\"");
    let six = one(&six);
    assert_eq!(six.probed(), Some("fd00:77::100".parse().unwrap()));
}

#[test]
fn what_is_written_alike_is_alike() {
    let (one_plan, same, other) = (one(FRONT), one(FRONT), one(&FRONT.replace("150", "90")));
    assert_eq!(one_plan.written, same.written);
    assert_ne!(one_plan.written, other.written);
    assert!(one_plan.is_same_router(&other));
    let moved = one(&FRONT.replace("eth0", "eth1"));
    assert!(!one_plan.is_same_router(&moved) && one_plan.collides(&moved), "they have one name");
    let second = one(&FRONT.replace("front", "second").replace("= 51", "= 52"));
    assert!(one_plan.collides(&second), "they share addresses");
    let apart = one(&FRONT.replace("front", "apart").replace("= 51", "= 52").replace("0.10", "0.20"));
    assert!(!one_plan.collides(&apart));
}
