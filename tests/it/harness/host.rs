//! A host of a pair as it is run: guard, worker and VRRP together, in a namespace of its own.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::certs::Authority;
use super::namespaces::Namespace;
use super::tools::{Said, run};
use super::{eventually, within};

/// Both hosts begin, find each other and decide, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The virtual address of the pair.
pub const VIP: &str = "192.168.0.100";

/// A host that runs haechi.
pub struct Host<'n> {
    at: &'n Namespace,
    /// Its guard.
    pub child: Child,
    folder: TempDir,
}

impl<'n> Host<'n> {
    /// Answers every request with `name`, at the virtual address alone.
    pub fn start(at: &'n Namespace, name: &str, more: &str) -> Self {
        Self::patient(at, name, "100ms", more)
    }

    /// The same; keep-alive connections are wound down for so long.
    pub fn patient(at: &'n Namespace, name: &str, grace: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state").display().to_string();
        let config = format!(
            r#"
            process = {{ workers = 1, handover_grace = "{grace}", state = "{state}" }}
            admin = {{ bind = "127.0.0.1:9900" }}
            log = {{ access = {{ format = "off" }} }}
            listener.http = {{ bind = ["{VIP}:80"] }}
            site = [{{ hosts = ["*"], route = [{{ path = "/", respond = {{ status = 200, body = "{name}" }} }}] }}]
            [vrrp.front]
            interface = "eth0"
            virtual_router_id = 51
            advert_interval = "100ms"
            addresses = ["{VIP}/24"]
            {more}
            "#
        );
        fs::write(folder.path().join("haechi.toml"), config).unwrap();
        // A binary of its own, which may be exchanged.
        let (built, own) = (env!("CARGO_BIN_EXE_haechi"), folder.path().join("haechi"));
        fs::hard_link(built, &own).or_else(|_| fs::copy(built, &own).map(drop)).unwrap();
        let authority = Authority::new("test");
        authority.write(folder.path(), "own", &["127.0.0.1"]);
        fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
        let child = Self::spawn(at, &folder);
        Self { at, child, folder }
    }

    fn spawn(at: &Namespace, folder: &TempDir) -> Child {
        let log = fs::OpenOptions::new().create(true).append(true).open(folder.path().join("log")).unwrap();
        at.enter(|| {
            Command::new(folder.path().join("haechi"))
                .args(["run", "--config"])
                .arg(folder.path().join("haechi.toml"))
                .env("SSL_CERT_FILE", folder.path().join("ca.pem"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .unwrap()
        })
    }

    /// Runs it once more, after it died.
    pub fn start_again(&mut self) {
        self.child = Self::spawn(self.at, &self.folder);
    }

    /// What it answers to an order by the command line.
    pub fn told(&self, order: &str) -> Said {
        let config = self.folder.path().join("haechi.toml");
        run(env!("CARGO_BIN_EXE_haechi"), [order.as_ref(), "--config".as_ref(), config.as_os_str()])
    }

    /// What `haechi status` says.
    pub fn status(&self) -> Value {
        serde_json::from_str(&self.told("status").out).unwrap_or_default()
    }

    /// Its one instance: state and reason.
    pub fn becomes(&self, state: &str, reason: &str) {
        let instance = || self.status()["vrrp"]["instances"][0].clone();
        let what = format!("{state} by {reason}");
        within(PATIENCE, &what, || {
            let now = instance();
            (now["state"] == state && now["reason"] == reason).then_some(())
        });
    }

    /// Has it take another config.
    pub fn edit(&self, from: &str, to: &str) {
        let path = self.folder.path().join("haechi.toml");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(path, text.replace(from, to)).unwrap();
        let said = self.told("reload");
        assert_eq!(said.code, 0, "{}", said.err);
    }

    /// From here on the other one waits for as long as a busy machine may take to begin another program.
    pub fn speaks_slowly_to(&self, other: &Self) {
        self.edit("advert_interval = \"100ms\"", "advert_interval = \"1s\"");
        eventually("the other host goes by it", || {
            let heard = &other.status()["vrrp"]["instances"][0]["peer"]["advert_interval_ms"];
            (heard == 1000).then_some(())
        });
    }

    /// The page of metrics.
    pub fn page(&self) -> String {
        self.at.enter(|| {
            let mut admin = TcpStream::connect("127.0.0.1:9900").unwrap();
            admin.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
            let mut page = String::new();
            admin.read_to_string(&mut page).unwrap();
            page
        })
    }

    /// Puts another program where its own lay when it began.
    pub fn install(&self, script: &str) {
        let beside = self.file("new");
        fs::write(&beside, script).unwrap();
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(beside, self.file("haechi")).unwrap();
    }

    /// A file in its folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What it has said on stderr.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Sends the guard a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// All that runs on it is killed, with no chance to say a word.
    pub fn dies(&mut self) {
        let worker = self.status()["worker"]["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
        let _ = self.child.kill();
        // Without its guard it would end by itself, but not before what it serves.
        let _ = worker.and_then(Pid::from_raw).map(|worker| kill_process(worker, Signal::KILL));
        let _ = self.child.wait();
        // Until then it is in the namespace that may be about to go.
        if let Some(worker) = worker {
            eventually("the worker has ended", || (!fs::exists(format!("/proc/{worker}")).unwrap()).then_some(()));
        }
    }

    /// The pid of its worker.
    pub fn worker(&self) -> u64 {
        self.status()["worker"]["pid"].as_u64().unwrap()
    }
}

impl Drop for Host<'_> {
    fn drop(&mut self) {
        self.dies();
        if thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}
