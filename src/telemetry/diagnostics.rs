//! Diagnostics: what haechi says about itself, by tracing, to stderr.
//!
//! Lines go by a bounded queue to one thread that writes. So a terminal that was stopped, or a
//! journal that cannot keep up while every request fails, holds up no exchange: lines are lost
//! instead, and how many is said.

use std::io::{self, IsTerminal, Write, stderr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

/// How many lines wait for the thread that writes at most.
const QUEUE: usize = 1024;

static VOICE: OnceLock<Voice> = OnceLock::new();

struct Voice {
    level: reload::Handle<Targets, Registry>,
    lines: Lines,
}

/// Says everything of `level` and above from now on, one line each: time, level, message, fields.
///
/// The first call sets up stderr for the whole process, unless somebody has set up tracing before;
/// later calls change the level.
pub fn say(level: LevelFilter) {
    let voice = VOICE.get_or_init(|| {
        let lines = Lines::start(stderr());
        let (filter, handle) = reload::Layer::new(targets(level));
        let writer = lines.clone();
        let layer =
            fmt::layer().with_writer(move || writer.clone()).with_ansi(stderr().is_terminal()).with_target(false);
        // An error: a test or an embedding program listens already, and goes on doing so.
        let _ = tracing_subscriber::registry().with(filter).with(layer).try_init();
        Voice { level: handle, lines }
    });
    // An error: the subscriber is gone or is not ours, so there is no level to set.
    let _ = voice.level.reload(targets(level));
}

/// Waits until what was said so far is written, at most for `patience`. To be called before the
/// process ends, or writes to stderr itself.
pub fn finish(patience: Duration) {
    if let Some(voice) = VOICE.get() {
        voice.lines.finish(patience);
    }
}

/// Libraries speak of bytes and frames below a warning; those are of no use to an operator.
fn targets(level: LevelFilter) -> Targets {
    Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("haechi", level)
}

/// Lines on their way to the thread that writes.
#[derive(Clone, Debug)]
struct Lines {
    queue: SyncSender<Message>,
    lost: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    /// Everything before it is written: tell.
    Tell(SyncSender<()>),
}

impl Lines {
    /// Lines to `output`. Where no thread can be started they are lost, as is the start of haechi.
    fn start(output: impl Write + Send + 'static) -> Self {
        let (queue, waiting) = mpsc::sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&lost);
        let started =
            thread::Builder::new().name("diagnostics".into()).spawn(move || write(&waiting, output, &counted));
        if let Err(error) = started {
            eprintln!("error: no thread for diagnostics: {error}");
        }
        Self { queue, lost }
    }

    fn finish(&self, patience: Duration) {
        let (tell, told) = mpsc::sync_channel(1);
        // Full: nobody reads, so there is nothing to wait for.
        if self.queue.try_send(Message::Tell(tell)).is_ok() {
            let _ = told.recv_timeout(patience);
        }
    }
}

impl Write for Lines {
    /// Takes a whole line, as the formatter gives it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.queue.try_send(Message::Line(line.to_vec())).is_err() {
            self.lost.fetch_add(1, Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write(waiting: &Receiver<Message>, mut output: impl Write, lost: &AtomicU64) {
    for message in waiting {
        // Nobody is left to hear of a stderr that cannot be written.
        match message {
            Message::Line(line) => drop(output.write_all(&line)),
            Message::Tell(tell) => drop(tell.send(())),
        }
        let lost = lost.swap(0, Relaxed);
        if lost > 0 {
            let _ = writeln!(output, "{lost} lines of diagnostics are lost: they came faster than they were read");
        }
    }
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

    #[test]
    fn an_output_that_nobody_reads_holds_nobody_up() {
        let (mut reader, output) = io::pipe().unwrap();
        let mut lines = Lines::start(output);
        let line = [b'x'; 1024];
        // A pipe takes 64 KiB and the queue its lines; what is more is lost.
        for _ in 0..QUEUE + 500 {
            lines.write_all(&line).unwrap();
        }
        lines.finish(Duration::from_millis(1));
        let read = thread::spawn(move || {
            let mut text = String::new();
            io::Read::read_to_string(&mut reader, &mut text).unwrap();
            text
        });
        while lines.lost.load(Relaxed) > 0 {
            thread::yield_now();
        }
        lines.finish(Duration::from_secs(20));
        drop(lines);
        let text = read.join().unwrap();
        let at = text.find(" lines of diagnostics are lost").unwrap();
        let lost: usize =
            text[..at].trim_start_matches('x').parse().unwrap_or_else(|_| panic!("{}", &text[at - 9..at]));
        let written = text.bytes().filter(|byte| *byte == b'x').count() / line.len();
        assert!(lost > 0 && written + lost <= QUEUE + 500, "{written} written, {lost} lost");
    }
}
