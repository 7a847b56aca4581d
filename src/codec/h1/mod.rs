//! HTTP/1.1 on the wire (RFC 9112), both sides of an exchange.
//!
//! *What it does*: reads heads ([`parse_request`], [`parse_response`]), follows bodies
//! ([`BodyDecoder`]) and writes both (the `write_` functions).
//!
//! *In and out*: slices of what a socket gave come in; a head, its framing, or a fault goes out.
//! Nothing of a head that is not whole is kept between two calls: the caller gives the same bytes and
//! more.
//!
//! *What always holds*: what two readers could take for two different messages is refused, never
//! repaired. A fault depends on the bytes up to the faulty one only, so a message that comes in
//! pieces meets the same answer as one that comes whole. After a fault the connection is of no use.

mod authority;
mod body;
mod cursor;
mod fault;
mod framing;
mod request;
mod response;
mod write;

pub(super) use authority::is_authority;
pub use body::{BodyDecoder, Run, may_trail};
pub use fault::{BodyFault, FieldFault, FramingFault, RequestFault, ResponseFault};
pub use framing::Framing;
pub(super) use framing::refuse_lookalike;
pub use request::{Request, RequestReader, parse_request};
pub use response::{Response, parse_response};
pub use write::{
    CHUNK_END, end_head, write_chunk_size, write_field, write_last_chunk, write_length, write_line, write_request_line,
    write_status_line,
};

/// How large a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the whole head, its first and last line included.
    pub head: usize,
    /// Number of field lines.
    pub fields: usize,
    /// Bytes of the request-target; a response has none.
    pub target: usize,
}
