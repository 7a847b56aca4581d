//! What one data-plane thread counts for one udp listener.

use super::{Counter, NamedCounters};

/// The counts of flows and datagrams; bytes are counted with those of connections.
#[derive(Debug)]
pub struct UdpCells {
    /// Flows that began.
    pub flows: Counter,
    /// Flows that ended, by reason. Those that there are now are `flows` without these.
    pub ended: NamedCounters,
    /// Flows that went on to another server.
    pub moved: Counter,
    /// Datagrams of clients.
    pub received: Counter,
    /// Datagrams to clients.
    pub sent: Counter,
    /// Datagrams that were not passed on, by reason.
    pub dropped: NamedCounters,
}

impl UdpCells {
    /// The ways in which flows end.
    pub const ENDS: [&'static str; 4] = ["idle", "displaced", "denied", "shut"];

    /// The reasons to drop a datagram: the kernel's queue of the listener was full, every flow is in use,
    /// the source is not welcome, no server is usable, there is no socket or no way to the server, or
    /// none back to the client.
    pub const DROPS: [&'static str; 7] =
        ["queue_full", "flows_full", "unwelcome", "no_server", "no_socket", "to_server", "to_client"];
}

impl Default for UdpCells {
    fn default() -> Self {
        Self {
            flows: Counter::default(),
            ended: NamedCounters::of(&Self::ENDS),
            moved: Counter::default(),
            received: Counter::default(),
            sent: Counter::default(),
            dropped: NamedCounters::of(&Self::DROPS),
        }
    }
}
