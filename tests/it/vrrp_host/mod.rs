//! Whole hosts on one link: who is active, what clients and other hosts see of it, what operators are told.

mod changes;
mod failover;
mod keepalived;
mod partition;

use std::io::Write;
use std::net::IpAddr;
use std::sync::{Mutex, Once};
use std::time::Duration;

use haechi::config;
use haechi::diagnostic::SourceFile;
use haechi::telemetry::exposition::Page;
use haechi::vrrp::host::{Facts, Host, InstanceStatus, ListenerFact};
use haechi::vrrp::plan::{Plan, plans};

use super::harness::namespaces::Namespace;
use super::harness::within;

/// For a machine that stands still meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);

const VIP: &str = "192.168.0.100";

/// What all instances here have in common.
const FRONT: &str = r#"
interface = "eth0"
virtual_router_id = 51
advert_interval = "100ms"
addresses = ["192.168.0.100/24"]
"#;

/// A host of ours.
struct Speaking<'n> {
    at: &'n Namespace,
    host: Option<Host>,
}

impl<'n> Speaking<'n> {
    /// With instances as they are written, all that they track being well.
    fn start(at: &'n Namespace, instances: &str) -> Self {
        listen();
        let plans = read(instances);
        let host = at.enter(|| Host::start(plans, Vec::new()).unwrap());
        host.facts(well(&[])).unwrap();
        Self { at, host: Some(host) }
    }

    /// With one instance of this name: [`FRONT`] and this.
    fn front(at: &'n Namespace, name: &str, more: &str) -> Self {
        Self::start(at, &front(name, more))
    }

    fn host(&self) -> &Host {
        self.host.as_ref().unwrap()
    }

    fn status(&self) -> Vec<InstanceStatus> {
        self.host().status().unwrap().instances
    }

    /// The status of the first instance, once this holds.
    fn until(&self, what: &str, holds: impl Fn(&InstanceStatus) -> bool) -> InstanceStatus {
        let mut last = None;
        let mut found = || {
            let status = self.status().into_iter().next();
            last.clone_from(&status);
            status.filter(|status| holds(status))
        };
        let end = std::time::Instant::now() + PATIENCE;
        loop {
            if let Some(status) = found() {
                return status;
            }
            assert!(std::time::Instant::now() < end, "not {what}: {last:?}");
            super::harness::pace(Duration::from_millis(5));
        }
    }

    fn until_active(&self, reason: &str) -> InstanceStatus {
        self.until(&format!("active by {reason}"), |now| now.state == "active" && now.reason == reason && now.holds)
    }

    fn until_state(&self, state: &str, reason: &str) -> InstanceStatus {
        self.until(&format!("{state} by {reason}"), |now| now.state == state && now.reason == reason)
    }

    /// Some adverts more were believed: it has heard what others said since.
    fn hears(&self, more: u64) {
        let heard = self.status()[0].counters.accepted;
        self.until("hearing", |now| now.counters.accepted >= heard + more);
    }

    fn metrics(&self) -> String {
        let mut page = Page::default();
        self.host().write_metrics(&mut page).unwrap();
        page.into_text()
    }

    fn stop(mut self) {
        assert!(self.host.take().unwrap().stop(2 * PATIENCE), "it did not stop");
    }
}

impl Drop for Speaking<'_> {
    fn drop(&mut self) {
        // As one that is killed.
        self.host = None;
    }
}

fn front(name: &str, more: &str) -> String {
    // A key that is given again takes the place of the common one.
    let is_given = |line: &&str| !more.lines().any(|other| other.split(" =").next() == line.split(" =").next());
    let common: Vec<&str> = FRONT.lines().filter(is_given).collect();
    format!("[vrrp.{name}]\n{}\n{more}\n", common.join("\n"))
}

fn read(instances: &str) -> Vec<Plan> {
    let text = format!(
        "[listener.http]\nbind = [\"127.0.0.1:0\"]\n[upstream.was]\nservers = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\n{instances}"
    );
    let config = config::parse(vec![SourceFile::new("/etc/haechi/haechi.toml", text)]);
    plans(&config.unwrap_or_else(|faults| panic!("{faults}")).vrrp, None).unwrap()
}

/// Everything is well, and a listener takes connections here.
fn well(tcp: &[&str]) -> Facts {
    let tcp = tcp.iter().map(|address| address.parse().unwrap()).collect();
    let listeners = vec![ListenerFact { name: "http".into(), is_bound: true, tcp }];
    Facts { worker_serves: true, listeners, upstreams: Vec::new() }
}

fn has(at: &Namespace, address: &str) -> bool {
    at.ip("addr show").contains(&format!(" {address}/"))
}

fn until_gone(at: &Namespace, address: &str) {
    within(PATIENCE, "the address is gone", || (!has(at, address)).then_some(()));
}

/// The MAC that a host sends to, for an address.
fn neighbour(at: &Namespace, address: &str) -> String {
    let said = at.ip(&format!("neigh show {address} dev eth0"));
    let mut words = said.split_whitespace();
    words.find(|word| *word == "lladdr").and_then(|_| words.next()).unwrap_or_default().to_owned()
}

fn ip(address: &str) -> IpAddr {
    address.parse().unwrap()
}

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Keeps what is logged from here on: tests have instances of different names.
fn listen() {
    struct Kept;
    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            LOG.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing_subscriber::fmt().with_ansi(false).with_writer(|| Kept).init());
}

/// The lines about an instance.
fn logged(instance: &str) -> Vec<String> {
    let log = String::from_utf8_lossy(&LOG.lock().unwrap()).into_owned();
    let mark = format!("instance={instance}");
    let is_of = |line: &&str| line.split_whitespace().any(|word| word == mark);
    log.lines().filter(is_of).map(str::to_owned).collect()
}

fn until_logged(instance: &str, text: &str) -> String {
    within(PATIENCE, text, || logged(instance).into_iter().find(|line| line.contains(text)))
}
