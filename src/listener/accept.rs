//! Takes connections from the kernel.

use std::cell::Cell;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};

use super::choose::choose;
use super::handshake::handshake;
use super::introduction::introduce;
use crate::http::{Accepted, h1, h2};
use crate::l4;
use crate::limits::SourceSeat;
use crate::net::{Client, Stream, TICK, Tag, end_longest_idle};
use crate::serve::{OpenConnection, Worker};
use crate::snapshot::{Listener, ListenerId, Place, Serves};
use crate::telemetry::{LineBudget, ListenerCells, PerThread};

/// The first pause after a failed accept; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long a connection waits for a place where there is none.
const NO_PLACE: Duration = Duration::from_millis(500);
/// Connections at rest that are ended at a time to make room.
const DISPLACED: usize = 32;

/// Serves whoever connects to `socket`, until the task is ended. `id` says which listener the
/// socket belongs to now: a reload may move an address to another one.
pub async fn accept(worker: Rc<Worker>, socket: TcpListener, id: Rc<Cell<ListenerId>>) {
    let mut pause = FIRST_PAUSE;
    let mut patience = NO_PLACE;
    loop {
        match socket.accept().await {
            Ok((stream, peer)) => {
                pause = FIRST_PAUSE;
                let Some(seat) = greet(&worker, &stream, peer, id.get()) else { continue };
                let mut place = place(&worker, id.get(), &mut patience).await;
                if let Some(place) = &mut place {
                    place.seat(seat);
                }
                begin(&worker, stream, peer, id.get(), place);
            }
            // The client has gone already; the next one waits.
            Err(error) if is_clients(&error) => {}
            Err(error) => {
                // Out of file descriptors or memory: the connection stays in the queue, so another
                // try at once would spin.
                let snapshot = worker.snapshot();
                if let Some(listener) = snapshot.listener(id.get()) {
                    listener.cells(worker.local.thread).accept_failures.add(1);
                    if pause == FIRST_PAUSE {
                        tracing::error!(listener = &*listener.name, %error, "connections cannot be accepted, trying again");
                    }
                }
                drop(snapshot);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

fn is_clients(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

/// Lets a client in as far as it is welcome, or resets its connection before anything of it is read. A peer
/// that speaks for clients of its own is not judged here: they are, by their addresses.
fn greet(worker: &Worker, socket: &TcpStream, peer: SocketAddr, id: ListenerId) -> Option<Option<SourceSeat>> {
    let snapshot = worker.snapshot();
    let listener = snapshot.listener(id)?;
    if listener.is_spoken_for(peer.ip()) {
        return Some(None);
    }
    let seat = welcome(worker, listener, socket, peer);
    if seat.is_none() {
        let cells = listener.cells(worker.local.thread);
        cells.accepted.add(1);
        cells.closed.add(1);
    }
    seat
}

/// A client's seat among those of its source, where there are such. None where it is not welcome: that is
/// counted and told, and the connection is reset when it closes.
fn welcome(worker: &Worker, listener: &Listener, socket: &TcpStream, client: SocketAddr) -> Option<Option<SourceSeat>> {
    let now = now();
    let unwelcome = match listener.welcome(now, client.ip()) {
        Ok(seat) => return Some(seat),
        Err(unwelcome) => unwelcome,
    };
    let reason = unwelcome.name();
    listener.cells(worker.local.thread).unwelcome.count(reason);
    if LINES.with(|lines| lines.take(now)) {
        tracing::info!(listener = &*listener.name, %client, reason, "connection refused: {unwelcome}");
    }
    // Failing only means an ordinary close.
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
    None
}

thread_local! {
    static LINES: LineBudget = const { LineBudget::new(10) };
}

fn now() -> Instant {
    Instant::now()
}

/// A place for one more connection. Where there is none, connections at rest are ended and the
/// newest waits a while, the others behind it in the kernel's queue; when `patience` is used up and
/// nothing came free, connections are refused at once until something does.
async fn place(worker: &Worker, id: ListenerId, patience: &mut Duration) -> Option<Place> {
    loop {
        {
            let snapshot = worker.snapshot();
            let listener = snapshot.listener(id)?;
            if let Some(place) = listener.admit() {
                *patience = NO_PLACE;
                return Some(place);
            }
            if patience.is_zero() {
                return None;
            }
            // Each thread has its share of those at rest, and ends no others.
            let whole_process = listener.is_process_full();
            let displaced = end_longest_idle(DISPLACED, |tag| whole_process || tag == Tag(id.0));
            listener.cells(worker.local.thread).displaced.add(displaced as u64);
        }
        tokio::time::sleep(TICK).await;
        *patience = patience.saturating_sub(TICK);
    }
}

/// Finds the connection a task, or ends it where it has no place.
fn begin(worker: &Rc<Worker>, socket: TcpStream, peer: SocketAddr, id: ListenerId, place: Option<Place>) {
    let snapshot = worker.snapshot();
    let Some(listener) = snapshot.listener(id) else { return };
    let cells = listener.cells(worker.local.thread);
    cells.accepted.add(1);
    let Some(place) = place else {
        cells.refused.add(1);
        cells.closed.add(1);
        return;
    };
    // A system call of which only headers to servers tell. An address that is not known stands for any.
    let local = if snapshot.tells_addresses { socket.local_addr().ok() } else { None };
    let client = Client { peer, local: local.unwrap_or_else(|| any(peer)), tls: None };
    let counted = Counted { open: worker.open(), worker: Rc::clone(worker), cells: Arc::clone(&listener.cells) };
    if listener.tls.is_none() && !listener.protocols.h2c && !listener.proxy_protocol {
        let stream = Stream::Tcp(socket.into());
        let accepted = Accepted { worker: Rc::clone(worker), listener: id, stream, client, place };
        // By reference, here and below: what a task moves takes its room twice. Boxed, as the runtime
        // moves a task five times, its empty place at the end included.
        match listener.serves {
            Serves::Http => {
                let mut connection = h1::Connection::new(accepted);
                tokio::task::spawn_local(Box::pin(async move {
                    let _counted = &counted;
                    connection.serve().await;
                }));
            }
            Serves::Tcp(_) => {
                tokio::task::spawn_local(Box::pin(async move {
                    let _counted = &counted;
                    l4::serve(accepted).await;
                }));
            }
            // It has no connections.
            Serves::Udp(_) => {}
        }
        return;
    }
    // What only the beginning of a connection needs is no part of its task.
    let opening = Box::pin(open(Rc::clone(worker), socket, client, id, place));
    tokio::task::spawn_local(async move {
        let _counted = &counted;
        let Some(mut opened) = opening.await else { return };
        match &mut opened {
            Opened::H1(connection) => connection.serve().await,
            Opened::Other(connection) => connection.as_mut().await,
        }
    });
}

/// No address in particular, of the same family as this one.
fn any(peer: SocketAddr) -> SocketAddr {
    match peer {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

/// What serves a client. HTTP/2 takes many times what HTTP/1.x does.
#[expect(clippy::large_enum_variant, reason = "nearly every connection is the large one")]
enum Opened {
    H1(h1::Connection),
    /// HTTP/2, or a session that is passed on.
    Other(Pin<Box<dyn Future<Output = ()>>>),
}

/// A connection among those that a drain waits for.
struct Counted {
    worker: Rc<Worker>,
    cells: Arc<PerThread<ListenerCells>>,
    #[expect(dead_code, reason = "counts down when dropped")]
    open: OpenConnection,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.cells.of(self.worker.local.thread).closed.add(1);
    }
}

/// Takes PROXY header and TLS off and finds the protocol's driver.
async fn open(
    worker: Rc<Worker>,
    socket: TcpStream,
    mut client: Client,
    id: ListenerId,
    mut place: Place,
) -> Option<Opened> {
    let (stream, driver) = {
        let snapshot = worker.snapshot();
        let listener = snapshot.listener(id)?;
        if listener.proxy_protocol {
            let proxy = client.peer;
            introduce(&worker, listener, &socket, &mut client).await?;
            // A proxy that introduces nobody, to see whether we live, speaks for itself, and is trusted.
            if client.peer != proxy && !listener.is_forwarded_by(client.peer.ip()) {
                place.seat(welcome(&worker, listener, &socket, client.peer)?);
            }
        }
        let is_passed_on = matches!(listener.serves, Serves::Tcp(_));
        let (stream, is_h2) = match &listener.tls {
            Some(secure) => {
                let (stream, facts) = handshake(&worker, listener, secure, socket, client.peer).await?;
                let is_h2 = facts.is_h2();
                client.tls = Some(Box::new(facts));
                (stream, is_h2)
            }
            None => {
                let is_h2 = choose(&worker, listener, &socket).await?;
                (Stream::Tcp(socket.into()), is_h2)
            }
        };
        (
            stream,
            if is_passed_on {
                Driver::Tcp
            } else if is_h2 {
                Driver::H2
            } else {
                Driver::H1
            },
        )
    };
    let accepted = Accepted { worker, listener: id, stream, client, place };
    Some(match driver {
        Driver::H1 => Opened::H1(h1::Connection::new(accepted)),
        Driver::H2 => Opened::Other(Box::pin(h2::serve(accepted))),
        Driver::Tcp => Opened::Other(Box::pin(l4::serve(accepted))),
    })
}

/// Who serves a connection.
enum Driver {
    H1,
    H2,
    Tcp,
}
