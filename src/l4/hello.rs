//! The name that a client asks for in TLS which is passed on as it is.

use std::future::poll_fn;
use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::Ending;
use crate::codec::client_hello::{self, LONGEST};
use crate::net::{Buffer, Deadline, Stream};

/// The name that was asked for, if any.
#[derive(Debug)]
pub(super) struct Named(pub(super) Option<Box<str>>);

/// Reads the client's first message into `input`, where it stays to be passed on.
///
/// # Errors
/// Why there is none.
pub(super) async fn name(stream: &mut Stream, input: &mut Buffer, limit: Duration) -> Result<Named, Ending> {
    let deadline = Deadline::default();
    deadline.set(limit);
    let read = async {
        loop {
            match client_hello::parse(input.data()) {
                Ok(Some(hello)) => return Ok(Named(hello.server_name)),
                Ok(None) if input.len() >= LONGEST => return Err(Ending::BadHello),
                Ok(None) => {}
                Err(_) => return Err(Ending::BadHello),
            }
            match poll_fn(|cx| stream.poll_fill(cx, input, LONGEST)).await {
                Ok(0) | Err(_) => return Err(Ending::ClientGone),
                Ok(_) => {}
            }
        }
    };
    deadline.within(read).await.unwrap_or(Err(Ending::HelloTimeout))
}

/// Tells the client in TLS that nobody has the name that it asked for (RFC 6066 §3), and ends.
pub(super) async fn refuse_name(stream: &mut Stream) {
    // What fails here fails the client, who has gone.
    let _ = stream.write_all(&client_hello::UNRECOGNIZED_NAME).await;
    let _ = stream.shutdown().await;
}
