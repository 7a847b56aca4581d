//! Real Redis servers, each with a folder and a port of its own, and nothing on disk that lasts.

use super::certs::Authority;
use super::ports::free_port;
use super::tools::{Said, run};
use super::within;
use std::fs::File;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// One server; it dies with the test.
pub struct Redis {
    /// Where it listens.
    pub address: SocketAddr,
    secure: bool,
    folder: TempDir,
    child: Child,
}

impl Redis {
    /// One that runs. `None`, and a loud line, where Redis is not installed.
    pub fn start() -> Option<Self> {
        Self::start_as(None)
    }

    /// One that speaks TLS alone, with a certificate of this authority for these names.
    pub fn start_secure(ca: &Authority, names: &[&str]) -> Option<Self> {
        Self::start_as(Some((ca, names)))
    }

    fn start_as(secure: Option<(&Authority, &[&str])>) -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("haechi-redis-").tempdir().expect("a folder");
        let address = free_port();
        let log = File::create(folder.path().join("log")).expect("a log");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "redis-server", "--save", "", "--bind", "127.0.0.1"]);
        let port = address.port().to_string();
        match secure {
            None => command.args(["--port", &port]),
            Some((ca, names)) => {
                ca.write(folder.path(), "own", names);
                command.args(["--port", "0", "--tls-port", &port, "--tls-auth-clients", "no"]);
                command.arg("--tls-cert-file").arg(folder.path().join("own.crt"));
                command.arg("--tls-key-file").arg(folder.path().join("own.key"));
                // It is not asked of clients, and yet not started without.
                command.arg("--tls-ca-cert-file").arg(folder.path().join("own.crt"))
            }
        };
        command.arg("--dir").arg(folder.path());
        command.args(["--repl-diskless-sync-delay", "0"]);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        if Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().is_err() {
            eprintln!("SKIPPED: no Redis here");
            return None;
        }
        let child = command.spawn().expect("setpriv");
        let server = Self { address, secure: secure.is_some(), folder, child };
        within(Duration::from_secs(30), "Redis answers", || {
            (server.try_say(&["PING"]).out.trim() == "PONG").then_some(())
        });
        Some(server)
    }

    /// A command, as the default user without a password; a fault is a panic.
    pub fn say(&self, words: &[&str]) -> String {
        let said = self.try_say(words);
        assert!(said.code == 0 && !said.out.starts_with("ERR"), "{words:?}: {}{}", said.out, said.err);
        said.out.trim_end().to_owned()
    }

    fn try_say(&self, words: &[&str]) -> Said {
        let port = self.address.port().to_string();
        let tls: &[&str] = if self.secure { &["--tls", "--insecure"] } else { &[] };
        run("redis-cli", ["-h", "127.0.0.1", "-p", &port].iter().chain(tls).chain(words))
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.child.kill().expect("a kill");
        self.child.wait().expect("its end");
    }
}
