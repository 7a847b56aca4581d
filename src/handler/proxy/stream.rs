//! One request at one server over HTTP/2: what `attempt` is over HTTP/1.1.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Failure;
use super::attempt::{count_answer, declared_length};
use super::outbound::Outbound;
use super::retry::Failed;
use super::stream_body::{StreamBody, StreamUpload};
use super::upload::UploadFault;
use crate::handler::{Body, Local, Response};
use crate::head::{Known, Method, ResponseHead, Version};
use crate::message::hop_by_hop::strip_response;
use crate::message::{RequestBody, RequestBodyFault, Upgrade};
use crate::upstream::StreamLease;

/// Sends the request on a stream of its own and waits for the head of the answer; also how long
/// after `started` that came.
///
/// # Errors
/// [`Failed`]: the failure, and what it needs to decide about another attempt.
pub(super) async fn attempt<'s>(
    local: &'s Local,
    started: Instant,
    outbound: Outbound<'_, 's>,
    mut lease: StreamLease<'s>,
    body: &mut RequestBody<'_>,
) -> Result<(Response<'s>, Duration), Failed> {
    let cells = lease.server.state.cells(local.thread);
    let received_before = body.received();
    let method = outbound.request.head.method;
    let unsent = |failure| Failed { failure, reused: false, body_used: false, interim: false };
    if outbound.request.upgrade == Upgrade::WebSocket {
        return Err(unsent(Failure::NoUpgrade));
    }
    let request = outbound.head(body).map_err(unsent)?;
    let ends = body.is_over();
    let (answer, out) = lease.sender.send_request(request, ends).map_err(|error| unsent(Failure::Refused(error)))?;
    let upload = (!ends).then(|| StreamUpload::new(out));
    let patience = lease.patience();
    let mut asked = Asked { answer, upload, lease, patience, armed: false, interim: false };
    cells.requests.add(1);
    let answered = std::future::poll_fn(|cx| asked.poll(cx, body)).await;
    cells.bytes_sent.add(body.received() - received_before);
    let interim = asked.interim;
    match answered {
        Ok(answer) => {
            let mut head = local.spare_head();
            let stream = read_head(answer, &mut head);
            let first_byte = count_answer(cells, started, head.status);
            match asked.into_response(local, head, stream, method) {
                Ok(response) => Ok((response, first_byte)),
                Err(failure) => Err(Failed { failure, reused: false, body_used: true, interim }),
            }
        }
        Err(failure) => {
            if matches!(failure, Failure::TimedOut) {
                // A server that is gone without a word would make the next ones wait too.
                asked.lease.retire();
            }
            Err(Failed { failure, reused: false, body_used: body.received() > received_before, interim })
        }
    }
}

/// A request that was sent.
struct Asked<'s> {
    answer: h2::client::ResponseFuture,
    upload: Option<StreamUpload>,
    lease: StreamLease<'s>,
    patience: Duration,
    /// Whether the server's time is running.
    armed: bool,
    interim: bool,
}

impl<'s> Asked<'s> {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut RequestBody<'_>,
    ) -> Poll<Result<http::Response<h2::RecvStream>, Failure>> {
        if let Some(upload) = &mut self.upload {
            match upload.poll(cx, body) {
                Poll::Ready(Err(UploadFault::Client(fault))) => return Poll::Ready(Err(Failure::Client(fault))),
                // A server that takes no more may have said why: its answer tells.
                Poll::Ready(Ok(()) | Err(UploadFault::Upstream(_))) => self.upload = None,
                Poll::Pending => {}
            }
        }
        if let Poll::Ready(answer) = self.poll_answer(cx, body) {
            return Poll::Ready(answer);
        }
        if let Poll::Ready(Err(fault)) = body.poll_interim(cx) {
            return Poll::Ready(Err(Failure::Client(fault)));
        }
        if body.poll_gone(cx).is_ready() {
            let gone = io::ErrorKind::ConnectionAborted.into();
            return Poll::Ready(Err(Failure::Client(RequestBodyFault::Gone(gone))));
        }
        // While the client is to send, the server's time does not run.
        if self.upload.as_ref().is_some_and(StreamUpload::waits_for_client) {
            self.armed = false;
            return Poll::Pending;
        }
        if !self.armed {
            self.armed = true;
            self.lease.deadline.set(self.patience);
        }
        self.lease.deadline.poll(cx).map(|()| Err(Failure::TimedOut))
    }

    fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut RequestBody<'_>,
    ) -> Poll<Result<http::Response<h2::RecvStream>, Failure>> {
        while let Poll::Ready(Some(Ok(interim))) = self.answer.poll_informational(cx) {
            let mut head = ResponseHead::default();
            read_fields(interim.status(), interim.headers(), &mut head);
            self.interim |= head.status != 100;
            strip_response(&mut head.fields)?;
            body.queue_interim(&head);
        }
        Poll::Ready(ready!(Pin::new(&mut self.answer).poll(cx)).map_err(failure_of))
    }

    fn into_response(
        self,
        local: &'s Local,
        mut head: Box<ResponseHead>,
        stream: h2::RecvStream,
        method: Method,
    ) -> Result<Response<'s>, Failure> {
        let declared = declared_length(&head, method);
        let length = head.fields.first(Known::ContentLength).and_then(|value| str::from_utf8(value).ok()?.parse().ok());
        strip_response(&mut head.fields)?;
        if stream.is_end_stream() && self.upload.is_none() {
            return Ok(Response { head, body: Body::Empty(declared.or(length)) });
        }
        let body = StreamBody::new(local, self.lease, stream, length, self.upload);
        Ok(Response { head, body: Body::UpstreamStream(Box::new(body)) })
    }
}

/// Whether the server has certainly not acted on the request (RFC 9113 §8.7).
fn is_unprocessed(error: &h2::Error) -> bool {
    error.is_remote() && (error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM))
}

fn failure_of(error: h2::Error) -> Failure {
    if is_unprocessed(&error) { Failure::Refused(error) } else { Failure::Closed(io::Error::other(error)) }
}

fn read_head(answer: http::Response<h2::RecvStream>, head: &mut ResponseHead) -> h2::RecvStream {
    let (parts, stream) = answer.into_parts();
    read_fields(parts.status, &parts.headers, head);
    stream
}

fn read_fields(status: http::StatusCode, fields: &http::HeaderMap<http::HeaderValue>, head: &mut ResponseHead) {
    head.status = status.as_u16();
    head.version = Version::Http2;
    for (name, value) in fields {
        head.fields.push(name.as_str(), value.as_bytes());
    }
}

/// A piece of a body as the crate wants it.
pub(super) fn piece(data: &[u8], length: usize) -> Bytes {
    Bytes::copy_from_slice(data.get(..length).unwrap_or(data))
}
