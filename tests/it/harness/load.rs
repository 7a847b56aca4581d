//! Clients that go on while something happens, and what became of each of their requests.

use super::client::{Client, Request};
use super::eventually::pace;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Threads that ask until they are told to stop.
pub struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    /// No client yet.
    pub fn new() -> Self {
        Self { stop: Arc::default(), answered: Arc::default(), threads: Vec::new() }
    }

    /// One that asks for `target` again and again on one connection, from an address of its own.
    pub fn keep_alive(mut self, source: IpAddr, address: SocketAddr, target: &str, rhythm: Duration) -> Self {
        let request = Request::get(target);
        let connect = move || Client::connect_from(source, address);
        let mut kept = None;
        self.add(rhythm, move || {
            let mut client = kept.take().map_or_else(connect, Ok).map_err(|error| format!("connect: {error}"))?;
            let response = client.send(&request).map_err(|error| format!("kept: {error}"))?;
            if response.status != 200 {
                return Err(format!("status {}: {}", response.status, response.text()));
            }
            kept = Some(client);
            Ok(())
        });
        self
    }

    /// One that asks on a new connection each time.
    pub fn fresh(mut self, source: IpAddr, address: SocketAddr, target: &str, rhythm: Duration) -> Self {
        let request = Request::get(target);
        self.add(rhythm, move || {
            let answer = Client::connect_from(source, address).and_then(|mut client| client.send(&request));
            match answer {
                Ok(response) if response.status == 200 => Ok(()),
                Ok(response) => Err(format!("status {}: {}", response.status, response.text())),
                Err(error) => Err(format!("fresh: {error}")),
            }
        });
        self
    }

    /// One that repeats anything.
    pub fn add(&mut self, rhythm: Duration, mut once: impl FnMut() -> Result<(), String> + Send + 'static) {
        let (stop, answered) = (Arc::clone(&self.stop), Arc::clone(&self.answered));
        self.threads.push(thread::spawn(move || {
            let mut faults = Vec::new();
            while !stop.load(Ordering::SeqCst) {
                match once() {
                    Ok(()) => {
                        answered.fetch_add(1, Ordering::SeqCst);
                    }
                    Err(fault) => faults.push(fault),
                }
                pace(rhythm);
            }
            faults
        }));
    }

    /// How many were answered so far.
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }

    /// Waits until so many more are answered.
    pub fn more(&self, count: usize) {
        let target = self.answered() + count;
        super::within(Duration::from_secs(60), "the load goes on", || (self.answered() >= target).then_some(()));
    }

    /// Stops all and gives the number of answers and every fault.
    pub fn end(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::SeqCst);
        let faults = self.threads.into_iter().flat_map(|thread| thread.join().expect("a client of the load")).collect();
        (self.answered.load(Ordering::SeqCst), faults)
    }
}
