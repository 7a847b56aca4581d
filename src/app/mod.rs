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
use std::time::Instant;

use tracing::level_filters::LevelFilter;

use crate::config;
use crate::diagnostic::{Faults, Severity};
use crate::snapshot::{Lasting, compile};
use crate::telemetry::diagnostics;
use crate::tls::Tickets;
use crate::upstream::discovery::Addresses;

pub use data_plane::{Commit, DataPlane};

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
                    "{}: ok, {} listeners, {} sites, {} upstreams",
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

/// Reads and compiles a config as a start would, but serves nothing.
fn checked(path: &Path) -> Result<config::Config, Faults> {
    let config = config::load(path)?;
    let tickets = Tickets::new().map_err(|error| {
        Faults::from(crate::diagnostic::Diagnostic::anywhere(format!("the system gives no random bytes: {error}")))
    })?;
    let snapshot =
        compile(&config, &Lasting::new(1, files::raise_limit(), tickets), &Addresses::default(), None, now())?;
    for warning in snapshot.warnings.iter().filter(|warning| warning.severity == Severity::Warning) {
        eprintln!("{}", config.sources.render(warning));
    }
    Ok(config)
}

fn now() -> Instant {
    Instant::now()
}
