//! A config taken into use: parsed from what the guard has read, compiled, committed; or refused as a
//! whole.
//!
//! The first one is a start. In every step that can fail nothing has changed yet: the old snapshot,
//! its sockets and its log go on.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::data_plane::{Commit, DataPlane};
use super::handed::Handed;
use super::memory;
use super::running::{Running, expiries};
use super::{files, now, say, wall};
use crate::admin::{self, Sources};
use crate::config::{self, AccessLogFormat, AccessLogTarget, Config, Process};
use crate::control::{Load, Report, Seed};
use crate::diagnostic::{Causes, Diagnostic, Faults};
use crate::net::{Endpoint, Listening};
use crate::reading::Reading;
use crate::snapshot::{Lasting, Snapshot, compile, names_of};
use crate::telemetry::{self, AccessLog, Format, Opened};
use crate::tls::{Known, Tickets};
use crate::upstream::discovery::{Addresses, Names};
use crate::upstream::health::{self, Checks};
use crate::upstream::role::Pools;

/// How long a start or a reload waits for names that were not asked for before.
const NAMES_PATIENCE: Duration = Duration::from_secs(2);

/// How long the access log may take to write out what it holds.
const LOG_PATIENCE: Duration = Duration::from_secs(2);
/// Reports of probes of databases that wait to be taken; who has more waits with the next probe.
const WAITING_REPORTS: usize = 64;

/// Why a worker does not start.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartFault {
    /// The config, or what it asks of the system.
    #[error(transparent)]
    Config(#[from] Faults),
    /// The system lacks something that no config is to blame for.
    #[error("{what}: {source}")]
    System {
        /// What was asked of it.
        what: &'static str,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Everything that the control thread holds.
pub(super) struct Control {
    lasting: Lasting,
    running: Arc<Running>,
    config: Config,
    reading: Reading,
    names: Names,
    checks: Checks,
    /// How probes of databases went, until somebody takes it.
    reports: Option<mpsc::Receiver<health::Report>>,
    plane: DataPlane,
    log: Arc<AccessLog>,
    metrics: Arc<telemetry::Control>,
    admin: Admin,
}

/// The admin listener that runs.
struct Admin {
    sources: Arc<Sources>,
    /// Dropped, it ends the listener.
    stop: Option<oneshot::Sender<()>>,
}

/// A config on its way, of which nothing has changed anything yet.
struct Prepared {
    config: Config,
    reading: Reading,
    snapshot: Arc<Snapshot>,
    sockets: Vec<(Endpoint, Vec<Listening>)>,
    admin: Option<TcpListener>,
    log: Option<Opened>,
}

impl Control {
    /// Takes the first config and serves by it.
    pub(super) async fn start(seed: Seed, load: &Load, descriptors: VecDeque<OwnedFd>) -> Result<Self, StartFault> {
        fn system<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
            what: &'static str,
        ) -> impl FnOnce(E) -> StartFault {
            move |source| StartFault::System { what, source: source.into() }
        }
        let threads = seed.threads.max(1);
        let mut handed = Handed::new(load, descriptors, threads).map_err(system("the config cannot be read"))?;
        let path = PathBuf::from(&load.config);
        let config = parse(&path, &handed.reading)?;
        say(config.log.level);
        let tickets = Tickets::new(&seed.ticket_keys, wall()).map_err(system("the system gives no random bytes"))?;
        let mut lasting = Lasting::new(threads, files::raise_limit(), tickets, seed.generation);
        lasting.known = Known::new(seed.certificates);
        let names = Names::system(memory::addresses(&seed.names)).map_err(system("names cannot be resolved"))?;
        names.follow(names_of(&config), NAMES_PATIENCE).await;
        let admin = handed.admin.take();
        let prepared = prepare(config, &lasting, &names.addresses(), None, handed)?;
        // From here on a certificate that did not change is taken over from what runs.
        lasting.known = Known::default();
        memory::recall(&prepared.snapshot, &seed.verdicts, now(), wall());
        let log = Arc::new(AccessLog::start(threads).map_err(system("no thread for the access log"))?);
        let metrics = Arc::new(telemetry::Control::new(wall(), seed.restarts));
        let running = Arc::new(Running::new(path, Arc::clone(&prepared.snapshot), now(), wall(), seed.restarts));
        let sources = Arc::new(sources(&running, &metrics, &lasting, &log));
        let plane =
            DataPlane::start(threads, &prepared.snapshot, &log).map_err(system("no thread for the data plane"))?;
        let admin = match admin {
            Some(socket) => Admin::start(socket, sources).map_err(system("the admin listener cannot be started"))?,
            None => return Err(system("the admin listener cannot be started")("it has no socket")),
        };
        let (config, reading) = (prepared.config.clone(), prepared.reading.clone());
        *running.pools() = Pools::new(&seed.pools);
        let (tell, reports) = mpsc::channel(WAITING_REPORTS);
        let checks = Checks::reporting(tell);
        let mut control = Self {
            lasting,
            running,
            config,
            reading,
            names,
            checks,
            reports: Some(reports),
            plane,
            log,
            metrics,
            admin,
        };
        control.take(prepared).await;
        Ok(control)
    }

    /// Serves by another config, or goes on as before; what is to be reported either way.
    pub(super) async fn load(&mut self, load: &Load, descriptors: VecDeque<OwnedFd>) -> Report {
        let threads = self.lasting.threads;
        let handed = Handed::new(load, descriptors, threads)
            .map_err(|fault| Faults::from(Diagnostic::anywhere(format!("the config cannot be read: {fault}"))));
        let parsed = handed.and_then(|handed| Ok((parse(Path::new(&load.config), &handed.reading)?, handed)));
        let prepared = match parsed {
            Ok((config, handed)) => {
                self.names.follow(names_of(&config), NAMES_PATIENCE).await;
                let current = self.running.snapshot.load();
                prepare(config, &self.lasting, &self.names.addresses(), Some(&current), handed)
            }
            Err(faults) => Err(faults),
        };
        match prepared {
            Ok(prepared) => {
                self.take(prepared).await;
                Report::Loaded { number: load.number, generation: self.generation() }
            }
            Err(faults) => {
                self.names.follow(names_of(&self.config), Duration::ZERO).await;
                self.lasting.prune(&self.running.snapshot.load());
                let faults = faults.to_string();
                self.tell(faults.clone());
                Report::Refused { number: load.number, faults }
            }
        }
    }

    /// A server's name leads elsewhere: the same config makes another snapshot.
    pub(super) async fn rename(&mut self) {
        let current = self.running.snapshot.load_full();
        let addresses = self.names.addresses();
        match compile(&self.config, &self.lasting, &addresses, Some(&current), &self.reading, now()) {
            Ok(snapshot) => {
                self.commit(Arc::new(snapshot), Vec::new()).await;
                tracing::info!(generation = self.generation(), "servers have new addresses");
            }
            Err(faults) => tracing::error!("new addresses of servers cannot be taken into use\n{faults}"),
        }
    }

    /// The newest config is refused, here or before it came here; who asks is told.
    pub(super) fn tell(&self, faults: String) {
        self.metrics.config_refused();
        self.running.refuse(faults);
    }

    /// The access log goes to this file from now on.
    pub(super) fn switch_log(&self, mut descriptors: VecDeque<OwnedFd>) {
        let file = descriptors.pop_front().map(File::from);
        let opened = file.zip(format(&self.config)).map(|(file, format)| Opened::file(file, format));
        match opened {
            Some(Ok(opened)) => {
                self.log.switch(Some(opened));
                tracing::info!("log files are opened anew");
            }
            Some(Err(error)) => tracing::error!(%error, "the access log stays where it was"),
            None => {}
        }
    }

    /// Nothing here can fail.
    async fn take(&mut self, prepared: Prepared) {
        let Prepared { config, reading, snapshot, sockets, admin, log } = prepared;
        self.config = config;
        self.reading = reading;
        say(self.config.log.level);
        self.log.switch(log);
        self.commit(snapshot, sockets).await;
        if let Some(socket) = admin {
            match Admin::start(socket, Arc::clone(&self.admin.sources)) {
                Ok(admin) => self.admin = admin,
                Err(error) => tracing::error!(%error, "the admin listener stays where it was"),
            }
        }
        self.metrics.config_taken(wall());
        self.running.take(wall());
    }

    async fn commit(&mut self, snapshot: Arc<Snapshot>, sockets: Vec<(Endpoint, Vec<Listening>)>) {
        // Before anybody is served by it: a server whose role is not known gets nobody.
        self.running.pools().apply(&snapshot.upstreams, now(), wall());
        self.plane.commit(commits(self.lasting.threads, &snapshot, sockets)).await;
        snapshot.upstreams.iter().for_each(|upstream| upstream.apply_limits());
        // Sessions that wait for a server may find one in the new snapshot.
        self.lasting.servers.news().tell();
        self.checks.apply(&snapshot.upstreams);
        for warning in &snapshot.warnings {
            tracing::warn!("{}", self.config.sources.render(warning));
        }
        self.metrics.set_certificates(expiries(&snapshot));
        self.metrics.serves(snapshot.generation);
        self.running.serve(Arc::clone(&snapshot));
        self.lasting.prune(&snapshot);
    }

    /// What the next worker need not check again.
    pub(super) fn certificates(&self) -> Report {
        Report::Certificates(memory::certificates(&self.running.snapshot.load()))
    }

    /// Leaves operators to another process.
    pub(super) fn close_admin(&mut self) {
        self.admin.stop = None;
    }

    /// Ends the data plane and writes out what the access log holds.
    pub(super) fn finish_logs(self) {
        drop(self.plane);
        self.log.finish(LOG_PATIENCE);
    }

    /// How probes of databases go, for who feeds the pools; once.
    pub(super) fn take_reports(&mut self) -> Option<mpsc::Receiver<health::Report>> {
        self.reports.take()
    }

    pub(super) fn name_changes(&self) -> watch::Receiver<Arc<Addresses>> {
        let mut changes = self.names.changes();
        changes.mark_unchanged();
        changes
    }

    pub(super) fn generation(&self) -> u64 {
        self.running.snapshot.load().generation
    }

    pub(super) fn running(&self) -> &Arc<Running> {
        &self.running
    }

    pub(super) fn tickets(&self) -> &Tickets {
        &self.lasting.tickets
    }

    pub(super) fn process(&self) -> &Process {
        &self.config.process
    }

    pub(super) fn data_plane(&self) -> &DataPlane {
        &self.plane
    }
}

impl Admin {
    fn start(socket: TcpListener, sources: Arc<Sources>) -> io::Result<Self> {
        let socket = tokio::net::TcpListener::from_std(socket)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async {
            let _ = stopped.await;
        };
        tokio::task::spawn(admin::serve(socket, Arc::clone(&sources), stopped));
        Ok(Self { sources, stop: Some(stop) })
    }
}

fn parse(path: &Path, reading: &Reading) -> Result<Config, Faults> {
    let (config, faults) = config::scan(path, reading)?;
    match Faults::new(config.sources.clone(), faults) {
        Some(faults) => Err(faults),
        None => Ok(config),
    }
}

/// Makes what a config needs; `current` is what runs.
fn prepare(
    config: Config,
    lasting: &Lasting,
    addresses: &Addresses,
    current: Option<&Snapshot>,
    handed: Handed,
) -> Result<Prepared, Faults> {
    let Handed { reading, sockets, admin, log } = handed;
    let snapshot = Arc::new(compile(&config, lasting, addresses, current, &reading, now())?);
    let log = open_log(&config, log).map_err(|fault| {
        let message = format!("the access log cannot be used: {}", Causes(&fault));
        Faults::from(Diagnostic::anywhere(message))
    })?;
    Ok(Prepared { config, reading, snapshot, sockets, admin, log })
}

fn open_log(config: &Config, file: Option<File>) -> io::Result<Option<Opened>> {
    let Some(format) = format(config) else { return Ok(None) };
    match (&config.log.access.to, file) {
        (AccessLogTarget::Stdout, _) => Opened::stdout(format).map(Some),
        (AccessLogTarget::File(_), Some(file)) => Opened::file(file, format).map(Some),
        (AccessLogTarget::File(_), None) => Err(io::Error::other("its file did not come along")),
    }
}

fn format(config: &Config) -> Option<Format> {
    match config.log.access.format {
        AccessLogFormat::Off => None,
        AccessLogFormat::Json => Some(Format::Json),
        AccessLogFormat::Combined => Some(Format::Combined),
    }
}

/// Deals the new sockets out: each thread gets one of every endpoint.
fn commits(threads: usize, snapshot: &Arc<Snapshot>, sockets: Vec<(Endpoint, Vec<Listening>)>) -> Vec<Commit> {
    let mut commits: Vec<Commit> =
        (0..threads).map(|_| Commit { snapshot: Arc::clone(snapshot), sockets: Vec::new() }).collect();
    for (endpoint, bound) in sockets {
        for (commit, socket) in commits.iter_mut().zip(bound) {
            commit.sockets.push((endpoint, socket));
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
        servers: Box::new(move |page| {
            servers.write_servers(page);
            servers.write_vrrp(page);
        }),
    }
}
