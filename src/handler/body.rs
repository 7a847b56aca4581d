//! The body of an answer, pulled by the driver of the client's protocol.

use std::io;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};

use super::proxy::{DownloadFault, StreamBody, UpstreamBody};
use super::static_files::FileBody;
use crate::head::Fields;
use crate::message::RequestBody;
use crate::net::{Buffer, Pipe};
use crate::upstream::Lease;

/// Why a body broke off. The client must see a broken answer, never a complete one.
#[derive(Debug, thiserror::Error)]
pub enum BodyFault {
    /// The file could not be read to its end.
    #[error("file could not be read")]
    File(#[source] io::Error),
    /// The upstream's answer did not come whole.
    #[error(transparent)]
    Upstream(#[from] DownloadFault),
}

/// The body of an answer. A file and a plain upstream stream stay visible as such down to the
/// socket.
#[derive(Debug)]
pub enum Body<'s> {
    /// None. The length that the head tells of all the same (an answer to HEAD), where it does.
    Empty(Option<u64>),
    /// Bytes at hand.
    Bytes(Bytes),
    /// The bytes that a buffer holds: an upstream's answer that came whole.
    Whole(Buffer),
    /// Ranges of a file; boxed, as it is large and answers are handed from room to room.
    File(Box<FileBody>),
    /// An upstream's answer, on its way.
    Upstream(Box<UpstreamBody<'s>>),
    /// The same on a stream of HTTP/2.
    UpstreamStream(Box<StreamBody<'s>>),
    /// The upstream agreed to speak another protocol (101): bytes go both ways from here.
    Tunnel(Box<Lease<'s>>),
}

impl Body<'_> {
    /// How long it is; `None`: not known before its end.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::Empty(declared) => *declared,
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::Whole(buffer) => Some(buffer.len() as u64),
            Self::File(file) => Some(file.length()),
            Self::Upstream(body) => body.length(),
            Self::UpstreamStream(body) => body.length(),
            Self::Tunnel(_) => None,
        }
    }

    /// Whether no payload byte will follow the head.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Empty(_) => true,
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Whole(buffer) => buffer.is_empty(),
            Self::File(_) | Self::Upstream(_) | Self::UpstreamStream(_) | Self::Tunnel(_) => false,
        }
    }

    /// Ready with true when `data` or `pipe` holds something, with false when the body is over.
    ///
    /// # Errors
    /// [`BodyFault`]: it will never be whole.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, BodyFault>> {
        match self {
            Self::Empty(_) | Self::Tunnel(_) => Poll::Ready(Ok(false)),
            Self::Bytes(bytes) => Poll::Ready(Ok(!bytes.is_empty())),
            Self::Whole(buffer) => Poll::Ready(Ok(!buffer.is_empty())),
            Self::File(file) => file.poll_fill(cx).map_err(BodyFault::File),
            Self::Upstream(body) => body.poll_fill(cx).map_err(BodyFault::Upstream),
            Self::UpstreamStream(body) => body.poll_fill(cx).map_err(BodyFault::Upstream),
        }
    }

    /// Payload that is at hand.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        match self {
            Self::Empty(_) | Self::Tunnel(_) => &[],
            Self::Bytes(bytes) => bytes,
            Self::Whole(buffer) => buffer.data(),
            Self::File(file) => file.data(),
            Self::Upstream(body) => body.data(),
            Self::UpstreamStream(body) => body.data(),
        }
    }

    /// Forgets the first `n` bytes of `data`.
    pub fn consume(&mut self, n: usize) {
        match self {
            Self::Empty(_) | Self::Tunnel(_) => {}
            Self::Bytes(bytes) => bytes.advance(n.min(bytes.len())),
            Self::Whole(buffer) => buffer.consume(n),
            Self::File(file) => file.consume(n),
            Self::Upstream(body) => body.consume(n),
            Self::UpstreamStream(body) => body.consume(n),
        }
    }

    /// Says that the body goes to a plain socket: it may then come by [`pipe`](Self::pipe).
    pub fn allow_pipe(&mut self) {
        if let Self::Upstream(body) = self {
            body.allow_pipe();
        }
    }

    /// What goes out before `data` without passing through our memory; never empty.
    pub fn pipe(&mut self) -> Option<&mut Pipe> {
        if let Self::Upstream(body) = self { body.pipe() } else { None }
    }

    /// Whether the body may be read in large pieces; at first it may. In small ones it holds at most
    /// a small block, for a client that has many bodies under way.
    pub fn allow_large(&mut self, large: bool) {
        match self {
            Self::File(file) => file.allow_large(large),
            Self::Upstream(body) => body.allow_large(large),
            Self::Empty(_) | Self::Bytes(_) | Self::Whole(_) | Self::UpstreamStream(_) | Self::Tunnel(_) => {}
        }
    }

    /// Whether the request's body is still being sent to the upstream while the answer comes.
    #[must_use]
    pub fn is_uploading(&self) -> bool {
        match self {
            Self::Upstream(body) => body.is_uploading(),
            Self::UpstreamStream(body) => body.is_uploading(),
            Self::Empty(_) | Self::Bytes(_) | Self::Whole(_) | Self::File(_) | Self::Tunnel(_) => false,
        }
    }

    /// Goes on sending the request's body to the upstream: an early answer does not stop it.
    pub fn poll_upload(&mut self, cx: &mut Context<'_>, request: &mut RequestBody<'_>) {
        match self {
            Self::Upstream(body) => body.poll_upload(cx, request),
            Self::UpstreamStream(body) => body.poll_upload(cx, request),
            Self::Empty(_) | Self::Bytes(_) | Self::Whole(_) | Self::File(_) | Self::Tunnel(_) => {}
        }
    }

    /// Reads ahead while the client takes nothing, as far as the route allows, so that a slow
    /// client does not hold a server's thread. A stream's window is read ahead by itself.
    pub fn poll_ahead(&mut self, cx: &mut Context<'_>) {
        if let Self::Upstream(body) = self {
            body.poll_ahead(cx);
        }
    }

    /// The trailer fields, once the body is over.
    #[must_use]
    pub fn trailers(&mut self) -> Fields {
        match self {
            Self::Upstream(body) => body.trailers(),
            Self::UpstreamStream(body) => body.trailers(),
            Self::Empty(_) | Self::Bytes(_) | Self::Whole(_) | Self::File(_) | Self::Tunnel(_) => Fields::default(),
        }
    }
}
