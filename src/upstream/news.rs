//! Word of a change that somebody may wait for.

use std::sync::Arc;

use tokio::sync::watch;

/// Tells every thread that a server was judged otherwise, or that there are other servers. It does not
/// say what changed: who listens looks.
#[derive(Clone, Debug, Default)]
pub struct News(Arc<watch::Sender<()>>);

impl News {
    /// Wakes whoever listens. Control side only.
    pub fn tell(&self) {
        self.0.send_replace(());
    }

    /// Hears what is told from now on.
    #[must_use]
    pub fn listen(&self) -> watch::Receiver<()> {
        self.0.subscribe()
    }
}
