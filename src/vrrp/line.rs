//! What happens to an instance, in words: what it is, what follows, what to change.

use tracing::Level;

use super::machine::{Event, Fault, OnPartition, Reason, State};
use super::refusal::Refusal;

/// The line of an event, and how grave it is.
pub(super) fn line(event: &Event) -> (Level, String) {
    match *event {
        Event::Became { state, reason } => became(state, reason),
        Event::Leaving { fault } => (Level::INFO, leaving(fault)),
        Event::NobodyTookOver => {
            let line = "told others to take over and nobody did: stays active; is another host a backup?";
            (Level::WARN, line.to_owned())
        }
        Event::Refused { source, refusal } => {
            (Level::WARN, format!("advert from {source} refused: {refusal}; {}", refusal.hint()))
        }
        Event::Mismatch { source, mismatch } => {
            (Level::WARN, format!("{mismatch} (adverts from {source}): {}", mismatch.hint()))
        }
        Event::Unheard { policy, known, refusal } => (Level::ERROR, unheard(policy, known, refusal)),
        Event::Rival { source } => {
            let line = format!("{source} is active too: both hosts hold the addresses until one yields");
            (Level::ERROR, line)
        }
        Event::RivalGone { source, lasted } => {
            let line = format!("{source} is not active any more, after {} ms beside us", lasted.as_millis());
            (Level::WARN, line)
        }
        Event::Late { by } => {
            let line = format!(
                "this host was held up for {} ms and may have missed adverts: waits one interval more; if this recurs, give it more CPU or a longer `advert_interval`",
                by.as_millis()
            );
            (Level::WARN, line)
        }
    }
}

/// Why an instance is what it is, as metrics, hooks and `/status` call it.
pub(super) fn word(state: State, reason: Reason) -> &'static str {
    match (state, reason) {
        (State::Fault(fault), _) => fault.name(),
        (_, reason) => reason.name(),
    }
}

fn became(state: State, reason: Reason) -> (Level, String) {
    if let State::Fault(fault) = state {
        let (level, why) = match fault {
            Fault::Starting => (Level::INFO, "waits for its interface and its services"),
            Fault::NoLink => (Level::ERROR, "its interface has no link or no address; look at the cable"),
            Fault::Unfit => (Level::ERROR, "something that it tracks is broken"),
            Fault::Group => (Level::ERROR, "another instance of its group takes no part"),
            Fault::Drained => (Level::INFO, "drained by hand; `haechi undrain` brings it back"),
            Fault::Stopped => (Level::INFO, "haechi ends"),
        };
        return (level, format!("takes no part: {why}"));
    }
    let (level, line) = match reason {
        Reason::Fit => (Level::INFO, "is backup: it may take part".to_owned()),
        Reason::Beaten { by, priority } => {
            (Level::WARN, format!("is backup: {by} is active with priority {priority}, which is better"))
        }
        Reason::HandedOver => (Level::INFO, "is backup: it handed the addresses over".to_owned()),
        Reason::Group => (Level::WARN, "is backup: another instance of its group yielded".to_owned()),
        Reason::Silence => (Level::WARN, "is active: the host that was fell silent and does not serve".to_owned()),
        Reason::HandOver => (Level::INFO, "is active: the host that was handed over".to_owned()),
        Reason::Preempting => (Level::INFO, "is active: the host that was has a lower priority".to_owned()),
        Reason::Unheard => (
            Level::ERROR,
            "is active beside a host that serves and is not heard (`on_partition = \"serve\"`)".to_owned(),
        ),
        Reason::UnheardTooLong => (
            Level::ERROR,
            "is active: another host answered for the addresses, but was not heard for too long".to_owned(),
        ),
        Reason::Resumed => (Level::INFO, "is active, as before the program was replaced".to_owned()),
        Reason::Fault => (Level::WARN, "takes no part".to_owned()),
    };
    (level, line)
}

fn leaving(fault: Option<Fault>) -> String {
    let why = match fault {
        None => "hands the addresses over",
        Some(Fault::Drained) => "is drained",
        Some(Fault::Stopped) => "ends",
        Some(Fault::Unfit) => "something that it tracks is broken",
        Some(Fault::Group) => "another instance of its group takes no part",
        Some(Fault::Starting | Fault::NoLink) => "its link is gone",
    };
    format!("tells others to take over and serves until one does: {why}")
}

fn unheard(policy: OnPartition, known: bool, refusal: Option<Refusal>) -> String {
    let cause = match refusal {
        Some(refusal) => format!("its adverts are refused: {refusal}; {}", refusal.hint()),
        None => {
            "its adverts do not arrive: let protocol 112 through every firewall, and multicast through every switch"
                .to_owned()
        }
    };
    let follows = match (policy, known) {
        (OnPartition::Serve, _) => "takes the addresses too (`on_partition = \"serve\"`)",
        (OnPartition::Stop, true) => {
            "does not take the addresses as long as that one serves (`on_partition = \"stop\"`)"
        }
        (OnPartition::Stop, false) => {
            "has not heard of it before and does not take the addresses for three down intervals (`on_partition = \"stop\"`)"
        }
    };
    format!("another host serves the addresses and {cause}. This host {follows}")
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_line_says_what_to_change() {
        let source = IpAddr::from([192, 168, 0, 11]);
        let said = |event| line(&event).1;
        assert_eq!(
            said(Event::Refused { source, refusal: Refusal::Secret }),
            "advert from 192.168.0.11 refused: its password is another; set `auth_pass` to the same on both hosts; its first 8 bytes count"
        );
        let lost = |known| said(Event::Unheard { policy: OnPartition::Stop, known, refusal: None });
        assert!(lost(true).contains("let protocol 112 through"), "{}", lost(true));
        assert!(lost(true).ends_with("as long as that one serves (`on_partition = \"stop\"`)"), "{}", lost(true));
        assert!(lost(false).contains("for three down intervals"), "{}", lost(false));
        let refused = said(Event::Unheard { policy: OnPartition::Serve, known: true, refusal: Some(Refusal::Secret) });
        assert!(refused.contains("set `auth_pass`") && refused.contains("takes the addresses too"), "{refused}");
        let late = said(Event::Late { by: Duration::from_millis(120) });
        assert!(late.starts_with("this host was held up for 120 ms"), "{late}");
    }

    #[test]
    fn what_harms_is_an_error_and_what_was_wanted_is_not() {
        let level = |state, reason| line(&Event::Became { state, reason }).0;
        assert_eq!(level(State::Active, Reason::Unheard), Level::ERROR);
        assert_eq!(level(State::Fault(Fault::NoLink), Reason::Fault), Level::ERROR);
        assert_eq!(level(State::Fault(Fault::Drained), Reason::Fault), Level::INFO);
        assert_eq!(level(State::Active, Reason::HandOver), Level::INFO);
        assert_eq!(word(State::Fault(Fault::NoLink), Reason::Fault), "no_link");
        assert_eq!(word(State::Active, Reason::Silence), "silence");
    }
}
