//! Programs that say whether something is well: a thread for each, so that one that hangs delays no other.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Instant;

use super::mailbox::Sender;
use super::plan::CheckPlan;
use crate::diagnostic::Causes;
use crate::hook;

/// What one run of a check found.
#[derive(Clone, Debug)]
pub(super) struct Checked {
    pub(super) instance: Arc<str>,
    /// Among the subjects of the instance.
    pub(super) place: usize,
    pub(super) passed: bool,
    /// When the run began.
    pub(super) begun: Instant,
}

/// A check that runs again and again until this is gone.
#[derive(Debug)]
pub(super) struct Check {
    instance: Arc<str>,
    plan: CheckPlan,
    /// Nothing is sent: its end is heard.
    _alive: SyncSender<()>,
}

impl Check {
    /// `None`, and a line in the log, where there can be no thread.
    pub(super) fn start(instance: &Arc<str>, plan: &CheckPlan, reports: &Sender<Checked>) -> Option<Self> {
        let (alive, end) = sync_channel(0);
        let (name, checked, reports) = (Arc::clone(instance), plan.clone(), reports.clone());
        match thread::Builder::new().name("vrrp-check".into()).spawn(move || run(&name, &checked, &reports, &end)) {
            Ok(_) => Some(Self { instance: Arc::clone(instance), plan: plan.clone(), _alive: alive }),
            Err(error) => {
                tracing::error!(%instance, check = %plan.name, %error, "no thread for a check");
                None
            }
        }
    }

    pub(super) fn is_as(&self, instance: &str, plan: &CheckPlan) -> bool {
        *self.instance == *instance && self.plan == *plan
    }
}

fn run(instance: &Arc<str>, plan: &CheckPlan, reports: &Sender<Checked>, end: &Receiver<()>) {
    let mut passed_before = None;
    loop {
        let begun = Instant::now();
        let ran = hook::run(&plan.program, &[("HAECHI_INSTANCE", instance)], b"", plan.timeout);
        let passed = ran.is_ok();
        if passed_before != Some(passed) {
            let check = &plan.name;
            match &ran {
                Ok(()) if passed_before.is_some() => tracing::info!(%instance, %check, "a check passes again"),
                Ok(()) => {}
                Err(error) => tracing::warn!(%instance, %check, error = %Causes(error), "a check fails"),
            }
        }
        passed_before = Some(passed);
        let checked = Checked { instance: Arc::clone(instance), place: plan.place, passed, begun };
        if reports.send(checked).is_err() {
            return;
        }
        let left = (begun + plan.interval).saturating_duration_since(Instant::now());
        if end.recv_timeout(left) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;
    use crate::hook::Program;
    use crate::vrrp::mailbox::mailbox;

    #[test]
    fn each_run_is_reported_until_the_check_ends() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("fails");
        let script = format!("if [ -e {0} ]; then exit 1; else touch {0}; fi", file.display());
        let program = Program { path: "/bin/sh".into(), arguments: vec!["-c".into(), script], user: None };
        let (interval, timeout) = (Duration::from_millis(1), Duration::from_secs(900));
        let plan = CheckPlan { name: "it".into(), place: 3, program, interval, timeout };
        let (reports, checked) = mailbox(1).unwrap();
        let check = Check::start(&"front".into(), &plan, &reports).unwrap();
        drop(reports);
        let mut results = Vec::new();
        while results.len() < 2 {
            poll(&mut [PollFd::new(&checked, PollFlags::IN)], None).unwrap();
            checked.drain(|checked: Checked| results.push((checked.place, checked.passed)));
        }
        assert_eq!(results[..2], [(3, true), (3, false)]);
        drop(check);
        while checked.drain(drop) {
            poll(&mut [PollFd::new(&checked, PollFlags::IN)], None).unwrap();
        }
    }
}
