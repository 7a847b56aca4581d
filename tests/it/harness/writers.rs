//! Clients of a database: some ask once, some write numbered rows and note which were acknowledged.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::eventually::pace;
use super::tools::{Said, run};

/// The client of MariaDB, in a session of its own that asks this and ends.
pub fn ask(address: SocketAddr, text: &str) -> Said {
    run("mariadb", options(address).iter().map(String::as_str).chain(["--execute", text]))
}

/// Writers at an address, until they are stopped.
pub struct Writers {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    threads: Vec<JoinHandle<BTreeSet<u64>>>,
}

impl Writers {
    /// One for each number, each with a session of its own and a row each `pause`. A session that breaks is opened anew.
    pub fn start(writers: RangeInclusive<u64>, address: SocketAddr, pause: Duration) -> Self {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let threads = writers.map(|writer| {
            let (stop, acknowledged) = (Arc::clone(&stop), Arc::clone(&acknowledged));
            thread::spawn(move || write(writer, address, pause, &stop, &acknowledged))
        });
        Self { threads: threads.collect(), stop, acknowledged }
    }

    /// How many rows were acknowledged until now.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Relaxed)
    }

    /// Ends them: every row that was acknowledged.
    pub fn stop(self) -> BTreeSet<u64> {
        self.stop.store(true, Relaxed);
        self.threads.into_iter().flat_map(|writer| writer.join().expect("a writer")).collect()
    }
}

fn write(writer: u64, address: SocketAddr, pause: Duration, stop: &AtomicBool, all: &AtomicU64) -> BTreeSet<u64> {
    let mut acknowledged = BTreeSet::new();
    let mut session = None;
    let mut number = writer * 1_000_000;
    while !stop.load(Relaxed) {
        number += 1;
        let open = session.get_or_insert_with(|| Session::open(address));
        if open.write(number, writer) {
            acknowledged.insert(number);
            all.fetch_add(1, Relaxed);
        } else {
            session = None;
        }
        pace(pause);
    }
    acknowledged
}

/// The client of MariaDB, a statement at a time.
pub struct Session {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Session {
    /// Begins one.
    pub fn open(address: SocketAddr) -> Self {
        let mut command = Command::new("mariadb");
        command.args(options(address)).args(["--unbuffered", "--skip-reconnect"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("mariadb");
        let (input, output) = (child.stdin.take().expect("stdin"), child.stdout.take().expect("stdout"));
        Self { child, input, output: BufReader::new(output) }
    }

    /// Whether the row was acknowledged. The client ends at the first fault.
    pub fn write(&mut self, number: u64, writer: u64) -> bool {
        let line = format!("INSERT INTO shop.orders VALUES ({number}, {writer}); SELECT {number};\n");
        let mut said = String::new();
        let sent = self.input.write_all(line.as_bytes()).is_ok();
        sent && self.output.read_line(&mut said).is_ok() && said.trim() == number.to_string()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// As an application comes.
fn options(address: SocketAddr) -> Vec<String> {
    let common = ["--no-defaults", "--user=app", "--password=app", "--protocol=tcp", "--skip-ssl", "--batch"];
    let more = ["--skip-column-names", "--connect-timeout=5"];
    let place = [format!("--host={}", address.ip()), format!("--port={}", address.port())];
    common.iter().chain(&more).map(|option| (*option).to_owned()).chain(place).collect()
}
