//! The sockets by which clients come in to one thread.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use tokio::task::AbortHandle;

use crate::l4::udp;
use crate::listener::accept;
use crate::net::{Endpoint, Listening};
use crate::serve::Worker;
use crate::snapshot::ListenerId;

/// The sockets that a thread takes connections and datagrams from.
#[derive(Default)]
pub(super) struct Doors {
    open: HashMap<Endpoint, Door>,
    /// Ports that let nobody in any more: what servers still answer goes out by them.
    closing: Vec<Rc<udp::Port>>,
}

struct Door {
    listener: Rc<Cell<ListenerId>>,
    /// The task that lets clients in.
    serving: AbortHandle,
    /// Where it is one of datagrams.
    port: Option<Rc<udp::Port>>,
}

impl Doors {
    /// Lets clients in by `wanted` and by nothing else. Endpoints that stay keep their socket, and with it
    /// what waits in its queue.
    pub(super) fn set(
        &mut self,
        worker: &Rc<Worker>,
        wanted: &BTreeMap<Endpoint, ListenerId>,
        sockets: Vec<(Endpoint, Listening)>,
    ) {
        self.open.retain(|endpoint, door| match wanted.get(endpoint) {
            Some(id) => {
                door.listener.set(*id);
                true
            }
            None => {
                door.serving.abort();
                if let Some(port) = &door.port {
                    port.shut();
                }
                false
            }
        });
        for (endpoint, socket) in sockets {
            let Some(id) = wanted.get(&endpoint) else { continue };
            match Door::open(worker, socket, *id) {
                Ok(door) => _ = self.open.insert(endpoint, door),
                Err(error) => tracing::error!(%endpoint, %error, "socket cannot be used"),
            }
        }
    }

    /// Lets nobody in any more.
    pub(super) fn shut(&mut self) {
        for (_, door) in self.open.drain() {
            door.serving.abort();
            self.closing.extend(door.port);
        }
    }

    /// Ends the flows of ports that let nobody in any more.
    pub(super) fn end_flows(&mut self) {
        self.closing.drain(..).for_each(|port| port.shut());
    }
}

impl Door {
    fn open(worker: &Rc<Worker>, socket: Listening, id: ListenerId) -> std::io::Result<Self> {
        let listener = Rc::new(Cell::new(id));
        let (worker, id) = (Rc::clone(worker), Rc::clone(&listener));
        Ok(match socket {
            Listening::Tcp(socket) => {
                let socket = tokio::net::TcpListener::from_std(socket)?;
                let task = tokio::task::spawn_local(accept(worker, socket, id));
                Self { listener, serving: task.abort_handle(), port: None }
            }
            Listening::Udp(socket) => {
                let port = Rc::new(udp::Port::new(worker, socket, id)?);
                let task = tokio::task::spawn_local(udp::serve(Rc::clone(&port)));
                Self { listener, serving: task.abort_handle(), port: Some(port) }
            }
        })
    }
}
