//! A byte-exact peer: sends what it is told, reads strictly, and gives up after ten seconds of silence.
//! It reads heads and bodies by code of its own, so that a fault of the engine's codec is not shared.

use socket2::{Domain, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

const SILENCE: Duration = Duration::from_secs(10);

/// First line and fields of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The request or status line.
    pub line: String,
    /// Name and value as sent, in order.
    pub fields: Vec<(String, String)>,
}

impl Head {
    /// The value of a field that may stand once at most.
    pub fn field(&self, name: &str) -> Option<&str> {
        let values = self.values(name);
        assert!(values.len() < 2, "more than one {name}: {values:?}");
        values.first().copied()
    }

    /// Every value of a field.
    pub fn values(&self, name: &str) -> Vec<&str> {
        let same = self.fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value.as_str()).collect()
    }

    fn parse(text: &str) -> io::Result<Self> {
        let mut lines = text.split("\r\n");
        let line = lines.next().unwrap_or_default().to_owned();
        let fields = lines.map(|line| match line.split_once(':') {
            Some((name, value)) => Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned())),
            None => Err(broken(format!("no field: {line:?}"))),
        });
        Ok(Self { line, fields: fields.collect::<io::Result<_>>()? })
    }

    fn says(&self, name: &str, token: &str) -> bool {
        self.values(name).iter().any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
    }
}

/// An answer as it came over the wire.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// The final status.
    pub status: u16,
    /// The final head.
    pub head: Head,
    /// The heads of 1xx before it.
    pub interim: Vec<Head>,
    /// The body, without its coding of transfer.
    pub body: Vec<u8>,
    /// Fields after a chunked body.
    pub trailers: Vec<(String, String)>,
}

impl Response {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A field of the final head.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.field(name)
    }

    /// Whether the server said that it closes.
    pub fn closes(&self) -> bool {
        self.head.says("connection", "close")
    }
}

/// A body and the fields after it.
pub type Body = (Vec<u8>, Vec<(String, String)>);

/// One TCP connection and what was read from it but not used.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Wire {
    /// Connects from the usual address.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        Self::of(TcpStream::connect_timeout(&address, SILENCE)?)
    }

    /// Connects from a given loopback address, to be another client.
    pub fn connect_from(source: IpAddr, address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(source, 0).into())?;
        socket.connect_timeout(&address.into(), SILENCE)?;
        Self::of(socket.into())
    }

    /// Connects with a receive buffer so small that a slow reader is felt at once.
    pub fn connect_narrow(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_recv_buffer_size(4096)?;
        socket.connect_timeout(&address.into(), SILENCE)?;
        Self::of(socket.into())
    }

    /// Takes over an accepted connection.
    pub fn of(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE))?;
        stream.set_write_timeout(Some(SILENCE))?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// The socket, for what this type does not do.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// How long a read may wait.
    pub fn patience(&mut self, silence: Duration) -> &mut Self {
        self.stream.set_read_timeout(Some(silence)).expect("a timeout");
        self
    }

    /// Sends these bytes, all of them.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Says that nothing more is sent.
    pub fn finish(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// The first line and fields; None when the peer closed before the first byte.
    pub fn read_head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let text = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.drain(..end + 4);
                return Head::parse(&text).map(Some);
            }
            if self.fill()? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    /// A whole answer to a request with this method.
    pub fn read_response(&mut self, method: &str) -> io::Result<Response> {
        let mut response = Response::default();
        loop {
            let head = self.read_head()?.ok_or_else(|| io::Error::from(ErrorKind::ConnectionAborted))?;
            response.status = status_of(&head.line)?;
            if response.status >= 200 || response.status == 101 {
                response.head = head;
                break;
            }
            response.interim.push(head);
        }
        let empty = method == "HEAD" || response.status == 101 || matches!(response.status, 204 | 304);
        if !empty {
            (response.body, response.trailers) = self.read_body(&response.head, true)?;
        }
        Ok(response)
    }

    /// The body that a head announces. A response without a length goes on until the end.
    pub fn read_body(&mut self, head: &Head, response: bool) -> io::Result<Body> {
        if head.says("transfer-encoding", "chunked") {
            return self.read_chunked();
        }
        match head.field("content-length") {
            Some(length) => {
                let length = length.parse().map_err(|_| broken(format!("length {length:?}")))?;
                Ok((self.read_exact(length)?, Vec::new()))
            }
            None if response => Ok((self.read_to_end()?, Vec::new())),
            None => Ok(Default::default()),
        }
    }

    fn read_chunked(&mut self) -> io::Result<Body> {
        let mut body = Vec::new();
        loop {
            let line = self.read_line()?;
            let size = line.split(';').next().unwrap_or_default();
            let size = usize::from_str_radix(size, 16).map_err(|_| broken(format!("chunk size {line:?}")))?;
            if size == 0 {
                break;
            }
            body.extend(self.read_exact(size)?);
            let end = self.read_exact(2)?;
            if end != b"\r\n" {
                return Err(broken(format!("end of chunk {end:?}")));
            }
        }
        let mut trailers = String::new();
        loop {
            let line = self.read_line()?;
            if line.is_empty() {
                return Ok((body, Head::parse(&trailers)?.fields));
            }
            trailers += "\r\n";
            trailers += &line;
        }
    }

    /// Exactly so many bytes.
    pub fn read_exact(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            if self.fill()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.buffer.drain(..length).collect())
    }

    /// Everything until the peer closes.
    pub fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        while self.fill()? > 0 {}
        Ok(std::mem::take(&mut self.buffer))
    }

    /// Whether the peer closes before it sends another byte.
    pub fn is_closed(&mut self) -> bool {
        if !self.buffer.is_empty() {
            return false;
        }
        match self.fill() {
            Ok(length) => length == 0,
            Err(error) => matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
        }
    }

    fn read_line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.drain(..end + 2);
                return Ok(line);
            }
            if self.fill()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut step = [0; 16 * 1024];
        let length = self.stream.read(&mut step)?;
        self.buffer.extend_from_slice(&step[..length]);
        Ok(length)
    }
}

fn status_of(line: &str) -> io::Result<u16> {
    let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|status| status.parse().ok());
    status.ok_or_else(|| broken(format!("no status line: {line:?}")))
}

fn broken(what: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
