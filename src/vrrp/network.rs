//! The threads that wait so that the VRRP thread need not: one for addresses and interfaces, one that
//! asks who has an address.
//!
//! ```text
//!  VRRP thread ── Order ────► vrrp-netlink ◄── news of the kernel
//!      ▲   └───── Question ─► vrrp-probe        │
//!      └───────── Report ◄────────┴─────────────┘
//! ```
//!
//! Orders are taken without waiting, and refused where a queue is full. Nothing is done that was not
//! ordered: an address that is not held again in time goes.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ipnet::IpNet;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::NetworkError;
use super::mailbox::{Receiver, Refused, Sender, mailbox};
use super::netlink::{Change, Interface, Netlink, News, Route};
use super::probe::{Presence, Question, probe};
use super::socket::Family;
use super::virtual_mac;

/// What is to be done. `owner` comes back in the report: the number of an instance.
#[derive(Clone, Debug)]
pub enum Order {
    /// An interface is reported now, and whenever it changes. A second order for it takes the first one's place.
    Watch {
        /// Its name; it need not be there yet.
        interface: Arc<str>,
        /// Addresses that come and go by our own orders: they are no change, and never its own address.
        virtual_addresses: Arc<[IpNet]>,
    },
    /// Addresses are added to an interface, or renewed.
    Hold {
        /// Whose they are.
        owner: usize,
        /// A watched interface.
        interface: Arc<str>,
        /// The addresses.
        addresses: Arc<[IpNet]>,
        /// Whether IPv4 addresses bring a route.
        route: Route,
        /// After this time without another order they go, in whole seconds.
        lifetime: Duration,
    },
    /// Addresses are taken away.
    Release {
        /// Whose they were.
        owner: usize,
        /// A watched interface.
        interface: Arc<str>,
        /// The addresses.
        addresses: Arc<[IpNet]>,
    },
    /// An interface with the virtual MAC is created.
    CreateVirtualMac {
        /// Whose it is.
        owner: usize,
        /// The real interface, which is watched.
        parent: Arc<str>,
        /// Its last byte.
        virtual_router_id: u8,
        /// Which of the two prefixes.
        family: Family,
    },
    /// It is removed.
    RemoveVirtualMac {
        /// Its name.
        interface: String,
    },
}

/// What came of an order, or what changed.
#[derive(Debug)]
pub enum Report {
    /// A watched interface.
    Interface {
        /// Its name.
        name: Arc<str>,
        /// How it is now; `None`: it is not there.
        now: Option<Interface>,
    },
    /// Addresses were held or renewed.
    Held {
        /// Whose they are.
        owner: usize,
        /// Those that were not, each with the reason.
        failures: Vec<(IpNet, NetworkError)>,
    },
    /// Addresses were released.
    Released {
        /// Whose they were.
        owner: usize,
        /// Those that were not, each with the reason.
        failures: Vec<(IpNet, NetworkError)>,
    },
    /// An interface with the virtual MAC was created.
    VirtualMac {
        /// Whose it is.
        owner: usize,
        /// The interface, or why there is none.
        made: Result<Interface, NetworkError>,
    },
    /// Somebody asked who has the address.
    Probed {
        /// Who asked.
        owner: usize,
        /// The answer.
        presence: Result<Presence, NetworkError>,
    },
}

/// The threads; they end when this is gone.
#[derive(Debug)]
pub struct Network {
    orders: Sender<Order>,
    questions: Sender<(usize, Question)>,
}

impl Network {
    /// Starts the threads, in the network namespace of the caller.
    ///
    /// # Errors
    /// Where there can be no thread or no socket.
    pub fn start() -> Result<(Self, Receiver<Report>), NetworkError> {
        let (reporter, reports) = mailbox(QUEUE).map_err(no_thread("reports"))?;
        let (orders, ordered) = mailbox(QUEUE).map_err(no_thread("addresses"))?;
        let (questions, asked) = mailbox(QUEUE).map_err(no_thread("probes"))?;
        // The news begin before anything is read: what changes in between is read again.
        let news = News::open()?;
        let addresses = Addresses { netlink: Netlink::open()?, watched: Vec::new(), held: Vec::new() };
        let replies = reporter.clone();
        thread::Builder::new()
            .name("vrrp-netlink".into())
            .spawn(move || addresses.run(&ordered, news, &replies))
            .map_err(no_thread("addresses"))?;
        thread::Builder::new()
            .name("vrrp-probe".into())
            .spawn(move || answer(&asked, &reporter))
            .map_err(no_thread("probes"))?;
        Ok((Self { orders, questions }, reports))
    }

    /// Orders something, without waiting.
    ///
    /// # Errors
    /// Where the thread does not keep up, or has ended.
    pub fn order(&self, order: Order) -> Result<(), Refused> {
        self.orders.offer(order)
    }

    /// Asks who has an address, without waiting; questions are answered side by side.
    ///
    /// # Errors
    /// Where the thread does not keep up, or has ended.
    pub fn ask(&self, owner: usize, question: Question) -> Result<(), Refused> {
        self.questions.offer((owner, question))
    }
}

/// Takes away what an earlier process has left of these addresses, by hand; which ones it was. An
/// address that is there for ever was never ours, and stays.
///
/// # Errors
/// Where the kernel refuses, or there is no such interface.
pub fn release(interface: &str, addresses: &[IpNet]) -> Result<Vec<IpNet>, NetworkError> {
    let mut netlink = Netlink::open()?;
    let found = netlink.interface(interface, &[])?;
    let index = found.ok_or_else(|| NetworkError::NoInterface(interface.to_owned()))?.index;
    let mut released = Vec::new();
    for present in netlink.addresses(index)? {
        let is_ours = addresses.iter().any(|address| address.addr() == present.net.addr());
        if is_ours && present.valid.is_some() && netlink.release(index, present.net)? {
            released.push(present.net);
        }
    }
    Ok(released)
}

/// Orders and reports that wait: several for each of a hundred instances.
const QUEUE: usize = 512;

fn no_thread(what: &'static str) -> impl FnOnce(std::io::Error) -> NetworkError {
    move |source| NetworkError::Thread(what, source)
}

/// Answers questions until nobody asks any more. Each has a thread: a host that dies takes all its
/// addresses along, and one that waits for an answer must not use up the time of the others.
fn answer(asked: &Receiver<(usize, Question)>, reports: &Sender<Report>) {
    loop {
        wait(&mut [PollFd::new(asked, PollFlags::IN)]);
        let goes_on = asked.drain(|(owner, question)| {
            let reports = reports.clone();
            let tell = move || {
                // Nobody may be there to hear it.
                let _ = reports.send(Report::Probed { owner, presence: probe(&question) });
            };
            if let Err(error) = thread::Builder::new().name("vrrp-question".into()).spawn(tell) {
                tracing::warn!(%error, "no thread to ask who has an address");
            }
        });
        if !goes_on {
            return;
        }
    }
}

/// Waits until one of these is readable, or a signal came.
fn wait(sockets: &mut [PollFd<'_>]) {
    if let Err(error) = poll(sockets, None)
        && error != Errno::INTR
    {
        tracing::error!(error = %std::io::Error::from(error), "no wait for orders of VRRP");
    }
}

/// What the thread for addresses knows.
struct Addresses {
    netlink: Netlink,
    watched: Vec<Watched>,
    /// Addresses that are there by our orders, with the number of their interface.
    held: Vec<(u32, IpNet)>,
}

struct Watched {
    name: Arc<str>,
    virtual_addresses: Arc<[IpNet]>,
    now: Option<Interface>,
}

impl Addresses {
    /// Obeys until nobody orders or hears any more.
    fn run(mut self, orders: &Receiver<Order>, mut news: News, reports: &Sender<Report>) {
        loop {
            wait(&mut [PollFd::new(orders, PollFlags::IN), PollFd::new(&news, PollFlags::IN)]);
            let mut is_heard = true;
            let goes_on = orders.drain(|order| {
                if let Some(report) = self.obey(order) {
                    is_heard &= reports.send(report).is_ok();
                }
            });
            let mut changed = vec![false; self.watched.len()];
            let read = news.read(|change| self.mark(&change, &mut changed));
            if let Err(error) = read {
                tracing::warn!(error = %crate::diagnostic::Causes(&error), "news of interfaces are lost");
                changed.fill(true);
            }
            for at in changed.into_iter().enumerate().filter_map(|(at, changed)| changed.then_some(at)) {
                if let Some(report) = self.look(at) {
                    is_heard &= reports.send(report).is_ok();
                }
            }
            if !goes_on || !is_heard {
                return;
            }
        }
    }

    fn obey(&mut self, order: Order) -> Option<Report> {
        match order {
            Order::Watch { interface, virtual_addresses } => {
                self.watched.retain(|watched| watched.name != interface);
                self.watched.push(Watched { name: Arc::clone(&interface), virtual_addresses, now: None });
                // What is not there is said, too: whoever watches waits for a first report.
                let none = Report::Interface { name: interface, now: None };
                Some(self.look(self.watched.len() - 1).unwrap_or(none))
            }
            Order::Hold { owner, interface, addresses, route, lifetime } => {
                let failures = self.each(&interface, &addresses, |it, index, net| it.hold(index, net, route, lifetime));
                Some(Report::Held { owner, failures })
            }
            Order::Release { owner, interface, addresses } => {
                let failures = self.each(&interface, &addresses, Self::release);
                Some(Report::Released { owner, failures })
            }
            Order::CreateVirtualMac { owner, parent, virtual_router_id, family } => {
                let parent = self.watched(&parent);
                let made = parent
                    .and_then(|parent| virtual_mac::create(&mut self.netlink, &parent, virtual_router_id, family));
                Some(Report::VirtualMac { owner, made })
            }
            Order::RemoveVirtualMac { interface } => {
                if let Err(error) = virtual_mac::remove(&mut self.netlink, &interface) {
                    tracing::warn!(interface, error = %crate::diagnostic::Causes(&error), "virtual interface stays");
                }
                None
            }
        }
    }

    /// Does this with each address; those that failed, with the reason.
    fn each(
        &mut self,
        interface: &Arc<str>,
        addresses: &[IpNet],
        mut order: impl FnMut(&mut Self, u32, IpNet) -> Result<(), NetworkError>,
    ) -> Vec<(IpNet, NetworkError)> {
        let mut one = |net: &IpNet| {
            let index = self.watched(interface)?.index;
            order(self, index, *net)
        };
        addresses.iter().filter_map(|net| one(net).err().map(|error| (*net, error))).collect()
    }

    fn hold(&mut self, index: u32, net: IpNet, route: Route, lifetime: Duration) -> Result<(), NetworkError> {
        // An address that the host has for ever, as an address owner does, must get no lifetime by us.
        if !self.held.contains(&(index, net)) {
            if self.is_permanent(index, net)? {
                return Ok(());
            }
            self.held.retain(|(_, held)| *held != net);
            self.held.push((index, net));
        }
        self.netlink.hold(index, net, route, lifetime)
    }

    fn release(&mut self, index: u32, net: IpNet) -> Result<(), NetworkError> {
        let was_held = self.held.contains(&(index, net));
        self.held.retain(|held| *held != (index, net));
        if was_held || !self.is_permanent(index, net)? {
            self.netlink.release(index, net)?;
        }
        Ok(())
    }

    fn is_permanent(&mut self, index: u32, net: IpNet) -> Result<bool, NetworkError> {
        let present = self.netlink.addresses(index)?;
        Ok(present.iter().any(|present| present.net.addr() == net.addr() && present.valid.is_none()))
    }

    fn watched(&self, name: &Arc<str>) -> Result<Interface, NetworkError> {
        let watched = self.watched.iter().find(|watched| watched.name == *name);
        let now = watched.and_then(|watched| watched.now.clone());
        now.ok_or_else(|| NetworkError::NoInterface(name.to_string()))
    }

    /// Marks the watched interfaces that a change concerns.
    fn mark(&self, change: &Change, changed: &mut [bool]) {
        for (watched, changed) in self.watched.iter().zip(changed) {
            let is_its = |number: u32| watched.now.as_ref().is_some_and(|now| now.index == number);
            *changed |= match change {
                // It may have been renamed: then the number tells, and the name is gone.
                Change::Interface { index, name } => **name == *watched.name || is_its(*index),
                Change::Address { index, net } => {
                    is_its(*index) && !watched.virtual_addresses.iter().any(|own| own.addr() == net.addr())
                }
                Change::Anything => true,
            };
        }
    }

    /// Looks at a watched interface; a report where it has changed.
    fn look(&mut self, at: usize) -> Option<Report> {
        let watched = self.watched.get_mut(at)?;
        let now = match self.netlink.interface(&watched.name, &watched.virtual_addresses) {
            Ok(now) => now,
            Err(error) => {
                tracing::warn!(interface = %watched.name, error = %crate::diagnostic::Causes(&error), "interface not read");
                return None;
            }
        };
        if now == watched.now {
            return None;
        }
        watched.now.clone_from(&now);
        Some(Report::Interface { name: Arc::clone(&watched.name), now })
    }
}
