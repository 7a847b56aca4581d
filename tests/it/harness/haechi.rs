//! The binary under test: started on a config of the test's text, edited, signalled, and never left behind.

use super::page::Page;
use super::ports::free_port;
use super::tools::{Said, run};
use super::{Origin, client, eventually, within};
use rustix::process::{Pid, kill_process};
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

pub use rustix::process::Signal;

const START: Duration = Duration::from_secs(60);

/// A config's text before its addresses are known. In it `@name` stands for what [`Plan::with`] gave that
/// name, `@dir` for the test's own folder, and any other `@name` for a free loopback address, the same
/// wherever the name recurs. What a test does not care for (admin, log, workers) is added at the end.
pub struct Plan {
    text: String,
    names: BTreeMap<String, String>,
    variables: Vec<(String, String)>,
    config: PathBuf,
    folder: TempDir,
    files: Option<u32>,
    binary: PathBuf,
}

impl Plan {
    /// Another binary than the one under test.
    pub fn binary(mut self, path: PathBuf) -> Self {
        self.binary = path;
        self
    }

    /// How many files it may open.
    pub fn files(mut self, most: u32) -> Self {
        self.files = Some(most);
        self
    }

    /// An environment variable.
    pub fn variable(mut self, name: &str, value: &Path) -> Self {
        self.variables.push((name.to_owned(), value.display().to_string()));
        self
    }

    /// The config is laid out by `place`, which gets the test's folder and the text and gives the path to
    /// start with.
    pub fn placed(mut self, place: impl FnOnce(&Path, &str) -> PathBuf) -> Self {
        let text = fill(&self.text, &mut self.names, self.folder.path());
        self.config = place(self.folder.path(), &text);
        self.text.clear();
        self
    }

    /// Gives a name its address.
    pub fn with(mut self, name: &str, value: SocketAddr) -> Self {
        self.names.insert(name.to_owned(), value.to_string());
        self
    }

    /// Writes a file into the test's folder.
    pub fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder for a file");
        fs::write(path, content).expect("a file");
        self
    }

    /// The test's folder, which holds `haechi.toml`.
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// Starts it and waits until it serves.
    pub fn start(self) -> Haechi {
        let mut haechi = self.spawn();
        within(START, "haechi is ready", || {
            if let Some(status) = haechi.child.try_wait().expect("a child") {
                panic!("haechi ended with {status}:\n{}", haechi.stderr());
            }
            let healthy = client::send(haechi.admin(), &client::Request::get("/healthz"));
            healthy.is_ok_and(|response| response.status == 200).then_some(())
        });
        haechi
    }

    /// Starts it and waits for nothing.
    pub fn spawn(mut self) -> Haechi {
        self.lay_out();
        let (child, output) = run_child(&self.binary, &self.config, &self.variables, self.files);
        Haechi { child, output, config: self.config, names: self.names, folder: self.folder }
    }

    /// `haechi check` of it.
    pub fn check(mut self) -> Said {
        self.lay_out();
        run(env!("CARGO_BIN_EXE_haechi"), ["check".as_ref(), "--config".as_ref(), self.config.as_os_str()])
    }

    fn lay_out(&mut self) {
        if !self.text.is_empty() {
            replace(&self.config, &fill(&self.text, &mut self.names, self.folder.path()));
        }
    }
}

/// A running haechi; it dies with the test, whatever way that ends.
pub struct Haechi {
    child: Child,
    output: Output,
    config: PathBuf,
    names: BTreeMap<String, String>,
    folder: TempDir,
}

impl Haechi {
    /// A config to start from.
    pub fn plan(text: &str) -> Plan {
        let folder = tempfile::Builder::new().prefix("haechi-it-").tempdir().expect("a folder");
        let config = folder.path().join("haechi.toml");
        let binary = env!("CARGO_BIN_EXE_haechi").into();
        Plan {
            text: text.to_owned(),
            names: BTreeMap::new(),
            variables: Vec::new(),
            config,
            folder,
            files: None,
            binary,
        }
    }

    /// The address that stands for `@name`.
    pub fn at(&self, name: &str) -> SocketAddr {
        let text = self.names.get(name).unwrap_or_else(|| panic!("@{name} is not in the config"));
        text.parse().expect("an address")
    }

    /// The admin listener's address.
    pub fn admin(&self) -> SocketAddr {
        self.at("admin")
    }

    /// The folder of `haechi.toml`.
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// The config file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// A config's text with its names filled in as in the one that runs.
    pub fn filled(&mut self, text: &str) -> String {
        fill(text, &mut self.names, self.folder.path())
    }

    /// Replaces the config in one step, as editors do, and waits until it serves.
    pub fn edit(&mut self, text: &str) {
        let before = self.generation();
        self.write(text);
        self.reloaded_since(before);
    }

    /// Replaces the config in one step.
    pub fn write(&mut self, text: &str) {
        let text = self.filled(text);
        replace(&self.config, &text);
    }

    /// Waits for a generation after this one.
    pub fn reloaded_since(&self, before: u64) {
        within(START, &format!("a generation after {before}"), || {
            assert!(self.last_error().is_none(), "refused: {:?}", self.last_error());
            (self.generation() > before).then_some(())
        });
    }

    /// Waits until an edit is refused and gives what `/status` says of it.
    pub fn refused(&self) -> String {
        within(START, "a refused edit", || self.last_error())
    }

    /// The generation of the config that serves.
    pub fn generation(&self) -> u64 {
        let generation = self.metric("haechi_config_generation", &[]).expect("a generation");
        format!("{generation:.0}").parse().expect("a whole number")
    }

    /// Why the last reload was refused, if it was.
    pub fn last_error(&self) -> Option<String> {
        self.status()["config"]["last_error"].as_str().map(str::to_owned)
    }

    /// `/status`.
    pub fn status(&self) -> serde_json::Value {
        let response = client::get(self.admin(), "/status");
        assert_eq!(response.status, 200, "/status: {}", response.text());
        serde_json::from_slice(&response.body).expect("JSON")
    }

    /// The health that `/status` gives for a server of an upstream.
    pub fn health(&self, upstream: &str, server: &str) -> Option<String> {
        let status = self.status();
        let named = |list: &serde_json::Value, name: &str| {
            list.as_array()?.iter().find(|one| one["name"] == name || one["address"] == name).cloned()
        };
        let upstream = named(&status["upstreams"], upstream)?;
        let server = named(&upstream["servers"], server)?;
        server["health"].as_str().map(str::to_lowercase)
    }

    /// Waits until a server has this health.
    pub fn becomes(&self, upstream: &str, server: &str, health: &str) {
        eventually(&format!("{server} of {upstream} is {health}"), || {
            (self.health(upstream, server).as_deref() == Some(health)).then_some(())
        });
    }

    /// `/metrics`.
    pub fn metrics(&self) -> Page {
        Page(client::get(self.admin(), "/metrics").text())
    }

    /// The sum of a metric over its samples with these labels.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.metrics().sum(name, labels)
    }

    /// What it said to stderr so far.
    pub fn stderr(&self) -> String {
        self.output.err.lock().expect("stderr").clone()
    }

    /// What it said to stdout so far.
    pub fn stdout(&self) -> String {
        self.output.out.lock().expect("stdout").clone()
    }

    /// The lines of the access log on stdout, as JSON.
    pub fn access_log(&self) -> Vec<serde_json::Value> {
        self.stdout().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The access log's line of the exchange with this target, once it is written.
    pub fn logged(&self, target: &str) -> serde_json::Value {
        eventually(&format!("a line for {target}"), || {
            self.access_log().into_iter().find(|line| line["target"] == target)
        })
    }

    /// A second one on the same config.
    pub fn twin(&self) -> Said {
        let arguments = ["run".as_ref(), "--config".as_ref(), self.config.as_os_str()];
        run(env!("CARGO_BIN_EXE_haechi"), arguments)
    }

    /// The guard's process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The guard's children: workers, the one that serves and those that leave.
    pub fn workers(&self) -> Vec<u32> {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.pid())).unwrap_or_default();
        children.split_whitespace().map(|pid| pid.parse().expect("a number")).collect()
    }

    /// The only worker.
    pub fn worker(&self) -> u32 {
        let workers = self.workers();
        assert_eq!(workers.len(), 1, "{workers:?}");
        workers[0]
    }

    /// Starts another one on the same config, in the place of one that has ended.
    pub fn start_again(&mut self) {
        (self.child, self.output) = run_child(Path::new(env!("CARGO_BIN_EXE_haechi")), &self.config, &[], None);
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a signal");
    }

    /// Waits for its end.
    pub fn ended(&mut self, patience: Duration) -> ExitStatus {
        within(patience, "haechi ends", || self.child.try_wait().expect("a child"))
    }

    /// Whether it has not ended.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }
}

impl Drop for Haechi {
    fn drop(&mut self) {
        let workers = self.workers();
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Without their guard they would end by themselves, but not before what they serve.
        for pid in workers {
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        if thread::panicking() {
            eprintln!("--- haechi's stderr\n{}", self.stderr());
        }
    }
}

struct Output {
    out: Arc<Mutex<String>>,
    err: Arc<Mutex<String>>,
}

fn collect(mut stream: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let said = Arc::new(Mutex::new(String::new()));
    let theirs = Arc::clone(&said);
    thread::spawn(move || {
        let mut step = [0; 8192];
        while let Ok(length @ 1..) = stream.read(&mut step) {
            theirs.lock().expect("output").push_str(&String::from_utf8_lossy(&step[..length]));
        }
    });
    said
}

/// The kernel kills the child when the test's thread is gone, so that nothing survives an abort.
fn run_child(binary: &Path, config: &Path, variables: &[(String, String)], files: Option<u32>) -> (Child, Output) {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if let Some(files) = files {
        command.args(["prlimit", &format!("--nofile={files}:{files}")]);
    }
    command.arg(binary).args(["run", "--config"]).arg(config);
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("haechi starts");
    let (out, err) = (child.stdout.take().expect("stdout"), child.stderr.take().expect("stderr"));
    (child, Output { out: collect(out), err: collect(err) })
}

/// Writes a file beside and renames it over.
pub fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).expect("a file beside");
    fs::rename(&beside, path).expect("a rename");
}

fn fill(text: &str, names: &mut BTreeMap<String, String>, folder: &Path) -> String {
    let mut text = text.to_owned();
    for (table, body) in [
        ("[admin]", "bind = \"@admin\""),
        // A machine that is busy with other tests must not look like one that is asked too much.
        ("[process]", "workers = 2\nlag = \"1m\""),
        ("[log]", "level = \"debug\"\naccess = { to = \"stdout\", format = \"json\" }"),
    ] {
        if !text.contains(table) {
            text += &format!("\n{table}\n{body}\n");
        }
    }
    let mut out = String::with_capacity(text.len());
    let mut pieces = text.split('@');
    out += pieces.next().unwrap_or_default();
    for piece in pieces {
        let end = piece.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(piece.len());
        let (name, rest) = piece.split_at(end);
        if name == "dir" {
            out += &folder.display().to_string();
        } else {
            out += names.entry(name.to_owned()).or_insert_with(|| free_port().to_string());
        }
        out += rest;
    }
    out
}

/// The client address number `x` of a test on loopback.
pub fn client_address(x: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, x))
}

/// One plain listener, `@http`, before one upstream of one server, `@origin`.
pub const PROXY: &str = r#"
[listener.http]
bind = ["@http"]

[[site]]
hosts = ["*"]

[[site.route]]
path = "/"
proxy = { upstream = "was" }

[upstream.was]
servers = ["@origin"]
"#;

/// haechi before this origin: it and its plain listener.
pub fn before(origin: &Origin) -> (Haechi, SocketAddr) {
    let haechi = Haechi::plan(PROXY).with("origin", origin.address).start();
    let http = haechi.at("http");
    (haechi, http)
}
