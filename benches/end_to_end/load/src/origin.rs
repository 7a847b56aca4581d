//! The origin behind a proxy: keep-alive, one thread, as cheap as can be.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::net::{SocketAddrV4, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{MemfdFlags, memfd_create, sendfile};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt};

use crate::Outcome;
use crate::poll::Poll;

/// A larger body is sent from a file.
const MAX_COPIED: usize = 128 << 10;
const MAX_BODY: usize = 256 << 20;
const MAX_REQUEST: usize = 64 << 10;

pub fn run(addresses: &[SocketAddrV4]) -> Outcome<()> {
    let mut poll = Poll::new()?;
    let mut listeners = Vec::new();
    for (key, address) in addresses.iter().enumerate() {
        let listener = TcpListener::bind(address)?;
        rustix::net::listen(&listener, 4096)?;
        listener.set_nonblocking(true)?;
        poll.add(&listener, key)?;
        listeners.push(listener);
    }
    println!("ready");
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut free = Vec::new();
    let mut bodies = Bodies::default();
    let mut buffer = vec![0; 64 << 10];
    loop {
        for event in poll.wait(None)? {
            if let Some(listener) = listeners.get(event.key) {
                while let Ok((socket, _)) = listener.accept() {
                    socket.set_nonblocking(true)?;
                    sockopt::set_tcp_nodelay(&socket, true)?;
                    let slot = free.pop().unwrap_or_else(|| {
                        connections.push(None);
                        connections.len() - 1
                    });
                    poll.add(&socket, listeners.len() + slot)?;
                    connections[slot] = Some(Connection::new(socket.into()));
                }
                continue;
            }
            let slot = event.key - listeners.len();
            let Some(connection) = &mut connections[slot] else { continue };
            let mut alive = !event.is_broken();
            if alive && event.is_writable() {
                alive = connection.send().is_ok();
            }
            if alive && event.is_readable() {
                alive = connection.receive(&mut buffer, event.is_ending()).is_ok();
            }
            if !(alive && connection.answer(&mut bodies).is_ok()) {
                connections[slot] = None;
                free.push(slot);
            }
        }
    }
}

struct Connection {
    socket: OwnedFd,
    input: Vec<u8>,
    output: Option<Output>,
    is_last: bool,
}

struct Output {
    body: Rc<Body>,
    head_sent: usize,
    file_sent: u64,
}

/// A whole answer, or its head and the file that follows.
struct Body {
    head: Vec<u8>,
    file: Option<OwnedFd>,
    file_length: u64,
}

impl Connection {
    fn new(socket: OwnedFd) -> Self {
        Self { socket, input: Vec::new(), output: None, is_last: false }
    }

    fn receive(&mut self, buffer: &mut [u8], is_ending: bool) -> io::Result<()> {
        loop {
            match recv(&self.socket, &mut *buffer, RecvFlags::empty()) {
                Ok((_, 0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok((_, count)) => {
                    self.input.extend_from_slice(&buffer[..count]);
                    if self.input.len() > MAX_REQUEST {
                        return Err(io::ErrorKind::InvalidData.into());
                    }
                    if count < buffer.len() && !is_ending {
                        return Ok(());
                    }
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Answers every whole request, one after the other.
    fn answer(&mut self, bodies: &mut Bodies) -> io::Result<()> {
        while self.output.is_none() && !self.is_last {
            let mut fields = [httparse::EMPTY_HEADER; 64];
            let mut request = httparse::Request::new(&mut fields);
            let end = match request.parse(&self.input).map_err(io::Error::other)? {
                httparse::Status::Complete(end) => end,
                httparse::Status::Partial => return Ok(()),
            };
            self.is_last = request.version == Some(0)
                || request.headers.iter().any(|field| {
                    field.name.eq_ignore_ascii_case("connection") && field.value.eq_ignore_ascii_case(b"close")
                });
            let length = request.path.and_then(|path| path.strip_prefix("/b/")).and_then(|count| count.parse().ok());
            let body = bodies.of_length(length.unwrap_or(0))?;
            self.input.drain(..end);
            self.output = Some(Output { body, head_sent: 0, file_sent: 0 });
            self.send()?;
        }
        Ok(())
    }

    /// Sends what the socket takes. An error also ends a connection after its last answer.
    fn send(&mut self) -> io::Result<()> {
        let Some(output) = &mut self.output else { return Ok(()) };
        match output.send(self.socket.as_fd()) {
            Ok(()) => {
                self.output = None;
                if self.is_last { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
            }
            Err(Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Output {
    fn send(&mut self, socket: impl AsFd + Copy) -> Result<(), Errno> {
        let flags = SendFlags::NOSIGNAL | if self.body.file.is_some() { SendFlags::MORE } else { SendFlags::empty() };
        while self.head_sent < self.body.head.len() {
            self.head_sent += send(socket, &self.body.head[self.head_sent..], flags)?;
        }
        if let Some(file) = &self.body.file {
            while self.file_sent < self.body.file_length {
                let left = self.body.file_length - self.file_sent;
                sendfile(socket, file, Some(&mut self.file_sent), left as usize)?;
            }
        }
        Ok(())
    }
}

/// What was answered before; a benchmark asks for few lengths.
#[derive(Default)]
struct Bodies(HashMap<usize, Rc<Body>>);

impl Bodies {
    fn of_length(&mut self, length: usize) -> io::Result<Rc<Body>> {
        if length > MAX_BODY {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if let Some(body) = self.0.get(&length) {
            return Ok(Rc::clone(body));
        }
        let body = Rc::new(Body::of_length(length)?);
        if self.0.len() < 16 {
            self.0.insert(length, Rc::clone(&body));
        }
        Ok(body)
    }
}

impl Body {
    fn of_length(length: usize) -> io::Result<Self> {
        let mut head = format!(
            "HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
             Content-Type: application/octet-stream\r\nContent-Length: {length}\r\n\r\n"
        )
        .into_bytes();
        let body = vec![b'x'; length];
        if length <= MAX_COPIED {
            head.extend_from_slice(&body);
            return Ok(Self { head, file: None, file_length: 0 });
        }
        let mut file = File::from(memfd_create("body", MemfdFlags::CLOEXEC)?);
        file.write_all(&body)?;
        Ok(Self { head, file: Some(file.into()), file_length: length as u64 })
    }
}
