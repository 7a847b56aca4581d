use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};

use super::*;
use crate::telemetry::access_record::sample;

const PATIENCE: Duration = Duration::from_secs(20);

fn open(path: &Path) -> Opened {
    Opened::file(open_file(path).unwrap(), Format::Json).unwrap()
}

fn started(path: &Path) -> AccessLog {
    let log = AccessLog::start(1).unwrap();
    log.switch(Some(open(path)));
    log
}

fn record(status: u16) -> Record<'static> {
    Record { status, ..sample() }
}

fn statuses(text: &str) -> Vec<u64> {
    let status = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["status"].as_u64().unwrap();
    text.lines().map(status).collect()
}

/// Waits until `done` holds, for what the writer's thread does in its own time.
fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "never came: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn lines_stand_in_the_file_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let log = started(&path);
    let mut thread = log.thread(ThreadId(0));
    for status in 100..599 {
        thread.record(&record(status));
    }
    drop(thread);
    log.finish(PATIENCE);
    let written = fs::read_to_string(&path).unwrap();
    assert_eq!(statuses(&written), (100..599).collect::<Vec<_>>());
    assert_eq!(log.line_counts(), LineCounts { logged: 499, dropped: 0, lost: 0 });
}

#[test]
fn a_log_that_is_off_takes_nothing() {
    let log = AccessLog::start(1).unwrap();
    let mut thread = log.thread(ThreadId(0));
    assert!(!thread.is_on());
    thread.record(&record(200));
    assert_eq!(thread.buffer.capacity(), 0);
    assert_eq!(log.line_counts(), LineCounts::default());
}

#[test]
fn after_a_rotation_lines_go_to_the_new_file() {
    let folder = tempfile::tempdir().unwrap();
    let (path, rotated) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let log = started(&path);
    let mut thread = log.thread(ThreadId(0));
    thread.record(&record(201));
    thread.flush();
    eventually("the first line", || fs::read_to_string(&path).is_ok_and(|text| !text.is_empty()));
    fs::rename(&path, &rotated).unwrap();
    thread.record(&record(202));
    thread.flush();
    eventually("the second line", || fs::read_to_string(&rotated).unwrap().lines().count() == 2);
    log.switch(Some(open(&path)));
    thread.record(&record(203));
    drop(thread);
    log.finish(PATIENCE);
    assert_eq!(statuses(&fs::read_to_string(&rotated).unwrap()), [201, 202]);
    assert_eq!(statuses(&fs::read_to_string(&path).unwrap()), [203]);
}

#[test]
fn a_switch_changes_file_and_format() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    let log = started(&first);
    let mut thread = log.thread(ThreadId(0));
    thread.record(&record(205));
    thread.flush();
    eventually("the first line", || fs::read_to_string(&first).is_ok_and(|text| !text.is_empty()));
    log.switch(Some(Opened::file(open_file(&second).unwrap(), Format::Combined).unwrap()));
    thread.record(&record(206));
    thread.flush();
    eventually("the second line", || fs::read_to_string(&second).is_ok_and(|text| text.contains("\" 206 ")));
    assert_eq!(statuses(&fs::read_to_string(&first).unwrap()), [205]);
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let fault = open_file(Path::new("/nonexistent/access.log")).unwrap_err();
    assert_eq!(fault.to_string(), "access log `/nonexistent/access.log` cannot be opened");
    assert!(std::error::Error::source(&fault).is_some());
}

#[test]
fn a_full_disk_loses_lines_and_nothing_else() {
    let log = started(Path::new("/dev/full"));
    let mut thread = log.thread(ThreadId(0));
    for _ in 0..3 {
        thread.record(&record(200));
        thread.flush();
    }
    eventually("the loss", || log.line_counts().lost == 3);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    log.switch(Some(open(&path)));
    thread.record(&record(207));
    drop(thread);
    log.finish(PATIENCE);
    assert_eq!(statuses(&fs::read_to_string(path).unwrap()), [207]);
}

#[test]
fn a_pipe_that_nobody_reads_blocks_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fifo");
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let log = started(&path);
    let mut thread = log.thread(ThreadId(0));
    // Far more than pipe, queue and buffer hold together: it ends because nothing here waits.
    let mut records = 0;
    while log.line_counts().dropped < 1_000 {
        thread.record(&record(200));
        records += 1;
    }
    let buffered = thread.buffer.len();
    assert!(buffered < 2 * BUFFER_BYTES, "{buffered}");
    assert_eq!(log.line_counts(), LineCounts { logged: records - 1_000, dropped: 1_000, lost: 0 });

    // Once somebody reads, lines flow again, whole ones.
    let mut reader =
        OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(&path).unwrap();
    let mut text = Vec::new();
    let mut chunk = vec![0; 1 << 16];
    eventually("an emptied queue", || {
        if let Ok(read) = reader.read(&mut chunk) {
            text.extend_from_slice(&chunk[..read]);
        }
        thread.flush();
        thread.buffer.is_empty()
    });
    let whole = text.len() - text.iter().rev().position(|byte| *byte == b'\n').unwrap();
    assert!(statuses(std::str::from_utf8(&text[..whole]).unwrap()).iter().all(|status| *status == 200));
}

#[test]
fn a_pipe_that_nobody_reads_does_not_hold_up_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fifo");
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let log = started(&path);
    let mut thread = log.thread(ThreadId(0));
    for _ in 0..1_000 {
        thread.record(&record(200));
    }
    drop(thread);
    let started = Instant::now();
    log.finish(Duration::from_millis(100));
    assert!(started.elapsed() < PATIENCE);
    eventually("the writer's end", || {
        let ended = log.ended.lock().unwrap().try_recv();
        ended == Err(mpsc::TryRecvError::Disconnected)
    });
    let counts = log.line_counts();
    assert_eq!(counts.logged, 1_000);
    assert!(counts.lost > 0);
}
