//! WebSockets at both ends.

use super::origin::{Arrival, Next};
use super::raw::Wire;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

/// A client's end.
pub struct Socket(WebSocket<TcpStream>);

impl Socket {
    /// Shakes hands through whatever stands at the address.
    pub fn connect(address: SocketAddr, path: &str) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        let (socket, _) = tungstenite::client(format!("ws://test.example{path}"), stream).expect("a WebSocket");
        Self(socket)
    }

    /// Sends a text and gives what comes back.
    pub fn echo(&mut self, text: &str) -> Result<String, tungstenite::Error> {
        self.0.send(Message::text(text))?;
        Ok(self.0.read()?.into_text()?.to_string())
    }

    /// Sends bytes and gives what comes back.
    pub fn echo_bytes(&mut self, bytes: &[u8]) -> Result<Vec<u8>, tungstenite::Error> {
        self.0.send(Message::binary(bytes.to_vec()))?;
        Ok(self.0.read()?.into_data().to_vec())
    }
}

/// An origin's end: says yes and sends every message back.
pub fn serve(arrival: &Arrival, wire: &mut Wire) -> Next {
    let accept = derive_accept_key(arrival.head.field("sec-websocket-key").unwrap_or_default().as_bytes());
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    let stream = wire.send(head).and_then(|()| wire.stream().try_clone());
    let Ok(stream) = stream else { return Next::Close };
    let mut socket = WebSocket::from_raw_socket(stream, Role::Server, None);
    while let Ok(message) = socket.read() {
        if message.is_close() || (!message.is_ping() && socket.send(message).is_err()) {
            break;
        }
    }
    Next::Close
}
