//! How the instances of a host are, as operators see it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::telemetry::exposition::Page;
use crate::telemetry::{Totals, names};
use crate::vrrp::machine::State;

/// Every instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// In the order of the config; those that are about to end stand last.
    pub instances: Vec<InstanceStatus>,
}

/// One instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstanceStatus {
    /// Its name.
    pub name: String,
    /// Its interface.
    pub interface: String,
    /// Its virtual router id.
    pub virtual_router_id: u8,
    /// 2 or 3.
    pub version: u8,
    /// `active`, `backup` or `fault`.
    pub state: String,
    /// Why it is what it is, as a word.
    pub reason: String,
    /// When it became so: RFC 3339, UTC.
    pub since: String,
    /// It is active and tells others to take over.
    pub leaving: bool,
    /// The addresses are on the interface.
    pub holds: bool,
    /// The priority that adverts say, and the one that is written.
    pub priority: u8,
    #[allow(missing_docs)]
    pub configured_priority: u8,
    /// The virtual addresses with their prefixes.
    pub addresses: Vec<String>,
    /// Our address, which adverts come from.
    pub source: Option<IpAddr>,
    /// What it tracks and is broken.
    pub broken: Vec<String>,
    /// Whose advert was believed last.
    pub peer: Option<PeerStatus>,
    /// Whose advert was refused last.
    pub refused: Option<RefusedStatus>,
    /// What was counted.
    pub counters: Counts,
}

/// Another host, as its last advert showed it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// Where it sends from.
    pub address: IpAddr,
    /// Its priority; 0: it hands over.
    pub priority: u8,
    /// Its interval in milliseconds.
    pub advert_interval_ms: u64,
    /// The form of its checksum, where there are two.
    pub checksum: Option<String>,
    /// How long ago its last advert came, in milliseconds.
    pub heard_ms_ago: u64,
}

/// An instance as the program before this one has left it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// Its name in the config.
    pub name: String,
    /// It had the addresses; else it was a backup.
    pub active: bool,
    /// Whose advert it believed last.
    pub peer: Option<IpAddr>,
}

/// An advert that was refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RefusedStatus {
    /// Who seems to have sent it.
    pub address: IpAddr,
    /// Why, as a word.
    pub cause: String,
    /// What to change.
    pub hint: String,
    /// How long ago it came, in milliseconds.
    pub heard_ms_ago: u64,
}

/// What an instance has counted since it began.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// Adverts sent; one to many peers counts once.
    pub sent: u64,
    /// Sends that the system refused.
    pub send_failures: u64,
    /// Adverts believed.
    pub accepted: u64,
    /// Adverts refused, by cause; all causes are there.
    pub refused: BTreeMap<String, u64>,
    /// How often it became what it is, and why.
    pub transitions: Vec<Transition>,
    /// Seconds in which another active host was heard while we were active.
    pub both_active_seconds: f64,
}

/// Changes to one state for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// The new state.
    pub state: String,
    /// Why.
    pub reason: String,
    /// How often.
    pub count: u64,
}

impl Status {
    /// The instances that take part, for a program that replaces this one.
    #[must_use]
    pub fn left(&self) -> Vec<Left> {
        let taking_part = self.instances.iter().filter(|instance| instance.state != "fault");
        let left = |instance: &InstanceStatus| Left {
            name: instance.name.clone(),
            active: instance.state == "active",
            peer: instance.peer.as_ref().map(|peer| peer.address),
        };
        taking_part.map(left).collect()
    }
}

/// What the VRRP thread tells of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Survey {
    pub(super) status: Status,
    pub(super) lateness: Totals,
    pub(super) notes_dropped: u64,
}

impl Survey {
    /// Writes every family of VRRP.
    pub(super) fn write(&self, page: &mut Page) {
        let all = || self.status.instances.iter();
        page.family(&names::VRRP_STATE, |samples| {
            for instance in all() {
                for state in State::NAMES {
                    samples.count(&[&instance.name, state], u64::from(instance.state == state));
                }
            }
        });
        page.family(&names::VRRP_PRIORITY, |samples| {
            all().for_each(|instance| samples.count(&[&instance.name], instance.priority.into()));
        });
        page.family(&names::VRRP_TRANSITIONS, |samples| {
            for instance in all() {
                for Transition { state, reason, count } in &instance.counters.transitions {
                    samples.count(&[&instance.name, state, reason], *count);
                }
            }
        });
        page.family(&names::VRRP_SENT, |samples| {
            all().for_each(|instance| samples.count(&[&instance.name], instance.counters.sent));
        });
        page.family(&names::VRRP_SEND_FAILURES, |samples| {
            all().for_each(|instance| samples.count(&[&instance.name], instance.counters.send_failures));
        });
        page.family(&names::VRRP_RECEIVED, |samples| {
            all().for_each(|instance| samples.count(&[&instance.name], instance.counters.accepted));
        });
        page.family(&names::VRRP_REFUSED, |samples| {
            for instance in all() {
                for (cause, count) in &instance.counters.refused {
                    samples.count(&[&instance.name, cause], *count);
                }
            }
        });
        page.family(&names::VRRP_BOTH_ACTIVE, |samples| {
            all().for_each(|instance| samples.value(&[&instance.name], instance.counters.both_active_seconds));
        });
        page.family(&names::VRRP_LATENESS, |samples| samples.histogram(&[], &self.lateness));
        page.family(&names::VRRP_NOTES_DROPPED, |samples| samples.count(&[], self.notes_dropped));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn front() -> InstanceStatus {
        let transitions = vec![Transition { state: "active".into(), reason: "silence".into(), count: 2 }];
        let refused = [("secret".to_owned(), 7)].into_iter().collect();
        let both_active_seconds = 1.25;
        let counters = Counts { sent: 5, send_failures: 1, accepted: 3, refused, transitions, both_active_seconds };
        InstanceStatus {
            name: "front".into(),
            interface: "eth0".into(),
            virtual_router_id: 51,
            version: 3,
            state: "active".into(),
            reason: "silence".into(),
            since: "1970-01-01T00:00:00Z".into(),
            leaving: false,
            holds: true,
            priority: 130,
            configured_priority: 150,
            addresses: vec!["192.168.0.100/24".into()],
            source: Some([192, 168, 0, 11].into()),
            broken: vec!["upstream was".into()],
            peer: None,
            refused: None,
            counters,
        }
    }

    #[test]
    fn every_family_is_written() {
        let survey = Survey { status: Status { instances: vec![front()] }, ..Survey::default() };
        let mut page = Page::default();
        survey.write(&mut page);
        let text = page.into_text();
        for sample in [
            "haechi_vrrp_state{vrrp=\"front\",state=\"active\"} 1\n",
            "haechi_vrrp_state{vrrp=\"front\",state=\"backup\"} 0\n",
            "haechi_vrrp_state{vrrp=\"front\",state=\"fault\"} 0\n",
            "haechi_vrrp_priority{vrrp=\"front\"} 130\n",
            "haechi_vrrp_transitions_total{vrrp=\"front\",state=\"active\",reason=\"silence\"} 2\n",
            "haechi_vrrp_adverts_sent_total{vrrp=\"front\"} 5\n",
            "haechi_vrrp_send_failures_total{vrrp=\"front\"} 1\n",
            "haechi_vrrp_adverts_received_total{vrrp=\"front\"} 3\n",
            "haechi_vrrp_adverts_refused_total{vrrp=\"front\",reason=\"secret\"} 7\n",
            "haechi_vrrp_both_active_seconds_total{vrrp=\"front\"} 1.25\n",
            "haechi_vrrp_timer_lateness_seconds_count 0\n",
            "haechi_vrrp_notes_dropped_total 0\n",
        ] {
            assert!(text.contains(sample), "{sample} is missing:\n{text}");
        }
        let families = names::ALL.iter().filter(|family| family.name.starts_with("haechi_vrrp_"));
        assert_eq!(families.count(), text.matches("# TYPE haechi_vrrp_").count());
    }

    #[test]
    fn a_status_travels_as_json() {
        let status = Status { instances: vec![front()] };
        let json = serde_json::to_string(&status).unwrap();
        assert_eq!(serde_json::from_str::<Status>(&json).unwrap(), status);
    }
}
