//! Streams, buffers and deadlines: what moves bytes and bounds how long that may take.

mod buffer;
mod client;
mod deadline;
mod endpoint;
mod gather;
mod pace;
mod peek;
mod piece;
mod pipe;
mod scratch;
mod socket;
mod stream;
mod text;
mod turn;
mod unsent;

pub use buffer::Buffer;
pub use client::{Client, TlsFacts};
pub use deadline::{Deadline, Elapsed, TICK, Tag, coarse_now, end_longest_idle, fire_idle, run_deadlines};
pub use endpoint::{Endpoint, Listening, Transport};
pub use gather::Gather;
pub use pace::Pace;
pub use peek::peek_until;
pub use piece::Piece;
pub use pipe::{Pipe, Source};
pub use scratch::Scratch;
pub use socket::Socket;
pub use stream::Stream;
pub use text::{write_address, write_small};
pub use turn::end_turn;
pub use unsent::Unsent;
