//! The name that a client asks for in TLS which is passed on as it is.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::Ending;
use crate::codec::client_hello::{self, LONGEST};
use crate::net::{Deadline, Stream, peek_until};

/// The name that was asked for, if any.
#[derive(Debug)]
pub(super) struct Named(pub(super) Option<Box<str>>);

/// Looks at the client's first message, which stays in the socket to be passed on.
///
/// # Errors
/// Why there is none.
pub(super) async fn name(stream: &Stream, limit: Duration) -> Result<Named, Ending> {
    // With TLS taken off the config allows no names.
    let Some(socket) = stream.plain() else { return Ok(Named(None)) };
    let deadline = Deadline::default();
    deadline.set(limit);
    let look = |bytes: &[u8]| client_hello::parse(bytes).transpose();
    match deadline.within(peek_until(socket, LONGEST, look)).await {
        Ok(Ok(Ok(hello))) => Ok(Named(hello.server_name)),
        Ok(Ok(Err(_))) => Err(Ending::BadHello),
        Ok(Err(_)) => Err(Ending::ClientGone),
        Err(_) => Err(Ending::HelloTimeout),
    }
}

/// Tells the client in TLS that nobody has the name that it asked for (RFC 6066 §3), and ends.
pub(super) async fn refuse_name(stream: &mut Stream) {
    // What fails here fails the client, who has gone.
    let _ = stream.write_all(&client_hello::UNRECOGNIZED_NAME).await;
    let _ = stream.shutdown().await;
}
