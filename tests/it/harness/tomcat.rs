//! Real Tomcats: Debian's tomcat10 with a base of its own for each, and our small app as their root.

use super::client::{self, Request};
use super::ports::free_port;
use super::within;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

const HOME: &str = "/usr/share/tomcat10";
const START: Duration = Duration::from_secs(60);

/// How an instance keeps connections.
#[derive(Clone, Copy, Debug)]
pub struct KeepAlive {
    /// After which idle time it closes one.
    pub timeout: Duration,
    /// After how many requests it closes one.
    pub requests: u32,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(20), requests: 100 }
    }
}

/// One instance.
pub struct Tomcat {
    /// What it calls itself in `X-Node`.
    pub node: String,
    /// Where it listens.
    pub address: SocketAddr,
    keep_alive: KeepAlive,
    base: TempDir,
    child: Option<Child>,
}

/// Three instances, started side by side.
pub fn trio(keep_alive: KeepAlive) -> Vec<Tomcat> {
    let mut trio: Vec<Tomcat> = (1..=3).map(|at| Tomcat::deploy(&format!("was{at}"), keep_alive)).collect();
    for tomcat in &mut trio {
        tomcat.spawn();
    }
    for tomcat in &trio {
        tomcat.ready();
    }
    trio
}

impl Tomcat {
    /// Lays out a base; nothing runs yet.
    fn deploy(node: &str, keep_alive: KeepAlive) -> Self {
        let base = tempfile::Builder::new().prefix("haechi-was-").tempdir().expect("a folder");
        for folder in ["conf", "logs", "temp", "work", "webapps/ROOT/WEB-INF/classes"] {
            fs::create_dir_all(base.path().join(folder)).expect("a folder of the base");
        }
        let app = base.path().join("webapps/ROOT/WEB-INF");
        for file in ["server.xml", "context.xml"] {
            fs::copy(sources().join(file), base.path().join("conf").join(file)).expect("a file of conf");
        }
        fs::copy(sources().join("web.xml"), app.join("web.xml")).expect("web.xml");
        for class in fs::read_dir(classes()).expect("classes") {
            let class = class.expect("a class");
            fs::copy(class.path(), app.join("classes").join(class.file_name())).expect("a class");
        }
        Self { node: node.to_owned(), address: free_port(), keep_alive, base, child: None }
    }

    /// Starts it without waiting. The JVM dies with the test's thread.
    fn spawn(&mut self) {
        let base = self.base.path();
        let log = File::create(base.join("logs/console")).expect("a log");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "java", "-Xmx96m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]);
        for package in ["java.lang", "java.io", "java.util", "java.util.concurrent"] {
            command.arg(format!("--add-opens=java.base/{package}=ALL-UNNAMED"));
        }
        for (name, value) in [
            ("http.port", self.address.port().to_string()),
            ("keep.alive", self.keep_alive.timeout.as_millis().to_string()),
            ("keep.requests", self.keep_alive.requests.to_string()),
            ("node", self.node.clone()),
            ("catalina.home", HOME.to_owned()),
            ("catalina.base", base.display().to_string()),
            ("java.io.tmpdir", base.join("temp").display().to_string()),
        ] {
            command.arg(format!("-D{name}={value}"));
        }
        command.arg("-cp").arg(format!("{HOME}/bin/bootstrap.jar:{HOME}/bin/tomcat-juli.jar"));
        command.args(["org.apache.catalina.startup.Bootstrap", "start"]).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a log")).stderr(log);
        self.child = Some(command.spawn().expect("java starts"));
    }

    /// Waits until it answers its health check.
    fn ready(&self) {
        within(START, &format!("{} is ready, see {}", self.node, self.base.path().display()), || {
            client::send(self.address, &Request::get("/health")).is_ok_and(|it| it.status == 200).then_some(())
        });
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again at the same address.
    pub fn restart(&mut self) {
        self.kill();
        self.spawn();
        self.ready();
    }

    /// Makes it deploy its context anew, as an edit of web.xml does.
    pub fn redeploy(&self) {
        let file = File::options().append(true).open(self.base.path().join("webapps/ROOT/WEB-INF/web.xml"));
        file.and_then(|file| file.set_modified(SystemTime::now())).expect("a touch of web.xml");
    }

    /// How often its context was deployed anew, by what it wrote to its console.
    pub fn redeployed(&self) -> usize {
        let console = fs::read_to_string(self.base.path().join("logs/console")).unwrap_or_default();
        console.matches("is completed").count()
    }

    /// How often a request with this `X-Tag` has reached it; asked without the proxy.
    pub fn seen(&self, tag: &str) -> u32 {
        client::get(self.address, &format!("/seen?tag={tag}")).text().parse().expect("a number")
    }
}

impl Drop for Tomcat {
    fn drop(&mut self) {
        self.kill();
    }
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tomcat")
}

/// The app's classes, compiled once for all test processes.
fn classes() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tomcat-app");
    fs::create_dir_all(&folder).expect("a folder for classes");
    let lock = File::create(folder.join("lock")).expect("a lock");
    lock.lock().expect("the lock of the app");
    let files: Vec<PathBuf> = fs::read_dir(sources().join("src"))
        .expect("the app's sources")
        .map(|entry| entry.expect("a source").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "java"))
        .collect();
    let text: String = files.iter().map(|file| fs::read_to_string(file).expect("a source")).collect();
    let (stamp, classes) = (folder.join("stamp"), folder.join("classes"));
    if fs::read_to_string(&stamp).is_ok_and(|built| built == text) {
        return classes;
    }
    let jars = ["servlet-api", "websocket-api", "websocket-client-api"];
    let path = jars.map(|jar| format!("{HOME}/lib/{jar}.jar")).join(":");
    let status = Command::new("javac").arg("-d").arg(&classes).arg("-cp").arg(path).args(&files).status();
    assert!(status.expect("javac starts").success(), "the app compiles");
    fs::write(&stamp, text).expect("a stamp");
    classes
}
