//! A config's way to the worker: read, bound, handed over; then the worker takes it, or refuses it as a
//! whole, and nothing has changed.

use std::fs::File;
use std::time::{Duration, Instant};

use super::instance::Asked;
use super::life::Guard;
use super::offer::{Offer, Read, follow, open_log, threads};
use super::sockets::{Bound, Held};
use super::vips;
use super::watch::Watch;
use super::{privileges, readiness};
use crate::allocator;
use crate::app;
use crate::config::Config;
use crate::control::{Load, Order};
use crate::diagnostic::{Causes, Faults};

/// At a start: how long addresses may be in use by the worker of a guard that has died.
const BIND_PATIENCE: Duration = Duration::from_secs(1);
/// Between two tries.
const BIND_PAUSE: Duration = Duration::from_millis(20);

/// A config that the worker is taking in.
#[derive(Debug)]
pub(super) struct Pending {
    number: u64,
    offer: Offer,
    askers: Vec<Asked>,
}

impl Guard {
    /// Reads the config again where somebody wants it and a worker is there to take it.
    pub(super) fn reload_if_wanted(&mut self, watch: &Watch) {
        if self.pending.is_some() || self.wanted.is_none() || self.is_starting() {
            return;
        }
        let askers = self.wanted.take().unwrap_or_default();
        readiness::reloading();
        if self.serving().is_none() {
            return self.begin_anew(watch, askers);
        }
        let offered = self.offer(watch).map_err(|faults| faults.to_string());
        match offered.and_then(|offer| Ok((self.hand_over(&offer)?, offer))) {
            Ok((number, offer)) => self.pending = Some(Pending { number, offer, askers }),
            Err(faults) => {
                if let Some(worker) = self.serving() {
                    let _ = worker.order(&Order::Tell { faults: faults.clone() }, Vec::new());
                }
                self.refused(faults, askers);
            }
        }
    }

    /// No worker serves, maybe because of the config that is served: the next one starts on the new one.
    fn begin_anew(&mut self, watch: &Watch, askers: Vec<Asked>) {
        match self.offer(watch) {
            Ok(offer) => {
                self.take(offer);
                self.last_error = None;
                tracing::info!("the next worker starts on the new config");
                self.spawn();
                self.reloaded(askers);
            }
            Err(faults) => self.refused(faults.to_string(), askers),
        }
    }

    /// Opens everything that the config needs.
    fn offer(&self, watch: &Watch) -> Result<Offer, Faults> {
        let read = Read::from_disk(&self.path)?;
        follow(watch, &read);
        let mut faults = Vec::new();
        match privileges::identity(&read.config) {
            Ok(identity) if identity != self.identity => {
                tracing::warn!("process.user has changed: that needs an upgrade");
            }
            Ok(_) => {}
            Err(fault) => faults.push(fault),
        }
        if threads(&read.config.process) != self.seed.threads {
            tracing::warn!("process.workers has changed: that needs an upgrade");
        }
        faults.extend(vips::faults(&read.config));
        let bound = self.held.bind(&read.config, self.seed.threads).unwrap_or_else(|unbound| {
            faults.extend(unbound.faults);
            Bound::default()
        });
        let log = open_log(&read.config).unwrap_or_else(|fault| {
            faults.push(fault);
            None
        });
        match Faults::new(read.config.sources.clone(), faults) {
            Some(faults) => Err(faults),
            None => Ok(Offer { read, bound, log }),
        }
    }

    /// Orders the worker to serve by it; the order's number.
    fn hand_over(&mut self, offer: &Offer) -> Result<u64, String> {
        let number = self.number();
        let Some(worker) = self.serving() else { return Err("no worker serves".to_owned()) };
        let shared = offer.bound.share().map_err(|error| Causes(&error).to_string())?;
        let log = offer.log.as_ref().map(File::try_clone).transpose().map_err(|error| Causes(&error).to_string())?;
        let (load, with) = self.load_order(&offer.read, shared, log).map_err(|error| Causes(&error).to_string())?;
        worker.order(&Order::Load(Load { number, ..load }), with).map_err(|fault| Causes(&fault).to_string())?;
        Ok(number)
    }

    /// The worker serves by it.
    pub(super) fn loaded(&mut self, number: u64, generation: u64) {
        let Some(Pending { offer, askers, .. }) = self.pending.take_if(|pending| pending.number == number) else {
            return;
        };
        self.take(offer);
        self.seed.generation = generation;
        self.last_error = None;
        tracing::info!(generation, "config taken into use");
        self.reloaded(askers);
    }

    /// Goes by a config that is served, or is to be.
    fn take(&mut self, offer: Offer) {
        let Offer { read, bound, log } = offer;
        self.held.take(&read.config, bound);
        app::say(read.config.log.level);
        if let Err(fault) = self.vips.run(&read.config) {
            tracing::error!("the virtual addresses stay as they were: {}", fault.message);
        }
        self.ledger.move_to(&read.config.process.state, &self.seed.pools);
        self.served = read;
        self.log = log;
    }

    /// The worker does not serve by it, and has told so.
    pub(super) fn refused_by_worker(&mut self, number: u64, faults: String) {
        if let Some(pending) = self.pending.take_if(|pending| pending.number == number) {
            self.refused(faults, pending.askers);
        }
    }

    /// The worker that took it in will not answer any more.
    pub(super) fn give_up_pending(&mut self, why: &str) {
        if let Some(pending) = self.pending.take() {
            self.refused(format!("error: {why}"), pending.askers);
        }
    }

    fn refused(&mut self, faults: String, askers: Vec<Asked>) {
        tracing::error!("the new config is refused, the old one serves on\n{faults}");
        self.last_error = Some(faults);
        self.reloaded(askers);
    }

    fn reloaded(&mut self, askers: Vec<Asked>) {
        readiness::ready("serving");
        askers.into_iter().for_each(|asked| self.answer(asked));
        allocator::give_back();
    }
}

/// Binds at a start. Where the guard before was killed, its worker may still be about to let go.
pub(super) async fn bind_patiently(held: &Held, config: &Config, threads: usize) -> Result<Bound, Faults> {
    let by = Instant::now() + BIND_PATIENCE;
    loop {
        match held.bind(config, threads) {
            Ok(bound) => return Ok(bound),
            Err(unbound) if unbound.in_use && Instant::now() < by => tokio::time::sleep(BIND_PAUSE).await,
            Err(unbound) => {
                return match Faults::new(config.sources.clone(), unbound.faults) {
                    Some(faults) => Err(faults),
                    None => Ok(Bound::default()),
                };
            }
        }
    }
}
