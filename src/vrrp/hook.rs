//! What is run when the state of an instance changes: a thread for each instance, so that its changes
//! are told in their order and those of others do not wait for them.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::SystemTime;

use serde::Serialize;

use super::line::word;
use super::machine::{Reason, State};
use super::plan::HookPlan;
use crate::hook;

use crate::config::HookState;
use crate::diagnostic::Causes;
use crate::telemetry::rfc3339;

/// A change of state, as hooks are told it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Change {
    instance: Box<str>,
    old: &'static str,
    new: &'static str,
    reason: &'static str,
    /// RFC 3339, UTC.
    at: String,
}

/// The hooks of one instance. When it is gone they run to the end of their queue.
#[derive(Debug)]
pub(super) struct Hooks {
    instance: Arc<str>,
    plan: HookPlan,
    queue: SyncSender<Change>,
    thread: JoinHandle<()>,
}

/// Changes that wait: more than any host goes through while a hook runs.
const MOST_WAITING: usize = 64;

impl Change {
    pub(super) fn new(instance: &Arc<str>, old: State, new: State, reason: Reason, at: SystemTime) -> Self {
        let instance = (**instance).into();
        Self { instance, old: old.name(), new: new.name(), reason: word(new, reason), at: rfc3339(at) }
    }
}

impl Hooks {
    /// `None`, and a line in the log, where there can be no thread.
    pub(super) fn start(instance: &Arc<str>, plan: &HookPlan) -> Option<Self> {
        let (queue, changes) = sync_channel(MOST_WAITING);
        let told = plan.clone();
        match thread::Builder::new().name("vrrp-hook".into()).spawn(move || run(&told, &changes)) {
            Ok(thread) => Some(Self { instance: Arc::clone(instance), plan: plan.clone(), queue, thread }),
            Err(error) => {
                tracing::error!(%instance, %error, "no thread for the hooks of an instance");
                None
            }
        }
    }

    pub(super) fn are_of(&self, instance: &str) -> bool {
        *self.instance == *instance
    }

    pub(super) fn are_as(&self, plan: &HookPlan) -> bool {
        self.plan == *plan
    }

    /// Tells a change, where its state is one that is told. Never waits.
    pub(super) fn tell(&self, change: Change) {
        let is_told = self.plan.on.iter().any(|state| {
            change.new
                == match state {
                    HookState::Active => "active",
                    HookState::Backup => "backup",
                    HookState::Fault => "fault",
                }
        });
        if is_told && let Err(TrySendError::Full(change)) = self.queue.try_send(change) {
            let Change { instance, new, .. } = change;
            tracing::error!(%instance, state = new, "hooks do not keep up: this change is not told");
        }
    }

    /// Waits until the last change is told.
    pub(super) fn finish(self) {
        drop(self.queue);
        // A hook that panicked has said so.
        let _ = self.thread.join();
    }
}

fn run(plan: &HookPlan, changes: &Receiver<Change>) {
    for change in changes {
        let json = serde_json::to_string(&change).unwrap_or_default();
        let Change { instance, old, new, reason, at } = &change;
        if let Some(program) = &plan.program {
            let variables = [
                ("HAECHI_INSTANCE", &**instance),
                ("HAECHI_OLD_STATE", *old),
                ("HAECHI_STATE", *new),
                ("HAECHI_REASON", *reason),
                ("HAECHI_AT", at.as_str()),
            ];
            if let Err(error) = hook::run(program, &variables, json.as_bytes(), plan.timeout) {
                let path = program.path.display();
                tracing::error!(%instance, state = new, hook = %path, error = %Causes(&error), "a hook failed");
            }
        }
        if let Some(url) = &plan.post
            && let Err(error) = hook::post(url, &json, plan.timeout)
        {
            tracing::error!(%instance, state = new, hook = url, error = %Causes(&error), "a hook failed");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::hook::Program;
    use crate::vrrp::machine::Fault;

    #[test]
    fn changes_are_told_in_their_order_and_only_those_that_are_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("changes");
        let script = format!("echo \"$HAECHI_STATE $(cat)\" >> {}", file.display());
        let program = Program { path: "/bin/sh".into(), arguments: vec!["-c".into(), script], user: None };
        let on = vec![HookState::Active, HookState::Fault];
        let plan = HookPlan { program: Some(program), post: None, timeout: Duration::from_secs(900), on };
        let front: Arc<str> = "front".into();
        let hooks = Hooks::start(&front, &plan).unwrap();
        let change = |old, new, reason| Change::new(&front, old, new, reason, UNIX_EPOCH);
        hooks.tell(change(State::Backup, State::Active, Reason::Silence));
        hooks.tell(change(State::Active, State::Backup, Reason::HandedOver));
        hooks.tell(change(State::Backup, State::Fault(Fault::NoLink), Reason::Fault));
        hooks.finish();
        let told = std::fs::read_to_string(&file).unwrap();
        let expected = [
            r#"active {"instance":"front","old":"backup","new":"active","reason":"silence","at":"1970-01-01T00:00:00Z"}"#,
            r#"fault {"instance":"front","old":"backup","new":"fault","reason":"no_link","at":"1970-01-01T00:00:00Z"}"#,
        ];
        assert_eq!(told.lines().collect::<Vec<_>>(), expected);
    }
}
