//! What came along with an order: descriptors, made what they are.

use std::collections::VecDeque;
use std::fs::File;
use std::net::TcpListener;
use std::os::fd::OwnedFd;

use crate::control::Load;
use crate::net::{Endpoint, Listening};

/// What a config needs beside its files, all of it open.
#[derive(Debug, Default)]
pub(super) struct Handed {
    /// For each endpoint that is new a socket a thread.
    pub(super) sockets: Vec<(Endpoint, Vec<Listening>)>,
    /// The admin listener's, where it is new.
    pub(super) admin: Option<TcpListener>,
    /// The access log's file, where it goes to one.
    pub(super) log: Option<File>,
}

impl Handed {
    /// Deals out the descriptors that came with `load`. Where some are missing the last ones are.
    pub(super) fn new(load: &Load, mut descriptors: VecDeque<OwnedFd>, threads: usize) -> Self {
        let mut sockets = Vec::new();
        for endpoint in &load.sockets {
            let own = descriptors.drain(..threads.min(descriptors.len()));
            sockets.push((*endpoint, own.map(|socket| Listening::received(endpoint.transport, socket)).collect()));
        }
        Self {
            sockets,
            admin: load.admin.then(|| descriptors.pop_front().map(TcpListener::from)).flatten(),
            log: load.log.then(|| descriptors.pop_front().map(File::from)).flatten(),
        }
    }
}
