//! One origin: a listening socket and its connections, that can be stopped and started.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use super::answer::Node;

/// As Tomcat's server.xml has it.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// After a failed accept; without it one that fails at once would fill the thread.
pub(super) const BREATH: Duration = Duration::from_millis(100);

/// Connections open at once.
const MOST_CONNECTIONS: usize = 1024;

/// An origin with its number and address, running or not.
#[derive(Debug)]
pub(super) struct Origin {
    number: u16,
    address: SocketAddr,
    running: Option<JoinHandle<()>>,
}

impl Origin {
    /// One that does not run yet.
    pub(super) fn new(number: u16, address: SocketAddr) -> Self {
        Self { number, address, running: None }
    }

    /// 1, 2 or 3.
    pub(super) fn number(&self) -> u16 {
        self.number
    }

    /// Whether it listens.
    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Listens again, with no session known. Nothing happens where it runs.
    pub(super) async fn start(&mut self) -> io::Result<()> {
        if !self.is_running() {
            let listener = TcpListener::bind(self.address).await?;
            self.serve(listener);
        }
        Ok(())
    }

    /// Serves `listener` as a task of this runtime.
    pub(super) fn serve(&mut self, listener: TcpListener) {
        let node = Arc::new(Node::new(self.number, self.address));
        self.running = Some(tokio::spawn(accept(listener, node)));
    }

    /// Dies as a process does: the socket is closed and so is every connection.
    pub(super) async fn stop(&mut self) {
        if let Some(task) = self.running.take() {
            task.abort();
            // Ended by the line above; awaited, so that the address is free.
            let _ = task.await;
        }
    }
}

async fn accept(listener: TcpListener, node: Arc<Node>) {
    let mut connections = JoinSet::new();
    loop {
        // Out of file descriptors and the like: the next one may do.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(BREATH).await;
            continue;
        };
        let node = node.clone();
        connections.spawn(async move {
            let answer = service_fn(move |request| {
                let node = node.clone();
                async move { Ok::<_, Infallible>(node.answer(request).await) }
            });
            // A client that breaks off is its own affair.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(KEEP_ALIVE)
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
        while connections.try_join_next().is_some() {}
        if connections.len() >= MOST_CONNECTIONS {
            connections.join_next().await;
        }
    }
}
