//! The request on its way to the server: its head, then its body as the client sends it.

use std::io;
use std::task::{Context, Poll, ready};

use crate::codec::h1;
use crate::message::{HopNames, RequestBody, RequestBodyFault};
use crate::net::{Scratch, Stream, end_turn};

/// How the body is framed for the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadFraming {
    /// As many bytes as the head told; 0 where there is no body.
    Length,
    /// In chunks.
    Chunked,
}

/// Why a request did not go out whole.
#[derive(Debug)]
pub enum UploadFault {
    /// The server's connection failed. It may still have said why.
    Upstream(io::Error),
    /// The client's body did not come.
    Client(RequestBodyFault),
}

/// A request that is being sent.
#[derive(Debug)]
pub struct Upload {
    out: Scratch,
    sent: usize,
    framing: UploadFraming,
    hop: HopNames,
    state: State,
    /// Whether the server has all that the client has sent so far.
    starved: bool,
    /// Bytes written to the server.
    pub bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Sending,
    /// Everything is in `out`.
    Ending,
    Done,
}

/// Payload that is copied behind what is to be sent anyway; more is written from where it lies.
const COPIED: usize = 4096;
/// Bytes after which an upload that meets no resistance lets others have a turn.
const TURN: u64 = 1024 * 1024;

impl Upload {
    /// A request whose head is in `out`; trailer fields named by `hop` do not go on. `is_over`: there
    /// is nothing behind the head.
    #[must_use]
    pub fn new(out: Scratch, framing: UploadFraming, hop: HopNames, is_over: bool) -> Self {
        let ends = is_over && framing == UploadFraming::Length;
        let state = if ends { State::Ending } else { State::Sending };
        Self { out, sent: 0, framing, hop, state, starved: false, bytes: 0 }
    }

    /// Whether all of it is sent.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether the server has taken all that the client has sent so far.
    #[must_use]
    pub fn waits_for_client(&self) -> bool {
        self.starved
    }

    /// Sends what can be sent; ready when all is.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut RequestBody<'_>,
        server: &mut Stream,
    ) -> Poll<Result<(), UploadFault>> {
        self.starved = false;
        let turn = self.bytes + TURN;
        loop {
            if self.bytes >= turn {
                end_turn(cx);
                return Poll::Pending;
            }
            match self.state {
                State::Done => return Poll::Ready(Ok(())),
                // The first piece goes behind the head, in one write.
                State::Sending if self.out.len() - self.sent < COPIED => match self.poll_gather(cx, body) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(fault)) => return Poll::Ready(Err(UploadFault::Client(fault))),
                    Poll::Pending => {
                        ready!(self.poll_send(cx, server))?;
                        self.starved = true;
                        return self.poll_flush(cx, server);
                    }
                },
                State::Sending | State::Ending => ready!(self.poll_send(cx, server))?,
            }
            if self.state == State::Sending && self.framing == UploadFraming::Length && body.data().len() > COPIED {
                ready!(self.poll_send_direct(cx, body, server))?;
            }
            if self.state == State::Ending && self.sent == self.out.len() {
                ready!(server.poll_flush(cx)).map_err(UploadFault::Upstream)?;
                self.out = Scratch::none();
                self.state = State::Done;
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// A flush that leaves the upload waiting for the client.
    fn poll_flush(&self, cx: &mut Context<'_>, server: &mut Stream) -> Poll<Result<(), UploadFault>> {
        match server.poll_flush(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(UploadFault::Upstream(error))),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    }

    /// Takes what the client has sent into `out`, or finds that there is no more.
    fn poll_gather(&mut self, cx: &mut Context<'_>, body: &mut RequestBody<'_>) -> Poll<Result<(), RequestBodyFault>> {
        if !ready!(body.poll_fill(cx))? {
            if self.framing == UploadFraming::Chunked {
                h1::write_last_chunk(&mut self.out, &self.hop.strip(body.trailers()));
            }
            self.state = State::Ending;
            return Poll::Ready(Ok(()));
        }
        match self.framing {
            UploadFraming::Chunked => {
                let data = body.data();
                h1::write_chunk_size(&mut self.out, data.len());
                self.out.extend_from_slice(data);
                self.out.extend_from_slice(h1::CHUNK_END);
                let n = data.len();
                body.consume(n);
            }
            UploadFraming::Length if body.data().len() <= COPIED => {
                self.out.extend_from_slice(body.data());
                let n = body.data().len();
                body.consume(n);
            }
            UploadFraming::Length => {}
        }
        Poll::Ready(Ok(()))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, server: &mut Stream) -> Poll<Result<(), UploadFault>> {
        while let Some(rest) = self.out.get(self.sent..).filter(|rest| !rest.is_empty()) {
            let n = ready!(server.poll_write(cx, rest)).and_then(nonzero).map_err(UploadFault::Upstream)?;
            self.sent += n;
            self.bytes += n as u64;
        }
        if self.state == State::Sending {
            self.out.clear();
            self.sent = 0;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes `out` and then payload from where it lies.
    fn poll_send_direct(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut RequestBody<'_>,
        server: &mut Stream,
    ) -> Poll<Result<(), UploadFault>> {
        while !body.data().is_empty() {
            let rest = self.out.get(self.sent..).unwrap_or_default();
            let written = ready!(server.poll_write_two(cx, rest, body.data()));
            let n = written.and_then(nonzero).map_err(UploadFault::Upstream)?;
            let head = n.min(rest.len());
            self.sent += head;
            self.bytes += n as u64;
            body.consume(n - head);
        }
        Poll::Ready(Ok(()))
    }
}

fn nonzero(n: usize) -> io::Result<usize> {
    if n == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(n) }
}
