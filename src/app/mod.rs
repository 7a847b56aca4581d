//! The assembly: the only room that knows every other one.
//!
//! [`run`] is a start, which is a reload from nothing; then a loop in which each thing that may
//! happen (an edit, a signal, a name's new address, a word on the control socket) is one line. The
//! thread that calls it is the control thread: health checks, names and admin run on it; no byte of
//! a client ever does.

mod control;
mod data_plane;
mod files;
pub mod instance;
pub mod readiness;
mod reload;
mod running;
pub mod signals;
pub mod watch;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tracing::level_filters::LevelFilter;

use crate::config::{self, Config};
use crate::diagnostic::{Causes, Diagnostic, Faults, Severity};
use crate::reading::Reading;
use crate::snapshot::{Lasting, compile};
use crate::telemetry::diagnostics;
use crate::tls::Tickets;
use crate::upstream::discovery::Addresses;

pub use data_plane::{Commit, DataPlane};
use instance::Order;

/// How long the last diagnostics may take to be written.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Serves by the config at `path` until a signal ends it.
#[must_use]
pub fn run(path: &Path) -> ExitCode {
    diagnostics::say(LevelFilter::INFO);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no event loop: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(control::run(path));
    runtime.shutdown_background();
    diagnostics::finish(LAST_WORDS);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("{fault}");
            ExitCode::FAILURE
        }
    }
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

/// Asks the haechi that serves the config at `path`, and prints its answer.
#[must_use]
pub fn ask(path: &Path, order: Order) -> ExitCode {
    let answer = match instance::ask(path, order) {
        Ok(answer) => answer,
        Err(fault) => {
            eprintln!("error: {}", Causes(&fault));
            return ExitCode::FAILURE;
        }
    };
    let status: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
    let refused = status["config"]["last_error"].as_str().filter(|_| order == Order::Reload);
    match refused {
        Some(faults) => {
            eprintln!("{faults}");
            ExitCode::FAILURE
        }
        None => {
            println!("{status:#}");
            ExitCode::SUCCESS
        }
    }
}

/// Reads a config. With faults in its texts, those of the files that they name are told as well.
fn read(path: &Path) -> Result<Config, Faults> {
    let (config, mut faults) = config::scan(path, &Reading::of_disk())?;
    if !faults.is_empty()
        && let Ok(tickets) = Tickets::new()
        && let Err(more) = compile(
            &config,
            &Lasting::new(1, files::raise_limit(), tickets),
            &Addresses::default(),
            None,
            &Reading::of_disk(),
            now(),
        )
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

/// Reads and compiles a config as a start would, but serves nothing.
fn checked(path: &Path) -> Result<Config, Faults> {
    let config = read(path)?;
    let tickets = Tickets::new()
        .map_err(|error| Faults::from(Diagnostic::anywhere(format!("the system gives no random bytes: {error}"))))?;
    let snapshot = compile(
        &config,
        &Lasting::new(1, files::raise_limit(), tickets),
        &Addresses::default(),
        None,
        &Reading::of_disk(),
        now(),
    )?;
    for warning in snapshot.warnings.iter().filter(|warning| warning.severity == Severity::Warning) {
        eprintln!("{}", config.sources.render(warning));
    }
    Ok(config)
}

fn now() -> Instant {
    Instant::now()
}
