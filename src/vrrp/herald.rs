//! The thread that says what the VRRP thread has no time for: log, hooks, and checks.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError};
use std::time::SystemTime;

use ipnet::IpNet;
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
use tracing::Level;

use super::NetworkError;
use super::check::{Check, Checked};
use super::hook::{Change, Hooks};
use super::line::line;
use super::machine::{Event, State};
use super::mailbox::{Refused, Sender};
use super::plan::{CheckPlan, HookPlan, Plan};
use crate::diagnostic::Causes;

/// Something to be said.
#[derive(Debug)]
pub(super) enum Note {
    /// What instances run outside: checks of others end, hooks of others stay until they are gone.
    Instances(Vec<Outside>),
    /// Nobody speaks of an instance of this name any more.
    Gone(Arc<str>),
    /// An event of an instance that was in this state before.
    Event { instance: Arc<str>, before: State, event: Event, at: SystemTime },
    /// The system did not do what was asked of it.
    Trouble { instance: Arc<str>, trouble: Trouble },
    /// Whether the VRRP thread runs before all others.
    RealTime(Result<(), io::Error>),
}

/// What an instance runs outside.
#[derive(Debug)]
pub(super) struct Outside {
    pub(super) instance: Arc<str>,
    pub(super) hooks: Option<HookPlan>,
    pub(super) checks: Vec<CheckPlan>,
}

/// What the system did not do.
#[derive(Debug)]
pub(super) enum Trouble {
    /// No adverts can be sent or heard.
    Socket(NetworkError),
    /// It has never had one.
    NoLink(Arc<str>),
    /// An advert was not sent.
    Send(io::Error),
    /// An address was not added or renewed.
    Hold(IpNet, NetworkError),
    /// An address was not taken away.
    Release(IpNet, NetworkError),
    /// No address was added at all.
    Unheld,
    /// There is no interface with the virtual MAC.
    VirtualMac(NetworkError),
    /// Nobody could be asked who has the addresses.
    Probe(NetworkError),
    /// A thread does not keep up.
    Busy(Refused),
}

/// Where notes are put in.
#[derive(Debug)]
pub(super) struct Notes {
    queue: SyncSender<Note>,
    dropped: u64,
}

/// Notes that wait: an instance has some for each change.
pub(super) const MOST_NOTES: usize = 1024;

impl Outside {
    pub(super) fn of(plan: &Plan) -> Self {
        Self { instance: Arc::clone(&plan.name), hooks: plan.hooks.clone(), checks: plan.checks.clone() }
    }
}

impl Notes {
    pub(super) fn new(queue: SyncSender<Note>) -> Self {
        Self { queue, dropped: 0 }
    }

    /// Puts a note in, without waiting.
    pub(super) fn put(&mut self, note: Note) {
        if let Err(TrySendError::Full(_)) = self.queue.try_send(note) {
            self.dropped += 1;
        }
    }

    pub(super) fn trouble(&mut self, instance: &Arc<str>, trouble: Trouble) {
        self.put(Note::Trouble { instance: Arc::clone(instance), trouble });
    }

    /// Notes that found no room.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// Says all that comes, until nobody has anything to say; then hooks end what they began.
pub(super) fn run(notes: &Receiver<Note>, reports: &Sender<Checked>) {
    give_no_privilege_on();
    let mut herald = Herald { hooks: Vec::new(), checks: Vec::new() };
    for note in notes {
        herald.take(note, reports);
    }
    drop(herald.checks);
    herald.hooks.into_iter().for_each(Hooks::finish);
}

/// What this thread starts, threads and their programs, inherits no capability: who starts haechi as an
/// ordinary user with ambient ones means them for haechi.
fn give_no_privilege_on() {
    let kept = capabilities(None).map(|has| CapabilitySets { inheritable: CapabilitySet::empty(), ..has });
    // What is not inheritable cannot be ambient: the kernel drops it there, too (capabilities(7)).
    if let Err(error) = kept.and_then(|kept| set_capabilities(None, kept)) {
        tracing::warn!(error = %io::Error::from(error), "programs of VRRP may inherit capabilities");
    }
}

struct Herald {
    hooks: Vec<Hooks>,
    checks: Vec<Check>,
}

impl Herald {
    fn take(&mut self, note: Note, reports: &Sender<Checked>) {
        match note {
            Note::Instances(all) => self.reconfigure(&all, reports),
            Note::Gone(instance) => self.hooks.retain(|hooks| !hooks.are_of(&instance)),
            Note::Event { instance, before, event, at } => self.event(&instance, before, &event, at),
            Note::Trouble { instance, trouble } => trouble.log(&instance),
            Note::RealTime(Ok(())) => tracing::debug!("the VRRP thread has real-time priority"),
            Note::RealTime(Err(error)) => {
                tracing::debug!(%error, "the VRRP thread has no real-time priority: CAP_SYS_NICE gives it one");
            }
        }
    }

    fn reconfigure(&mut self, all: &[Outside], reports: &Sender<Checked>) {
        for Outside { instance, hooks, .. } in all {
            let stays =
                self.hooks.iter().any(|old| old.are_of(instance) && hooks.as_ref().is_some_and(|new| old.are_as(new)));
            if !stays {
                self.hooks.retain(|old| !old.are_of(instance));
                self.hooks.extend(hooks.as_ref().and_then(|hooks| Hooks::start(instance, hooks)));
            }
        }
        let wanted = || all.iter().flat_map(|one| one.checks.iter().map(|check| (&one.instance, check)));
        self.checks.retain(|old| wanted().any(|(instance, check)| old.is_as(instance, check)));
        for (instance, check) in wanted() {
            if !self.checks.iter().any(|old| old.is_as(instance, check)) {
                self.checks.extend(Check::start(instance, check, reports));
            }
        }
    }

    fn event(&self, instance: &Arc<str>, before: State, event: &Event, at: SystemTime) {
        let (level, line) = line(event);
        match level {
            Level::ERROR => tracing::error!(%instance, "{line}"),
            Level::WARN => tracing::warn!(%instance, "{line}"),
            _ => tracing::info!(%instance, "{line}"),
        }
        if let Event::Became { state, reason } = *event
            && let Some(hooks) = self.hooks.iter().find(|hooks| hooks.are_of(instance))
        {
            hooks.tell(Change::new(instance, before, state, reason, at));
        }
    }
}

impl Trouble {
    fn log(&self, instance: &Arc<str>) {
        match self {
            Self::Socket(error) => {
                let error = Causes(error);
                tracing::error!(%instance, %error, "adverts can neither be sent nor heard: haechi needs CAP_NET_RAW");
            }
            Self::NoLink(interface) => {
                tracing::error!(%instance, %interface, "waits: its interface is not there, or has no link or no address");
            }
            Self::Send(error) => tracing::warn!(%instance, %error, "an advert was not sent"),
            Self::Hold(net, error) => {
                let error = Causes(error);
                tracing::error!(%instance, address = %net, %error, "an address was not added: haechi needs CAP_NET_ADMIN");
            }
            Self::Release(net, error) => {
                let error = Causes(error);
                tracing::warn!(%instance, address = %net, %error, "an address was not taken away; it goes by itself");
            }
            Self::Unheld => {
                tracing::error!(%instance, "no address could be added: another host is to have them");
            }
            Self::VirtualMac(error) => {
                let error = Causes(error);
                tracing::error!(%instance, %error, "there is no interface with the virtual MAC, so this instance takes no part");
            }
            Self::Probe(error) => {
                tracing::warn!(%instance, error = %Causes(error), "nobody could be asked who has the addresses");
            }
            Self::Busy(error) => {
                tracing::error!(%instance, %error, "the thread that adds addresses does not keep up");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rustix::thread::configure_capability_in_ambient_set;

    use super::*;

    /// What a program that this thread starts may inherit, and what it has by the mere start.
    fn inherited() -> Vec<String> {
        let status = Command::new("cat").arg("/proc/self/status").output().unwrap();
        let status = String::from_utf8(status.stdout).unwrap();
        let sets = status.lines().filter(|line| line.starts_with("CapInh") || line.starts_with("CapAmb"));
        sets.map(|line| line.split_whitespace().last().unwrap().to_owned()).collect()
    }

    #[test]
    fn programs_inherit_no_capability() {
        // Privileges are the thread's own, and this one ends with the test.
        let given = std::thread::spawn(|| {
            let has = capabilities(None).unwrap();
            let raw = CapabilitySet::NET_RAW;
            let given = set_capabilities(None, CapabilitySets { inheritable: raw, ..has })
                .and_then(|()| configure_capability_in_ambient_set(raw, true));
            if given.is_err() {
                return None;
            }
            let before = inherited();
            give_no_privilege_on();
            Some((before, inherited()))
        });
        let Some((before, after)) = given.join().unwrap() else {
            return eprintln!("SKIPPED: only who has a capability can pass it on");
        };
        assert_eq!(before, ["0000000000002000", "0000000000002000"]);
        assert_eq!(after, ["0000000000000000", "0000000000000000"]);
    }
}
