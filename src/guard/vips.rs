//! The virtual addresses that this host shares with others: what their threads are told of its
//! services, and what is asked of them.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::child::{Event, Stage, What};
use super::life::Guard;
use super::offer::Read;
use super::signals;
use crate::config::{self, Config, Upstream};
use crate::control::{Health, Order};
use crate::diagnostic::{Causes, Diagnostic};
use crate::telemetry::exposition::Page;
use crate::vrrp::NetworkError;
use crate::vrrp::host::{self, Facts, Host, Left, ListenerFact, Status, UpstreamFact};
use crate::vrrp::plan::{Plan, plans};

/// Beyond the wind-down of keep-alives: how long handing over and hooks may take.
const RELEASE_PATIENCE: Duration = Duration::from_secs(20);
/// The same where it is to be done at once.
const AT_ONCE: Duration = Duration::from_millis(500);

/// The instances of VRRP, where the config has any.
#[derive(Debug, Default)]
pub(super) struct Vips {
    host: Option<Host>,
    told: Option<Facts>,
    /// Somebody wants the addresses given away without a wait.
    hurry: Arc<Notify>,
    /// They are being given away.
    leaving: bool,
    /// The operator wants this host to take no part.
    drained: bool,
    /// When it is to give its addresses away for that: keep-alive connections are wound down first.
    drain_at: Option<Instant>,
}

/// What a guard leaves of its instances to the program after it: enough to go on before it has read anything.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct LeftVips {
    pub(super) written: Vec<config::Vrrp>,
    /// Whom programs run as.
    pub(super) user: Option<String>,
    /// Those that take part.
    pub(super) instances: Vec<Left>,
    /// The operator wants this host to take no part.
    pub(super) drained: bool,
}

/// What of the instances cannot run.
pub(super) fn faults(config: &Config) -> Option<Diagnostic> {
    let first = config.vrrp.first()?;
    let user = config.process.user.as_ref().map(|user| user.value.as_str());
    plans(&config.vrrp, user).err().map(|why| Diagnostic::error(first.name.span, Causes(&why).to_string()))
}

/// Takes the virtual addresses of a config off this host's interfaces; what was done, line by line.
///
/// # Errors
/// The faults of the config, or what the system refused.
pub(super) fn release(path: &Path) -> Result<Vec<String>, String> {
    let Read { config, .. } = Read::from_disk(path).map_err(|faults| faults.to_string())?;
    let plans = plans(&config.vrrp, None).map_err(|why| format!("error: {}", Causes(&why)))?;
    let mut lines = Vec::new();
    for (name, released) in host::release(&plans) {
        match released {
            Ok(addresses) if addresses.is_empty() => lines.push(format!("{name}: nothing to release")),
            Ok(addresses) => lines.extend(addresses.iter().map(|address| format!("{name}: {address} released"))),
            Err(why) => return Err(format!("error: {name}: {}", Causes(&why))),
        }
    }
    Ok(lines)
}

impl Vips {
    /// Goes on with the instances of the program before, by what was written for that one.
    pub(super) fn resume(left: LeftVips) -> Self {
        let LeftVips { written, user, instances, drained } = left;
        let mut vips = Self { drained, ..Self::default() };
        if !written.is_empty() {
            let resumed = plans(&written, user.as_deref())
                .map_err(|why| Causes(&why).to_string())
                .and_then(|plans| vips.start(plans, instances).map_err(|why| Causes(&why).to_string()));
            if let Err(why) = resumed {
                tracing::error!("the virtual addresses are not held until the config is read: {why}");
            }
        }
        vips
    }

    /// Runs the instances of a config; those that run already stay what they are.
    ///
    /// # Errors
    /// Where the first instance is written, and why none can run.
    pub(super) fn run(&mut self, config: &Config) -> Result<(), Diagnostic> {
        let Some(first) = config.vrrp.first() else {
            if let Some(host) = &self.host {
                let _ = host.reconfigure(Vec::new());
            }
            return Ok(());
        };
        let fault = |why: &dyn std::error::Error| Diagnostic::error(first.name.span, Causes(why).to_string());
        let user = config.process.user.as_ref().map(|user| user.value.as_str());
        let plans = plans(&config.vrrp, user).map_err(|why| fault(&why))?;
        match &self.host {
            Some(host) => host.reconfigure(plans).map_err(|why| fault(&why))?,
            None => self.start(plans, Vec::new()).map_err(|why| fault(&why))?,
        }
        self.told = None;
        Ok(())
    }

    fn start(&mut self, plans: Vec<Plan>, left: Vec<Left>) -> Result<(), NetworkError> {
        // Its threads take no signals.
        let _held = signals::hold();
        let host = self.host.insert(Host::start(plans, left)?);
        if self.drained {
            let _ = host.drain();
        }
        Ok(())
    }

    /// What the program after this one goes on with.
    pub(super) fn leave(&self, config: &Config) -> LeftVips {
        LeftVips {
            written: config.vrrp.clone(),
            user: config.process.user.as_ref().map(|user| user.value.clone()),
            instances: self.status().unwrap_or_default().left(),
            drained: self.drained,
        }
    }

    /// Sockets that must not end within an exec.
    pub(super) fn sockets(&self) -> Vec<OwnedFd> {
        self.host.as_ref().and_then(|host| host.sockets().ok()).unwrap_or_default()
    }

    /// How the instances are; `None` where there are none.
    pub(super) fn status(&self) -> Option<Status> {
        self.host.as_ref()?.status().ok()
    }

    /// The metrics of the instances.
    pub(super) fn metrics(&self) -> String {
        let mut page = Page::default();
        if let Some(host) = &self.host {
            let _ = host.write_metrics(&mut page);
        }
        page.into_text()
    }

    /// Whether an instance is active.
    pub(super) fn is_active(&self) -> bool {
        self.status().unwrap_or_default().instances.iter().any(|instance| instance.state == "active")
    }

    /// When the addresses are to be given away, where the operator wants it and connections are wound down.
    pub(super) fn drain_at(&self) -> Option<Instant> {
        self.drain_at
    }

    /// Gives the addresses away and takes no part any more.
    pub(super) fn drain(&mut self) {
        self.drain_at = None;
        if let Some(host) = &self.host {
            let _ = host.drain();
        }
    }

    /// Nobody is waited for any longer.
    pub(super) fn hurry(&self) {
        self.hurry.notify_one();
    }

    /// The addresses are given away.
    pub(super) fn released(&mut self) {
        self.leaving = false;
    }

    /// Whether they are being given away.
    pub(super) fn are_leaving(&self) -> bool {
        self.leaving
    }

    fn tell(&mut self, facts: Facts) {
        if let Some(host) = &self.host
            && self.told.as_ref() != Some(&facts)
            && host.facts(facts.clone()).is_ok()
        {
            self.told = Some(facts);
        }
    }
}

impl Guard {
    /// Tells the instances how the services of this host are.
    pub(super) fn tell_vips(&mut self, now: Instant) {
        // Before a worker has served nothing is known that would be a fault.
        if self.has_served() {
            let facts = self.facts(now);
            self.vips.tell(facts);
        }
    }

    fn facts(&self, now: Instant) -> Facts {
        let config = &self.served.config;
        let listeners = config.listeners.iter().map(|listener| ListenerFact {
            name: listener.name.value.as_str().into(),
            is_bound: listener.endpoints().all(|endpoint| self.held.has(endpoint.value)),
            tcp: listener.tcp_addresses().collect(),
        });
        Facts {
            // One that died is replaced at once: only a host whose workers die one after the other has none.
            worker_serves: self.respawn_at().is_none(),
            listeners: listeners.collect(),
            upstreams: config.upstreams.iter().filter_map(|upstream| self.upstream_fact(upstream, now)).collect(),
        }
    }

    fn upstream_fact(&self, upstream: &Upstream, now: Instant) -> Option<UpstreamFact> {
        let name: Box<str> = upstream.name.value.as_str().into();
        let Some(health) = &upstream.health else {
            return Some(UpstreamFact { name, healthy: upstream.servers.len(), as_of: now });
        };
        let verdicts = self.seed.verdicts.iter().filter(|verdict| verdict.upstream == *name);
        let healthy = verdicts.clone().filter(|verdict| verdict.health == Health::Up).count();
        // A check that is over began so long ago at most, and the one before it may be the last that is over.
        let as_of = self.ticked_at()?.checked_sub(2 * (health.interval + health.timeout))?;
        (verdicts.count() > 0).then_some(UpstreamFact { name, healthy, as_of })
    }

    /// Hands what instances counted to the worker, which has the page of metrics.
    pub(super) fn tell_worker_of_vips(&self) {
        let Some(status) = self.vips.status() else { return };
        if let Some(worker) = self.serving() {
            let status = serde_json::to_string(&status).unwrap_or_default();
            let _ = worker.order(&Order::Vrrp { metrics: self.vips.metrics(), status }, Vec::new());
        }
    }

    /// Takes this host out by the operator's wish: keep-alive connections are wound down first, while all is
    /// served, where it has an address to give away.
    pub(super) fn drain_vips(&mut self, now: Instant) {
        self.vips.drained = true;
        if !self.vips.is_active() {
            return self.vips.drain();
        }
        if self.vips.drain_at.is_none() {
            self.each_serving(&Order::WindDown);
            self.vips.drain_at = Some(now + self.served.config.process.handover_grace);
        }
    }

    /// Takes part again.
    pub(super) fn undrain_vips(&mut self) {
        self.vips.drained = false;
        self.vips.drain_at = None;
        self.each_serving(&Order::KeepAlive);
        if let Some(host) = &self.vips.host {
            let _ = host.undrain();
        }
    }

    fn each_serving(&self, order: &Order) {
        for worker in self.workers.iter().filter(|worker| worker.stage == Stage::Serving) {
            let _ = worker.order(order, Vec::new());
        }
    }

    /// Gives the addresses away: keep-alive connections are wound down first, while all is served, and
    /// then [`What::Released`] is told. False where there is nothing to give away.
    pub(super) fn give_vips_away(&mut self) -> bool {
        let is_active = self.vips.is_active();
        let Some(host) = self.vips.host.take() else { return false };
        let grace = if is_active { self.served.config.process.handover_grace } else { Duration::ZERO };
        if is_active {
            self.each_serving(&Order::WindDown);
        }
        self.vips.leaving = true;
        let (events, hurry) = (self.events.clone(), Arc::clone(&self.vips.hurry));
        tokio::task::spawn(async move {
            let is_hurried = tokio::select! {
                () = tokio::time::sleep(grace) => false,
                () = hurry.notified() => true,
            };
            let at_once = host.hurry();
            let mut released = tokio::task::spawn_blocking(move || host.stop(RELEASE_PATIENCE));
            let hurried = async {
                if !is_hurried {
                    hurry.notified().await;
                }
                let _ = at_once.now();
                tokio::time::sleep(AT_ONCE).await;
            };
            let is_released = tokio::select! {
                released = &mut released => released.unwrap_or_default(),
                () = hurried => false,
            };
            if !is_released {
                tracing::warn!("not all virtual addresses were given away in time");
            }
            let _ = events.send(Event { worker: 0, what: What::Released }).await;
        });
        true
    }
}
