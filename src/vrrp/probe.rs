//! Who has the virtual address now? Asked before it is claimed, while the last advert is still awaited.
//!
//! Adverts that stay away mean that the other host is dead, or that adverts alone get lost. Whoever has
//! the address still answers ARP or neighbour solicitations; where it takes a connection, too, it serves.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use socket2::{Domain, Type};

use super::NetworkError;
use super::frame_socket::FrameSocket;
use super::neighbour::{LONGEST_FRAME, Mac, advertisement_owner, arp_owner, arp_probe, solicitation};
use super::netlink::Interface;
use super::socket::Family;

/// What is asked, and until when. To be asked only while this host does not have the address itself.
#[derive(Clone, Debug)]
pub struct Question {
    /// Where the address lives.
    pub interface: Interface,
    /// The virtual address.
    pub address: IpAddr,
    /// Ports on which a host that serves takes TCP connections; the first [`MOST_PORTS`] are tried.
    pub ports: Vec<u16>,
    /// Whom we know.
    pub known: Known,
    /// When the answer must be there.
    pub deadline: Instant,
}

/// How a host that is known is told from a stranger: by where frames to it go. No proof: whoever speaks for
/// others' addresses is taken for them.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Addresses of its own; the first [`MOST_KNOWN`] are asked for.
    pub addresses: Vec<IpAddr>,
    /// The MAC of the virtual router.
    pub mac: Option<Mac>,
}

/// How many hosts are told from strangers.
pub const MOST_KNOWN: usize = 8;

/// How many ports of the address are tried.
pub const MOST_PORTS: usize = 8;

/// Who has the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Nobody answered in time.
    Nobody,
    /// A host has it, and refuses connections on every port: its daemon is dead.
    Refuses(Mac),
    /// A host has it, and takes a connection: it serves.
    Accepts {
        /// Where it is.
        mac: Mac,
        /// Whether it is one that is known.
        known: bool,
    },
    /// A host has it; it neither took nor refused connections in time, or no port is known.
    Unclear(Mac),
}

/// Asks, and waits for the answer until the deadline at most.
///
/// # Errors
/// Where the question cannot be sent: no CAP_NET_RAW, no such interface, or it is down.
pub fn probe(question: &Question) -> Result<Presence, NetworkError> {
    let interface = &question.interface;
    let socket = FrameSocket::for_questions(interface, Family::of(question.address))?;
    let Some(Owner { mac, known }) = find_owner(&socket, question)? else { return Ok(Presence::Nobody) };
    let verdict = try_ports(question).map_err(NetworkError::on(&interface.name, "no connection tried"))?;
    Ok(match verdict {
        Verdict::Accepts => Presence::Accepts { mac, known },
        Verdict::Refuses => Presence::Refuses(mac),
        Verdict::Unclear => Presence::Unclear(mac),
    })
}

/// A frame may be lost: the question is sent this often within its time.
const QUESTIONS: u32 = 3;

/// Who answers for the address.
#[derive(Clone, Copy)]
struct Owner {
    mac: Mac,
    known: bool,
}

/// What was answered so far.
#[derive(Default)]
struct Answers {
    owner: Option<Mac>,
    /// Where the hosts are that are known.
    known: Vec<Mac>,
}

impl Answers {
    fn take(&mut self, question: &Question, frame: &[u8]) {
        let speaker = |address: IpAddr| {
            let owner = match address {
                IpAddr::V4(address) => arp_owner(frame, address),
                IpAddr::V6(address) => advertisement_owner(frame, address),
            };
            // What we have said ourselves, and heard back by a loop of switches, is no answer.
            owner.filter(|owner| *owner != question.interface.mac)
        };
        let known = question.known();
        if let Some(mac) = known.iter().find_map(|address| speaker(*address))
            && self.known.len() < MOST_KNOWN
        {
            self.known.push(mac);
        }
        // Of two that speak for it one that is known counts.
        if let Some(mac) = speaker(question.address)
            && !self.owner().is_some_and(|owner| owner.known)
        {
            self.owner = Some(mac);
        }
    }

    fn owner(&self) -> Option<Owner> {
        self.owner.map(|mac| Owner { mac, known: self.known.contains(&mac) })
    }
}

fn find_owner(socket: &FrameSocket, question: &Question) -> Result<Option<Owner>, NetworkError> {
    let interface = &question.interface;
    let between = question.deadline.saturating_duration_since(Instant::now()) / QUESTIONS;
    let mut answers = Answers { known: question.known.mac.into_iter().collect(), ..Answers::default() };
    for _ in 0..QUESTIONS {
        ask(socket, question, question.address)?;
        for address in question.known() {
            ask(socket, question, *address)?;
        }
        let until = (Instant::now() + between).min(question.deadline);
        while wait(&mut [PollFd::new(socket, PollFlags::IN)], until)
            .map_err(NetworkError::on(&interface.name, "no wait for an answer"))?
        {
            let mut buffer = [0; LONGEST_FRAME];
            let frame = socket.receive(&mut buffer).map_err(NetworkError::on(&interface.name, "no answer read"))?;
            if let Some(frame) = frame {
                answers.take(question, frame);
            }
            // Where nobody is known there is nothing more to hear.
            if let Some(owner) = answers.owner().filter(|owner| owner.known || question.known().is_empty()) {
                return Ok(Some(owner));
            }
        }
        if let Some(owner) = answers.owner() {
            return Ok(Some(owner));
        }
    }
    Ok(None)
}

impl Question {
    /// Addresses of hosts that are known, as many as are asked for.
    fn known(&self) -> &[IpAddr] {
        let all = &self.known.addresses;
        &all[..all.len().min(MOST_KNOWN)]
    }
}

fn ask(socket: &FrameSocket, question: &Question, address: IpAddr) -> Result<(), NetworkError> {
    let interface = &question.interface;
    let sent = match address {
        IpAddr::V4(address) => socket.send(&arp_probe(interface.mac, address)),
        IpAddr::V6(address) => {
            let no_source = || NetworkError::NoLinkLocal(interface.name.clone());
            let source = interface.link_local.ok_or_else(no_source)?;
            socket.send(&solicitation(interface.mac, source, address))
        }
    };
    sent.map_err(NetworkError::on(&interface.name, "question not sent"))
}

enum Verdict {
    Accepts,
    Refuses,
    Unclear,
}

/// Connects to every port at once, through the interface: the kernel finds the owner by the same
/// question, and needs no route as the interface is given.
fn try_ports(question: &Question) -> io::Result<Verdict> {
    let mut open = Vec::new();
    let mut all_refuse = !question.ports.is_empty();
    for port in question.ports.iter().take(MOST_PORTS) {
        match connect(question, *port) {
            Ok(socket) => open.push(socket),
            Err(error) => all_refuse &= error.kind() == io::ErrorKind::ConnectionRefused,
        }
    }
    while !open.is_empty() {
        let mut polled: Vec<_> = open.iter().map(|socket| PollFd::new(socket, PollFlags::OUT)).collect();
        if !wait(&mut polled, question.deadline)? {
            return Ok(Verdict::Unclear);
        }
        let ready: Vec<bool> = polled.iter().map(|socket| !socket.revents().is_empty()).collect();
        let mut ready = ready.into_iter();
        let mut accepted = false;
        open.retain(|socket| {
            let is_ready = ready.next().unwrap_or_default();
            if is_ready {
                match socket.take_error() {
                    Ok(None) => accepted = true,
                    Ok(Some(error)) => all_refuse &= error.kind() == io::ErrorKind::ConnectionRefused,
                    Err(_) => all_refuse = false,
                }
            }
            !is_ready
        });
        if accepted {
            return Ok(Verdict::Accepts);
        }
    }
    Ok(if all_refuse { Verdict::Refuses } else { Verdict::Unclear })
}

/// A connection that is under way or there already.
fn connect(question: &Question, port: u16) -> io::Result<socket2::Socket> {
    let (domain, to) = match question.address {
        IpAddr::V4(address) => (Domain::IPV4, SocketAddr::from((address, port))),
        // The scope counts for link-local addresses alone.
        IpAddr::V6(address) => (Domain::IPV6, SocketAddrV6::new(address, port, 0, question.interface.index).into()),
    };
    let socket = socket2::Socket::new(domain, Type::STREAM.cloexec().nonblocking(), None)?;
    socket.bind_device(Some(question.interface.name.as_bytes()))?;
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => Err(error),
        _ => Ok(socket),
    }
}

/// Waits until one of these is ready; `false`: the time is over.
fn wait(sockets: &mut [PollFd<'_>], until: Instant) -> io::Result<bool> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        match poll(sockets, Some(&left)) {
            Err(Errno::INTR) => {}
            ready => return Ok(ready? > 0),
        }
    }
}
