//! Real programs that listen: nginx, HAProxy, `openssl s_server`. Each has a folder of its own.

use super::within;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// One program; it dies with the test.
pub struct Program {
    name: &'static str,
    child: Child,
    folder: TempDir,
}

impl Program {
    /// nginx as one process; `blocks` are `http { .. }` and `stream { .. }`. `None`, and a loud line, where it
    /// is not installed: so with each of these.
    pub fn nginx(blocks: &str, listens: &[SocketAddr]) -> Option<Self> {
        let folder = folder();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let bodies: String = kinds.iter().map(|kind| format!("{kind}_temp_path {};", path(kind))).collect();
        // The module's path is taken from where nginx was installed to.
        let head = format!(
            "daemon off; master_process off; user root; pid {};\n\
             load_module modules/ngx_stream_module.so; events {{ worker_connections 15000; }}\n",
            path("pid")
        );
        let text = head + &blocks.replace("http {", &format!("http {{ access_log off; {bodies}"));
        let (config, log) = (folder.path().join("nginx.conf"), folder.path().join("error.log"));
        fs::write(&config, text).expect("a config");
        let words = ["-e".as_ref(), log.as_os_str(), "-c".as_ref(), config.as_os_str()];
        Self::start("nginx", &words, folder, listens)
    }

    /// HAProxy as one process; `text` comes after timeouts and limits.
    pub fn haproxy(text: &str, listens: &[SocketAddr]) -> Option<Self> {
        let folder = folder();
        let config = folder.path().join("haproxy.cfg");
        let head = "global\n maxconn 500\ndefaults\n timeout connect 10s\n timeout client 30s\n timeout server 30s\n";
        fs::write(&config, head.to_owned() + text).expect("a config");
        Self::start("haproxy", &["-db".as_ref(), "-f".as_ref(), config.as_os_str()], folder, listens)
    }

    /// A server of TLS with `NAME.crt` and `NAME.key` of that folder.
    pub fn s_server(certificates: &Path, name: &str, listens: SocketAddr) -> Option<Self> {
        let file = |ending: &str| certificates.join(format!("{name}.{ending}"));
        let (address, cert, key) = (listens.to_string(), file("crt"), file("key"));
        let words = ["s_server", "-quiet", "-accept", &address, "-cert"].map(AsRef::as_ref);
        let words = [&words[..], &[cert.as_os_str(), "-key".as_ref(), key.as_os_str()]].concat();
        Self::start("openssl", &words, folder(), &[listens])
    }

    fn start(name: &'static str, words: &[&std::ffi::OsStr], folder: TempDir, listens: &[SocketAddr]) -> Option<Self> {
        let version = if name == "openssl" { "version" } else { "-v" };
        if Command::new(name).arg(version).stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            eprintln!("SKIPPED: no {name} here");
            return None;
        }
        let log = File::create(folder.path().join("log")).expect("a log");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", name]).args(words);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        let mut program = Self { name, child: command.spawn().expect("setpriv"), folder };
        within(Duration::from_secs(30), &format!("{name} listens"), || {
            if let Some(status) = program.child.try_wait().expect("a child") {
                panic!("{name} ended with {status}:\n{}", program.log());
            }
            listens.iter().all(listened).then_some(())
        });
        Some(program)
    }

    /// What it has said.
    pub fn log(&self) -> String {
        let read = |name| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        read("log") + &read("error.log")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().expect("a kill");
        self.child.wait().expect("its end");
        if std::thread::panicking() {
            eprintln!("--- {} said\n{}", self.name, self.log());
        }
    }
}

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("haechi-program-").tempdir().expect("a folder")
}

/// Whether somebody listens there. A connection would be one that the test must tell from its own.
fn listened(address: &SocketAddr) -> bool {
    const LISTEN: &str = "0A";
    let sockets = fs::read_to_string("/proc/net/tcp").expect("the sockets");
    sockets.lines().skip(1).any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let local = fields.next().and_then(|local| local.rsplit_once(':'));
        local.is_some_and(|(_, port)| u16::from_str_radix(port, 16) == Ok(address.port()))
            && fields.nth(1) == Some(LISTEN)
    })
}
