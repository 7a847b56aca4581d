//! Sessions that end when their server is judged down.
//!
//! A session looks at one number of its server in each of its turns; who has no turn is woken here. So
//! sessions share no lock, and each thread goes through its own when there is news.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use slab::Slab;

use crate::net::Deadline;
use crate::upstream::{News, Server};

/// A session's server as it was when the session chose it.
#[derive(Debug)]
pub(super) struct Standing {
    server: Arc<Server>,
    falls: u64,
}

impl Standing {
    /// As the server is now.
    pub(super) fn of(server: &Arc<Server>) -> Self {
        Self { server: Arc::clone(server), falls: server.state.falls() }
    }

    /// Whether it was judged down since.
    pub(super) fn has_fallen(&self) -> bool {
        self.server.state.falls() != self.falls
    }
}

thread_local! {
    static WATCHED: RefCell<Slab<(Standing, Deadline)>> = const { RefCell::new(Slab::new()) };
    static LISTENS: Cell<bool> = const { Cell::new(false) };
}

/// A session among those that are woken; it is no more when dropped.
#[derive(Debug)]
pub(super) struct Watched(usize);

impl Watched {
    /// Fires `wake` when the server falls.
    pub(super) fn new(standing: Standing, wake: &Deadline) -> Self {
        if !LISTENS.replace(true) {
            listen(standing.server.state.news());
        }
        Self(WATCHED.with_borrow_mut(|all| all.insert((standing, wake.clone()))))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // The table is gone when the thread is ending.
        let _ = WATCHED.try_with(|all| all.borrow_mut().try_remove(self.0));
    }
}

/// Goes through the sessions of this thread whenever there is news.
fn listen(news: &News) {
    let mut news = news.listen();
    tokio::task::spawn_local(async move {
        while news.changed().await.is_ok() {
            WATCHED.with_borrow(|all| {
                let fallen = all.iter().filter(|(_, (standing, _))| standing.has_fallen());
                fallen.for_each(|(_, (_, wake))| wake.fire());
            });
        }
    });
}
