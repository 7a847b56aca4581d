//! Another binary in the guard's place: the same process, sockets and lock, another program.
//!
//! What the guard has to leave is written to a file in memory; that and every socket wait in a socket of
//! their own, which the new program finds as its standard input. It starts as ever, but with sockets that
//! are bound already, and with workers that serve until its own does.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Seek, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::child::{Event, What};
use super::instance::{Asked, Instance, InstanceFault};
use super::life::Guard;
use super::offer::{Read, open_log, threads};
use super::sockets::Held;
use super::vips::{LeftVips, Vips};
use super::{privileges, signals};
use crate::app::LAST_WORDS;
use crate::control::{LinkFault, Seed, leave_letter, pair, take_letter};
use crate::diagnostic::{Causes, Faults};
use crate::hook::hold_programs;
use crate::net::{Endpoint, Listening, Transport};
use crate::telemetry::diagnostics;
use crate::vrrp::host::real_time;

/// The form of [`Estate`]: another binary takes over only where it has the same. To be counted up with
/// every change of it, or of [`Seed`].
const FORMAT: u32 = 2;

/// Whether this program can take over from one that leaves an estate of this form.
///
/// # Errors
/// Why not.
pub fn takes_over(format: u32) -> Result<(), String> {
    match format {
        FORMAT => Ok(()),
        other => Err(format!("what runs leaves form {other}, this takes {FORMAT}: that needs a restart")),
    }
}

/// How long the new binary may take to check the config.
const CHECK_PATIENCE: Duration = Duration::from_secs(60);

/// What a guard leaves to the program after it, beside descriptors.
#[derive(Debug, Serialize, Deserialize)]
struct Estate {
    /// Stands first, whatever the rest may be.
    format: u32,
    seed: Seed,
    /// Endpoints, and how many sockets there are of each.
    sockets: Vec<(Endpoint, usize)>,
    admin: Option<SocketAddr>,
    /// Where the control socket is.
    socket: OsString,
    /// The numbers of workers in the system.
    workers: Vec<u32>,
    vips: LeftVips,
}

/// What a guard starts with: the right to run a config, and what the program before has left.
#[derive(Debug)]
pub(super) struct Right {
    pub(super) instance: Arc<Instance>,
    pub(super) held: Held,
    pub(super) seed: Seed,
    /// Workers, and the ends of their sockets.
    pub(super) workers: Vec<(u32, OwnedFd)>,
    /// The instances of VRRP, which go on already.
    pub(super) vips: Vips,
}

/// Why the program was not exchanged.
#[derive(Debug, thiserror::Error)]
pub(super) enum UpgradeFault {
    /// Something else is under way.
    #[error("not now: {0}")]
    Busy(&'static str),
    /// The new binary does not take the config, or does not understand this one.
    #[error("`{}` refuses to take over: {said}", binary.display())]
    Refused {
        /// The new binary.
        binary: PathBuf,
        /// What it said.
        said: String,
    },
    /// The config could not be started on.
    #[error("{0}")]
    Config(#[from] Faults),
    /// The system did not let it happen.
    #[error("the program cannot be exchanged")]
    System(#[from] io::Error),
    /// What is left cannot be written down.
    #[error("the program cannot be exchanged")]
    Estate(#[from] postcard::Error),
    /// What is left could not be passed on.
    #[error("the program cannot be exchanged")]
    Link(#[from] LinkFault),
}

impl Right {
    /// Claims it, with nothing left by anybody.
    pub(super) fn claim(config: &Path) -> Result<Self, InstanceFault> {
        let instance = Arc::new(Instance::claim(config)?);
        Ok(Self { instance, held: Held::default(), seed: Seed::default(), workers: Vec::new(), vips: Vips::default() })
    }

    /// Takes what the program before has left in the standard input.
    pub(super) fn inherit() -> Result<Self, UpgradeFault> {
        let (_, mut descriptors) = take_letter(&io::stdin().as_fd().try_clone_to_owned()?)?;
        rustix::stdio::dup2_stdin(File::open("/dev/null")?).map_err(io::Error::from)?;
        let mut next = || descriptors.pop_front().ok_or(io::Error::from(io::ErrorKind::UnexpectedEof));
        let mut bytes = Vec::new();
        let mut written = File::from(next()?);
        written.rewind()?;
        written.read_to_end(&mut bytes)?;
        let estate: Estate = postcard::from_bytes(&bytes)?;
        // Before anything else: the other hosts wait for an advert.
        let vips = Vips::resume(estate.vips);
        let _ = real_time::run_like_others();
        let instance = Arc::new(Instance::adopt(next()?, next()?, estate.socket.into()));
        let mut held = Held::default();
        for (endpoint, count) in estate.sockets {
            let sockets = (0..count).map(|_| next().map(|socket| Listening::received(endpoint.transport, socket)));
            held.adopt(endpoint, sockets.collect::<io::Result<_>>()?);
        }
        if let Some(address) = estate.admin {
            held.adopt_admin(address, Listening::received(Transport::Tcp, next()?));
        }
        let workers = estate.workers.into_iter().map(|pid| Ok((pid, next()?))).collect::<io::Result<_>>()?;
        // What is left was only to outlive the exec; its end takes its time. Threads take no signals.
        let _held = signals::hold();
        thread::spawn(move || drop(descriptors));
        Ok(Self { instance, held, seed: estate.seed, workers, vips })
    }
}

impl Guard {
    /// Begins to exchange the program: the new binary is asked whether it takes the config.
    pub(super) fn upgrade(&mut self, asker: Option<Asked>) {
        let busy = if self.is_draining() {
            Some("haechi stops")
        } else if self.pending.is_some() || self.upgrading.is_some() {
            Some("a reload or an upgrade is under way")
        } else if self.serving().is_none() {
            Some("no worker serves")
        } else {
            None
        };
        if let Some(why) = busy {
            return refuse(asker, &UpgradeFault::Busy(why));
        }
        tracing::info!(binary = %self.program.path().display(), "upgrading");
        self.upgrading = Some(asker);
        let (binary, path, events) = (self.program.path().to_owned(), self.path.clone(), self.events.clone());
        tokio::task::spawn(async move {
            let checked = check(&binary, &path).await;
            let _ = events.send(Event { worker: 0, what: What::Checked(checked) }).await;
        });
    }

    /// The new binary has answered.
    pub(super) fn checked(&mut self, checked: Result<(), UpgradeFault>) {
        let Some(asker) = self.upgrading.take() else { return };
        if self.pending.is_some() || self.is_draining() {
            return refuse(asker, &UpgradeFault::Busy("a reload or an end is under way"));
        }
        match checked.and_then(|()| self.rehearse()) {
            Ok(()) => self.exchanging = Some(asker),
            Err(fault) => refuse(asker, &fault),
        }
    }

    /// Whether the program is to be exchanged now, and who wants it.
    pub(super) fn exchanges(&mut self) -> Option<Option<Asked>> {
        self.exchanging.take()
    }

    /// Becomes the new binary. Signals must be held. Where it goes well nothing comes back, and who asked
    /// sees its connection end.
    /// `slow` need only outlive the exec.
    pub(super) fn exchange(&self, asker: Option<Asked>, slow: Option<OwnedFd>) {
        refuse(asker, &self.become_new(slow));
    }

    /// Does what a start does with the config as it lies there: what fails then ends the guard.
    fn rehearse(&self) -> Result<(), UpgradeFault> {
        let Read { config, .. } = Read::from_disk(&self.path)?;
        let mut faults =
            self.held.bind(&config, threads(&config.process)).map_or_else(|unbound| unbound.faults, |_| Vec::new());
        faults.extend(privileges::identity(&config).err());
        faults.extend(open_log(&config).err());
        match Faults::new(config.sources.clone(), faults) {
            Some(faults) => Err(faults.into()),
            None => Ok(()),
        }
    }

    /// Becomes the new binary; what comes back is why not.
    fn become_new(&self, slow: Option<OwnedFd>) -> UpgradeFault {
        let left = match self.leave(slow) {
            Ok(left) => left,
            Err(fault) => return fault,
        };
        if let Err(error) = rustix::stdio::dup2_stdin(left) {
            return io::Error::from(error).into();
        }
        diagnostics::finish(LAST_WORDS);
        // A thread that starts one has its signals open for as long.
        let _none_starts = hold_programs();
        // Until the next program has VRRP going again every millisecond counts. Where it is not allowed it takes
        // the longer.
        let _ = real_time::run_before_others(1);
        let mut command = Command::new(self.program.path());
        let error = command.arg("run").arg("--config").arg(&self.path).arg("--adopt").exec();
        let _ = real_time::run_like_others();
        if let Ok(null) = File::open("/dev/null") {
            let _ = rustix::stdio::dup2_stdin(null);
        }
        error.into()
    }

    /// The socket in which everything waits that the next program needs.
    fn leave(&self, slow: Option<OwnedFd>) -> Result<OwnedFd, UpgradeFault> {
        let mut descriptors = VecDeque::new();
        let (lock, listener, socket) = self.instance.handles()?;
        descriptors.extend([lock, listener]);
        let shared = self.held.share()?;
        let admin = self.held.admin();
        descriptors.extend(shared.descriptors);
        let mut workers = Vec::new();
        for worker in &self.workers {
            workers.push(worker.pid);
            descriptors.push_back(worker.link()?);
        }
        let estate = Estate {
            format: FORMAT,
            seed: self.seed.clone(),
            sockets: self.held.counts(),
            admin,
            socket: socket.into(),
            workers,
            vips: self.vips.leave(&self.served.config),
        };
        let mut memory = File::from(memfd_create("haechi", MemfdFlags::CLOEXEC).map_err(io::Error::from)?);
        memory.write_all(&postcard::to_stdvec(&estate)?)?;
        descriptors.push_front(memory.into());
        // Of no use to the next program but that they do not end within the exec, while no advert is sent.
        descriptors.extend(self.vips.sockets());
        descriptors.extend(slow);
        let (ours, theirs) = pair()?;
        leave_letter(&ours, &[], &Vec::from(descriptors))?;
        Ok(theirs)
    }
}

/// Asks the new binary whether it takes the config and what this one leaves.
async fn check(binary: &Path, config: &Path) -> Result<(), UpgradeFault> {
    let mut command = tokio::process::Command::new(binary);
    command.arg("check").arg("--config").arg(config).arg("--takes-over").arg(FORMAT.to_string());
    command.stdin(Stdio::null()).kill_on_drop(true);
    let refused = |said: String| UpgradeFault::Refused { binary: binary.to_owned(), said };
    match timeout(CHECK_PATIENCE, command.output()).await {
        Ok(Ok(output)) if output.status.success() => Ok(()),
        Ok(Ok(output)) => Err(refused(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
        Ok(Err(error)) => Err(refused(error.to_string())),
        Err(_) => Err(refused("it does not answer".to_owned())),
    }
}

fn refuse(asker: Option<Asked>, fault: &UpgradeFault) {
    let why = Causes(fault).to_string();
    tracing::error!("no upgrade: {why}");
    if let Some(asked) = asker {
        asked.answer(serde_json::json!({ "error": why }).to_string());
    }
}

#[cfg(test)]
mod tests {
    use xxhash_rust::xxh3::xxh3_64;

    use super::*;
    use crate::config;
    use crate::control::{
        GtidDialect, Health, KnownCertificate, KnownPrimary, PoolMemory, Pools, SetAside, TicketKey, Verdict,
    };
    use crate::diagnostic::SourceFile;
    use crate::vrrp::host::Left;

    /// An instance with all that one can have.
    fn written() -> config::Vrrp {
        let text = r#"
            [listener.http]
            bind = ["127.0.0.1:80"]
            [upstream.was]
            servers = ["127.0.0.1:1"]
            [vrrp.front]
            interface = "eth0"
            virtual_router_id = 51
            addresses = ["192.0.2.100/24"]
            peers = ["192.0.2.2"]
            auth_hmac = { keys = [{ id = 1, secret = "a secret that both of the hosts know" }] }
            track = { upstreams = { was = 1 }, interfaces = ["eth1"], listeners = ["http"], exec = [{ command = ["/bin/true"] }] }
            hooks = { command = ["/bin/true", "now"], post = "http://192.0.2.3/", user = "ops" }
        "#;
        let config = config::parse(vec![SourceFile::new("haechi.toml", text)]);
        config.unwrap_or_else(|faults| panic!("{faults}")).vrrp.remove(0)
    }

    /// Whoever comes here because of a change of the form counts `FORMAT` up with it.
    #[test]
    fn the_form_is_that_of_its_number() {
        let at: SocketAddr = "192.0.2.1:80".parse().unwrap();
        let verdict = Verdict {
            upstream: "was".into(),
            server: "was1".into(),
            address: at,
            health: Health::Down,
            reason: "status 503".into(),
            since: 300,
        };
        let certificate = KnownCertificate {
            cert: "a.crt".into(),
            key: "a.key".into(),
            hash: 1 << 100,
            names: vec!["a.example".into()],
            not_before: 5,
            not_after: 6,
            is_rsa: true,
        };
        let left = Left { name: "front".into(), active: true, peer: Some(at.ip()) };
        let primary = KnownPrimary {
            server: "db1".into(),
            identity: "server_id 1".into(),
            dialect: Some(GtidDialect::MariaDb),
            gtids: "0-1-100".into(),
        };
        let pool = PoolMemory {
            upstream: "db".into(),
            epoch: 10,
            primary: Some(primary),
            aside: vec![SetAside { server: "db2".into(), identity: "server_id 2".into(), dismissed: true }],
            doubtful: false,
        };
        let estate = Estate {
            format: FORMAT,
            seed: Seed {
                threads: 2,
                generation: 3,
                restarts: 4,
                verdicts: vec![verdict],
                names: vec![("was".into(), vec![at.ip()])],
                ticket_keys: vec![TicketKey { made: 7, secret: [8; 32] }],
                certificates: vec![certificate],
                pools: Pools { known: vec![pool], unreadable: false },
            },
            sockets: vec![(Endpoint::tcp(at), 2)],
            admin: Some(at),
            socket: "/run/haechi/1.sock".into(),
            workers: vec![9],
            vips: LeftVips {
                written: vec![written()],
                user: Some("haechi".into()),
                instances: vec![left],
                drained: true,
            },
        };
        assert_eq!((FORMAT, xxh3_64(&postcard::to_stdvec(&estate).unwrap())), (2, 14_452_730_974_043_716_813));
    }

    #[test]
    fn another_form_is_not_taken_over() {
        assert_eq!(takes_over(FORMAT), Ok(()));
        assert!(takes_over(FORMAT + 1).is_err_and(|why| why.contains("restart")));
    }
}
