//! Which protocol a client speaks on a plain listener.

use std::io;

use rustix::net::RecvFlags;
use tokio::io::Interest;
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
        let ready = socket.ready(Interest::READABLE).await.ok()?;
        let peeked = socket.try_io(Interest::READABLE, || {
            let (_, n) = rustix::net::recv(socket, &mut start[..], RecvFlags::PEEK)?;
            // What was peeked at lies there still: only more of it is worth another look.
            if n > 0 && n == seen { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(n) }
        });
        match peeked {
            Ok(0) => return None,
            Ok(n) => {
                let began = start.get(..n)?;
                if n == PREFACE.len() || !PREFACE.starts_with(began) {
                    return Some(began == PREFACE);
                }
                seen = n;
            }
            // It ended inside the preface; nothing will come, and the HTTP/1 driver sees the same end.
            Err(_) if ready.is_read_closed() => return Some(false),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
    }
}
