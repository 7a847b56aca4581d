//! A fixed answer.

use bytes::Bytes;

use super::{Body, Response};
use crate::head::{Known, Method, ResponseHead};

/// What `respond` says: the same to everybody.
#[derive(Clone, Debug)]
pub struct Fixed {
    /// The status.
    pub status: u16,
    /// The media type; empty: no Content-Type.
    pub content_type: Vec<u8>,
    /// The body.
    pub body: Bytes,
}

/// The answer to an OPTIONS request that ends here: it is for the server as a whole, or may go no
/// further (RFC 9110 §9.3.7, §7.6.2).
#[must_use]
pub fn options<'s>(mut head: Box<ResponseHead>) -> Response<'s> {
    head.status = 204;
    head.fields.push("Allow", Method::SERVED);
    Response { head, body: Body::Empty(None) }
}

impl Fixed {
    /// The answer.
    #[must_use]
    pub fn respond<'s>(&self, mut head: Box<ResponseHead>) -> Response<'s> {
        head.status = self.status;
        if !self.content_type.is_empty() && !self.body.is_empty() {
            head.fields.push_known(Known::ContentType, b"Content-Type", &self.content_type);
        }
        Response { head, body: Body::Bytes(self.body.clone()) }
    }
}
