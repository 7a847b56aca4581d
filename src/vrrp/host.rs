//! A host that takes part in VRRP: its threads, and how others speak with them.
//!
//! ```text
//!   owner ── orders, facts ──► vrrp ── orders ──► vrrp-netlink, vrrp-probe
//!     ▲           ▲             │ ▲ ◄── reports ──────────┘
//!     └─ status ──┼─────────────┘ └── results ── vrrp-check, one for each exec check
//!                 │             └───── notes ──► vrrp-herald: log ──► vrrp-hook, one for each instance
//! ```
//!
//! The VRRP thread runs before all others where the system lets it (SCHED_FIFO), and waits for nothing
//! but its own sockets, mailboxes and times. What may take time is the other threads' matter, and all
//! queues between them are bounded.

mod facts;
mod home;
mod instance;
mod lineup;
mod link;
pub mod real_time;
mod speaker;
mod status;
mod tally;
mod team;
mod world;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use ipnet::IpNet;

use super::NetworkError;
use super::herald::{self, MOST_NOTES, Note, Notes, Outside};
use super::mailbox::{Sender, mailbox};
use super::network::{self, Network};
use super::plan::Plan;
use crate::telemetry::exposition::Page;
pub use facts::{Facts, ListenerFact, UpstreamFact};
use speaker::{Ears, Order, Speaker};
use status::Survey;
pub use status::{Counts, InstanceStatus, Left, PeerStatus, RefusedStatus, Status, Transition};
use world::World;

/// The instances of this host.
///
/// One that is dropped without [`Self::stop`] falls silent like one that was killed: nobody is told, and
/// its addresses go by themselves within two seconds.
#[derive(Debug)]
pub struct Host {
    orders: Sender<Order>,
    notes: SyncSender<Note>,
    /// Closed when the thread has ended.
    speaks: Receiver<()>,
    heralds: Receiver<()>,
}

/// A word with a host that stops: it is not to wait for anybody.
#[derive(Clone, Debug)]
pub struct Hurry(Sender<Order>);

impl Hurry {
    /// Has it say farewell and release its addresses now, whether another host is there or not.
    ///
    /// # Errors
    /// [`Gone`]
    pub fn now(&self) -> Result<(), Gone> {
        self.0.send(Order::StopNow).map_err(|_| Gone)
    }
}

/// The VRRP thread has ended, or does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the VRRP thread does not answer")]
pub struct Gone;

/// Orders that wait.
const MOST_ORDERS: usize = 64;

/// How long an answer of the VRRP thread is waited for, which takes far less than a millisecond.
const PATIENCE: Duration = Duration::from_secs(2);

/// Above what ordinary programs use, below the kernel's own threads.
const REAL_TIME_PRIORITY: i32 = 50;

impl Host {
    /// Starts the threads, in the network namespace of the caller. What the program that this one replaces
    /// has `left` goes on without a pause; others begin when they know how the services of this host are.
    ///
    /// # Errors
    /// Where there can be no thread or no socket.
    pub fn start(plans: Vec<Plan>, left: Vec<Left>) -> Result<Self, NetworkError> {
        let no_thread = |source: io::Error| NetworkError::Thread("VRRP", source);
        let (network, reports) = Network::start()?;
        let (orders, ordered) = mailbox(MOST_ORDERS).map_err(no_thread)?;
        let (checks, checked) = mailbox(MOST_ORDERS).map_err(no_thread)?;
        let (notes, noted) = sync_channel(MOST_NOTES);
        let (speaking, speaks) = sync_channel::<()>(0);
        let (heralding, heralds) = sync_channel::<()>(0);
        let host = Self { orders, notes: notes.clone(), speaks, heralds };
        thread::Builder::new()
            .name("vrrp-herald".into())
            .spawn(move || {
                let _heralding = heralding;
                herald::run(&noted, &checks);
            })
            .map_err(no_thread)?;
        host.tell_herald(&plans)?;
        let ears = Ears { orders: ordered, reports, checked };
        let mut notes = Notes::new(notes);
        thread::Builder::new()
            .name("vrrp".into())
            .spawn(move || {
                let _speaking = speaking;
                notes.put(Note::RealTime(real_time::run_before_others(REAL_TIME_PRIORITY)));
                Speaker::new(World::new(network, notes), plans, left).run(&ears);
            })
            .map_err(no_thread)?;
        Ok(host)
    }

    /// Goes by another config: instances that stay keep their state, those that are gone hand over, new
    /// ones begin as backups.
    ///
    /// # Errors
    /// [`Gone`]
    pub fn reconfigure(&self, plans: Vec<Plan>) -> Result<(), Gone> {
        self.tell_herald(&plans).map_err(|_| Gone)?;
        self.order(Order::Reconfigure(plans))
    }

    /// Takes in how the services of this host are, whenever that changes or was looked at anew.
    ///
    /// # Errors
    /// [`Gone`]
    pub fn facts(&self, facts: Facts) -> Result<(), Gone> {
        self.order(Order::Facts(facts))
    }

    /// Gives the addresses to hosts that are there, and stays backup while they are.
    ///
    /// # Errors
    /// [`Gone`]
    pub fn hand_over(&self) -> Result<(), Gone> {
        self.order(Order::HandOver)
    }

    /// Gives the addresses away and takes no part until [`Self::undrain`].
    ///
    /// # Errors
    /// [`Gone`]
    pub fn drain(&self) -> Result<(), Gone> {
        self.order(Order::Drain)
    }

    /// Takes part again, as backup.
    ///
    /// # Errors
    /// [`Gone`]
    pub fn undrain(&self) -> Result<(), Gone> {
        self.order(Order::Undrain)
    }

    /// How the instances are.
    ///
    /// # Errors
    /// [`Gone`]
    pub fn status(&self) -> Result<Status, Gone> {
        Ok(self.survey()?.status)
    }

    /// Writes the metrics of all instances. Without an answer nothing is written.
    ///
    /// # Errors
    /// [`Gone`]
    pub fn write_metrics(&self, page: &mut Page) -> Result<(), Gone> {
        self.survey()?.write(page);
        Ok(())
    }

    /// What can be said to a host that stops.
    #[must_use]
    pub fn hurry(&self) -> Hurry {
        Hurry(self.orders.clone())
    }

    /// Hands over, releases all addresses, and waits until that is done; then until hooks have told it.
    /// Whether it was done within `patience`, all together.
    #[must_use]
    pub fn stop(self, patience: Duration) -> bool {
        let Self { orders, notes, speaks, heralds } = self;
        let asked = orders.send(Order::Stop).is_ok();
        drop(notes);
        let ended = |thread: &Receiver<()>| thread.recv_timeout(patience / 2) == Err(RecvTimeoutError::Disconnected);
        let released = asked && ended(&speaks);
        drop(orders);
        ended(&heralds) && released
    }

    /// The sockets on all interfaces once more. While somebody holds them an exec does not wait for their end,
    /// which takes the kernel some 16 ms for one of frames, and for one of adverts the lock that all changes of
    /// the network share.
    ///
    /// # Errors
    /// [`Gone`]
    pub fn sockets(&self) -> Result<Vec<OwnedFd>, Gone> {
        let (answer, sockets) = sync_channel(1);
        self.order(Order::Sockets(answer))?;
        sockets.recv_timeout(PATIENCE).map_err(|_| Gone)
    }

    fn order(&self, order: Order) -> Result<(), Gone> {
        self.orders.send(order).map_err(|_| Gone)
    }

    fn survey(&self) -> Result<Survey, Gone> {
        let (answer, survey) = sync_channel(1);
        self.order(Order::Survey(answer))?;
        survey.recv_timeout(PATIENCE).map_err(|_| Gone)
    }

    fn tell_herald(&self, plans: &[Plan]) -> Result<(), NetworkError> {
        let note = Note::Instances(plans.iter().map(Outside::of).collect());
        let gone = |_| NetworkError::Thread("VRRP's log", io::ErrorKind::BrokenPipe.into());
        self.notes.send(note).map_err(gone)
    }
}

/// Takes the addresses of these instances away, by hand, where an earlier process has left them; for
/// each instance which ones it were.
#[must_use]
pub fn release(plans: &[Plan]) -> Vec<(String, Result<Vec<IpNet>, NetworkError>)> {
    let release = |plan: &Plan| (plan.name.to_string(), network::release(&plan.interface, &plan.addresses));
    plans.iter().map(release).collect()
}
