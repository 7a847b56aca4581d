//! Guard and worker: what a client notices when either of them dies, hangs or refuses.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, geteuid, kill_process};

use super::harness::certs::Authority;
use super::harness::client::{Request, send};
use super::harness::haechi::{PROXY, before, client_address};
use super::harness::load::Load;
use super::harness::tools::{Said, run};
use super::harness::websocket::{self, Socket};
use super::harness::{Client, Haechi, Next, Origin, Wire, answer, eventually, get, within};

/// For what a worker is given seconds for.
const PATIENCE: Duration = Duration::from_secs(60);

fn process(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

fn kill(pid: u32) {
    kill_process(process(pid), Signal::KILL).unwrap();
}

/// Whether the process does anything yet; nobody may have asked how it ended.
fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
}

/// Waits for a worker that is none of these, and serves.
fn next_worker(haechi: &Haechi, old: &[u32]) -> u32 {
    within(PATIENCE, "another worker serves", || {
        let serving = |worker: &&serde_json::Value| worker["stage"] == "serving";
        let status = asked(haechi);
        let pid = status["guard"]["workers"].as_array()?.iter().find(serving)?["pid"].as_u64()?;
        u32::try_from(pid).ok().filter(|pid| !old.contains(pid))
    })
}

/// What `haechi status` says.
fn asked(haechi: &Haechi) -> serde_json::Value {
    let arguments = ["status".as_ref(), "--config".as_ref(), haechi.config().as_os_str()];
    serde_json::from_str(&run(env!("CARGO_BIN_EXE_haechi"), arguments).out).unwrap_or_default()
}

fn tls(address: &str) -> String {
    format!(
        "{PROXY}[listener.https]\nbind = [\"{address}\"]\n[listener.https.tls]\ncertificates = [{{ cert = \"a.crt\", key = \"a.key\" }}]\n"
    )
}

#[test]
fn a_killed_worker_refuses_nobody() {
    const KILLS: usize = 3;
    const CLIENTS: u8 = 4;
    let origin = Origin::named("hello");
    let (mut haechi, http) = before(&origin);
    let mut load = Load::new();
    for x in 2..2 + CLIENTS {
        load = load.fresh(client_address(x), http, "/", Duration::from_millis(5));
    }
    load.more(50);
    let mut workers = vec![haechi.worker()];
    for _ in 0..KILLS {
        kill(*workers.last().unwrap());
        workers.push(next_worker(&haechi, &workers));
        load.more(50);
    }
    let (answered, faults) = load.end();
    assert!(faults.iter().all(|fault| !fault.contains("refused")), "of {answered}: {faults:?}");
    // At each kill a client has one exchange at most.
    assert!(faults.len() <= KILLS * usize::from(CLIENTS), "of {answered}: {faults:?}");
    assert!(haechi.runs());
    let status = asked(&haechi);
    assert_eq!(status["guard"]["pid"], haechi.pid());
    assert_eq!(status["guard"]["worker_restarts"], KILLS);
    assert_eq!((status["worker"]["restarts"].as_u64(), &status["phase"]), (Some(3), &"serving".into()), "{status}");
    assert_eq!(haechi.metric("haechi_worker_restarts_total", &[]), Some(3.0));
    assert_eq!(haechi.generation(), 1 + 3, "a worker goes on counting where the last one was");
}

#[test]
fn a_new_worker_knows_which_servers_are_down_and_resumes_sessions() {
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let health = "[upstream.was.health]\nhttp = \"/health\"\ninterval = \"100ms\"\nfall = 2\n";
    let text = tls("@https").replace("\"@origin\"", "\"@one\", \"@two\"") + health;
    let plan = Haechi::plan(&text).with("one", one.address).with("two", two.address);
    Authority::new("test").write(plan.dir(), "a", &["localhost"]);
    let haechi = plan.start();
    two.stop();
    let down = two.address.to_string();
    haechi.becomes("was", &down, "down");
    let session = haechi.dir().join("session");
    let https = haechi.at("https").to_string();
    let connect = |with: &str| {
        let arguments = ["s_client", "-connect", &https, "-tls1_2", with, session.to_str().unwrap()];
        run("openssl", arguments).out
    };
    assert!(connect("-sess_out").contains("New, "), "a session begins");
    // What the guard knows is a second old at most.
    eventually("the guard has the verdict and the keys", || {
        connect("-sess_in").contains("Reused, ").then_some(())?;
        (asked(&haechi)["guard"]["servers_down"] == 1).then_some(())
    });
    let old = haechi.worker();
    kill(old);
    next_worker(&haechi, &[old]);
    let status = haechi.status()["upstreams"][0]["servers"].clone();
    let server = status.as_array().unwrap().iter().find(|server| server["address"] == *down).unwrap();
    assert_eq!(server["health"], "down", "{status}");
    for _ in 0..10 {
        assert_eq!(get(haechi.at("http"), "/").text(), "one");
    }
    assert!(connect("-sess_in").contains("Reused, "), "a ticket of the worker that died");
}

#[test]
fn a_crash_loop_is_slowed_down_and_ends() {
    let origin = Origin::named("hello");
    let (haechi, http) = before(&origin);
    let mut workers = vec![haechi.worker()];
    for _ in 0..5 {
        kill(*workers.last().unwrap());
        workers.push(next_worker(&haechi, &workers));
    }
    let said = haechi.stderr();
    let waits: Vec<&str> = said.lines().filter(|line| line.contains("the worker died")).collect();
    assert_eq!(waits.len(), 5, "{said}");
    assert!(waits[..4].iter().all(|line| line.contains("wait=0ns")) && waits[4].contains("wait=1s"), "{waits:?}");
    assert_eq!(get(http, "/").text(), "hello");
}

#[test]
fn a_guard_that_is_killed_takes_no_exchange_with_it_and_leaves_nothing_behind() {
    let (release, held) = channel::<()>();
    let held = Mutex::new(held);
    let origin = Origin::start(move |arrival, wire| {
        if arrival.target == "/hold" {
            let _ = held.lock().unwrap().recv();
        }
        wire.send(answer(200, "done")).map_or(Next::Close, |()| Next::Keep)
    });
    let (mut haechi, http) = before(&origin);
    let busy = thread::spawn(move || send(http, &Request::get("/hold")));
    eventually("an exchange is under way", || (origin.arrivals_for("/hold").len() == 1).then_some(()));
    let worker = haechi.worker();
    kill(haechi.pid());
    haechi.ended(PATIENCE);
    eventually("nobody is let in", || Wire::connect(http).is_err().then_some(()));
    haechi.start_again();
    eventually("the next one serves beside the old worker", || {
        assert!(haechi.runs(), "{}", haechi.stderr());
        send(http, &Request::get("/")).is_ok().then_some(())
    });
    assert!(lives(worker), "it waits for the exchange");
    release.send(()).unwrap();
    assert_eq!(busy.join().unwrap().unwrap().text(), "done");
    within(PATIENCE, "the old worker is gone", || (!lives(worker)).then_some(()));
}

#[test]
fn what_only_the_worker_finds_wrong_is_a_refused_edit_too() {
    let origin = Origin::named("old");
    let plan = Haechi::plan(&tls("@https")).with("origin", origin.address);
    let authority = Authority::new("test");
    authority.write(plan.dir(), "a", &["localhost"]);
    let mut haechi = plan.start();
    let (generation, http) = (haechi.generation(), haechi.at("http"));
    // The pair is torn: the guard reads both files, and does not judge.
    authority.write(haechi.dir(), "b", &["localhost"]);
    fs::copy(haechi.dir().join("b.key"), haechi.dir().join("a.key")).unwrap();
    haechi.write(&format!("{}\n[listener.more]\nbind = [\"@more\"]\n", tls("@https")));
    assert!(haechi.refused().contains("a.key"), "{:?}", haechi.last_error());
    assert_eq!((haechi.generation(), get(http, "/").text().as_str()), (generation, "old"));
    let more = haechi.at("more");
    eventually("nothing of it stays open", || Wire::connect(more).is_err().then_some(()));
    let old = haechi.worker();
    kill(old);
    next_worker(&haechi, &[old]);
    assert_eq!(get(http, "/").text(), "old", "the next worker serves by the config that was taken");
    eventually("and tells of the one that was not", || haechi.last_error().filter(|said| said.contains("a.key")));
}

#[test]
fn a_worker_has_no_privilege_and_needs_none() {
    if !geteuid().is_root() {
        return eprintln!("SKIPPED: only root can have a worker run as another user");
    }
    let origin = Origin::named("hello");
    let text = tls("@https")
        + "[process]\nuser = \"nobody\"\nworkers = 2\nlag = \"1m\"\n"
        + "[log]\naccess = { to = \"access.log\", format = \"json\" }\n";
    let plan = Haechi::plan(&text).with("origin", origin.address);
    Authority::new("test").write(plan.dir(), "a", &["localhost"]);
    fs::set_permissions(plan.dir().join("a.key"), fs::Permissions::from_mode(0o600)).unwrap();
    let haechi = plan.start();
    assert_eq!(get(haechi.at("http"), "/").text(), "hello");
    let of = |pid: u32, name: &str| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}"));
        line.trim_start_matches(':').trim().to_owned()
    };
    let worker = haechi.worker();
    let user = of(worker, "Uid");
    assert!(!user.split('\t').any(|id| id == "0"), "{user}");
    assert!(!of(worker, "Gid").split('\t').any(|id| id == "0"));
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(of(worker, set), "0000000000000000", "{set}");
    }
    assert_eq!(of(worker, "NoNewPrivs"), "1");
    let guard = u64::from_str_radix(&of(haechi.pid(), "CapEff"), 16).unwrap();
    let admin = 1 << 21;
    assert_eq!(guard & admin, 0, "{guard:x}");
    // It may neither read the config nor write where its log is, and reloads and rotates all the same.
    let generation = haechi.generation();
    haechi.signal(Signal::HUP);
    haechi.reloaded_since(generation);
    let log = haechi.dir().join("access.log");
    fs::rename(&log, haechi.dir().join("access.log.1")).unwrap();
    haechi.signal(Signal::USR1);
    eventually("a new file is written", || {
        get(haechi.at("http"), "/");
        fs::read_to_string(&log).is_ok_and(|text| !text.is_empty()).then_some(())
    });
}

#[test]
fn a_folder_that_the_worker_may_not_read_is_told() {
    if !geteuid().is_root() {
        return eprintln!("SKIPPED: only root can have a worker run as another user");
    }
    let text = "[process]\nuser = \"nobody\"\n[listener.http]\nbind = [\"@http\"]\n[[site]]\nhosts = [\"*\"]\n[[site.route]]\npath = \"/\"\nfiles = { root = \"www\" }\n";
    let plan = Haechi::plan(text).file("www/index.html", "hello");
    fs::set_permissions(plan.dir().join("www"), fs::Permissions::from_mode(0o700)).unwrap();
    let mut haechi = plan.spawn();
    assert!(!haechi.ended(PATIENCE).success());
    let said = eventually("the fault", || Some(haechi.stderr()).filter(|said| said.contains("www")));
    assert!(said.contains("haechi.toml:") && said.contains("the worker runs as user"), "{said}");
}

#[test]
fn a_user_that_is_not_there_is_told() {
    let mut haechi = Haechi::plan(&format!("{PROXY}[process]\nuser = \"no-such-user\"\n")).spawn();
    assert!(!haechi.ended(PATIENCE).success());
    eventually("the fault", || haechi.stderr().contains("there is no user `no-such-user`").then_some(()));
}

#[test]
fn a_worker_that_hangs_is_replaced() {
    let origin = Origin::named("hello");
    let text =
        format!("{PROXY}[process]\nworkers = 2\nlag = \"1m\"\nshutdown_grace = \"1s\"\nhandover_grace = \"0s\"\n");
    let haechi = Haechi::plan(&text).with("origin", origin.address).start();
    let http = haechi.at("http");
    let old = haechi.worker();
    kill_process(process(old), Signal::STOP).unwrap();
    eventually("each of its threads has stopped", || {
        let stopped = |thread: fs::DirEntry| {
            let stat = fs::read_to_string(thread.path().join("stat")).unwrap();
            stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('T'))
        };
        fs::read_dir(format!("/proc/{old}/task")).unwrap().all(|thread| stopped(thread.unwrap())).then_some(())
    });
    // It waits in the queue of a socket that nobody accepts from, until the next worker does.
    let mut waiting = Client::connect(http).unwrap();
    let new = next_worker(&haechi, &[old]);
    assert_eq!(waiting.get("/").text(), "hello");
    within(PATIENCE, "the old worker is killed", || (haechi.workers() == [new]).then_some(()));
    assert_eq!(haechi.metric("haechi_worker_restarts_total", &[]), Some(1.0));
    assert!(haechi.stderr().contains("the worker hangs"), "{}", haechi.stderr());
}

#[test]
fn a_worker_leaves_signals_to_the_guard() {
    let origin = Origin::named("hello");
    let (haechi, http) = before(&origin);
    let worker = haechi.worker();
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::USR2] {
        kill_process(process(worker), signal).unwrap();
    }
    assert_eq!(get(http, "/").text(), "hello");
    assert_eq!((haechi.worker(), haechi.generation()), (worker, 1));
}

#[test]
fn a_worker_is_started_by_nobody_else() {
    let said = run(env!("CARGO_BIN_EXE_haechi"), ["worker"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("haechi run"), "{said:?}");
}

/// A binary of the test's own, which may be exchanged.
fn installed(folder: &Path) -> PathBuf {
    let binary = folder.join("haechi");
    fs::copy(env!("CARGO_BIN_EXE_haechi"), &binary).unwrap();
    binary
}

/// Puts another file in its place, as package managers do.
fn install(binary: &Path, from: &Path) {
    let beside = binary.with_extension("new");
    fs::copy(from, &beside).unwrap();
    fs::rename(&beside, binary).unwrap();
}

fn upgraded(haechi: &Haechi) -> Said {
    let arguments = ["upgrade".as_ref(), "--config".as_ref(), haechi.config().as_os_str()];
    run(env!("CARGO_BIN_EXE_haechi"), arguments)
}

#[test]
fn an_upgrade_fails_no_request_and_cuts_no_tunnel() {
    let origin = Origin::start(|arrival, wire| match arrival.target.as_str() {
        "/socket" => websocket::serve(arrival, wire),
        _ => wire.send(answer(200, "ok")).map_or(Next::Close, |()| Next::Keep),
    });
    let text =
        tls("@https") + "[process]\nworkers = 2\nlag = \"1m\"\nshutdown_grace = \"30s\"\nhandover_grace = \"1s\"\n";
    let plan = Haechi::plan(&text).with("origin", origin.address);
    Authority::new("test").write(plan.dir(), "a", &["localhost"]);
    let binary = installed(plan.dir());
    let mut haechi = plan.binary(binary.clone()).start();
    let http = haechi.at("http");
    let mut load = Load::new();
    for x in 2..4 {
        load = load.fresh(client_address(x), http, "/", Duration::from_millis(5));
        load = load.keep_alive(client_address(x + 10), http, "/", Duration::from_millis(5));
    }
    let mut socket = Socket::connect(http, "/socket");
    load.more(50);
    let (guard, old) = (haechi.pid(), haechi.worker());

    install(&binary, Path::new(env!("CARGO_BIN_EXE_haechi")));
    let said = upgraded(&haechi);
    assert_eq!(said.code, 0, "{said:?}");
    load.more(100);
    assert_eq!(socket.echo("still here").unwrap(), "still here", "on the old worker");
    assert!(haechi.runs() && haechi.pid() == guard);
    let status = asked(&haechi);
    assert_eq!((&status["guard"]["pid"], &status["guard"]["worker_restarts"]), (&guard.into(), &0.into()), "{status}");
    assert_ne!(status["worker"]["pid"], old);
    assert_eq!(haechi.generation(), 2);
    drop(socket);
    within(PATIENCE, "the old worker is gone", || (haechi.workers().len() == 1).then_some(()));
    let (answered, faults) = load.end();
    assert!(faults.is_empty(), "of {answered}: {faults:?}");

    // What came to be by an upgrade reloads, is upgraded, and ends as any other.
    haechi.edit(&text.replace("workers = 2", "workers = 3"));
    haechi.signal(Signal::USR2);
    let worker = |haechi: &Haechi| asked(haechi)["worker"]["pid"].as_u64();
    let before = status["worker"]["pid"].as_u64();
    within(PATIENCE, "another worker", || worker(&haechi).filter(|now| Some(*now) != before));
    within(PATIENCE, "it alone", || (haechi.workers().len() == 1).then_some(()));
    let threads = fs::read_dir(format!("/proc/{}/task", haechi.worker())).unwrap();
    let names = threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("comm")).unwrap());
    assert_eq!(names.filter(|name| name.starts_with("worker-")).count(), 3, "the new number of threads");
    for _ in 0..20 {
        assert_eq!(get(http, "/").status, 200);
    }
    haechi.signal(Signal::TERM);
    assert!(haechi.ended(PATIENCE).success());
}

#[test]
fn a_signal_amid_an_upgrade_reaches_the_next_program() {
    let origin = Origin::named("hello");
    let plan = Haechi::plan(PROXY).with("origin", origin.address);
    let binary = installed(plan.dir());
    // What comes between the exec and the first instruction of the program comes to who is there then.
    let script = plan.dir().join("between");
    let real = env!("CARGO_BIN_EXE_haechi");
    fs::write(&script, format!("#!/bin/sh\n[ \"$1\" = check ] || kill -TERM $$\nexec {real} \"$@\"\n")).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let mut haechi = plan.binary(binary.clone()).start();
    next_worker(&haechi, &[]);
    install(&binary, &script);
    haechi.signal(Signal::USR2);
    assert!(haechi.ended(PATIENCE).success(), "{}", haechi.stderr());
    assert!(haechi.stderr().contains("stopping"), "{}", haechi.stderr());
}

#[test]
fn a_binary_that_cannot_take_over_is_refused() {
    let origin = Origin::named("hello");
    let plan = Haechi::plan(PROXY).with("origin", origin.address);
    let binary = installed(plan.dir());
    let script = plan.dir().join("broken");
    fs::write(&script, "#!/bin/sh\necho it is not for this machine >&2\nexit 3\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let mut haechi = plan.binary(binary.clone()).start();
    let (http, worker) = (haechi.at("http"), haechi.worker());
    let refused = |haechi: &Haechi, why: &str| {
        let said = upgraded(haechi);
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.err.contains(why), "{said:?}");
        assert_eq!((haechi.worker(), get(http, "/").text().as_str()), (worker, "hello"));
    };
    install(&binary, &script);
    refused(&haechi, "not for this machine");
    install(&binary, Path::new(env!("CARGO_BIN_EXE_haechi")));
    haechi.write(&PROXY.replace("upstream = \"was\" }", "upstream = \"wos\" }"));
    refused(&haechi, "`wos`");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    haechi.write(&format!("{PROXY}\n[listener.taken]\nbind = [\"{address}\"]\n"));
    refused(&haechi, &address);
    drop(taken);
    haechi.write(PROXY);
    eventually("the config is good again", || haechi.last_error().is_none().then_some(()));
    assert_eq!(upgraded(&haechi).code, 0);
    assert!(haechi.runs());
}
