//! What was written about instances, as the machine, the wire and the threads go by it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::announce::Schedule;
use super::authentication::{Keyring, KeyringError, Mode};
use super::checksum::ChecksumForm;
use super::interval::{AdvertInterval, IntervalError, Version};
use super::machine::{OnPartition, Settings};
use super::packet::Legacy;
use super::priority::Priority;
use super::socket::{Family, Membership};
use super::track::{Effect, Kind, Subject};
use super::wire::{AddressList, AddressListError, Identity, IdentityError, Protocol, Wire};
use crate::config;
use crate::hook::Program;

/// One instance, ready to run.
#[derive(Debug)]
pub struct Plan {
    pub(super) name: Arc<str>,
    /// What it was made of: two that are written alike are alike.
    pub(super) written: Written,
    pub(super) interface: Arc<str>,
    pub(super) family: Family,
    pub(super) membership: Membership,
    /// The other hosts, where adverts are unicast.
    pub(super) peers: Arc<[IpAddr]>,
    /// Peers beyond the link: adverts come from an address that they can answer to.
    pub(super) routed: bool,
    pub(super) virtual_mac: bool,
    pub(super) group: Option<Arc<str>>,
    pub(super) settings: Settings,
    pub(super) wire: Wire,
    pub(super) addresses: Arc<[IpNet]>,
    pub(super) tracked: Vec<(Subject, Origin)>,
    pub(super) checks: Vec<CheckPlan>,
    pub(super) hooks: Option<HookPlan>,
}

/// What an instance was made of.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Written {
    config: config::Vrrp,
    user: Option<String>,
}

/// Where reports about a subject come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Whoever starts workers.
    Worker,
    /// Whoever binds: one listener, or all.
    Listener(Option<Box<str>>),
    /// The kernel.
    Interface(Arc<str>),
    /// The worker's checks.
    Upstream(Box<str>),
    /// Our own check, by its place among the subjects.
    Exec,
}

/// A program that is run again and again.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CheckPlan {
    pub(super) name: Box<str>,
    /// Among the subjects of the instance.
    pub(super) place: usize,
    pub(super) program: Program,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
}

/// What is run when the state changes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct HookPlan {
    pub(super) program: Option<Program>,
    pub(super) post: Option<String>,
    pub(super) timeout: Duration,
    pub(super) on: Vec<config::HookState>,
}

/// Why an instance cannot run. What was checked when it was read does not come up here.
#[derive(Debug, thiserror::Error)]
#[error("`vrrp.{instance}` cannot run")]
pub struct PlanError {
    /// Its name.
    pub instance: String,
    /// Why.
    #[source]
    pub why: Unfit,
}

/// What of an instance does not go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum Unfit {
    #[error("the priority is 0")]
    Priority,
    #[error(transparent)]
    Interval(#[from] IntervalError),
    #[error(transparent)]
    Addresses(#[from] AddressListError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Keyring(#[from] KeyringError),
}

/// Every instance of a config. `user`: whom programs run as that name nobody.
///
/// # Errors
/// The first instance that cannot run.
pub fn plans(written: &[config::Vrrp], user: Option<&str>) -> Result<Vec<Plan>, PlanError> {
    let plan = |instance: &config::Vrrp| {
        plan(instance, user).map_err(|why| PlanError { instance: instance.name.value.clone(), why })
    };
    written.iter().map(plan).collect()
}

impl Plan {
    /// The name in the config.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is the same virtual router on the same interface, so that its state may stay.
    pub(super) fn is_same_router(&self, other: &Self) -> bool {
        let router = |plan: &Self| (plan.settings.vrid, plan.family, plan.virtual_mac);
        self.name == other.name && self.interface == other.interface && router(self) == router(other)
    }

    /// Whether both cannot run at once on this host.
    pub(super) fn collides(&self, other: &Self) -> bool {
        let shares = |net: &IpNet| other.addresses.iter().any(|others| others.addr() == net.addr());
        let same_router = self.settings.vrid == other.settings.vrid && self.family == other.family;
        self.name == other.name
            || self.interface == other.interface && (same_router || self.addresses.iter().any(shares))
    }

    /// The hosts that are no strangers: those that are named, else the one whose advert was believed last.
    pub(super) fn known_hosts(&self, last: Option<IpAddr>) -> Vec<IpAddr> {
        if self.peers.is_empty() { last.into_iter().collect() } else { self.peers.to_vec() }
    }

    /// The address that a probe asks for: one that listeners are bound to.
    pub(super) fn probed(&self) -> Option<IpAddr> {
        let is_global = |address: &IpAddr| !matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
        let mut all = self.addresses.iter().map(IpNet::addr);
        all.find(is_global).or_else(|| self.addresses.first().map(IpNet::addr))
    }
}

fn plan(written: &config::Vrrp, user: Option<&str>) -> Result<Plan, Unfit> {
    let version = match written.version {
        config::VrrpVersion::V2 { .. } => Version::V2,
        config::VrrpVersion::V3 { .. } => Version::V3,
    };
    let interval = AdvertInterval::new(version, written.advert_interval)?;
    let priority = Priority::new(written.priority).ok_or(Unfit::Priority)?;
    let nets: Arc<[IpNet]> = written.addresses.iter().map(|address| address.value).collect();
    let peers: Vec<IpAddr> = written.peers.iter().map(|peer| peer.value).collect();
    let membership = if peers.is_empty() { Membership::Joined } else { Membership::None };
    let routed = peers.iter().any(|peer| !matches!(peer, IpAddr::V6(v6) if v6.is_unicast_link_local()));
    let known: Arc<[IpAddr]> = peers.as_slice().into();
    let vrid = written.virtual_router_id.value;
    let (preempt, preempt_delay) = match written.preempt {
        config::Preempt::Never => (false, Duration::ZERO),
        config::Preempt::After(delay) => (true, delay),
    };
    let config::Announce { repeat, delay, refresh } = written.announce;
    let settings = Settings {
        vrid,
        interval,
        priority,
        checksum: match written.version {
            config::VrrpVersion::V3 { checksum: config::VrrpChecksum::Rfc9568, .. } => ChecksumForm::Rfc9568,
            _ => ChecksumForm::Keepalived,
        },
        preempt,
        preempt_delay,
        hold_down: written.hold_down,
        on_partition: match written.on_partition {
            config::OnPartition::Serve => OnPartition::Serve,
            config::OnPartition::Stop => OnPartition::Stop,
        },
        announcements: Schedule { repeat, spacing: Duration::ZERO, delay, refresh: refresh.unwrap_or_default() },
    };
    let identity = Identity {
        vrid,
        protocol: protocol(&written.version, interval),
        addresses: AddressList::new(nets.iter().map(IpNet::addr).collect())?,
        peers,
        check_ttl: written.check_ttl,
        keyring: written.auth_hmac.as_ref().map(keyring).transpose()?,
    };
    let family = if identity.addresses.is_ipv4() { Family::V4 } else { Family::V6 };
    let (tracked, checks) = tracked(&written.track, user);
    Ok(Plan {
        name: written.name.value.as_str().into(),
        written: Written { config: written.clone(), user: user.map(str::to_owned) },
        interface: written.interface.value.as_str().into(),
        family,
        membership,
        peers: known,
        routed,
        virtual_mac: written.virtual_mac,
        group: written.group.as_ref().map(|group| group.value.as_str().into()),
        settings,
        wire: Wire::new(identity)?,
        addresses: nets,
        tracked,
        checks,
        hooks: written.hooks.as_ref().map(|hooks| hook(hooks, user)),
    })
}

fn protocol(version: &config::VrrpVersion, interval: AdvertInterval) -> Protocol {
    match (version, interval) {
        (config::VrrpVersion::V2 { auth_pass }, AdvertInterval::V2(interval)) => {
            let legacy = auth_pass.as_ref().map_or(Legacy::NONE, |pass| Legacy::password(pass.as_bytes()));
            Protocol::V2 { interval, legacy }
        }
        (config::VrrpVersion::V3 { checksum: config::VrrpChecksum::Rfc9568, .. }, AdvertInterval::V3(interval)) => {
            Protocol::V3 { interval, checksum: ChecksumForm::Rfc9568 }
        }
        // The interval was made for the version.
        (_, AdvertInterval::V3(interval)) => Protocol::V3 { interval, checksum: ChecksumForm::Keepalived },
        (_, AdvertInterval::V2(interval)) => Protocol::V2 { interval, legacy: Legacy::NONE },
    }
}

fn keyring(written: &config::AuthHmac) -> Result<Keyring, KeyringError> {
    let keys: Vec<(u8, &[u8])> = written.keys.iter().map(|key| (key.id, key.secret.as_bytes())).collect();
    let mode = match written.mode {
        config::HmacMode::ReceiveOnly => Mode::ReceiveOnly,
        config::HmacMode::Permissive => Mode::Permissive,
        config::HmacMode::Enforce => Mode::Enforce,
    };
    Keyring::new(&keys, mode, written.window)
}

/// The worker is tracked always: addresses without it lead nowhere.
fn tracked(written: &config::Track, user: Option<&str>) -> (Vec<(Subject, Origin)>, Vec<CheckPlan>) {
    let subject = |what: &str, name: &str, kind, effect| {
        let name = if name.is_empty() { what.into() } else { format!("{what} {name}").into() };
        Subject { name, kind, effect }
    };
    let mut all = vec![(subject("worker", "", Kind::Worker, Effect::Fault), Origin::Worker)];
    match &written.listeners {
        None => all.push((subject("listeners", "", Kind::Listeners, Effect::Fault), Origin::Listener(None))),
        Some(listeners) => all.extend(listeners.iter().map(|config::Tracked { name, effect: written }| {
            let subject = subject("listener", &name.value, Kind::Listeners, effect(*written));
            (subject, Origin::Listener(Some(name.value.as_str().into())))
        })),
    }
    all.extend(written.interfaces.iter().map(|config::Tracked { name, effect: written }| {
        let subject = subject("interface", &name.value, Kind::Interface, effect(*written));
        (subject, Origin::Interface(name.value.as_str().into()))
    }));
    all.extend(written.upstreams.iter().map(|(config::Tracked { name, effect: written }, healthy)| {
        let kind = Kind::Upstream { at_least: usize::try_from(*healthy).unwrap_or(usize::MAX) };
        let subject = subject("upstream", &name.value, kind, effect(*written));
        (subject, Origin::Upstream(name.value.as_str().into()))
    }));
    let mut checks = Vec::with_capacity(written.exec.len());
    for exec in &written.exec {
        let name = &exec.tracked.name.value;
        checks.push(CheckPlan {
            name: name.as_str().into(),
            place: all.len(),
            program: Program::of(&exec.command, user),
            interval: exec.interval,
            timeout: exec.timeout,
        });
        let kind = Kind::Exec { rise: exec.rise, fall: exec.fall };
        all.push((subject("check", name, kind, effect(exec.tracked.effect)), Origin::Exec));
    }
    (all, checks)
}

fn effect(written: config::TrackEffect) -> Effect {
    match written {
        config::TrackEffect::Fault => Effect::Fault,
        config::TrackEffect::Lower(by) => Effect::Lower(by),
    }
}

fn hook(written: &config::Hooks, user: Option<&str>) -> HookPlan {
    HookPlan {
        program: written.command.as_ref().map(|command| Program::of(command, user)),
        post: written.post.as_ref().map(|url| url.value.clone()),
        timeout: written.timeout,
        on: written.on.clone(),
    }
}

#[cfg(test)]
mod tests;
