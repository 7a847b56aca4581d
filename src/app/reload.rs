//! A config taken into use: read, checked, compiled, bound, handed over; or refused as a whole.
//!
//! The first one is a start. In every step that can fail nothing has changed yet: the old snapshot,
//! its sockets and its log go on.

use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tracing::level_filters::LevelFilter;

use super::control::{LOG_PATIENCE, wall};
use super::data_plane::{Commit, DataPlane};
use super::readiness;
use super::running::{Running, expiries};
use super::watch::{Followed, Watch};
use super::{files, now, read};
use crate::admin::{self, Sources};
use crate::config::{AccessLogFormat, AccessLogTarget, Config, LogLevel, Process};
use crate::diagnostic::{Causes, Diagnostic, Faults};
use crate::listener::bind::bind;
use crate::reading::Reading;
use crate::snapshot::{Lasting, Snapshot, compile, names_of};
use crate::telemetry::{self, AccessLog, Destination, Format, Opened, diagnostics};
use crate::tls::Tickets;
use crate::upstream::discovery::{Addresses, Names};
use crate::upstream::health::Checks;

/// How long a start or a reload waits for names that were not asked for before.
const NAMES_PATIENCE: Duration = Duration::from_secs(2);

/// Why haechi does not start.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartFault {
    /// The config, or what it asks of the system.
    #[error(transparent)]
    Config(#[from] Faults),
    /// The system lacks something that no config is to blame for.
    #[error("error: {what}: {source}")]
    System {
        /// What was asked of it.
        what: &'static str,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Everything that the control thread holds.
pub(super) struct Control {
    path: PathBuf,
    lasting: Lasting,
    running: Arc<Running>,
    config: Config,
    names: Names,
    checks: Checks,
    plane: DataPlane,
    log: Arc<AccessLog>,
    metrics: Arc<telemetry::Control>,
    admin: Admin,
}

/// The admin listener that runs.
struct Admin {
    address: SocketAddr,
    sources: Arc<Sources>,
    /// Dropped, it ends the listener.
    _stop: oneshot::Sender<()>,
}

/// What a config needs beside its snapshot, all of it open before anything changes.
struct Prepared {
    snapshot: Arc<Snapshot>,
    sockets: Vec<(SocketAddr, Vec<TcpListener>)>,
    admin: Option<TcpListener>,
    log: Option<Opened>,
}

impl Control {
    /// Reads the config at `path` and serves by it.
    pub(super) async fn start(path: &Path, watch: &Watch) -> Result<Self, StartFault> {
        fn system<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
            what: &'static str,
        ) -> impl FnOnce(E) -> StartFault {
            move |source| StartFault::System { what, source: source.into() }
        }
        let config = read(path)?;
        diagnostics::say(level(config.log.level));
        let threads = threads(&config.process);
        let tickets = Tickets::new().map_err(system("the system gives no random bytes"))?;
        let lasting = Lasting::new(threads, files::raise_limit(), tickets);
        let names = Names::system().map_err(system("names cannot be resolved"))?;
        names.follow(names_of(&config), NAMES_PATIENCE).await;
        let mut prepared = prepare(&config, &lasting, &names.addresses(), None, None)?;
        let log = Arc::new(AccessLog::start(threads).map_err(system("no thread for the access log"))?);
        let metrics = Arc::new(telemetry::Control::new(wall()));
        let running = Arc::new(Running::new(path.to_owned(), Arc::clone(&prepared.snapshot), now(), wall()));
        let sources = Arc::new(sources(&running, &metrics, &lasting, &log));
        let plane =
            DataPlane::start(threads, &prepared.snapshot, &log).map_err(system("no thread for the data plane"))?;
        let admin = match prepared.admin.take() {
            Some(socket) => Admin::start(config.admin.bind.value, socket, sources)
                .map_err(system("the admin listener cannot be started"))?,
            None => return Err(system("the admin listener cannot be started")("it has no socket")),
        };
        let path = path.to_owned();
        let mut control =
            Self { path, lasting, running, config, names, checks: Checks::new(), plane, log, metrics, admin };
        control.commit(prepared).await;
        control.accept();
        control.follow(watch);
        Ok(control)
    }

    /// Reads the config anew and serves by it; or says why not, and goes on as before.
    pub(super) async fn reload(&mut self, watch: &Watch) {
        readiness::reloading();
        match read(&self.path) {
            Ok(config) => {
                follow(watch, &config);
                self.names.follow(names_of(&config), NAMES_PATIENCE).await;
                match self.prepare(&config) {
                    Ok(prepared) => self.take(config, prepared).await,
                    Err(faults) => {
                        self.names.follow(names_of(&self.config), Duration::ZERO).await;
                        self.refuse(&faults);
                    }
                }
            }
            Err(faults) => self.refuse(&faults),
        }
        readiness::ready("serving");
    }

    /// A server's name leads elsewhere: the same config makes another snapshot.
    pub(super) async fn rename(&mut self) {
        match self.prepare(&self.config) {
            Ok(prepared) => {
                self.commit(prepared).await;
                tracing::info!(generation = self.running.snapshot.load().generation, "servers have new addresses");
            }
            Err(faults) => tracing::error!("new addresses of servers cannot be taken into use\n{faults}"),
        }
    }

    fn prepare(&self, config: &Config) -> Result<Prepared, Faults> {
        let current = self.running.snapshot.load();
        prepare(config, &self.lasting, &self.names.addresses(), Some(&current), Some(self.admin.address))
    }

    async fn take(&mut self, config: Config, prepared: Prepared) {
        if threads(&config.process) != self.lasting.threads {
            tracing::warn!("process.workers has changed: that needs a restart");
        }
        self.config = config;
        self.commit(prepared).await;
        self.accept();
        let generation = self.running.snapshot.load().generation;
        tracing::info!(generation, "config taken into use");
    }

    fn refuse(&self, faults: &Faults) {
        self.metrics.config_refused();
        self.running.refuse(faults.to_string());
        self.lasting.prune(&self.running.snapshot.load());
        tracing::error!("the new config is refused, the old one serves on\n{faults}");
    }

    /// Nothing here can fail.
    async fn commit(&mut self, prepared: Prepared) {
        let Prepared { snapshot, sockets, admin, log } = prepared;
        diagnostics::say(level(self.config.log.level));
        self.log.switch(log);
        self.plane.commit(commits(self.lasting.threads, &snapshot, sockets)).await;
        snapshot.upstreams.iter().for_each(|upstream| upstream.apply_limits());
        self.checks.apply(&snapshot.upstreams);
        for warning in &snapshot.warnings {
            tracing::warn!("{}", self.config.sources.render(warning));
        }
        self.metrics.set_certificates(expiries(&snapshot));
        self.metrics.serves(snapshot.generation);
        self.running.serve(Arc::clone(&snapshot));
        self.lasting.prune(&snapshot);
        if let Some(socket) = admin {
            match Admin::start(self.config.admin.bind.value, socket, Arc::clone(&self.admin.sources)) {
                Ok(admin) => self.admin = admin,
                Err(error) => tracing::error!(%error, "the admin listener stays where it was"),
            }
        }
    }

    /// The newest config is what is served.
    fn accept(&self) {
        self.metrics.config_taken(wall());
        self.running.take(wall());
    }

    fn follow(&self, watch: &Watch) {
        follow(watch, &self.config);
    }

    pub(super) fn reopen_logs(&self) {
        self.log.reopen();
        tracing::info!("log files are opened anew");
    }

    /// Ends the data plane and writes out what the access log holds.
    pub(super) fn finish_logs(self) {
        drop(self.plane);
        self.log.finish(LOG_PATIENCE);
    }

    pub(super) fn name_changes(&self) -> watch::Receiver<Arc<Addresses>> {
        let mut changes = self.names.changes();
        changes.mark_unchanged();
        changes
    }

    pub(super) fn running(&self) -> &Running {
        &self.running
    }

    pub(super) fn process(&self) -> &Process {
        &self.config.process
    }

    pub(super) fn data_plane(&self) -> &DataPlane {
        &self.plane
    }

    /// Where the admin listener is, for the log.
    pub(super) fn admin(&self) -> SocketAddr {
        self.admin.address
    }

    /// The addresses that are listened on, for the log.
    pub(super) fn listening(&self) -> String {
        let snapshot = self.running.snapshot.load();
        let addresses: Vec<String> = snapshot
            .listeners
            .iter()
            .flat_map(|listener| listener.binds.iter().map(|bind| format!("{}={bind}", listener.name)))
            .collect();
        addresses.join(" ")
    }
}

impl Admin {
    fn start(address: SocketAddr, socket: TcpListener, sources: Arc<Sources>) -> io::Result<Self> {
        let socket = tokio::net::TcpListener::from_std(socket)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async {
            let _ = stopped.await;
        };
        tokio::task::spawn(admin::serve(socket, Arc::clone(&sources), stopped));
        Ok(Self { address, sources, _stop: stop })
    }
}

/// Opens everything that a config needs. `current` is what runs, `admin` where admin listens.
fn prepare(
    config: &Config,
    lasting: &Lasting,
    addresses: &Addresses,
    current: Option<&Snapshot>,
    admin: Option<SocketAddr>,
) -> Result<Prepared, Faults> {
    let snapshot = Arc::new(compile(config, lasting, addresses, current, &Reading::of_disk(), now())?);
    let mut faults = Vec::new();
    let bound: BTreeSet<SocketAddr> =
        current.map(|snapshot| snapshot.binds().into_iter().map(|(bind, _)| bind).collect()).unwrap_or_default();
    let ours = || bound.iter().copied().chain(admin);
    let mut sockets = Vec::new();
    for bind_at in config.listeners.iter().flat_map(|listener| &listener.bind) {
        if bound.contains(&bind_at.value) {
            continue;
        }
        match bind(bind_at.value, lasting.threads, ours()) {
            Ok(bound) => sockets.push((bind_at.value, bound)),
            Err(fault) => faults.push(Diagnostic::error(bind_at.span, fault.to_string())),
        }
    }
    let at = &config.admin.bind;
    let mut admin_socket = None;
    if admin != Some(at.value) {
        match bind(at.value, 1, ours()) {
            Ok(mut bound) => admin_socket = bound.pop(),
            Err(fault) => faults.push(Diagnostic::error(at.span, fault.to_string())),
        }
    }
    let log = match open_log(config) {
        Ok(log) => log,
        Err(fault) => {
            faults.push(fault);
            None
        }
    };
    match Faults::new(config.sources.clone(), faults) {
        Some(faults) => Err(faults),
        None => Ok(Prepared { snapshot, sockets, admin: admin_socket, log }),
    }
}

fn open_log(config: &Config) -> Result<Option<Opened>, Diagnostic> {
    let access = &config.log.access;
    let format = match access.format {
        AccessLogFormat::Off => return Ok(None),
        AccessLogFormat::Json => Format::Json,
        AccessLogFormat::Combined => Format::Combined,
    };
    match &access.to {
        AccessLogTarget::Stdout => {
            Opened::open(Destination::Stdout, format).map_err(|fault| Diagnostic::anywhere(Causes(&fault).to_string()))
        }
        AccessLogTarget::File(path) => Opened::open(Destination::File(path.value.clone()), format)
            .map_err(|fault| Diagnostic::error(path.span, Causes(&fault).to_string())),
    }
    .map(Some)
}

/// Deals the new sockets out: each thread gets one of every address.
fn commits(threads: usize, snapshot: &Arc<Snapshot>, sockets: Vec<(SocketAddr, Vec<TcpListener>)>) -> Vec<Commit> {
    let mut commits: Vec<Commit> =
        (0..threads).map(|_| Commit { snapshot: Arc::clone(snapshot), sockets: Vec::new() }).collect();
    for (address, bound) in sockets {
        for (commit, socket) in commits.iter_mut().zip(bound) {
            commit.sockets.push((address, socket));
        }
    }
    commits
}

fn sources(
    running: &Arc<Running>,
    metrics: &Arc<telemetry::Control>,
    lasting: &Lasting,
    log: &Arc<AccessLog>,
) -> Sources {
    let (phase, status, servers) = (Arc::clone(running), Arc::clone(running), Arc::clone(running));
    Sources {
        control: Arc::clone(metrics),
        registry: Arc::clone(&lasting.cells),
        access_log: Arc::clone(log),
        phase: Box::new(move || phase.phase()),
        status: Box::new(move || status.status()),
        servers: Box::new(move |page| servers.write_servers(page)),
    }
}

/// Everything whose change means a reload.
fn follow(watch: &Watch, config: &Config) {
    let mut followed: Vec<Followed> =
        config.sources.files().iter().map(|file| Followed::read(file.location(), file.text.as_bytes())).collect();
    followed.extend(config.include_folders.iter().map(|folder| Followed::folder(folder, &[".toml"])));
    followed.extend(config.referenced_files().into_iter().map(Followed::path));
    followed.extend(config.file_roots().into_iter().map(Followed::place));
    if !names_of(config).is_empty() {
        followed.extend(Names::SYSTEM_FILES.map(Followed::path));
    }
    watch.follow(followed);
}

fn threads(process: &Process) -> usize {
    match process.workers {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        workers => workers,
    }
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}
