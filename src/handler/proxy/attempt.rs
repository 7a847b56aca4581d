//! One request at one server: sending goes on while the answer is waited for.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::download::UpstreamBody;
use super::outbound::Outbound;
use super::retry::Failed;
use super::upload::{Upload, UploadFault};
use super::{Failure, Forward};
use crate::codec::h1::{self, HeadLimits};
use crate::handler::{Body, Local, Response};
use crate::head::{Known, Method, ResponseHead};
use crate::message::hop_by_hop::strip_response;
use crate::message::upgrade::offered;
use crate::message::{RequestBody, RequestBodyFault, Upgrade};
use crate::net::{Buffer, Scratch};
use crate::upstream::{Lease, ServerCells};

/// How large the head of a server's answer may be. What does not fit is no answer of an application.
const ANSWER_LIMITS: HeadLimits = HeadLimits { head: 64 * 1024, fields: 256, target: 0 };

/// Sends the request over `lease` and waits for the head of the answer; also how long after
/// `started` that came.
///
/// # Errors
/// [`Failed`]: the failure, and what it needs to decide about another attempt.
pub(super) async fn attempt<'s>(
    local: &'s Local,
    started: Instant,
    outbound: Outbound<'_, 's>,
    lease: Lease<'s>,
    body: &mut RequestBody<'_>,
) -> Result<(Response<'s>, Duration), Failed> {
    let mut out = Scratch::new();
    let cells = lease.server.state.cells(local.thread);
    let received_before = body.received();
    let sending = match outbound.write(&mut out, body) {
        Ok(sending) => sending,
        Err(fault) => {
            let failure = Failure::Client(RequestBodyFault::Connection(fault));
            return Err(Failed { failure, reused: false, body_used: true, interim: false });
        }
    };
    let reused = lease.connection.reused;
    let patience = lease.patience();
    let mut attempt = Attempt {
        upload: Upload::new(out, sending.framing, sending.hop, body.is_over()),
        lease,
        head: local.spare_head(),
        method: outbound.request.head.method,
        patience,
        armed: None,
        refused: None,
        interim: false,
    };
    cells.requests.add(1);
    let answered = std::future::poll_fn(|cx| attempt.poll(cx, body)).await;
    cells.bytes_sent.add(attempt.upload.bytes);
    match answered {
        Ok(answer) => {
            let first_byte = count_answer(cells, started, attempt.head.status);
            let interim = attempt.interim;
            match attempt.into_response(local, answer, outbound.request, outbound.proxy.read_ahead) {
                Ok(response) => Ok((response, first_byte)),
                Err(failure) => Err(Failed { failure, reused, body_used: true, interim }),
            }
        }
        Err(failure) => {
            let interim = attempt.interim;
            local.keep_head(attempt.head);
            Err(Failed { failure, reused, body_used: body.received() > received_before, interim })
        }
    }
}

/// Counts an answer whose head has come; how long after `started` that was.
pub(super) fn count_answer(cells: &ServerCells, started: Instant, status: u16) -> Duration {
    let took = started.elapsed();
    cells.first_byte.record(took);
    let class = usize::from(status / 100).saturating_sub(1);
    if let Some(responses) = cells.responses.get(class) {
        responses.add(1);
    }
    took
}

struct Attempt<'s> {
    upload: Upload,
    lease: Lease<'s>,
    head: Box<ResponseHead>,
    method: Method,
    patience: Duration,
    /// How much of the request the server had taken when its time began to run.
    armed: Option<u64>,
    /// Why the server takes no more of the request.
    refused: Option<io::Error>,
    interim: bool,
}

impl<'s> Attempt<'s> {
    fn poll(&mut self, cx: &mut Context<'_>, body: &mut RequestBody<'_>) -> Poll<Result<h1::Response, Failure>> {
        if !self.upload.is_done() && self.refused.is_none() {
            match self.upload.poll(cx, body, &mut self.lease.connection.stream) {
                Poll::Ready(Err(UploadFault::Client(fault))) => return Poll::Ready(Err(Failure::Client(fault))),
                // A server that takes no more may have said why: its answer is looked for first.
                Poll::Ready(Err(UploadFault::Upstream(error))) => self.refused = Some(error),
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
        }
        if let Poll::Ready(answer) = self.poll_answer(cx, body) {
            return Poll::Ready(answer);
        }
        if let Poll::Ready(Err(fault)) = body.poll_interim(cx) {
            return Poll::Ready(Err(Failure::Client(fault)));
        }
        if body.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(Failure::gone()));
        }
        // While the client is to send, the server's time does not run; it begins anew with each
        // piece that the server takes.
        let deadline = &self.lease.connection.deadline;
        if self.upload.waits_for_client() {
            self.armed = None;
            return Poll::Pending;
        }
        if self.armed != Some(self.upload.bytes) {
            self.armed = Some(self.upload.bytes);
            deadline.set(self.patience);
        }
        deadline.poll(cx).map(|()| Err(Failure::TimedOut))
    }

    /// Reads until the head of a final answer is there. What is buffered is looked at before
    /// anything is read: an interim response often comes together with the final one.
    fn poll_answer(&mut self, cx: &mut Context<'_>, body: &mut RequestBody<'_>) -> Poll<Result<h1::Response, Failure>> {
        let connection = &mut self.lease.connection;
        loop {
            if !connection.input.is_empty() {
                let data = connection.input.data();
                match h1::parse_response(data, &ANSWER_LIMITS, self.method, &mut self.head) {
                    Ok(Some(response)) => {
                        connection.input.consume(response.length);
                        if !response.interim {
                            return Poll::Ready(Ok(response));
                        }
                        self.interim |= self.head.status != 100;
                        strip_response(&mut self.head.fields)?;
                        body.queue_interim(&self.head);
                        continue;
                    }
                    Ok(None) if connection.input.len() >= ANSWER_LIMITS.head => {
                        return Poll::Ready(Err(Failure::HeadTooLarge));
                    }
                    Ok(None) => {}
                    Err(fault) => return Poll::Ready(Err(Failure::Malformed(fault))),
                }
            }
            if !connection.input.is_empty() && connection.input.spare().is_empty() {
                connection.input.grow(ANSWER_LIMITS.head);
            }
            let error = match ready!(connection.stream.poll_fill(cx, &mut connection.input, Buffer::SMALL)) {
                Ok(0) => io::ErrorKind::UnexpectedEof.into(),
                Ok(_) => continue,
                Err(error) => error,
            };
            return Poll::Ready(Err(if connection.input.is_empty() {
                Failure::Closed(self.refused.take().unwrap_or(error))
            } else {
                Failure::Truncated(error)
            }));
        }
    }

    fn into_response(
        self,
        local: &'s Local,
        answer: h1::Response,
        request: &Forward<'_>,
        read_ahead: usize,
    ) -> Result<Response<'s>, Failure> {
        let Self { upload, mut lease, mut head, method, refused, .. } = self;
        if head.status == 101 {
            if !same_protocol(request, &head) {
                return Err(Failure::Upgrade);
            }
            let protocol = head.fields.first(Known::Upgrade).unwrap_or_default().to_vec();
            strip_response(&mut head.fields)?;
            head.fields.push_known(Known::Upgrade, b"Upgrade", &protocol);
            return Ok(Response { head, body: Body::Tunnel(Box::new(lease)) });
        }
        if request.upgrade == Upgrade::WebSocket && head.status < 300 {
            // RFC 8441 §4: to the client this would mean that the WebSocket is open.
            return Err(Failure::NoUpgrade);
        }
        let declared = declared_length(&head, method);
        let hop = strip_response(&mut head.fields)?;
        let persistent = answer.persistent && refused.is_none();
        let uploading = !upload.is_done() && refused.is_none();
        let at_hand = match answer.framing {
            _ if uploading => None,
            h1::Framing::None => Some(Body::Empty(declared)),
            h1::Framing::Length(0) => Some(Body::Empty(Some(0))),
            h1::Framing::Length(length) if length == lease.connection.input.len() as u64 => {
                lease.server.state.cells(local.thread).bytes_received.add(length);
                Some(Body::Whole(std::mem::take(&mut lease.connection.input)))
            }
            _ => None,
        };
        let Some(body) = at_hand else {
            let upload = uploading.then_some(upload);
            let body = UpstreamBody::new(local, lease, answer, persistent, upload, refused, read_ahead);
            return Ok(Response { head, body: Body::Upstream(Box::new(body.without(hop))) });
        };
        if persistent && lease.connection.input.is_empty() {
            lease.release(&local.pools, local.now.get(), answer.keep_alive_timeout);
        }
        Ok(Response { head, body })
    }
}

/// RFC 9110 §7.8: the server may only switch to what the client offered.
fn same_protocol(request: &Forward<'_>, head: &ResponseHead) -> bool {
    let mut chosen = head.fields.all(Known::Upgrade);
    let (Some(chosen), None) = (chosen.next(), chosen.next()) else { return false };
    match request.upgrade {
        Upgrade::No => return false,
        Upgrade::WebSocket => return chosen.eq_ignore_ascii_case(b"websocket"),
        Upgrade::Field => {}
    }
    offered(&request.head.fields).any(|protocol| protocol.eq_ignore_ascii_case(chosen))
}

/// The length that the head of an answer without a body tells all the same (RFC 9110 §8.6): to
/// HEAD, and in a 304.
pub(super) fn declared_length(head: &ResponseHead, method: Method) -> Option<u64> {
    if method != Method::Head && head.status != 304 {
        return None;
    }
    let value = head.fields.first(Known::ContentLength)?;
    std::str::from_utf8(value).ok()?.parse().ok()
}
