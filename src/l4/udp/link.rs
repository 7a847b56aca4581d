//! The server's side of a flow.

use std::rc::Rc;

use tokio::net::UdpSocket;
use tokio::task::AbortHandle;

use super::turn::TRIES;
use crate::limits::SourceSeat;
use crate::serve::OpenConnection;
use crate::upstream::Session;

/// The server's side of a flow.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) session: Session,
    pub(super) socket: Rc<UdpSocket>,
    /// The snapshot by which it was looked at last whether it may go on.
    pub(super) generation: u64,
    /// Its server refused what it was sent.
    pub(super) refused: bool,
    /// The one datagram that it was sent, as long as there was no answer.
    pub(super) unanswered: Option<Unanswered>,
    pub(super) answers: Answers,
    /// `None` where sources have no limit.
    #[expect(dead_code, reason = "counts down when dropped")]
    pub(super) seat: Option<Box<SourceSeat>>,
    #[expect(dead_code, reason = "counts down when dropped")]
    pub(super) open: OpenConnection,
}

/// A datagram that another server is to get where this one refuses it: whoever asks once, as for a name,
/// waits for seconds before it asks again.
#[derive(Debug)]
pub(super) struct Unanswered {
    pub(super) datagram: Box<[u8]>,
    /// Servers that were sent it.
    pub(super) servers: usize,
}

impl Unanswered {
    /// Bytes of a datagram that is kept: what goes through most links in one piece.
    const LARGEST: usize = 1472;

    pub(super) fn new(datagram: &[u8], servers: usize) -> Option<Self> {
        (datagram.len() <= Self::LARGEST && servers < TRIES).then(|| Self { datagram: datagram.into(), servers })
    }
}

/// The task that passes answers on; it ends with its flow.
#[derive(Debug)]
pub(super) struct Answers(pub(super) AbortHandle);

impl Drop for Answers {
    fn drop(&mut self) {
        self.0.abort();
    }
}
