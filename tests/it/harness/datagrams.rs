//! Servers and clients of datagrams.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::eventually;

/// Where a datagram came from, and what was in it.
pub type Arrival = (SocketAddr, Vec<u8>);

/// A server that answers each datagram with its own name, a colon and what came. It ends with the value.
pub struct Echo {
    /// Where it is.
    pub address: SocketAddr,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    /// One on any port of this address.
    pub fn start(at: &str, name: &'static str) -> Self {
        Self::at(UdpSocket::bind((at, 0)).expect("a socket for an echo"), name)
    }

    /// One on this socket.
    pub fn at(socket: UdpSocket, name: &'static str) -> Self {
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let (arrivals, over) = (Arc::<Mutex<Vec<Arrival>>>::default(), Arc::<AtomicBool>::default());
        let address = socket.local_addr().unwrap();
        let (seen, ended) = (Arc::clone(&arrivals), Arc::clone(&over));
        let thread = std::thread::spawn(move || {
            let mut datagram = vec![0; 65_536];
            while !ended.load(Relaxed) {
                if let Ok((length, from)) = socket.recv_from(&mut datagram) {
                    seen.lock().unwrap().push((from, datagram[..length].to_vec()));
                    let _ = socket.send_to(&[name.as_bytes(), b":", &datagram[..length]].concat(), from);
                }
            }
        });
        Self { address, arrivals, over, thread: Some(thread) }
    }

    /// What came, and from where, so far.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.arrivals.lock().unwrap().clone()
    }

    /// Where the datagram with this text came from.
    pub fn source_of(&self, text: &str) -> Option<SocketAddr> {
        self.arrivals().into_iter().find(|(_, datagram)| datagram == text.as_bytes()).map(|(from, _)| from)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A client with a socket of its own.
pub struct Talker(UdpSocket);

impl Talker {
    /// One on any port of this address.
    pub fn from(source: &str) -> Self {
        let socket = UdpSocket::bind((source, 0)).expect("a socket for a client");
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        Self(socket)
    }

    /// How long an answer is waited for.
    pub fn patience(self, patience: Duration) -> Self {
        self.0.set_read_timeout(Some(patience)).unwrap();
        self
    }

    /// Sends and waits for nothing.
    pub fn tell(&self, to: SocketAddr, text: &str) {
        self.0.send_to(text.as_bytes(), to).expect("a datagram leaves");
    }

    /// The next answer, and where it came from; none where nothing comes in time.
    pub fn hear(&self) -> Option<(String, SocketAddr)> {
        let mut datagram = vec![0; 65_536];
        match self.0.recv_from(&mut datagram) {
            Ok((length, from)) => Some((String::from_utf8_lossy(&datagram[..length]).into_owned(), from)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Sends once, and gives the answer to it where there is one.
    pub fn ask(&self, to: SocketAddr, text: &str) -> Option<String> {
        self.tell(to, text);
        loop {
            let (answer, _) = self.hear()?;
            // An answer to an earlier one that was given up may still come.
            if answer.ends_with(&format!(":{text}")) {
                return answer.split(':').next().map(str::to_owned);
            }
        }
    }

    /// Asks until somebody of this name answers.
    pub fn reaches(&self, to: SocketAddr, name: &str) {
        let mut number = 0;
        eventually(&format!("an answer of {name}"), || {
            number += 1;
            (self.ask(to, &format!("again {number}")).as_deref() == Some(name)).then_some(())
        });
    }
}
