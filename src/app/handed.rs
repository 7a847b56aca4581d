//! What came along with an order: descriptors, made what they are.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::control::Load;
use crate::net::{Endpoint, Listening};
use crate::reading::{Reading, Record};

/// What a config needs beside its texts, all of it open.
#[derive(Debug)]
pub(super) struct Handed {
    /// The files that it names.
    pub(super) reading: Reading,
    /// For each endpoint that is new a socket a thread.
    pub(super) sockets: Vec<(Endpoint, Vec<Listening>)>,
    /// The admin listener's, where it is new.
    pub(super) admin: Option<TcpListener>,
    /// The access log's file, where it goes to one.
    pub(super) log: Option<File>,
}

impl Handed {
    /// Deals out the descriptors that came with `load`. Where some are missing the last ones are.
    ///
    /// # Errors
    /// Where not even the first one came.
    pub(super) fn new(load: &Load, mut descriptors: VecDeque<OwnedFd>, threads: usize) -> io::Result<Self> {
        let memory = descriptors.pop_front().ok_or_else(|| io::Error::other("the files did not come along"))?;
        let mut sockets = Vec::new();
        for endpoint in &load.sockets {
            let own = descriptors.drain(..threads.min(descriptors.len()));
            sockets.push((*endpoint, own.map(|socket| Listening::received(endpoint.transport, socket)).collect()));
        }
        Ok(Self {
            reading: Reading::of_record(Record::new(Arc::clone(&load.files), memory)),
            sockets,
            admin: load.admin.then(|| descriptors.pop_front().map(TcpListener::from)).flatten(),
            log: load.log.then(|| descriptors.pop_front().map(File::from)).flatten(),
        })
    }
}
