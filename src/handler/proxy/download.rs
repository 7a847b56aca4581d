//! The body of a server's answer on its way to the client.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::upload::{Upload, UploadFault};
use crate::codec::h1::{self, BodyDecoder, Framing};
use crate::handler::Local;
use crate::head::Fields;
use crate::message::{HopNames, RequestBody};
use crate::net::{Buffer, Pipe, Source};
use crate::upstream::Lease;

/// Why an answer broke off inside its body.
#[derive(Debug, thiserror::Error)]
pub enum DownloadFault {
    /// The server broke the framing.
    #[error("server's answer is malformed")]
    Framing(#[from] h1::BodyFault),
    /// The server's connection failed or ended.
    #[error("server closed the connection inside its answer")]
    Gone(#[source] io::Error),
    /// The server's HTTP/2 stream ended inside the body.
    #[error("server ended its stream inside its answer")]
    Stream(#[source] h2::Error),
    /// `timeouts.response` passed without a byte.
    #[error("server's answer did not go on in time")]
    TimedOut,
}

impl DownloadFault {
    /// Its name in logs and as a label.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Framing(_) => "body_malformed",
            Self::Gone(_) | Self::Stream(_) => "body_truncated",
            Self::TimedOut => "body_timeout",
        }
    }
}

/// The body of an answer, read as the client takes it or a little ahead.
///
/// The lease goes back to its pool with the last byte, not when the client has taken it. Dropped
/// before, it closes the server's connection: the server then knows that nobody wants the rest.
#[derive(Debug)]
pub struct UpstreamBody<'s> {
    local: &'s Local,
    lease: Option<Lease<'s>>,
    framing: Framing,
    decoder: BodyDecoder,
    /// Payload at the front of the lease's input.
    run: usize,
    /// Payload that was read ahead of a slow client; goes out before the run.
    ahead: Buffer,
    ahead_limit: usize,
    /// Payload that goes out before what was read ahead, without passing through our memory.
    pipe: Option<Pipe>,
    /// Whether what takes the body is a plain socket, and pipes are to be had.
    pipes: bool,
    /// The request, where the answer began before its end.
    upload: Option<Upload>,
    /// Why the server takes no more of it.
    refused: Option<io::Error>,
    persistent: bool,
    server_limit: Option<Duration>,
    patience: Duration,
    waiting: bool,
    received: u64,
    /// Whether what goes on may be read in large pieces.
    large: bool,
    /// What reading ahead met, told when the client has all that came before it.
    fault: Option<DownloadFault>,
    /// What may not stand in the trailer section.
    hop: HopNames,
}

/// From so many bytes on, a body is read in large pieces.
const LARGE_FROM: u64 = 32 * 1024;

impl<'s> UpstreamBody<'s> {
    /// The body behind `answer`, whose head was taken from the lease's input.
    #[must_use]
    pub fn new(
        local: &'s Local,
        lease: Lease<'s>,
        answer: h1::Response,
        persistent: bool,
        upload: Option<Upload>,
        refused: Option<io::Error>,
        ahead_limit: usize,
    ) -> Self {
        Self {
            local,
            framing: answer.framing,
            decoder: BodyDecoder::new(answer.framing),
            run: 0,
            ahead: Buffer::none(),
            ahead_limit,
            pipe: None,
            pipes: false,
            upload,
            refused,
            persistent,
            server_limit: answer.keep_alive_timeout,
            patience: lease.patience(),
            waiting: false,
            received: 0,
            large: true,
            fault: None,
            hop: HopNames::default(),
            lease: Some(lease),
        }
    }

    /// Leaves these fields out of the trailers.
    #[must_use]
    pub fn without(mut self, hop: HopNames) -> Self {
        self.hop = hop;
        self
    }

    /// Says that the body goes to a plain socket: what the server sends on such a one need not be copied.
    pub(crate) fn allow_pipe(&mut self) {
        self.pipes = true;
    }

    pub(crate) fn allow_large(&mut self, large: bool) {
        self.large = large;
    }

    /// What goes out before [`data`](Self::data) by way of the kernel.
    pub(crate) fn pipe(&mut self) -> Option<&mut Pipe> {
        self.pipe.as_mut().filter(|pipe| !pipe.is_empty())
    }

    pub(crate) fn length(&self) -> Option<u64> {
        match self.framing {
            Framing::Length(length) => Some(length),
            // An answer to HEAD, or a 304: what it would be long is not known here.
            Framing::None | Framing::Chunked | Framing::UntilClose => None,
        }
    }

    pub(crate) fn data(&self) -> &[u8] {
        if self.pipe.as_ref().is_some_and(|pipe| !pipe.is_empty()) {
            return &[];
        }
        if !self.ahead.is_empty() {
            return self.ahead.data();
        }
        self.lease.as_ref().and_then(|lease| lease.connection.input.data().get(..self.run)).unwrap_or_default()
    }

    pub(crate) fn consume(&mut self, n: usize) {
        if !self.ahead.is_empty() {
            self.ahead.consume(n);
            return;
        }
        self.take_run(n);
        // The end is often known with the last piece: the server's connection is then free at once.
        if self.run == 0 && self.decoder.finished() {
            self.finish();
        }
    }

    fn take_run(&mut self, n: usize) {
        let n = n.min(self.run);
        if let Some(lease) = &mut self.lease {
            lease.connection.input.consume(n);
        }
        self.decoder.consume(n);
        self.run -= n;
        self.received += n as u64;
    }

    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, DownloadFault>> {
        if self.pipe().is_some() || !self.ahead.is_empty() || self.run > 0 {
            return Poll::Ready(Ok(true));
        }
        if let Some(fault) = self.fault.take() {
            return Poll::Ready(Err(fault));
        }
        match self.pipeable() {
            Some(most) => self.poll_pipe(cx, most),
            None => self.poll_run(cx),
        }
    }

    /// How much may go through a pipe next; makes sure that there is one. A chunked body has its
    /// framing between, and for little a copy is cheaper.
    fn pipeable(&mut self) -> Option<u64> {
        let connection = &mut self.lease.as_mut()?.connection;
        let left = self.decoder.remaining().filter(|left| *left >= LARGE_FROM)?;
        let begins = self.received < LARGE_FROM;
        if !self.pipes || begins || !connection.input.is_empty() || connection.stream.plain().is_none() {
            return None;
        }
        if self.pipe.is_none() {
            self.pipe = Pipe::new(Source::Socket);
            self.pipes = self.pipe.is_some();
            connection.input = Buffer::none();
        }
        self.pipes.then_some(left)
    }

    /// Ready with true when the pipe, empty before, holds some of the body.
    fn poll_pipe(&mut self, cx: &mut Context<'_>, most: u64) -> Poll<Result<bool, DownloadFault>> {
        let (Some(lease), Some(pipe)) = (&self.lease, &mut self.pipe) else { return Poll::Ready(Ok(false)) };
        let Some(socket) = lease.connection.stream.plain() else { return Poll::Ready(Ok(false)) };
        let filled = pipe.poll_fill(cx, socket, most);
        if filled.is_pending() {
            // A server that stalls holds no pipe.
            self.pipe = None;
        }
        let n = ready!(self.poll_came(cx, filled))?;
        self.decoder.consume(n);
        self.received += n as u64;
        if self.decoder.finished() {
            self.finish();
        }
        Poll::Ready(Ok(true))
    }

    /// Ready with true when there is a run, with false when the body is over.
    fn poll_run(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, DownloadFault>> {
        loop {
            if self.run > 0 {
                return Poll::Ready(Ok(true));
            }
            if self.decoder.finished() {
                self.finish();
                return Poll::Ready(Ok(false));
            }
            let Some(lease) = &mut self.lease else { return Poll::Ready(Ok(false)) };
            let input = &mut lease.connection.input;
            let run = self.decoder.advance(input.data())?;
            input.consume(run.skip);
            self.run = run.data;
            if run.data == 0 && !run.done {
                ready!(self.poll_more(cx))?;
            }
        }
    }

    /// Reads once into the lease's input.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DownloadFault>> {
        let Some(lease) = &mut self.lease else { return Poll::Ready(Ok(())) };
        let connection = &mut lease.connection;
        let wanted = if self.large && self.received >= LARGE_FROM { Buffer::LARGE } else { Buffer::SMALL };
        let read = connection.stream.poll_fill(cx, &mut connection.input, wanted);
        self.poll_came(cx, read).map_ok(|_| ())
    }

    /// What it means that `read` bytes came from the server. 0 only where that ends the body.
    fn poll_came(&mut self, cx: &mut Context<'_>, read: Poll<io::Result<usize>>) -> Poll<Result<usize, DownloadFault>> {
        let Some(lease) = &self.lease else { return Poll::Ready(Ok(0)) };
        match read {
            Poll::Ready(Ok(0)) => match (self.refused.take(), self.decoder.end_of_input()) {
                (None, Ok(())) => Poll::Ready(Ok(0)),
                (None, Err(_)) => Poll::Ready(Err(DownloadFault::Gone(io::ErrorKind::UnexpectedEof.into()))),
                // A reset that a write has met looks like an end to the reads behind it.
                (Some(error), _) => Poll::Ready(Err(DownloadFault::Gone(error))),
            },
            Poll::Ready(Ok(n)) => {
                self.waiting = false;
                Poll::Ready(Ok(n))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(DownloadFault::Gone(error))),
            Poll::Pending => {
                let deadline = &lease.connection.deadline;
                if !self.waiting {
                    self.waiting = true;
                    deadline.set(self.patience);
                }
                deadline.poll(cx).map(|()| Err(DownloadFault::TimedOut))
            }
        }
    }

    /// Reads ahead as far as the limit allows. A fault is kept: a socket tells a reset once, and then
    /// that it has ended.
    pub(crate) fn poll_ahead(&mut self, cx: &mut Context<'_>) {
        // What is in the pipe is ahead already.
        let limit = self.ahead_limit.saturating_sub(self.pipe.as_ref().map_or(0, Pipe::len));
        while self.lease.is_some() && self.fault.is_none() && self.ahead.len() < limit {
            match self.poll_run(cx) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Err(fault)) => {
                    self.fault = Some(fault);
                    return;
                }
                Poll::Ready(Ok(false)) | Poll::Pending => return,
            }
            if self.ahead.capacity() == 0 {
                self.ahead = Buffer::with_capacity(self.ahead_limit);
            }
            let Some(lease) = &self.lease else { return };
            let run = lease.connection.input.data().get(..self.run).unwrap_or_default();
            let room = limit - self.ahead.len();
            let taken = self.ahead.append(run.get(..room.min(run.len())).unwrap_or_default());
            self.take_run(taken);
            if self.run == 0 && self.decoder.finished() {
                self.finish();
            }
            if taken == 0 {
                return;
            }
        }
    }

    pub(crate) fn is_uploading(&self) -> bool {
        self.upload.is_some()
    }

    /// Goes on with the request. A client that fails here ends the upload; the answer goes on.
    pub(crate) fn poll_upload(&mut self, cx: &mut Context<'_>, request: &mut RequestBody<'_>) {
        let (Some(upload), Some(lease)) = (&mut self.upload, &mut self.lease) else { return };
        match upload.poll(cx, request, &mut lease.connection.stream) {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => self.upload = None,
            Poll::Ready(Err(fault)) => {
                self.upload = None;
                self.persistent = false;
                if let UploadFault::Upstream(error) = fault {
                    self.refused = Some(error);
                }
            }
        }
    }

    pub(crate) fn trailers(&mut self) -> Fields {
        self.hop.strip(self.decoder.trailers())
    }

    /// Gives the lease back, or drops it where the connection is of no more use.
    fn finish(&mut self) {
        let Some(lease) = self.lease.take() else { return };
        lease.server.state.cells(self.local.thread).bytes_received.add(self.received);
        // Surplus bytes belong to no request: RFC 9112 §9.2 would have them answer the next one.
        let reusable = self.persistent && self.upload.is_none() && lease.connection.input.is_empty();
        self.upload = None;
        if reusable {
            lease.release(&self.local.pools, self.local.now.get(), self.server_limit);
        }
    }
}

impl Drop for UpstreamBody<'_> {
    fn drop(&mut self) {
        if let Some(lease) = &self.lease {
            lease.server.state.cells(self.local.thread).bytes_received.add(self.received);
        }
    }
}
