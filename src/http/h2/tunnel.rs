//! Bytes both ways between a stream and a server, once a WebSocket is open (RFC 8441).

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::http::TunnelBytes;
use crate::message::{H2Body, RequestBody};
use crate::net::{Buffer, Deadline, Piece, Stream, Unsent};
use crate::upstream::Lease;

/// Answers with `opened` and then passes bytes both ways, until both sides have ended, one has
/// failed, or nothing moved for `patience`.
pub(super) async fn run(
    client: &mut H2Body,
    mut lease: Lease<'_>,
    opened: http::Response<()>,
    patience: Duration,
    unsent: &Unsent,
) -> TunnelBytes {
    let Ok(out) = client.respond.send_response(opened, false) else { return TunnelBytes::default() };
    client.open_tunnel();
    let server = &mut lease.connection;
    let mut up = Up::default();
    let mut down = Down { out, unsent, held: std::mem::take(&mut server.input), ended: false, bytes: 0 };
    let deadline = Deadline::default();
    deadline.set(patience);
    let mut moved = (0, 0);
    let ended = poll_fn(|cx| {
        let forth = up.poll(cx, &mut RequestBody::H2(client), &mut server.stream);
        let back = down.poll(cx, &mut server.stream);
        if moved != (up.bytes, down.bytes) {
            moved = (up.bytes, down.bytes);
            deadline.set(patience);
        }
        match (forth, back) {
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(End::Both),
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => Poll::Ready(End::Broken),
            _ => deadline.poll(cx).map(|()| End::TimedOut),
        }
    })
    .await;
    match ended {
        End::Both => {}
        // RFC 9113 §8.5: what a reset is to TCP.
        End::Broken => down.out.send_reset(h2::Reason::CONNECT_ERROR),
        End::TimedOut => down.out.send_reset(h2::Reason::CANCEL),
    }
    TunnelBytes { up: up.bytes, down: down.bytes, timed_out: matches!(ended, End::TimedOut) }
}

enum End {
    Both,
    Broken,
    TimedOut,
}

/// From the client to the server.
#[derive(Default)]
struct Up {
    shut: bool,
    bytes: u64,
}

impl Up {
    /// Ready when the client has ended and the server was told.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut RequestBody<'_>,
        server: &mut Stream,
    ) -> Poll<io::Result<()>> {
        while !self.shut {
            match client.poll_fill(cx) {
                Poll::Ready(Ok(true)) => {
                    let n = ready!(server.poll_write(cx, client.data()))?;
                    if n == 0 {
                        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                    }
                    client.consume(n);
                    self.bytes += n as u64;
                }
                Poll::Ready(Ok(false)) => {
                    ready!(server.poll_shutdown(cx))?;
                    self.shut = true;
                }
                Poll::Ready(Err(fault)) => return Poll::Ready(Err(io::Error::other(fault))),
                Poll::Pending => {
                    ready!(server.poll_flush(cx))?;
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// From the server to the client.
struct Down<'c> {
    out: h2::SendStream<Piece>,
    unsent: &'c Unsent,
    held: Buffer,
    ended: bool,
    bytes: u64,
}

impl Down<'_> {
    /// Ready when the server has ended and the client was told.
    fn poll(&mut self, cx: &mut Context<'_>, server: &mut Stream) -> Poll<io::Result<()>> {
        loop {
            while !self.held.is_empty() {
                self.out.reserve_capacity(self.held.len());
                let granted = match self.out.capacity() {
                    0 => match ready!(self.out.poll_capacity(cx)) {
                        Some(Ok(granted)) => granted,
                        _ => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                    },
                    granted => granted,
                };
                let room = ready!(self.unsent.poll_room(cx));
                let piece = self.held.data().get(..granted.min(room)).unwrap_or(self.held.data());
                let (piece, n) = (Piece::copy_of(piece, self.unsent), piece.len());
                self.out.send_data(piece, false).map_err(io::Error::other)?;
                self.held.consume(n);
                self.bytes += n as u64;
            }
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            match server.poll_fill(cx, &mut self.held, Buffer::SMALL) {
                Poll::Ready(Ok(0)) => {
                    self.out.send_data(Piece::default(), true).map_err(io::Error::other)?;
                    self.ended = true;
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return self.poll_reset(cx),
            }
        }
    }

    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.out.poll_reset(cx).map(|_| Err(io::ErrorKind::ConnectionReset.into()))
    }
}
