//! Real MariaDB servers: each with a folder of its own, from one template, on a port of its own.
//!
//! `root` has no password and comes by the socket ([`MariaDb::sql`]), `replica` from anywhere. Replication
//! uses GTIDs; every server writes a binary log with what it applied too.

use super::namespaces::Namespace;
use super::ports::free_port;
use super::tools::{Said, run};
use super::within;
use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const START: Duration = Duration::from_secs(60);

/// One server; it dies with the test.
pub struct MariaDb {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its `server_id`.
    pub id: u32,
    /// Further options of its command line, for this and every later start.
    pub options: Vec<String>,
    /// The namespace that it runs in, where that is not the test's own.
    host: Option<String>,
    folder: TempDir,
    child: Option<Child>,
}

/// A primary and so many replicas of it, in step and `read_only`. `None`, and a loud line, where
/// MariaDB is not installed.
pub fn group(replicas: u32) -> Option<Vec<MariaDb>> {
    (1..=replicas + 1).map(MariaDb::laid_out).collect::<Option<_>>().map(begin)
}

/// The same on a host of its own, at this address of it: whoever is on its segment reaches them.
pub fn group_at(host: &Namespace, address: IpAddr, replicas: u32) -> Option<Vec<MariaDb>> {
    let mut group: Vec<MariaDb> = (1..=replicas + 1).map(MariaDb::laid_out).collect::<Option<_>>()?;
    for server in &mut group {
        server.address.set_ip(address);
        server.host = Some(host.name().to_owned());
    }
    Some(begin(group))
}

fn begin(mut group: Vec<MariaDb>) -> Vec<MariaDb> {
    for server in &mut group {
        server.spawn();
    }
    for server in &group {
        server.ready();
    }
    let (primary, replicas) = group.split_first().expect("a primary");
    primary.sql("CREATE USER replica; GRANT REPLICATION SLAVE ON *.* TO replica");
    for replica in replicas {
        replica.sql("SET GLOBAL read_only = 1");
        replica.follow(primary);
    }
    primary.sql("CREATE DATABASE shop; CREATE TABLE shop.orders (id BIGINT PRIMARY KEY, writer INT)");
    for replica in replicas {
        replica.caught_up_with(primary);
    }
    group
}

impl MariaDb {
    /// One that runs. `None`, and a loud line, where MariaDB is not installed.
    pub fn start(id: u32) -> Option<Self> {
        let mut server = Self::laid_out(id)?;
        server.restart();
        Some(server)
    }

    /// One with its data in place that does not run yet.
    pub fn laid_out(id: u32) -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("haechi-db-").tempdir().expect("a folder");
        let template = template()?;
        let copied = run("cp", [Path::new("-r"), &template, &folder.path().join("data")]);
        assert_eq!(copied.code, 0, "{}", copied.err);
        let address = free_port();
        Some(Self { address, id, options: Vec::new(), host: None, folder, child: None })
    }

    /// Starts it where it does not run, and waits until it answers.
    pub fn restart(&mut self) {
        self.spawn();
        self.ready();
    }

    /// Starts it without waiting.
    pub fn spawn(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let log = File::options().create(true).append(true).open(path("log")).expect("a log");
        let mut command = match &self.host {
            None => Command::new("setpriv"),
            Some(host) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", host, "setpriv"]);
                command
            }
        };
        command.args(["--pdeathsig", "KILL", "mariadbd", "--no-defaults", "--user=root"]);
        command.arg(format!("--datadir={}", path("data")));
        command.arg(format!("--socket={}", path("socket")));
        command.arg(format!("--pid-file={}", path("pid")));
        command.arg(format!("--bind-address={}", self.address.ip()));
        command.arg(format!("--port={}", self.address.port()));
        command.arg(format!("--server-id={}", self.id));
        command.args(["--log-bin=binlog", "--log-slave-updates", "--gtid-strict-mode=1", "--skip-name-resolve"]);
        command.args(["--sync-binlog=1", "--innodb-flush-log-at-trx-commit=1", "--slave-net-timeout=5"]);
        command.args(["--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M", "--performance-schema=0"]);
        command.args(["--key-buffer-size=1M", "--aria-pagecache-buffer-size=1M", "--max-connections=64"]);
        command.args(&self.options);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        self.child = Some(command.spawn().expect("setpriv"));
    }

    /// Waits until it answers.
    pub fn ready(&self) {
        within(START, "MariaDB answers", || (self.try_sql("SELECT 1").code == 0).then_some(()));
    }

    /// As root, without headlines, a tab between two columns; a fault is a panic.
    pub fn sql(&self, text: &str) -> String {
        let said = self.try_sql(text);
        assert_eq!(said.code, 0, "{text}: {}\n{}", said.err, self.log());
        said.out.trim_end().to_owned()
    }

    /// As root; a fault is told.
    pub fn try_sql(&self, text: &str) -> Said {
        let socket = format!("--socket={}", self.folder.path().join("socket").display());
        run("mariadb", ["--no-defaults", "--user=root", "--batch", "--skip-column-names", &socket, "--execute", text])
    }

    /// Replicates from `source` by its position in GTIDs; says it also of one that was a primary.
    pub fn follow(&self, source: &Self) {
        self.sql(&format!(
            "STOP SLAVE; CHANGE MASTER TO MASTER_HOST='{}', MASTER_PORT={}, MASTER_USER='replica', \
             MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1; START SLAVE",
            source.address.ip(),
            source.address.port(),
        ));
    }

    /// Makes a replica the primary, as a script would: it applies what it has, then takes writes.
    pub fn promote(&self) {
        self.sql("STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only = 0");
    }

    /// Waits until all that `primary` has written is applied here.
    pub fn caught_up_with(&self, primary: &Self) {
        let position = primary.sql("SELECT @@gtid_binlog_pos");
        let waited = self.sql(&format!("SELECT MASTER_GTID_WAIT('{position}', 20)"));
        assert_eq!(waited, "0", "{}", self.sql("SHOW ALL SLAVES STATUS"));
    }

    /// Kills it with no chance to say a word, and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("a kill");
            child.wait().expect("its end");
        }
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Its folder, for files that its options name.
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Where a fresh server's data lies, made once for all tests.
fn template() -> Option<PathBuf> {
    if Command::new("mariadbd").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        eprintln!("SKIPPED: no MariaDB here");
        return None;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(folder).expect("a folder for tests");
    let lock = File::create(folder.join("mariadb.lock")).expect("a lock");
    lock.lock().expect("the lock");
    let whole = folder.join("mariadb");
    if !whole.exists() {
        let parts = folder.join("mariadb.new");
        let _earlier = fs::remove_dir_all(&parts);
        let said = run(
            "mariadb-install-db",
            [
                "--no-defaults".to_owned(),
                "--user=root".to_owned(),
                format!("--datadir={}", parts.display()),
                "--auth-root-authentication-method=normal".to_owned(),
                "--skip-test-db".to_owned(),
                "--innodb-log-file-size=8M".to_owned(),
            ],
        );
        assert_eq!(said.code, 0, "{}{}", said.out, said.err);
        fs::rename(&parts, &whole).expect("a template");
    }
    Some(whole)
}
