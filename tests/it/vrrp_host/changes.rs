//! What a host depends on, what it is told, and what it tells.

use std::fs;
use std::time::Instant;

use haechi::vrrp::host::{Facts, Host, UpstreamFact, release};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

use super::super::harness::segment::Segment;
use super::super::harness::within;
use super::{PATIENCE, Speaking, VIP, front, has, listen, read, until_gone, until_logged, well};

#[test]
fn an_instance_follows_what_it_tracks() {
    let Some(segment) = Segment::new(2) else { return };
    let [one, two] = &*segment.hosts else { unreachable!() };
    one.ip("link add spare type veth peer name other");
    one.ip("link set spare up");
    one.ip("link set other up");
    let track = "track = { upstreams = { was = { healthy = 2, weight = 100 } }, interfaces = [\"spare\"] }";
    let first = Speaking::front(one, "track-one", &format!("priority = 150\n{track}"));
    let report = |worker_serves: bool, healthy: usize| {
        let was = UpstreamFact { name: "was".into(), healthy, as_of: Instant::now() };
        first.host().facts(Facts { worker_serves, upstreams: vec![was], ..well(&[]) }).unwrap();
    };
    first.until_active("silence");
    report(true, 2);
    let second = Speaking::front(two, "track-two", "priority = 100");
    second.until("backup", |now| now.counters.accepted > 0);

    report(true, 1);
    let lowered = first.until_state("backup", "beaten");
    assert_eq!(
        (lowered.priority, lowered.configured_priority, &*lowered.broken),
        (50, 150, &["upstream was".to_owned()][..])
    );
    second.until_active("preempting");
    report(true, 2);
    first.until_active("preempting");

    report(false, 2);
    let unfit = first.until_state("fault", "unfit");
    assert_eq!(unfit.broken, ["worker"]);
    second.until_active("hand_over");
    report(true, 2);
    first.until_active("preempting");

    one.ip("link set other down");
    assert_eq!(first.until_state("fault", "unfit").broken, ["interface spare"]);
    one.ip("link set other up");
    first.until_active("preempting");
    let page = second.metrics();
    assert!(
        page.contains("haechi_vrrp_transitions_total{vrrp=\"track-two\",state=\"active\",reason=\"hand_over\"} 2\n"),
        "{page}"
    );
}

#[test]
fn checks_are_run_and_hooks_are_told_in_order() {
    let Some(segment) = Segment::new(1) else { return };
    let [one] = &*segment.hosts else { unreachable!() };
    let folder = tempfile::Builder::new().prefix("haechi-it-").tempdir().unwrap();
    let (mark, told) = (folder.path().join("well"), folder.path().join("told"));
    let (mark_path, told_path) = (mark.display(), told.display());
    let more = format!(
        "track = {{ exec = [{{ name = \"mark\", command = [\"/usr/bin/test\", \"-e\", \"{mark_path}\"], interval = \"10ms\", timeout = \"60s\", rise = 1, fall = 1 }}] }}\n\
         hooks = {{ command = [\"/bin/sh\", \"-c\", \"echo $HAECHI_OLD_STATE $HAECHI_STATE $HAECHI_REASON >> {told_path}\"], timeout = \"60s\" }}"
    );
    fs::write(&mark, "").unwrap();
    let first = Speaking::front(one, "hooks-one", &more);
    first.until_active("silence");
    fs::remove_file(&mark).unwrap();
    assert_eq!(first.until_state("fault", "unfit").broken, ["check mark"]);
    fs::write(&mark, "").unwrap();
    first.until("active again", |now| now.state == "active");
    first.stop();
    let told = fs::read_to_string(&told).unwrap();
    // Whether the check or the link was first makes a difference to the first of them alone.
    let last: Vec<&str> = told.lines().skip_while(|line| *line != "backup active silence").collect();
    let expected = [
        "backup active silence",
        "active fault unfit",
        "fault backup fit",
        "backup active silence",
        "active fault stopped",
    ];
    assert_eq!(last, expected, "{told}");
}

#[test]
fn a_host_that_can_add_no_address_leaves_it_to_another() {
    let Some(segment) = Segment::new(2) else { return };
    let [one, two] = &*segment.hosts else { unreachable!() };
    listen();
    // It may send adverts, and no more. What a thread may not, those may not that it starts.
    let host = one.enter(|| {
        let has = capabilities(None).unwrap();
        let effective = has.effective.difference(CapabilitySet::NET_ADMIN);
        let permitted = has.permitted.difference(CapabilitySet::NET_ADMIN);
        set_capabilities(None, CapabilitySets { effective, permitted, ..has }).unwrap();
        Host::start(read(&front("unheld-one", "priority = 150")), Vec::new()).unwrap()
    });
    host.facts(well(&[])).unwrap();
    let first = Speaking { at: one, host: Some(host) };
    first.until_state("fault", "unfit");
    until_logged("unheld-one", "no address could be added: another host is to have them");
    let second = Speaking::front(two, "unheld-two", "priority = 100");
    second.until("active", |now| now.state == "active" && now.holds);
    assert!(!has(one, VIP) && has(two, VIP));
}

#[test]
fn a_change_of_the_config_leaves_the_others_alone() {
    let Some(segment) = Segment::new(1) else { return };
    let [one] = &*segment.hosts else { unreachable!() };
    let stays = front("conf-stays", "");
    let other = |vrid: u8, address: &str| {
        front("conf-other", &format!("virtual_router_id = {vrid}\naddresses = [\"{address}/24\"]"))
    };
    let host = Speaking::start(one, &stays);
    let before = host.until_active("silence");
    let with_states = |wanted: &[(&str, &str)]| {
        within(PATIENCE, "the states", || {
            let now = host.status();
            let states: Vec<(&str, &str)> = now.iter().map(|now| (&*now.name, &*now.state)).collect();
            (states == wanted && now.iter().all(|now| now.holds)).then_some(())
        });
    };
    host.host().reconfigure(read(&(stays.clone() + &other(52, "192.168.0.101")))).unwrap();
    with_states(&[("conf-stays", "active"), ("conf-other", "active")]);
    assert!(has(one, VIP) && has(one, "192.168.0.101"));

    // Another virtual router of the same name: the old one goes first, then this one begins.
    host.host().reconfigure(read(&(other(53, "192.168.0.102") + &stays))).unwrap();
    within(PATIENCE, "the new address", || has(one, "192.168.0.102").then_some(()));
    assert!(!has(one, "192.168.0.101"));
    with_states(&[("conf-other", "active"), ("conf-stays", "active")]);

    // Other addresses of the same virtual router: it stays what it is.
    let more = stays.replace("100/24\"", "100/24\", \"192.168.0.103/24\"");
    assert_ne!(more, stays);
    host.host().reconfigure(read(&more)).unwrap();
    with_states(&[("conf-stays", "active")]);
    within(PATIENCE, "the new address", || has(one, "192.168.0.103").then_some(()));
    until_gone(one, "192.168.0.102");
    host.host().reconfigure(read(&stays)).unwrap();
    until_gone(one, "192.168.0.103");
    let after = &host.status()[0];
    assert!(has(one, VIP));
    assert_eq!((&after.since, &after.counters.transitions), (&before.since, &before.counters.transitions));
    host.stop();
    assert!(!has(one, VIP));
}

#[test]
fn what_a_dead_process_left_is_released_by_hand() {
    let Some(segment) = Segment::new(1) else { return };
    let [one] = &*segment.hosts else { unreachable!() };
    one.ip("addr add 192.168.0.100/24 dev eth0 valid_lft 1000 preferred_lft 1000");
    let plans = read(&front("release-one", ""));
    let released = one.enter(|| release(&plans));
    let [(name, Ok(addresses))] = &*released else { panic!("{released:?}") };
    assert_eq!((&**name, addresses[0].to_string()), ("release-one", "192.168.0.100/24".to_owned()));
    assert!(!has(one, VIP));
    // A new host does the same before it listens.
    one.ip("addr add 192.168.0.100/24 dev eth0 valid_lft 1000 preferred_lft 1000");
    let first = Speaking::front(one, "release-one", "advert_interval = \"40s\"");
    until_gone(one, VIP);
    assert_ne!(first.status()[0].state, "active");
}

#[test]
fn an_instance_whose_interface_is_not_there_waits_for_it() {
    let Some(segment) = Segment::new(1) else { return };
    let [one] = &*segment.hosts else { unreachable!() };
    one.ip("link del eth0");
    let first = Speaking::front(one, "nolink-one", "");
    until_logged("nolink-one", "waits: its interface is not there");
    assert_eq!(first.until_state("fault", "starting").source, None);
    segment.connect(0);
    first.until_active("silence");
}
