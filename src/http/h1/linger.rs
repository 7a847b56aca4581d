//! Closes a connection so that the client can read the answer to its end.
//!
//! A close while bytes of the client are unread makes the kernel send a reset, and the reset makes
//! the client's kernel throw away the answer that it had received (RFC 9112 §9.6). So the sending
//! side ends first, and what the client still sends is read and dropped for a while.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use crate::message::H1Body;
use crate::net::Buffer;

/// How long the client may go on sending.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes that are read and dropped.
const MOST: usize = 1024 * 1024;

/// Ends the connection.
pub(super) async fn linger(connection: &mut H1Body) {
    connection.receive_deadline.set(PATIENCE);
    let mut scratch = Buffer::with_capacity(Buffer::SMALL);
    let mut dropped = 0;
    let mut ended = false;
    poll_fn(|cx| {
        if !ended {
            match connection.stream.poll_shutdown(cx) {
                Poll::Ready(Ok(())) => ended = true,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => {}
            }
        }
        while dropped < MOST {
            match connection.stream.poll_read(cx, scratch.spare()) {
                Poll::Ready(Ok(n)) if n > 0 => dropped += n,
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return connection.receive_deadline.poll(cx),
            }
        }
        Poll::Ready(())
    })
    .await;
}
