//! Diagnostics: what haechi says about itself, by tracing, to stderr.

use std::io::{IsTerminal, stderr};
use std::sync::OnceLock;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

static LEVEL: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// Says everything of `level` and above from now on, one line each: time, level, message, fields.
///
/// The first call sets up stderr for the whole process, unless somebody has set up tracing before;
/// later calls change the level.
pub fn say(level: LevelFilter) {
    let handle = LEVEL.get_or_init(|| {
        let (filter, handle) = reload::Layer::new(targets(level));
        let lines = fmt::layer().with_writer(stderr).with_ansi(stderr().is_terminal()).with_target(false);
        // An error: a test or an embedding program listens already, and goes on doing so.
        let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
        handle
    });
    // An error: the subscriber is gone or is not ours, so there is no level to set.
    let _ = handle.reload(targets(level));
}

/// Libraries speak of bytes and frames below a warning; those are of no use to an operator.
fn targets(level: LevelFilter) -> Targets {
    Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("haechi", level)
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn libraries_are_quiet_below_a_warning() {
        let targets = targets(LevelFilter::DEBUG);
        assert!(targets.would_enable("haechi::serve", &Level::DEBUG));
        assert!(!targets.would_enable("haechi::serve", &Level::TRACE));
        assert!(targets.would_enable("h2::proto", &Level::WARN));
        assert!(!targets.would_enable("h2::proto", &Level::INFO));
        let quiet = super::targets(LevelFilter::ERROR);
        assert!(!quiet.would_enable("h2::proto", &Level::WARN));
    }
}
