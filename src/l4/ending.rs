//! How a session ended, or why there was none.

/// How a session ended. Each has a word in the access log and in the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Both sides ended it.
    Whole,
    /// The client broke it off.
    ClientReset,
    /// The server broke it off.
    ServerReset,
    /// Nothing moved for `timeouts.idle`.
    IdleTimeout,
    /// It lasted for `timeouts.total`.
    TotalTimeout,
    /// Its server was judged down (`on_down = "close"`).
    ServerDown,
    /// haechi ended, or the drain was over.
    Cut,
    /// The client left before a server was reached.
    ClientGone,
    /// No server is up.
    NoServer,
    /// No server took a connection.
    ConnectFailed,
    /// Servers took too long to take one.
    ConnectTimeout,
    /// `max_connections` were in use, and as many waited as may.
    QueueFull,
    /// `max_connections` were in use for `timeouts.queue`.
    QueueTimeout,
    /// No server is up, and as many wait for one as may.
    HoldFull,
    /// No server came up within `hold`.
    HoldTimeout,
    /// The client named no host that is served.
    UnrecognizedName,
    /// What the client began with is no ClientHello.
    BadHello,
    /// It did not come within `timeouts.handshake`.
    HelloTimeout,
}

impl Ending {
    /// Every one.
    pub const ALL: [Self; 18] = [
        Self::Whole,
        Self::ClientReset,
        Self::ServerReset,
        Self::IdleTimeout,
        Self::TotalTimeout,
        Self::ServerDown,
        Self::Cut,
        Self::ClientGone,
        Self::NoServer,
        Self::ConnectFailed,
        Self::ConnectTimeout,
        Self::QueueFull,
        Self::QueueTimeout,
        Self::HoldFull,
        Self::HoldTimeout,
        Self::UnrecognizedName,
        Self::BadHello,
        Self::HelloTimeout,
    ];

    /// Its name in logs and as a label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Whole => "ended",
            Self::ClientReset => "client_reset",
            Self::ServerReset => "server_reset",
            Self::IdleTimeout => "idle_timeout",
            Self::TotalTimeout => "total_timeout",
            Self::ServerDown => "server_down",
            Self::Cut => "cut",
            Self::ClientGone => "client_gone",
            Self::NoServer => "no_server",
            Self::ConnectFailed => "connect_failed",
            Self::ConnectTimeout => "connect_timeout",
            Self::QueueFull => "queue_full",
            Self::QueueTimeout => "queue_timeout",
            Self::HoldFull => "hold_full",
            Self::HoldTimeout => "hold_timeout",
            Self::UnrecognizedName => "unrecognized_name",
            Self::BadHello => "bad_hello",
            Self::HelloTimeout => "hello_timeout",
        }
    }

    /// Whether it may be otherwise as soon as a server is up.
    pub(super) fn may_be_held(self) -> bool {
        matches!(self, Self::NoServer | Self::ConnectFailed | Self::ConnectTimeout)
    }

    /// Whether it is haechi's word that there is no server: what an operator is to hear of.
    pub(super) fn is_want_of_server(self) -> bool {
        self.may_be_held() || matches!(self, Self::QueueFull | Self::QueueTimeout | Self::HoldFull | Self::HoldTimeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::ListenerCells;

    #[test]
    fn each_has_a_word_of_its_own_on_the_page_from_the_start() {
        let mut words = Ending::ALL.map(Ending::name);
        assert_eq!(words, ListenerCells::SESSION_ENDINGS);
        words.sort_unstable();
        assert!(words.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
