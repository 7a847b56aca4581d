//! The worker's assembly: the room that knows every other one below it.
//!
//! [`work`] serves by what a guard hands it over one socket: files as they were read, sockets, an
//! order at a time. A start is a reload from nothing. The thread that calls it is the control thread:
//! health checks, names and admin run on it; no byte of a client ever does.

mod control;
mod data_plane;
mod doors;
mod files;
mod handed;
mod load;
mod memory;
mod privileges;
mod running;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::net::SocketType;
use tracing::level_filters::LevelFilter;

use crate::config::{self, Config, LogLevel};
use crate::diagnostic::{Diagnostic, Faults, Severity};
use crate::reading::Reading;
use crate::snapshot::{Lasting, compile};
use crate::telemetry::diagnostics;
use crate::tls::Tickets;
use crate::upstream::discovery::Addresses;

pub use data_plane::{Commit, DataPlane};
pub use files::raise_limit;
pub use privileges::Identity;

/// How long the last diagnostics may take to be written.
pub const LAST_WORDS: Duration = Duration::from_secs(1);

/// Serves by what the guard orders, whose socket is the standard input, as `identity` or, without one,
/// as whoever started it.
#[must_use]
pub fn work(identity: Option<&Identity>) -> ExitCode {
    let socket = match privileges::give_up(identity).and_then(|()| guards_socket()) {
        Ok(socket) => socket,
        Err(error) => {
            eprintln!("error: a worker is started by `haechi run`: {error}");
            return ExitCode::FAILURE;
        }
    };
    diagnostics::say(LevelFilter::INFO);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no event loop: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(control::run(socket));
    runtime.shutdown_background();
    if let Err(fault) = &ended {
        tracing::error!("{fault}");
    }
    diagnostics::finish(LAST_WORDS);
    if ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Says every fault of the config at `path`, or that there is none. With `defaults` it prints the
/// whole config, what was left out filled in.
#[must_use]
pub fn check(path: &Path, defaults: bool) -> ExitCode {
    match checked(path) {
        Ok(config) => {
            if defaults {
                print!("{}", config.to_toml_with_defaults());
            } else {
                println!(
                    "{}: ok (listeners: {}, sites: {}, upstreams: {})",
                    path.display(),
                    config.listeners.len(),
                    config.sites.len(),
                    config.upstreams.len()
                );
            }
            ExitCode::SUCCESS
        }
        Err(faults) => {
            eprintln!("{faults}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the JSON Schema of the config.
#[must_use]
pub fn print_schema() -> ExitCode {
    println!("{:#}", config::schema());
    ExitCode::SUCCESS
}

/// Reads a config. With faults in its texts, those of the files that they name are told as well.
///
/// # Errors
/// Every fault at once.
pub fn read(path: &Path, reading: &Reading) -> Result<Config, Faults> {
    let (config, mut faults) = config::scan(path, reading)?;
    if !faults.is_empty()
        && let Ok(tickets) = Tickets::new(&[], wall())
        && let Err(more) =
            compile(&config, &Lasting::new(1, raise_limit(), tickets, 0), &Addresses::default(), None, reading, now())
    {
        // What follows from a fault that is told already, at the same place, is none of its own.
        let more = more.diagnostics().iter().filter(|fault| faults.iter().all(|told| told.span != fault.span));
        let more: Vec<Diagnostic> = more.cloned().collect();
        faults.extend(more);
    }
    match Faults::new(config.sources.clone(), faults) {
        Some(faults) => Err(faults),
        None => Ok(config),
    }
}

/// Diagnostics from this level on are said from now on.
pub fn say(level: LogLevel) {
    diagnostics::say(match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    });
}

/// Reads and compiles a config as a start would, but serves nothing.
fn checked(path: &Path) -> Result<Config, Faults> {
    let reading = Reading::of_disk();
    let config = read(path, &reading)?;
    let tickets = Tickets::new(&[], wall())
        .map_err(|error| Faults::from(Diagnostic::anywhere(format!("the system gives no random bytes: {error}"))))?;
    let lasting = Lasting::new(1, raise_limit(), tickets, 0);
    let snapshot = compile(&config, &lasting, &Addresses::default(), None, &reading, now())?;
    for warning in snapshot.warnings.iter().filter(|warning| warning.severity == Severity::Warning) {
        eprintln!("{}", config.sources.render(warning));
    }
    Ok(config)
}

/// The socket that the process was started with; its place is left to nobody.
fn guards_socket() -> io::Result<OwnedFd> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    if rustix::net::sockopt::socket_type(&socket)? != SocketType::SEQPACKET {
        return Err(io::Error::other("the standard input is not its socket"));
    }
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
    Ok(socket)
}

fn now() -> Instant {
    Instant::now()
}

fn wall() -> std::time::SystemTime {
    std::time::SystemTime::now()
}
