//! An honest HTTP/2 client and server, over the `h2` crate.

use bytes::Bytes;
use h2::{RecvStream, client, server};
use std::future::{Future, poll_fn};
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// Runs an async test to its end, within half a minute.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let tasks = tokio::task::LocalSet::new();
    let limited = tasks.run_until(async { tokio::time::timeout(Duration::from_secs(30), test).await });
    runtime.block_on(limited).expect("an end within 30 s")
}

/// A client's connection, whose window is much wider than that of one stream.
pub async fn connect(address: SocketAddr) -> client::SendRequest<Bytes> {
    let stream = TcpStream::connect(address).await.expect("a connection");
    let (send, connection) =
        client::Builder::new().initial_connection_window_size(1 << 20).handshake(stream).await.expect("a handshake");
    tokio::spawn(connection);
    send.ready().await.expect("a server that is ready")
}

/// A request head for `http://a`.
pub fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> http::Request<()> {
    let request = http::Request::builder().method(method).uri(format!("http://a{path}"));
    fields.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(()).expect("a request")
}

/// All of a body, its windows opened as it comes, and its trailers.
pub async fn read(body: &mut RecvStream) -> Result<(Vec<u8>, Option<http::HeaderMap>), h2::Error> {
    let mut all = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        all.extend_from_slice(&piece);
    }
    Ok((all, body.trailers().await?))
}

/// Sends bytes as the window opens.
pub async fn send(out: &mut h2::SendStream<Bytes>, bytes: &[u8], ends: bool) -> Result<(), h2::Error> {
    let mut rest = bytes;
    while !rest.is_empty() {
        out.reserve_capacity(rest.len());
        let granted = poll_fn(|cx| out.poll_capacity(cx)).await.unwrap_or(Ok(0))?;
        let (piece, later) = rest.split_at(granted.min(rest.len()));
        out.send_data(Bytes::copy_from_slice(piece), false)?;
        rest = later;
    }
    if ends { out.send_data(Bytes::new(), true) } else { Ok(()) }
}

/// What a server does with one connection.
pub type Connection = server::Connection<TcpStream, Bytes>;

/// A server on a thread of its own, for as long as the process lives; `serve` has each connection.
pub fn listen<F: Future<Output = ()> + 'static>(serve: impl Fn(Connection) -> F + Send + 'static) -> SocketAddr {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("an address");
    listener.set_nonblocking(true).expect("a socket for tokio");
    let address = listener.local_addr().expect("a bound socket");
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let tasks = tokio::task::LocalSet::new();
        tasks.block_on(&runtime, async move {
            let listener = TcpListener::from_std(listener).expect("a listener");
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(connection) = server::handshake(stream).await {
                    tokio::task::spawn_local(serve(connection));
                }
            }
        });
    });
    address
}
