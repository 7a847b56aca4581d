//! Edge-triggered epoll over numbered sockets.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::time::Timespec;

pub struct Poll {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

/// What happened to the socket that was added under `key`.
#[derive(Clone, Copy)]
pub struct Event {
    pub key: usize,
    flags: EventFlags,
}

impl Event {
    pub fn is_readable(self) -> bool {
        self.flags.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP)
    }

    pub fn is_writable(self) -> bool {
        self.flags.contains(EventFlags::OUT)
    }

    /// The peer sends no more: a short read does not mean that the end was not reached.
    pub fn is_ending(self) -> bool {
        self.flags.intersects(EventFlags::RDHUP | EventFlags::HUP)
    }

    pub fn is_broken(self) -> bool {
        self.flags.contains(EventFlags::ERR)
    }
}

impl Poll {
    pub fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)?, events: Vec::with_capacity(512) })
    }

    /// Watches a connection until it is closed.
    pub fn add(&self, socket: impl AsFd, key: usize) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(&self.epoll, socket, EventData::new_u64(key as u64), flags)?)
    }

    /// Waits for events, at most this long.
    pub fn wait(&mut self, limit: Option<Duration>) -> io::Result<Vec<Event>> {
        let limit =
            limit.map(|limit| Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: i64::from(limit.subsec_nanos()) });
        self.events.clear();
        epoll::wait(&self.epoll, spare_capacity(&mut self.events), limit.as_ref())?;
        Ok(self.events.iter().map(|event| Event { key: event.data.u64() as usize, flags: event.flags }).collect())
    }
}
