//! Pairs of haechi as they are run: guard, worker and VRRP together, and a client that comes by the virtual
//! address all the while.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::harness::host::{Host, PATIENCE, VIP};
use super::harness::namespaces::Namespace;
use super::harness::segment::{Segment, adverts};
use super::harness::{eventually, within};

/// What came of requests, each by a connection of its own, that were made while `event` went on, and for
/// as many again before and after it.
fn meanwhile(client: &Namespace, event: impl FnOnce()) -> Requests {
    const AROUND: u32 = 50;
    let (made, over) = (AtomicU32::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            client.enter(|| {
                let mut requests = Requests::default();
                let mut after = 0;
                while after < AROUND {
                    after += u32::from(over.load(Relaxed));
                    match ask() {
                        Ok(body) if requests.bodies.last() == Some(&body) => {}
                        Ok(body) => requests.bodies.push(body),
                        Err(error) => {
                            requests.failed += 1;
                            requests.last_error = error;
                        }
                    }
                    made.fetch_add(1, Relaxed);
                }
                requests
            })
        });
        eventually("requests are made", || (made.load(Relaxed) >= AROUND).then_some(()));
        event();
        over.store(true, Relaxed);
        asking.join().unwrap()
    })
}

#[derive(Debug, Default)]
struct Requests {
    /// Who answered, one after the other.
    bodies: Vec<String>,
    failed: u32,
    last_error: String,
}

fn ask() -> Result<String, String> {
    let answer = || -> std::io::Result<String> {
        let address = format!("{VIP}:80").parse().map_err(std::io::Error::other)?;
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: vip\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = answer().map_err(|error| error.to_string())?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
        _ => Err(answer),
    }
}

#[test]
fn the_address_moves_with_no_more_than_what_is_on_the_wire_lost() {
    let Some(segment) = Segment::new(3) else { return };
    let [one, two, client] = &*segment.hosts else { unreachable!() };
    let first = Host::start(one, "one", "priority = 150\npreempt = false");
    first.becomes("active", "silence");
    let mut second = Host::start(two, "two", "priority = 100\npreempt = false");
    second.becomes("backup", "fit");

    let drained = meanwhile(client, || {
        assert_eq!(first.told("drain").code, 0);
        second.becomes("active", "hand_over");
        first.becomes("fault", "drained");
    });
    assert!(drained.failed <= 1 && drained.bodies == ["one", "two"], "{drained:?}");

    // A host that was taken out by hand stays out when its binary is exchanged.
    let upgraded = meanwhile(client, || {
        let said = first.told("upgrade");
        assert_eq!(said.code, 0, "{}", said.err);
        first.becomes("fault", "drained");
    });
    assert!(upgraded.failed == 0 && upgraded.bodies == ["two"], "{upgraded:?}");

    let undrained = meanwhile(client, || {
        assert_eq!(first.told("undrain").code, 0);
        first.becomes("backup", "fit");
    });
    assert!(undrained.failed == 0 && undrained.bodies == ["two"], "{undrained:?}");

    let stopped = meanwhile(client, || {
        second.signal(Signal::TERM);
        assert!(second.child.wait().unwrap().success());
        first.becomes("active", "hand_over");
    });
    assert!(stopped.failed <= 1 && stopped.bodies == ["two", "one"], "{stopped:?}");

    let back = meanwhile(client, || {
        second.start_again();
        second.becomes("backup", "fit");
    });
    assert!(back.failed == 0 && back.bodies == ["one"], "{back:?}");
}

/// A keep-alive connection to the virtual address.
struct Kept(TcpStream);

impl Kept {
    fn connect(client: &Namespace) -> Self {
        let stream = client.enter(|| TcpStream::connect((VIP, 80)).unwrap());
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self(stream)
    }

    /// Whether the answer to one more request says that it is the last.
    fn is_told_to_go(&mut self) -> bool {
        self.0.write_all(b"GET / HTTP/1.1\r\nHost: vip\r\n\r\n").unwrap();
        let (mut answer, mut buffer) = (String::new(), [0; 1024]);
        while !answer.ends_with("one") {
            let length = self.0.read(&mut buffer).unwrap();
            assert!(length > 0, "{answer}");
            answer.push_str(str::from_utf8(&buffer[..length]).unwrap());
        }
        answer.to_lowercase().contains("connection: close")
    }
}

#[test]
fn a_drain_by_hand_winds_connections_down_first_and_undrain_takes_it_back() {
    let Some(segment) = Segment::new(3) else { return };
    let [one, two, client] = &*segment.hosts else { unreachable!() };
    let first = Host::patient(one, "one", "15m", "priority = 150");
    first.becomes("active", "silence");
    let second = Host::start(two, "two", "priority = 100");
    second.becomes("backup", "fit");

    let mut kept = Kept::connect(client);
    assert!(!kept.is_told_to_go());
    assert_eq!(first.told("drain").code, 0);
    eventually("the connection is told to go", || kept.is_told_to_go().then_some(()));
    assert_eq!(first.status()["vrrp"]["instances"][0]["leaving"], false, "all is served meanwhile");
    assert_eq!(first.told("undrain").code, 0);
    eventually("connections are kept again", || (!Kept::connect(client).is_told_to_go()).then_some(()));
    first.becomes("active", "silence");

    first.edit("15m", "100ms");
    let drained = meanwhile(client, || {
        assert_eq!(first.told("drain").code, 0);
        second.becomes("active", "hand_over");
        first.becomes("fault", "drained");
    });
    assert!(drained.failed <= 1 && drained.bodies == ["one", "two"], "{drained:?}");
}

#[test]
fn a_second_end_waits_for_nobody() {
    let Some(segment) = Segment::new(1) else { return };
    let [one] = &*segment.hosts else { unreachable!() };
    let mut host = Host::start(one, "one", "priority = 100");
    host.becomes("active", "silence");
    // The hand-over, which nobody answers, would take two minutes.
    host.edit("advert_interval = \"100ms\"", "advert_interval = \"40s\"");
    host.signal(Signal::TERM);
    eventually("it is handed over", || host.log().contains("tells others to take over").then_some(()));
    let capture = segment.switch.capture();
    host.signal(Signal::TERM);
    assert!(within(PATIENCE, "the end", || host.child.try_wait().unwrap()).success(), "{}", host.log());
    assert!(!one.ip("addr show dev eth0").contains(&format!("{VIP}/")), "the address is taken off");
    assert!(adverts(&capture).iter().all(|advert| advert.priority == 0), "others are told that they may have it");
}

#[test]
fn an_active_host_goes_on_through_an_upgrade_before_it_reads_its_config() {
    let Some(segment) = Segment::new(2) else { return };
    let [one, two] = &*segment.hosts else { unreachable!() };
    let first = Host::start(one, "one", "priority = 150");
    first.becomes("active", "silence");
    let second = Host::start(two, "two", "priority = 100");
    second.becomes("backup", "fit");
    first.speaks_slowly_to(&second);

    // The next program finds a config that nobody writes yet.
    let (config, kept, mark) = (first.file("haechi.toml"), first.file("kept.toml"), first.file("mark"));
    fs::copy(&config, &kept).unwrap();
    let real = env!("CARGO_BIN_EXE_haechi");
    let (at, marked) = (config.display(), mark.display());
    let script =
        format!("#!/bin/sh\n[ \"$1\" = check ] || {{ rm {at}; mkfifo {at}; touch {marked}; }}\nexec {real} \"$@\"\n");
    first.install(&script);
    first.signal(Signal::USR2);
    eventually("the program is exchanged", || mark.exists().then_some(()));
    let capture = segment.switch.capture();
    let mut heard = 0;
    within(PATIENCE, "adverts", || {
        heard += adverts(&capture).iter().filter(|advert| advert.source.to_string() == "192.168.0.11").count();
        // Each is seen twice.
        (heard >= 8).then_some(())
    });
    let mut waits = fs::OpenOptions::new().read(true).write(true).open(&config).unwrap();
    fs::copy(&kept, first.file("next.toml")).unwrap();
    fs::rename(first.file("next.toml"), &config).unwrap();
    waits.write_all(&fs::read(&kept).unwrap()).unwrap();
    drop(waits);
    first.becomes("active", "resumed");
    eventually("the new worker serves alone", || {
        (first.status()["guard"]["workers"].as_array()?.len() == 1).then_some(())
    });
    second.becomes("backup", "fit");
    assert!(!second.log().contains("is active"), "{}", second.log());
}

#[test]
fn neither_a_killed_worker_nor_an_upgrade_moves_the_address() {
    let Some(segment) = Segment::new(3) else { return };
    let [one, two, client] = &*segment.hosts else { unreachable!() };
    let first = Host::start(one, "one", "priority = 150");
    first.becomes("active", "silence");
    let second = Host::start(two, "two", "priority = 100");
    second.becomes("backup", "fit");

    let (guard, worker) = (first.child.id(), first.worker());
    let killed = meanwhile(client, || {
        kill_process(Pid::from_raw(worker as i32).unwrap(), Signal::KILL).unwrap();
        within(PATIENCE, "another worker serves", || {
            first.status()["worker"]["pid"].as_u64().filter(|pid| *pid != worker)
        });
    });
    // What the killed one was answering is lost with it.
    assert!(killed.failed <= 1 && killed.bodies == ["one"], "{killed:?}");

    first.speaks_slowly_to(&second);
    let upgraded = meanwhile(client, || {
        let said = first.told("upgrade");
        assert_eq!(said.code, 0, "{}", said.err);
        first.becomes("active", "resumed");
    });
    assert!(upgraded.failed == 0 && upgraded.bodies == ["one"], "{upgraded:?}");
    assert_eq!(u64::from(guard), first.status()["guard"]["pid"].as_u64().unwrap());
    second.becomes("backup", "fit");
    assert!(!second.log().contains("is active"), "{}", second.log());
}

#[test]
fn a_dead_guard_leaves_no_address_behind() {
    let Some(segment) = Segment::new(3) else { return };
    let [one, two, client] = &*segment.hosts else { unreachable!() };
    let first = Host::start(one, "one", "priority = 150");
    first.becomes("active", "silence");
    let second = Host::start(two, "two", "priority = 100");
    second.becomes("backup", "fit");

    let killed = meanwhile(client, || {
        first.signal(Signal::KILL);
        second.becomes("active", "silence");
        within(PATIENCE, "the address is gone", || {
            (!one.ip("addr show dev eth0").contains(&format!("{VIP}/"))).then_some(())
        });
    });
    assert_eq!(killed.bodies, ["one", "two"], "{killed:?}");
}

#[test]
fn metrics_and_checks_know_of_the_address() {
    let Some(segment) = Segment::new(1) else { return };
    let [one] = &*segment.hosts else { unreachable!() };
    let tracked = r#"
            track = { upstreams = { gone = 1 } }
            [upstream.gone]
            servers = ["127.0.0.1:1"]
            health = { tcp = true, interval = "100ms", fall = 1 }
            "#;
    let host = Host::start(one, "one", tracked);
    host.becomes("fault", "unfit");
    eventually("the page tells the state", || {
        let told =
            |line: &str| line.starts_with("haechi_vrrp_state{") && line.contains("fault") && line.ends_with(" 1");
        host.page().lines().any(told).then_some(())
    });
}

#[test]
fn a_change_is_posted_over_tls_to_who_is_believed() {
    let Some(segment) = Segment::new(1) else { return };
    let [one] = &*segment.hosts else { unreachable!() };
    // It tells itself.
    let more = r#"
            hooks = { post = "https://127.0.0.1:8443/moved", on = ["active"], timeout = "60s" }
            [listener.https]
            bind = ["127.0.0.1:8443"]
            tls = { certificates = [{ cert = "own.crt", key = "own.key" }] }
            "#;
    let host = Host::start(one, "one", more);
    host.becomes("active", "silence");
    within(PATIENCE, "the change is told", || {
        let told = |line: &str| {
            line.starts_with("haechi_exchanges_total{")
                && line.contains("listener=\"https\"")
                && line.contains("2xx")
                && line.ends_with(" 1")
        };
        host.page().lines().any(told).then_some(())
    });
    assert!(!host.log().contains("a hook failed"), "{}", host.log());
}
