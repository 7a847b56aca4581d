//! Waits for the next request and its head.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::codec::h1::{HeadLimits, Request, RequestFault, RequestReader};
use crate::message::H1Body;
use crate::net::{Buffer, Tag};

/// What came of waiting.
pub(super) enum Next {
    /// A request; its head is the reader's, its body follows.
    Request(Request),
    /// Something that is no request.
    Refused(RequestFault),
    /// A head that did not become whole in time.
    TimedOut,
    /// The client ended the connection inside a head.
    Closed,
}

/// How a rest ended.
pub(super) enum Rest {
    /// Something came.
    Over,
    /// Nothing came in time, or the connection is to end while it rests.
    TimedOut,
    /// The client ended the connection.
    Closed,
}

/// Waits without a buffer until something comes. `unused` tells that there was no exchange on the
/// connection.
pub(super) async fn rest(connection: &mut H1Body, patience: Duration, tag: Tag, unused: bool) -> Rest {
    if unused {
        connection.receive_deadline.set_unused(patience, tag);
    } else {
        connection.receive_deadline.set_idle(patience, tag);
    }
    match poll_fn(|cx| poll_more(cx, connection)).await {
        Some(Ok(1..)) => {
            // An exchange makes no room.
            connection.receive_deadline.clear();
            Rest::Over
        }
        Some(Ok(0) | Err(_)) => Rest::Closed,
        None => Rest::TimedOut,
    }
}

/// Reads until a head is whole.
pub(super) async fn next(
    connection: &mut H1Body,
    reader: &mut RequestReader,
    limits: HeadLimits,
    patience: Duration,
) -> Next {
    let mut started = false;
    loop {
        if !connection.input.is_empty() {
            match reader.read(connection.input.data(), &limits) {
                Ok(Some(request)) => {
                    connection.input.consume(request.length);
                    return Next::Request(request);
                }
                Ok(None) => {}
                Err(fault) => return Next::Refused(fault),
            }
            if !started {
                started = true;
                connection.receive_deadline.set(patience);
            }
        }
        if !connection.input.is_empty() && connection.input.spare().is_empty() {
            // The codec refuses what is over the limit, so there is an end to this.
            let more = (connection.input.capacity() * 2).clamp(Buffer::SMALL, limits.head.max(Buffer::SMALL) * 2);
            connection.input.grow(more);
        }
        match poll_fn(|cx| poll_more(cx, connection)).await {
            Some(Ok(1..)) => {}
            Some(Ok(0) | Err(_)) => return Next::Closed,
            None => return Next::TimedOut,
        }
    }
}

/// Ready with what a read found, or with nothing when the time is over. A block is held only from
/// the first byte on.
fn poll_more(cx: &mut Context<'_>, connection: &mut H1Body) -> Poll<Option<io::Result<usize>>> {
    match connection.stream.poll_fill(cx, &mut connection.input, Buffer::SMALL) {
        Poll::Ready(read) => {
            connection.moved.0 += *read.as_ref().unwrap_or(&0) as u64;
            Poll::Ready(Some(read))
        }
        Poll::Pending => connection.receive_deadline.poll(cx).map(|()| None),
    }
}
