//! Bodies to and from a server over HTTP/2.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};

use super::DownloadFault;
use super::stream::piece;
use super::upload::UploadFault;
use crate::codec::h1::may_trail;
use crate::handler::Local;
use crate::head::{Fields, Known};
use crate::message::RequestBody;
use crate::upstream::StreamLease;

/// The body of a request on its way to a server's stream.
#[derive(Debug)]
pub(super) struct StreamUpload {
    out: h2::SendStream<Bytes>,
    waits_for_client: bool,
}

impl StreamUpload {
    pub(super) fn new(out: h2::SendStream<Bytes>) -> Self {
        Self { out, waits_for_client: false }
    }

    /// Whether the server has taken all that the client has sent so far.
    pub(super) fn waits_for_client(&self) -> bool {
        self.waits_for_client
    }

    /// Sends what the server's window takes; ready when all is sent.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, body: &mut RequestBody<'_>) -> Poll<Result<(), UploadFault>> {
        loop {
            let filled = body.poll_fill(cx).map_err(UploadFault::Client);
            self.waits_for_client = filled.is_pending();
            if !ready!(filled)? {
                return Poll::Ready(self.end(&body.trailers()).map_err(upstream));
            }
            let wanted = body.data().len();
            self.out.reserve_capacity(wanted);
            let granted = match self.out.capacity() {
                0 => match ready!(self.out.poll_capacity(cx)) {
                    Some(granted) => granted.map_err(upstream)?,
                    None => return Poll::Ready(Err(UploadFault::Upstream(std::io::ErrorKind::BrokenPipe.into()))),
                },
                granted => granted,
            };
            let n = granted.min(wanted);
            self.out.send_data(piece(body.data(), n), false).map_err(upstream)?;
            body.consume(n);
        }
    }

    fn end(&mut self, trailers: &Fields) -> Result<(), h2::Error> {
        let mut fields = http::HeaderMap::new();
        for field in trailers.iter() {
            if let (Ok(name), Ok(value)) = (field.name.try_into(), field.value.try_into()) {
                fields.append::<http::HeaderName>(name, value);
            }
        }
        if fields.is_empty() { self.out.send_data(Bytes::new(), true) } else { self.out.send_trailers(fields) }
    }
}

fn upstream(error: h2::Error) -> UploadFault {
    UploadFault::Upstream(std::io::Error::other(error))
}

/// The body of an answer on a server's stream. Its window opens as the client takes, so a slow
/// client stops the server's stream and no other.
#[derive(Debug)]
pub struct StreamBody<'s> {
    local: &'s Local,
    lease: Option<StreamLease<'s>>,
    stream: h2::RecvStream,
    chunk: Bytes,
    length: Option<u64>,
    trailers: Fields,
    /// The request, where the answer began before its end.
    upload: Option<StreamUpload>,
    patience: Duration,
    waiting: bool,
    received: u64,
}

impl<'s> StreamBody<'s> {
    pub(super) fn new(
        local: &'s Local,
        lease: StreamLease<'s>,
        stream: h2::RecvStream,
        length: Option<u64>,
        upload: Option<StreamUpload>,
    ) -> Self {
        Self {
            local,
            patience: lease.patience(),
            lease: Some(lease),
            stream,
            chunk: Bytes::new(),
            length,
            trailers: Fields::default(),
            upload,
            waiting: false,
            received: 0,
        }
    }

    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }

    pub(crate) fn data(&self) -> &[u8] {
        &self.chunk
    }

    pub(crate) fn consume(&mut self, n: usize) {
        let n = n.min(self.chunk.len());
        self.chunk.advance(n);
        self.received += n as u64;
        // An error means that the stream is gone, which the next poll tells.
        let _ = self.stream.flow_control().release_capacity(n);
    }

    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, DownloadFault>> {
        while self.chunk.is_empty() {
            let Some(lease) = &self.lease else { return Poll::Ready(Ok(false)) };
            match self.stream.poll_data(cx) {
                Poll::Ready(Some(Ok(chunk))) => {
                    self.waiting = false;
                    self.chunk = chunk;
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(DownloadFault::Stream(error))),
                Poll::Ready(None) => {
                    if let Some(trailers) = ready!(self.stream.poll_trailers(cx)).map_err(DownloadFault::Stream)? {
                        self.keep_trailers(&trailers);
                    }
                    self.finish();
                }
                Poll::Pending => {
                    if !self.waiting {
                        self.waiting = true;
                        lease.deadline.set(self.patience);
                    }
                    ready!(lease.deadline.poll(cx));
                    lease.retire();
                    return Poll::Ready(Err(DownloadFault::TimedOut));
                }
            }
        }
        Poll::Ready(Ok(true))
    }

    fn keep_trailers(&mut self, trailers: &http::HeaderMap) {
        for (name, value) in trailers {
            let name = name.as_str().as_bytes();
            let known = Known::of(name);
            if may_trail(known, name) {
                self.trailers.push_known(known, name, value.as_bytes());
            }
        }
    }

    pub(crate) fn is_uploading(&self) -> bool {
        self.upload.is_some()
    }

    /// Goes on with the request. A client that fails here ends the upload; the answer goes on.
    pub(crate) fn poll_upload(&mut self, cx: &mut Context<'_>, request: &mut RequestBody<'_>) {
        if let Some(upload) = &mut self.upload
            && upload.poll(cx, request).is_ready()
        {
            self.upload = None;
        }
    }

    pub(crate) fn trailers(&mut self) -> Fields {
        std::mem::take(&mut self.trailers)
    }

    fn finish(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.server.state.cells(self.local.thread).bytes_received.add(self.received);
        }
        self.upload = None;
    }
}

impl Drop for StreamBody<'_> {
    fn drop(&mut self) {
        self.finish();
    }
}
