//! Diagnostics: what haechi says about itself, by tracing, to stderr.
//!
//! A thread of its own writes them. Whoever says something never waits for whoever reads stderr: of
//! what does not fit into the queue the number of lines is told instead.

use std::io::{self, IsTerminal, Write, stderr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

static LEVEL: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();
static LINES: OnceLock<Lines> = OnceLock::new();

/// Lines that may wait to be written.
const MOST_WAITING: usize = 4096;

/// Says everything of `level` and above from now on, one line each: time, level, message, fields.
///
/// The first call sets up stderr for the whole process, unless somebody has set up tracing before;
/// later calls change the level.
pub fn say(level: LevelFilter) {
    let handle = LEVEL.get_or_init(|| {
        let (filter, handle) = reload::Layer::new(targets(level));
        let lines = fmt::layer()
            .with_writer(|| Line(LINES.get_or_init(|| Lines::to(stderr()))))
            .with_ansi(stderr().is_terminal())
            .with_target(false);
        // An error: a test or an embedding program listens already, and goes on doing so.
        let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
        handle
    });
    // An error: the subscriber is gone or is not ours, so there is no level to set.
    let _ = handle.reload(targets(level));
}

/// Waits until all that was said so far is written, but not for ever: nobody may read it.
pub fn finish(patience: Duration) {
    let Some(lines) = LINES.get() else { return };
    let (tell, told) = mpsc::sync_channel(1);
    if lines.queue.try_send(Said::Finish(tell)).is_ok() {
        // Late or lost, there is nothing more to be done.
        let _ = told.recv_timeout(patience);
    }
}

enum Said {
    Line(Vec<u8>),
    Finish(SyncSender<()>),
}

/// The way to the thread that writes.
struct Lines {
    queue: SyncSender<Said>,
    lost: Arc<AtomicU64>,
}

impl Lines {
    fn to(out: impl Write + Send + 'static) -> Self {
        let (queue, said) = mpsc::sync_channel(MOST_WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&lost);
        // Without the thread every line is a lost one, and the service goes on.
        let _ = thread::Builder::new().name("diagnostics".into()).spawn(move || write_all(out, &said, &counted));
        Self { queue, lost }
    }

    fn say(&self, line: &[u8]) {
        if let Err(TrySendError::Full(_)) = self.queue.try_send(Said::Line(line.to_vec())) {
            self.lost.fetch_add(1, Relaxed);
        }
    }
}

/// A stderr that fails cannot be told about.
fn write_all(mut out: impl Write, said: &Receiver<Said>, lost: &AtomicU64) {
    for said in said {
        match said {
            Said::Line(line) => {
                let _ = out.write_all(&line);
            }
            Said::Finish(tell) => {
                let _ = tell.send(());
            }
        }
        let lost = lost.swap(0, Relaxed);
        if lost > 0 {
            let _ = writeln!(out, "{lost} lines of diagnostics are lost: stderr was not read in time");
        }
    }
}

/// Takes one line, which comes in one piece.
struct Line(&'static Lines);

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.say(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
    fn a_pipe_that_nobody_reads_holds_nobody_up_and_the_lost_lines_are_counted() {
        let (mut reader, writer) = io::pipe().unwrap();
        let lines = Lines::to(writer);
        let line = [&[b'x'; 99][..], b"\n"].concat();
        let said = 3 * MOST_WAITING;
        for _ in 0..said {
            lines.say(&line);
        }
        drop(lines);
        let mut text = String::new();
        io::Read::read_to_string(&mut reader, &mut text).unwrap();
        let (whole, told): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.len() == 99 && !line.contains(' '));
        let lost: usize = told.iter().map(|told| told.split(' ').next().unwrap().parse::<usize>().unwrap()).sum();
        assert!(lost > 0 && whole.len() >= MOST_WAITING, "{lost} lost, {} whole", whole.len());
        assert_eq!(whole.len() + lost, said);
    }

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
