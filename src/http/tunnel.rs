//! Bytes both ways after an upgrade: WebSocket and its like.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::message::H1Body;
use crate::net::{Buffer, Scratch, Stream};
use crate::upstream::Lease;

/// Payload bytes that went through a tunnel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TunnelBytes {
    /// From the client to the server.
    pub up: u64,
    /// From the server to the client.
    pub down: u64,
    /// Whether it ended because nothing went through it for too long.
    pub timed_out: bool,
}

/// Sends `start` to the client and then passes bytes both ways, until both sides have ended, one
/// has failed, or nothing moved for `patience`. A side that has ended its sending is told to the
/// other, which may go on.
pub async fn run(client: &mut H1Body, mut lease: Lease<'_>, start: Scratch, patience: Duration) -> TunnelBytes {
    let server = &mut lease.connection;
    // What came with the request is counted as read already.
    let (start, sent) = client.behind_interim(start);
    let (early, head) = (client.input.len() as u64, (start.len() - sent) as u64);
    let mut up = Way { held: std::mem::take(&mut client.input), ..Way::default() };
    let mut down = Way { first: start, first_sent: sent, held: std::mem::take(&mut server.input), ..Way::default() };
    let deadline = &client.receive_deadline;
    deadline.set(patience);
    let mut moved = (0, 0);
    let timed_out = poll_fn(|cx| {
        let forth = up.poll(cx, &mut client.stream, &mut server.stream);
        let back = down.poll(cx, &mut server.stream, &mut client.stream);
        if moved != (up.bytes, down.bytes) {
            moved = (up.bytes, down.bytes);
            deadline.set(patience);
        }
        match (forth, back) {
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) | (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => {
                Poll::Ready(false)
            }
            _ => deadline.poll(cx).map(|()| true),
        }
    })
    .await;
    client.moved.0 += up.bytes.saturating_sub(early);
    client.moved.1 += head + down.bytes;
    TunnelBytes { up: up.bytes, down: down.bytes, timed_out }
}

/// One direction.
#[derive(Default)]
struct Way {
    /// Goes out before anything that is read, and is no payload.
    first: Scratch,
    first_sent: usize,
    held: Buffer,
    ended: bool,
    shut: bool,
    bytes: u64,
}

impl Way {
    /// Ready when `from` has ended and `to` was told.
    fn poll(&mut self, cx: &mut Context<'_>, from: &mut Stream, to: &mut Stream) -> Poll<io::Result<()>> {
        loop {
            while let Some(rest) = self.first.get(self.first_sent..).filter(|rest| !rest.is_empty()) {
                self.first_sent += ready!(to.poll_write(cx, rest))?;
            }
            while !self.held.is_empty() {
                let n = ready!(to.poll_write(cx, self.held.data()))?;
                if n == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.held.consume(n);
                self.bytes += n as u64;
            }
            if self.ended {
                if !self.shut {
                    ready!(to.poll_shutdown(cx))?;
                    self.shut = true;
                }
                return Poll::Ready(Ok(()));
            }
            if !self.poll_read(cx, from)? {
                ready!(to.poll_flush(cx))?;
                return Poll::Pending;
            }
        }
    }

    /// Reads once; false when there is nothing now.
    fn poll_read(&mut self, cx: &mut Context<'_>, from: &mut Stream) -> io::Result<bool> {
        match from.poll_fill(cx, &mut self.held, Buffer::SMALL)? {
            Poll::Ready(n) => self.ended = n == 0,
            Poll::Pending => return Ok(false),
        }
        Ok(true)
    }
}
