//! Real PostgreSQL servers, each with a folder and a port of its own. They refuse to run as root, so a
//! test that does runs them as `postgres`.

use super::certs::Authority;
use super::ports::free_port;
use super::tools::{Said, run};
use super::within;
use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// One server; it dies with the test.
pub struct Postgres {
    /// Where it listens.
    pub address: SocketAddr,
    programs: PathBuf,
    folder: TempDir,
    child: Option<Child>,
}

impl Postgres {
    /// A primary that runs; `pg_hba.conf` holds these lines after one for the socket. `None`, and a loud
    /// line, where PostgreSQL is not installed.
    pub fn start(hba: &str) -> Option<Self> {
        let mut server = Self::laid_out()?;
        server.begin(hba, "");
        Some(server)
    }

    /// The same, of whom TLS may be asked, with a certificate of this authority for these names.
    pub fn start_secure(hba: &str, ca: &Authority, names: &[&str]) -> Option<Self> {
        let mut server = Self::laid_out()?;
        ca.write(server.folder.path(), "own", names);
        let file = |name: &str| server.folder.path().join(name).display().to_string();
        let key = file("own.key");
        // It reads no key that others may read too.
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("a mode");
        Self::own(Path::new(&key));
        server.begin(hba, &format!("ssl = on\nssl_cert_file = '{}'\nssl_key_file = '{key}'\n", file("own.crt")));
        Some(server)
    }

    fn begin(&mut self, hba: &str, settings: &str) {
        let data = self.data();
        let initdb = self.programs.join("initdb");
        self.run(&initdb, &["--pgdata", &data, "--auth=trust", "--username=postgres", "--no-sync", "--no-locale"]);
        fs::write(format!("{data}/pg_hba.conf"), format!("local all all trust\n{hba}\n")).expect("pg_hba.conf");
        let mut file = File::options().append(true).open(format!("{data}/postgresql.conf")).expect("its settings");
        file.write_all(settings.as_bytes()).expect("its settings");
        self.spawn();
    }

    /// A standby that streams from this one.
    pub fn standby(&self) -> Self {
        let mut standby = Self::laid_out().expect("the same programs");
        let (data, port) = (standby.data(), self.address.port().to_string());
        let backup = self.programs.join("pg_basebackup");
        standby.run(
            &backup,
            &[
                "--pgdata",
                &data,
                "--host=127.0.0.1",
                "--port",
                &port,
                "--username=postgres",
                "--write-recovery-conf",
                "--checkpoint=fast",
                "--no-sync",
            ],
        );
        standby.spawn();
        standby
    }

    fn laid_out() -> Option<Self> {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let Some(programs) = versions.map(|version| version.path().join("bin")).max() else {
            eprintln!("SKIPPED: no PostgreSQL here");
            return None;
        };
        let folder = tempfile::Builder::new().prefix("haechi-pg-").tempdir().expect("a folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
        let server = Self { address: free_port(), programs, folder, child: None };
        Self::own(server.folder.path());
        Some(server)
    }

    /// Gives a file to whom the server runs as.
    fn own(path: &Path) {
        if rustix::process::geteuid().is_root() {
            let said = run("chown", [Path::new("postgres"), path]);
            assert_eq!(said.code, 0, "{}", said.err);
        }
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    fn spawn(&mut self) {
        let log = File::create(self.folder.path().join("log")).expect("a log");
        let mut command = as_postgres(&self.programs.join("postgres"));
        command.args(["-D", &self.data(), "-h", "127.0.0.1", "-p", &self.address.port().to_string()]);
        command.arg("-k").arg(self.folder.path()).args(["-c", "fsync=off", "-c", "shared_buffers=8MB"]);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        self.child = Some(command.spawn().expect("setpriv"));
        within(Duration::from_secs(60), "PostgreSQL answers", || (self.try_sql("SELECT 1").code == 0).then_some(()));
    }

    /// As its owner, by the socket; a fault is a panic.
    pub fn sql(&self, text: &str) -> String {
        let said = self.try_sql(text);
        assert_eq!(said.code, 0, "{text}: {}\n{}", said.err, self.log());
        said.out.trim_end().to_owned()
    }

    fn try_sql(&self, text: &str) -> Said {
        let (host, port) = (self.folder.path().display().to_string(), self.address.port().to_string());
        run("psql", ["-X", "-A", "-t", "-U", "postgres", "-h", &host, "-p", &port, "-c", text, "postgres"])
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn run(&mut self, program: &Path, arguments: &[&str]) {
        let output = as_postgres(program).args(arguments).stdin(Stdio::null()).output().expect("setpriv");
        assert!(output.status.success(), "{program:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A program that dies with the test, as who may run a server.
fn as_postgres(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if rustix::process::geteuid().is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    command.args(["--pdeathsig", "INT"]).arg(program);
    command
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Its children end with it; a kill would leave them for a while.
            rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT)
                .expect("a signal");
            child.wait().expect("its end");
        }
    }
}
