//! A simple HTTP/1.1 client that keeps its connection and reports every fault of it.

use super::raw::{Response, Wire};
use std::io;
use std::net::{IpAddr, SocketAddr};

/// A request as it will stand on the wire.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    target: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    /// A request for `test.example` without a body.
    pub fn new(method: &str, target: &str) -> Self {
        let fields = vec![("Host".to_owned(), "test.example".to_owned())];
        Self { method: method.to_owned(), target: target.to_owned(), fields, body: Vec::new() }
    }

    /// A GET.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A POST with Content-Length.
    pub fn post(target: &str, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref().to_vec();
        let length = body.len().to_string();
        Self { body, ..Self::new("POST", target) }.with("Content-Length", &length)
    }

    /// One more field; Host is replaced.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        if name.eq_ignore_ascii_case("host") {
            self.fields.clear();
        }
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.fields {
            out += &format!("{name}: {value}\r\n");
        }
        out += "\r\n";
        let mut out = out.into_bytes();
        out.extend_from_slice(&self.body);
        out
    }
}

/// A client with one connection, which it opens anew only after a server that said that it closes.
#[derive(Debug)]
pub struct Client {
    source: Option<IpAddr>,
    address: SocketAddr,
    wire: Wire,
    over: bool,
    /// How many connections it has opened.
    pub opened: usize,
}

impl Client {
    /// Connects.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        Self::open(None, address)
    }

    /// Connects from a loopback address of its own.
    pub fn connect_from(source: IpAddr, address: SocketAddr) -> io::Result<Self> {
        Self::open(Some(source), address)
    }

    fn open(source: Option<IpAddr>, address: SocketAddr) -> io::Result<Self> {
        let wire = match source {
            Some(source) => Wire::connect_from(source, address)?,
            None => Wire::connect(address)?,
        };
        Ok(Self { source, address, wire, over: false, opened: 1 })
    }

    /// Sends a request and reads its whole answer.
    pub fn send(&mut self, request: &Request) -> io::Result<Response> {
        if self.over {
            let opened = self.opened + 1;
            *self = Self { opened, ..Self::open(self.source, self.address)? };
        }
        self.wire.send(request.bytes())?;
        let response = self.wire.read_response(&request.method)?;
        self.over = response.closes();
        Ok(response)
    }

    /// GET, which must get an answer.
    pub fn get(&mut self, target: &str) -> Response {
        self.send(&Request::get(target)).unwrap_or_else(|error| panic!("GET {target}: {error}"))
    }

    /// The connection itself.
    pub fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }
}

/// One GET on a connection of its own.
pub fn get(address: SocketAddr, target: &str) -> Response {
    send(address, &Request::get(target)).unwrap_or_else(|error| panic!("GET {target} of {address}: {error}"))
}

/// One request on a connection of its own.
pub fn send(address: SocketAddr, request: &Request) -> io::Result<Response> {
    Client::connect(address)?.send(request)
}
