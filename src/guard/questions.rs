//! Those who ask how haechi is, until a worker has told it.

use std::time::{Duration, Instant};

use super::child::Stage;
use super::instance::{Asked, Order as Word};
use super::life::Guard;
use super::status::{Facts, status};
use crate::control::{Health, Order};

/// How long who asks for the status waits for the worker.
const PATIENCE: Duration = Duration::from_secs(3);

/// The answer where no worker gives one.
const NOBODY_SERVES: &str = r#"{"error":"no worker answers just now"}"#;

/// Somebody who waits for a worker's status.
#[derive(Debug)]
pub(super) struct Waiting {
    asked: Asked,
    worker: u64,
    since: Instant,
}

impl Guard {
    /// Answers by the worker's status, as soon as it tells it.
    pub(super) fn answer(&mut self, asked: Asked) {
        let number = self.number();
        let worker = self.workers.iter().rfind(|worker| worker.stage != Stage::Starting);
        match worker {
            Some(worker) if worker.order(&Order::Status { number }, Vec::new()).is_ok() => {
                let worker = worker.number;
                self.questions.insert(number, Waiting { asked, worker, since: Instant::now() });
            }
            _ => self.tell(asked, None),
        }
    }

    fn tell(&self, asked: Asked, worker: Option<&str>) {
        let facts = Facts {
            config: &self.path,
            started: self.started,
            draining: self.is_draining(),
            restarts: self.seed.restarts,
            last_error: self.last_error.as_deref(),
            servers_down: self.seed.verdicts.iter().filter(|verdict| verdict.health == Health::Down).count(),
            workers: &self.workers,
            vrrp: self.vips.status(),
        };
        asked.answer(status(worker, &facts));
    }

    /// A worker has told how it is.
    pub(super) fn answered(&mut self, question: u64, json: &str) {
        if let Some(waiting) = self.questions.remove(&question) {
            self.tell(waiting.asked, Some(json));
        }
    }

    /// Hands an operator's word or question on databases to the worker that serves.
    pub(super) fn ask_worker(&mut self, asked: Asked, order: impl FnOnce(u64) -> Order) {
        let number = self.number();
        let order = order(number);
        match self.serving().filter(|worker| worker.order(&order, Vec::new()).is_ok()).map(|worker| worker.number) {
            Some(worker) => {
                self.questions.insert(number, Waiting { asked, worker, since: Instant::now() });
            }
            None => asked.answer(NOBODY_SERVES.to_owned()),
        }
    }

    /// A worker has answered such a one.
    pub(super) fn said(&mut self, question: u64, json: String) {
        if let Some(waiting) = self.questions.remove(&question) {
            waiting.asked.answer(json);
        }
    }

    /// A worker will tell nothing any more.
    pub(super) fn give_up_questions_to(&mut self, worker: u64) {
        self.give_up_questions(|waiting| waiting.worker == worker);
    }

    /// Who has waited long enough is told what is known here.
    pub(super) fn give_up_late_questions(&mut self, now: Instant) {
        self.give_up_questions(|waiting| waiting.since + PATIENCE <= now);
    }

    fn give_up_questions(&mut self, which: impl Fn(&Waiting) -> bool) {
        let given_up: Vec<Waiting> =
            self.questions.extract_if(|_, waiting| which(waiting)).map(|(_, waiting)| waiting).collect();
        for waiting in given_up {
            match waiting.asked.order {
                Word::Explain { .. } | Word::Confirm { .. } => waiting.asked.answer(NOBODY_SERVES.to_owned()),
                _ => self.tell(waiting.asked, None),
            }
        }
    }
}
