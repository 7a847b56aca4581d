//! The body of a request on an HTTP/1.x connection.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::RequestBodyFault;
use crate::codec::h1::{self, BodyDecoder, Framing, Request};
use crate::head::{Fields, ResponseHead, Version};
use crate::net::{Buffer, Deadline, Pace, Scratch, Stream, coarse_now};

/// An HTTP/1.x connection to a client, read side first: the stream is here because reading the
/// request goes on while the answer is written.
#[derive(Debug)]
pub struct H1Body {
    /// The connection.
    pub stream: Stream,
    /// What was read and not yet used.
    pub input: Buffer,
    /// Bounds waits for the client to send.
    pub receive_deadline: Deadline,
    /// Bounds waits for the client to take.
    pub send_deadline: Deadline,
    /// Bytes read from the client, and written to it, that are not counted yet.
    pub moved: (u64, u64),
    framing: Framing,
    decoder: BodyDecoder,
    /// Payload at the front of `input`.
    run: usize,
    received: u64,
    limit: u64,
    pace: Pace,
    interim: Scratch,
    interim_sent: usize,
    /// HTTP/1.0 clients know no interim responses.
    version: Version,
    owes_continue: bool,
    watch: Watch,
}

/// What is known of a client that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watch {
    /// It has not ended its sending side.
    Open,
    /// It has, and a word was sent to it that a client that is gone answers by a reset; looked for
    /// after this time.
    Asked(Duration),
    /// It has, and there is no way to ask.
    Ended,
}

impl H1Body {
    /// A connection on which no request was read yet.
    #[must_use]
    pub fn new(stream: Stream) -> Self {
        Self {
            stream,
            input: Buffer::none(),
            receive_deadline: Deadline::default(),
            send_deadline: Deadline::default(),
            moved: (0, 0),
            framing: Framing::None,
            decoder: BodyDecoder::new(Framing::None),
            run: 0,
            received: 0,
            limit: 0,
            pace: Pace::default(),
            interim: Scratch::none(),
            interim_sent: 0,
            version: Version::Http11,
            owes_continue: false,
            watch: Watch::Open,
        }
    }

    /// Begins the body behind a head that was consumed. `limit` bounds its bytes, `pace` the
    /// waits for more.
    pub fn begin(&mut self, request: &Request, version: Version, limit: u64, pace: Pace) {
        self.begin_framed(request.framing, version, limit, pace);
        self.owes_continue = request.expects_continue;
    }

    /// Begins an exchange whose head cannot be understood: it has no body.
    pub fn begin_nothing(&mut self) {
        self.begin_framed(Framing::None, Version::Http11, 0, Pace::default());
    }

    fn begin_framed(&mut self, framing: Framing, version: Version, limit: u64, pace: Pace) {
        self.framing = framing;
        self.decoder = BodyDecoder::new(framing);
        self.version = version;
        self.owes_continue = false;
        self.watch = Watch::Open;
        self.run = 0;
        self.received = 0;
        self.limit = limit;
        self.pace = pace;
    }

    /// The head of an answer behind the interim bytes that still wait to be sent, and how many of
    /// all are sent already.
    #[must_use]
    pub fn behind_interim(&mut self, head: Scratch) -> (Scratch, usize) {
        if self.interim_sent == self.interim.len() {
            return (head, 0);
        }
        let mut first = std::mem::take(&mut self.interim);
        first.extend_from_slice(&head);
        (first, std::mem::take(&mut self.interim_sent))
    }

    pub(super) fn is_over(&self) -> bool {
        self.decoder.finished()
    }

    pub(super) fn narrow(&mut self, limit: u64) {
        self.limit = self.limit.min(limit);
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    pub(super) fn received(&self) -> u64 {
        self.received
    }

    pub(super) fn trailers(&mut self) -> Fields {
        self.decoder.trailers()
    }

    pub(super) fn waits_for_continue(&self) -> bool {
        self.owes_continue
    }

    pub(super) fn declared_length(&self) -> Option<u64> {
        match self.framing {
            Framing::None => Some(0),
            Framing::Length(length) => Some(length),
            Framing::Chunked | Framing::UntilClose => None,
        }
    }

    pub(super) fn data(&self) -> &[u8] {
        self.input.data().get(..self.run).unwrap_or_default()
    }

    pub(super) fn consume(&mut self, n: usize) {
        let n = n.min(self.run);
        self.input.consume(n);
        self.decoder.consume(n);
        self.run -= n;
        self.received += n as u64;
    }

    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, RequestBodyFault>> {
        loop {
            if self.run > 0 {
                return Poll::Ready(Ok(true));
            }
            if self.decoder.finished() {
                return Poll::Ready(Ok(false));
            }
            let run = self.decoder.advance(self.input.data())?;
            self.input.consume(run.skip);
            if run.data > 0 {
                if self.received + run.data as u64 > self.limit {
                    return Poll::Ready(Err(RequestBodyFault::TooLarge { limit: self.limit }));
                }
                self.run = run.data;
                continue;
            }
            if run.done {
                continue;
            }
            ready!(self.poll_more(cx))?;
        }
    }

    /// Reads once into `input`.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RequestBodyFault>> {
        if std::mem::take(&mut self.owes_continue) {
            // Somebody wants the body: the client need not wait for the server's word.
            self.interim.extend_from_slice(CONTINUE);
        }
        if let Poll::Ready(Err(error)) = self.poll_interim(cx) {
            return Poll::Ready(Err(RequestBodyFault::Gone(error)));
        }
        let wanted = if self.received > Buffer::SMALL as u64 * 2 { Buffer::LARGE } else { Buffer::SMALL };
        match self.stream.poll_fill(cx, &mut self.input, wanted) {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(RequestBodyFault::Gone(io::ErrorKind::UnexpectedEof.into()))),
            Poll::Ready(Ok(n)) => {
                self.moved.0 += n as u64;
                self.pace.moved(coarse_now(), n as u64);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(RequestBodyFault::Gone(error))),
            Poll::Pending => {
                // Only a wait that began here counts: while the upstream takes nothing, nobody waits
                // for the client.
                if let Some(patience) = self.pace.wait(coarse_now()) {
                    self.receive_deadline.set(patience);
                }
                self.receive_deadline.poll(cx).map(|()| Err(RequestBodyFault::TimedOut))
            }
        }
    }

    pub(super) fn queue_interim(&mut self, head: &ResponseHead) {
        // RFC 9110 §15.2: none to an HTTP/1.0 client. A 100 is ours to give.
        if self.version == Version::Http10 || head.status == 100 {
            return;
        }
        // A server that keeps saying 103 must not fill our memory while the client takes nothing.
        if self.interim.len() - self.interim_sent > Buffer::SMALL {
            return;
        }
        h1::write_status_line(&mut self.interim, head.status, &head.reason);
        for field in head.fields.iter() {
            h1::write_field(&mut self.interim, field.name, field.value);
        }
        h1::end_head(&mut self.interim);
    }

    pub(super) fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.interim.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while let Some(rest) = self.interim.get(self.interim_sent..).filter(|rest| !rest.is_empty()) {
            let n = ready!(self.stream.poll_write(cx, rest))?;
            self.interim_sent += n;
            self.moved.1 += n as u64;
        }
        ready!(self.stream.poll_flush(cx))?;
        self.interim.clear();
        self.interim_sent = 0;
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.decoder.finished() {
            return Poll::Pending;
        }
        match self.watch {
            Watch::Open => self.poll_end(cx),
            Watch::Asked(after) => {
                ready!(self.receive_deadline.poll(cx));
                if self.stream.has_failed() {
                    return Poll::Ready(());
                }
                let next = (after * 2).min(LONGEST_LOOK);
                self.watch = Watch::Asked(next);
                self.receive_deadline.set(next);
                self.receive_deadline.poll(cx)
            }
            Watch::Ended => Poll::Pending,
        }
    }

    /// Looks for the end of what the client sends; what it sends meanwhile is its next request.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if !self.input.is_empty() && self.input.spare().is_empty() {
                return Poll::Pending;
            }
            match ready!(self.stream.poll_fill(cx, &mut self.input, Buffer::SMALL)) {
                Ok(0) if self.version == Version::Http10 => {
                    self.watch = Watch::Ended;
                    return Poll::Pending;
                }
                Ok(0) => {
                    // RFC 9110 §15.2: a client takes a 1xx that it did not ask for. One that has
                    // closed altogether answers with a reset.
                    self.interim.extend_from_slice(CONTINUE);
                    if let Poll::Ready(Err(_)) = self.poll_interim(cx) {
                        return Poll::Ready(());
                    }
                    self.watch = Watch::Asked(FIRST_LOOK);
                    self.receive_deadline.set(FIRST_LOOK);
                    return self.receive_deadline.poll(cx);
                }
                Ok(n) => self.moved.0 += n as u64,
                Err(_) => return Poll::Ready(()),
            }
        }
    }
}

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// How soon after asking the answer of a client that is gone is looked for.
const FIRST_LOOK: Duration = Duration::from_millis(50);
/// The longest time between two looks.
const LONGEST_LOOK: Duration = Duration::from_secs(2);
