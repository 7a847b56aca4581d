//! Words of an exchange that handlers and drivers share.
//!
//! In come heads as the client or the upstream sent them; out go the answers that forwarding
//! needs: what the request is for, who sent it, which fields go on and which fields haechi writes
//! itself. Nothing here does I/O, and nothing writes into a client's request (law 6).

pub mod date;
pub mod exchange;
pub mod forwarded;
pub mod header_rule;
pub mod hop_by_hop;
pub mod hops;
pub mod request_body;
pub mod request_id;
pub mod target;
pub mod upgrade;

pub use date::date;
pub use exchange::{Exchange, InFlight};
pub use forwarded::{Peer, client_address};
pub use header_rule::HeaderRules;
pub use hop_by_hop::{ConnectionTokens, HopNames};
pub use hops::MaxForwardsFault;
pub use request_body::{H1Body, H2Body, RequestBody, RequestBodyFault};
pub use request_id::RequestId;
pub use target::{RequestTarget, TargetFault};
pub use upgrade::Upgrade;
