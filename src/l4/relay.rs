//! Bytes both ways between a client and a server.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use super::Ending;
use super::fallen::{Standing, Watched};
use super::session::Session;
use crate::net::{Buffer, Deadline, Pipe, Source, Stream, end_turn};
use crate::snapshot::ListenerTimeouts;
use crate::upstream::{Lease, OnDown};

/// Bytes that each way of a session moves before the thread looks at its other sockets.
const TURN: usize = 512 * 1024;
/// Reads in a row that filled their block, after which the kernel moves the bytes: for a small exchange a
/// pipe costs more calls than a copy.
const FULL_READS: u8 = 2;

/// Relays until both sides have ended, or one has failed.
pub(super) async fn run(
    session: &mut Session,
    client: &mut Stream,
    mut lease: Lease<'_>,
    timeouts: ListenerTimeouts,
) -> Ending {
    let standing = Standing::of(lease.server);
    // The one that bounded its making.
    let idle = lease.connection.deadline.clone();
    idle.set(timeouts.idle);
    let total = timeouts.total.map(|limit| {
        let total = Deadline::default();
        total.set(limit);
        total
    });
    let falls_with = lease.on_down() == OnDown::Close;
    let _watched = falls_with.then(|| Watched::new(Standing::of(lease.server), &idle));
    // It may have fallen, or come into doubt, while the connection was made.
    if falls_with && !lease.server.state.health().is_usable() {
        return Ending::ServerDown;
    }
    let mut pair = Pair { client, server: &mut lease.connection.stream, is_over: false };
    let (mut up, mut down) = (Way::default(), Way::default());
    let ending = poll_fn(|cx| {
        // The deadline is set anew with each byte; that the server has fallen stays.
        if falls_with && standing.has_fallen() {
            return Poll::Ready(Ending::ServerDown);
        }
        // One each: a way that never rests takes nothing of the other's.
        let (mut up_turn, mut down_turn) = (TURN, TURN);
        let forth = up.poll(cx, pair.client, pair.server, &mut up_turn, down.shut);
        let back = down.poll(cx, pair.server, pair.client, &mut down_turn, up.shut);
        if session.moved(up.bytes, down.bytes) {
            idle.set(timeouts.idle);
        }
        match (forth, back) {
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(Ending::Whole),
            // Who failed: the one that `up` reads is the one that `down` writes.
            (Poll::Ready(Err(WayFault::From(_))), _) | (_, Poll::Ready(Err(WayFault::To(_)))) => {
                return Poll::Ready(Ending::ClientReset);
            }
            (Poll::Ready(Err(WayFault::To(_))), _) | (_, Poll::Ready(Err(WayFault::From(_)))) => {
                return Poll::Ready(Ending::ServerReset);
            }
            _ => {}
        }
        if up_turn == 0 || down_turn == 0 {
            end_turn(cx);
            return Poll::Pending;
        }
        if total.as_ref().is_some_and(|total| total.poll(cx).is_ready()) {
            return Poll::Ready(Ending::TotalTimeout);
        }
        idle.poll(cx)
            .map(|()| if falls_with && standing.has_fallen() { Ending::ServerDown } else { Ending::IdleTimeout })
    })
    .await;
    pair.is_over = ending == Ending::Whole;
    ending
}

/// Both streams of a session. Where it breaks, whatever the cause, both are reset: an end would look like
/// the end of what was to be said.
struct Pair<'a> {
    client: &'a mut Stream,
    server: &'a mut Stream,
    is_over: bool,
}

impl Drop for Pair<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.client.reset_on_close();
            self.server.reset_on_close();
        }
    }
}

/// Which end of a way failed.
#[derive(Debug)]
enum WayFault {
    From(#[expect(dead_code, reason = "told by Debug")] io::Error),
    To(#[expect(dead_code, reason = "told by Debug")] io::Error),
}

/// One direction.
#[derive(Default)]
struct Way {
    /// What was read and is not written yet.
    held: Buffer,
    /// The same in the kernel, where much goes through.
    pipe: Option<Pipe>,
    /// Reads in a row that filled their block.
    full: u8,
    ended: bool,
    shut: bool,
    bytes: u64,
}

impl Way {
    /// Ready when `from` has ended and `to` was told, or is told by its close: where `last`, the other way is
    /// over. Pending with nothing of `turn` left it could go on.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
        turn: &mut usize,
        last: bool,
    ) -> Poll<Result<(), WayFault>> {
        loop {
            ready!(self.poll_write(cx, to)).map_err(WayFault::To)?;
            if self.ended {
                // TLS has a word for the end, which a close does not say.
                let told_by_close = last && to.plain().is_some();
                if !self.shut && !told_by_close {
                    ready!(to.poll_shutdown(cx)).map_err(WayFault::To)?;
                }
                self.shut = true;
                return Poll::Ready(Ok(()));
            }
            if *turn == 0 {
                return Poll::Pending;
            }
            match self.poll_read(cx, from, to) {
                Poll::Ready(Ok(n)) => {
                    self.ended = n == 0;
                    *turn = turn.saturating_sub(n);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(WayFault::From(error))),
                Poll::Pending => {
                    ready!(to.poll_flush(cx)).map_err(WayFault::To)?;
                    return Poll::Pending;
                }
            }
        }
    }

    /// Ready when nothing is held.
    fn poll_write(&mut self, cx: &mut Context<'_>, to: &mut Stream) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            let n = ready!(to.poll_write(cx, self.held.data()))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.held.consume(n);
            self.bytes += n as u64;
        }
        if let (Some(pipe), Some(socket)) = (&mut self.pipe, to.plain()) {
            while !pipe.is_empty() {
                self.bytes += ready!(pipe.poll_drain(cx, socket))? as u64;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once, nothing being held; 0 is the end.
    fn poll_read(&mut self, cx: &mut Context<'_>, from: &mut Stream, to: &Stream) -> Poll<io::Result<usize>> {
        let much = self.full >= FULL_READS;
        if let (true, Some(socket), Some(_)) = (much, from.plain(), to.plain()) {
            if let Poll::Ready(moved) = self.poll_splice(cx, socket)? {
                if let Some(n) = moved {
                    return Poll::Ready(Ok(n));
                }
            } else {
                return Poll::Pending;
            }
        }
        let size = if much { Buffer::LARGE } else { Buffer::SMALL };
        let n = ready!(from.poll_fill(cx, &mut self.held, size))?;
        self.full = if n >= Buffer::SMALL { self.full.saturating_add(1) } else { 0 };
        Poll::Ready(Ok(n))
    }

    /// The same into a pipe; `None` where there is none to be had. Who waits holds neither block nor pipe.
    fn poll_splice(&mut self, cx: &mut Context<'_>, from: &tokio::net::TcpStream) -> Poll<io::Result<Option<usize>>> {
        self.held = Buffer::none();
        if from.poll_read_ready(cx)?.is_pending() {
            self.pipe = None;
            return Poll::Pending;
        }
        if self.pipe.is_none() {
            self.pipe = Pipe::new(Source::Socket);
        }
        let Some(pipe) = &mut self.pipe else { return Poll::Ready(Ok(None)) };
        let Poll::Ready(moved) = pipe.poll_fill(cx, from, u64::MAX)? else {
            self.pipe = None;
            return Poll::Pending;
        };
        if moved < Buffer::SMALL {
            self.full = 0;
        }
        Poll::Ready(Ok(Some(moved)))
    }
}

#[cfg(test)]
mod tests;
