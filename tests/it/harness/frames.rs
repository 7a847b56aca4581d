//! HTTP/2 frames written and read by hand (RFC 9113 §4.1), for what no client library would send.

use super::Wire;
use std::io;
use std::net::SocketAddr;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// A frame that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The error code of GOAWAY or RST_STREAM.
    pub fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().expect("four bytes"))
    }
}

/// The bytes of one.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut bytes = u32::try_from(payload.len()).expect("a length").to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Fields as literals without indexing (RFC 7541 §6.2.2).
pub fn fields(list: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in list {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127);
            block.push(u8::try_from(text.len()).expect("a short text"));
            block.extend(text.bytes());
        }
    }
    block
}

/// The HEADERS frame of a GET.
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    let list = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", path)];
    frame(HEADERS, END_HEADERS | END_STREAM, stream, fields(&list))
}

/// A connection on which the preface and empty SETTINGS were sent.
pub fn connect(address: SocketAddr) -> Wire {
    let mut wire = Wire::connect(address).expect("a connection");
    wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("a preface");
    wire.send(frame(SETTINGS, 0, 0, [])).expect("settings");
    wire
}

/// The next frame.
pub fn read(wire: &mut Wire) -> io::Result<Frame> {
    let head = wire.read_exact(9)?;
    let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
    let stream = u32::from_be_bytes(head[5..9].try_into().expect("four bytes"));
    Ok(Frame { kind: head[3], flags: head[4], stream, payload: wire.read_exact(length)? })
}

/// The next frame of this kind.
pub fn read_until(wire: &mut Wire, kind: u8) -> io::Result<Frame> {
    loop {
        let frame = read(wire)?;
        if frame.kind == kind {
            return Ok(frame);
        }
    }
}
