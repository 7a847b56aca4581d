//! A real keepalived in a namespace.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;

use super::namespaces::Namespace;

/// Ended with this, without a word to others.
pub struct Keepalived {
    child: Child,
    folder: TempDir,
}

impl Keepalived {
    /// `None`, and a loud line, where it is not installed.
    pub fn start(at: &Namespace, config: &str) -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("haechi-it-").tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("conf"), config).unwrap();
        let mut command = Command::new("keepalived");
        command.args(["--dont-fork", "--log-console", "--vrrp", "--dump-conf", "--use-file"]).arg(path("conf"));
        command.arg("--pid").arg(path("pid")).arg("--vrrp_pid").arg(path("vrrp_pid"));
        let log = fs::File::create(path("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).process_group(0);
        match at.enter(|| command.spawn()) {
            Ok(child) => Some(Self { child, folder }),
            Err(error) => {
                eprintln!("SKIPPED: no keepalived here: {error}");
                None
            }
        }
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Ends it as an operator does: it hands over.
    pub fn stop(mut self) {
        kill_process(self.pid(), Signal::TERM).unwrap();
        self.child.wait().unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Keepalived {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            kill_process_group(self.pid(), Signal::KILL).unwrap();
            self.child.wait().unwrap();
        }
    }
}
