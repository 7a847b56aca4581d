//! Waits for the head of the next request.

use std::future::poll_fn;
use std::task::Poll;

use crate::codec::h1::{self, HeadLimits, Request, RequestFault};
use crate::head::RequestHead;
use crate::message::H1Body;
use crate::net::{Buffer, Tag};
use crate::snapshot::ListenerTimeouts;

/// What came of waiting.
pub(super) enum Next {
    /// A request; its head is filled in, its body follows.
    Request(Request),
    /// Something that is no request.
    Refused(RequestFault),
    /// A head that did not become whole in time.
    TimedOut,
    /// Nothing at all in time, or the connection is to end while it rests.
    Idle,
    /// The client ended the connection between two requests, or inside a head.
    Closed,
}

/// Waits without a buffer until something comes, then reads until `head` is whole. `unused` tells
/// that there was no exchange on the connection.
pub(super) async fn next(
    connection: &mut H1Body,
    head: &mut RequestHead,
    limits: HeadLimits,
    timeouts: ListenerTimeouts,
    tag: Tag,
    unused: bool,
) -> Next {
    let mut started = false;
    if connection.input.is_empty() {
        connection.input = Buffer::none();
        if unused {
            connection.receive_deadline.set_unused(timeouts.idle, tag);
        } else {
            connection.receive_deadline.set_idle(timeouts.idle, tag);
        }
        let readable = poll_fn(|cx| match connection.stream.poll_readable(cx) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending => connection.receive_deadline.poll(cx).map(|()| None),
        });
        match readable.await {
            Some(Ok(())) => {}
            Some(Err(_)) => return Next::Closed,
            None => return Next::Idle,
        }
        connection.input = Buffer::with_capacity(Buffer::SMALL);
    }
    loop {
        if !connection.input.is_empty() {
            match h1::parse_request(connection.input.data(), &limits, head) {
                Ok(Some(request)) => {
                    connection.input.consume(request.length);
                    return Next::Request(request);
                }
                Ok(None) => {}
                Err(fault) => return Next::Refused(fault),
            }
            if !started {
                started = true;
                connection.receive_deadline.set(timeouts.head);
            }
        }
        if connection.input.spare().is_empty() {
            // The codec refuses what is over the limit, so there is an end to this.
            let more = (connection.input.capacity() * 2).clamp(Buffer::SMALL, limits.head.max(Buffer::SMALL) * 2);
            connection.input.grow(more);
        }
        let (stream, input) = (&mut connection.stream, &mut connection.input);
        let deadline = &connection.receive_deadline;
        let read = poll_fn(|cx| match stream.poll_read(cx, input.spare()) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending => deadline.poll(cx).map(|()| None),
        });
        match read.await {
            Some(Ok(0) | Err(_)) => return Next::Closed,
            Some(Ok(n)) => connection.input.filled(n),
            None if started => return Next::TimedOut,
            None => return Next::Idle,
        }
    }
}
