//! An origin whose every byte is the test's choice, and that records what reached it.

use super::raw::{Head, Wire};
use std::collections::HashMap;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// A request as the origin received it.
#[derive(Clone, Debug, Default)]
pub struct Arrival {
    /// Which connection it came on, counted from 1.
    pub connection: usize,
    /// Which request of that connection it is, counted from 1.
    pub turn: usize,
    /// The method.
    pub method: String,
    /// The request-target as sent.
    pub target: String,
    /// First line and fields.
    pub head: Head,
    /// The body; empty where the origin leaves it on the wire.
    pub body: Vec<u8>,
    /// Fields after a chunked body.
    pub trailers: Vec<(String, String)>,
}

/// What happens to the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The next request is read from it.
    Keep,
    /// It is closed.
    Close,
}

type Answer = dyn Fn(&Arrival, &mut Wire) -> Next + Send + Sync;

/// The origin; it goes with the test.
pub struct Origin {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    arrivals: Mutex<Vec<Arrival>>,
    connections: AtomicUsize,
    open: Mutex<HashMap<usize, TcpStream>>,
    stopped: AtomicBool,
}

/// Bytes of an answer with a length.
pub fn answer(status: u16, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut out = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    out.extend_from_slice(body);
    out
}

impl Origin {
    /// Reads each request whole, then lets `reply` write what it likes.
    pub fn start(reply: impl Fn(&Arrival, &mut Wire) -> Next + Send + Sync + 'static) -> Self {
        Self::listen((Ipv4Addr::LOCALHOST, 0).into(), true, Arc::new(reply))
    }

    /// Reads heads only: the body is left to `reply`.
    pub fn before_body(reply: impl Fn(&Arrival, &mut Wire) -> Next + Send + Sync + 'static) -> Self {
        Self::listen((Ipv4Addr::LOCALHOST, 0).into(), false, Arc::new(reply))
    }

    /// Answers 200 with this name to everything.
    pub fn named(name: &str) -> Self {
        Self::named_at((Ipv4Addr::LOCALHOST, 0).into(), name)
    }

    /// The same at a given address, to come back after a stop.
    pub fn named_at(address: SocketAddr, name: &str) -> Self {
        let bytes = answer(200, name);
        let head = bytes.len() - name.len();
        let reply = move |arrival: &Arrival, wire: &mut Wire| {
            let end = if arrival.method == "HEAD" { head } else { bytes.len() };
            wire.send(&bytes[..end]).map_or(Next::Close, |()| Next::Keep)
        };
        Self::listen(address, true, Arc::new(reply))
    }

    fn listen(address: SocketAddr, whole: bool, reply: Arc<Answer>) -> Self {
        let listener = TcpListener::bind(address).expect("an address for an origin");
        // The standard library's queue of 128 is too short for a burst of h2load.
        socket2::SockRef::from(&listener).listen(4096).expect("a longer queue");
        let address = listener.local_addr().expect("a bound socket");
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, whole, &reply, &theirs));
        Self { address, shared }
    }

    /// What arrived so far, checks included.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.shared.arrivals.lock().expect("arrivals").clone()
    }

    /// The arrivals for a target.
    pub fn arrivals_for(&self, target: &str) -> Vec<Arrival> {
        self.arrivals().into_iter().filter(|arrival| arrival.target == target).collect()
    }

    /// The one arrival for a target.
    pub fn arrival(&self, target: &str) -> Arrival {
        let mut found = self.arrivals_for(target);
        assert_eq!(found.len(), 1, "arrivals for {target}: {found:?}");
        found.remove(0)
    }

    /// How many connections were opened so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many of them are open.
    pub fn open_connections(&self) -> usize {
        self.shared.open.lock().expect("open connections").len()
    }

    /// Stops listening and cuts every connection.
    pub fn stop(&self) {
        if self.shared.stopped.swap(true, Ordering::SeqCst) {
            return;
        }
        // A last connection wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
        for stream in self.shared.open.lock().expect("open connections").values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        super::eventually("an origin stops listening", || TcpStream::connect(self.address).is_err().then_some(()));
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stop();
    }
}

fn accept(listener: &TcpListener, whole: bool, reply: &Arc<Answer>, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let connection = shared.connections.fetch_add(1, Ordering::SeqCst) + 1;
        if let Ok(copy) = stream.try_clone() {
            shared.open.lock().expect("open connections").insert(connection, copy);
        }
        let (reply, shared) = (Arc::clone(reply), Arc::clone(shared));
        thread::spawn(move || {
            // A fault of a connection is the test's to see at the client, not the origin's to report.
            let _ = converse(stream, connection, whole, &*reply, &shared);
            if let Some(copy) = shared.open.lock().expect("open connections").remove(&connection) {
                let _ = copy.shutdown(Shutdown::Both);
            }
        });
    }
}

fn converse(stream: TcpStream, connection: usize, whole: bool, reply: &Answer, shared: &Shared) -> std::io::Result<()> {
    let mut wire = Wire::of(stream)?;
    wire.patience(std::time::Duration::from_secs(120));
    let mut turn = 0;
    while let Some(head) = wire.read_head()? {
        turn += 1;
        let mut words = head.line.split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (body, trailers) = if whole { wire.read_body(&head, false)? } else { Default::default() };
        let arrival = Arrival { connection, turn, method, target, head, body, trailers };
        shared.arrivals.lock().expect("arrivals").push(arrival.clone());
        if reply(&arrival, &mut wire) == Next::Close {
            break;
        }
    }
    Ok(())
}
