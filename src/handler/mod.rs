//! What a route does: serve a file, ask an upstream, redirect, say something fixed.
//!
//! In comes a request head with its body still on the way; out goes a [`Response`] whose body may
//! still be on the way too. A handler never writes to the client.

pub mod error_page;
pub mod fixed;
pub mod proxy;
pub mod redirect;
pub mod rewrite;
pub mod static_files;

mod body;
mod template;

pub use body::{Body, BodyFault};
pub use template::TemplateFault;

use std::cell::{Cell, RefCell};
use std::time::Instant;

use crate::head::ResponseHead;
use crate::telemetry::ThreadId;
use crate::upstream::Pools;

/// The handler of a route: the set is what the config offers.
#[derive(Debug)]
pub enum Handler {
    /// Files of a folder.
    Files(static_files::Root),
    /// An upstream's servers.
    Proxy(proxy::Proxy),
    /// A redirect.
    Redirect(redirect::Redirect),
    /// A fixed answer.
    Respond(fixed::Fixed),
}

/// An answer: its head, and a body to be pulled.
///
/// `head` holds neither Content-Length nor Transfer-Encoding nor Connection: drivers write what
/// their protocol needs from the body.
#[derive(Debug)]
pub struct Response<'s> {
    /// Status and fields; boxed, as an answer is handed from room to room.
    pub head: Box<ResponseHead>,
    /// What follows.
    pub body: Body<'s>,
}

impl Response<'_> {
    /// The answer that a folder gave.
    #[must_use]
    pub fn of_file(found: static_files::Answer, local: &Local) -> Self {
        let mut head = local.spare_head();
        head.status = found.status;
        // The two pools swap their memory: neither runs dry.
        local.files.reuse(std::mem::replace(&mut head.fields, found.fields));
        let body = match found.body {
            static_files::FileBody::Empty { length } => Body::Empty(Some(length)),
            static_files::FileBody::Memory(bytes) => Body::Bytes(bytes),
            file @ static_files::FileBody::File(_) => Body::File(Box::new(file)),
        };
        Response { head, body }
    }
}

/// What handlers keep for one data-plane thread.
#[derive(Debug)]
pub struct Local {
    /// Which thread this is.
    pub thread: ThreadId,
    /// Resting connections to servers.
    pub pools: Pools,
    /// Open files.
    pub files: static_files::Files,
    /// Retries that may still be made.
    pub retries: proxy::RetryBudget,
    /// The time of the last turn of the thread's clock; coarse, for ages and expiries.
    pub now: Cell<Instant>,
    #[expect(clippy::vec_box, reason = "the boxes are what is used again")]
    heads: RefCell<Vec<Box<ResponseHead>>>,
}

/// Heads kept for reuse.
const SPARE_HEADS: usize = 256;

impl Local {
    /// A thread that has nothing open yet.
    #[must_use]
    pub fn new(thread: ThreadId, disk: static_files::Disk, now: Instant) -> Self {
        Self {
            thread,
            pools: Pools::default(),
            files: static_files::Files::new(static_files::Bounds::default(), disk),
            retries: proxy::RetryBudget::default(),
            now: Cell::new(now),
            heads: RefCell::default(),
        }
    }

    /// An empty head, with the memory of one that was used before.
    #[must_use]
    pub fn spare_head(&self) -> Box<ResponseHead> {
        self.heads.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a head back.
    pub fn keep_head(&self, mut head: Box<ResponseHead>) {
        let mut heads = self.heads.borrow_mut();
        if heads.len() < SPARE_HEADS {
            head.clear();
            heads.push(head);
        }
    }
}
