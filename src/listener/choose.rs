//! Which protocol a client speaks on a plain listener.

use std::future::poll_fn;

use tokio::net::TcpStream;

use crate::net::{Deadline, Tag};
use crate::serve::Worker;
use crate::snapshot::Listener;

/// What a client that knows that we speak HTTP/2 begins with (RFC 9113 §3.4). No HTTP/1 request
/// can: its method would be PRI.
const PREFACE: &[u8] = b"PRI * HTTP/2.0";

/// Whether the client speaks HTTP/2; none where it goes or says nothing in time.
pub(super) async fn choose(worker: &Worker, listener: &Listener, socket: &TcpStream) -> Option<bool> {
    if !listener.protocols.h2c {
        return Some(false);
    }
    if !listener.protocols.http1 {
        return Some(true);
    }
    let deadline = Deadline::default();
    deadline.set_idle(worker.rest(listener.timeouts.idle), Tag(listener.id.0));
    deadline.within(speaks_h2(socket)).await.ok()?
}

async fn speaks_h2(socket: &TcpStream) -> Option<bool> {
    let mut start = [0; PREFACE.len()];
    let mut seen = 0;
    loop {
        poll_fn(|cx| socket.poll_read_ready(cx)).await.ok()?;
        let n = socket.peek(&mut start).await.ok()?;
        let began = start.get(..n)?;
        if n == 0 {
            return None;
        }
        if n == PREFACE.len() || !PREFACE.starts_with(began) {
            return Some(began == PREFACE);
        }
        // The beginning of a preface and no more: peeking again at once would find the same.
        if n == seen {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        seen = n;
    }
}
