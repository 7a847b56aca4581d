//! Writes an answer to an HTTP/1.x client.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use crate::codec::h1;
use crate::handler::{Body, BodyFault, Response};
use crate::head::{Method, RequestHead, ResponseHead, Version};
use crate::http::fields::each_field;
use crate::http::sent::{SendFault, Sent};
use crate::message::{Exchange, H1Body, RequestBody};
use crate::net::{Pace, Scratch, coarse_now, end_turn};
use crate::snapshot::Listener;

/// How an answer's body is delimited for the client (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delimited {
    /// There is none; a length may be told all the same.
    Not(Option<u64>),
    /// By its length.
    Length(u64),
    /// By chunks.
    Chunked,
    /// By the end of the connection: an HTTP/1.0 client knows no other way.
    Close,
}

/// How an answer goes out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    delimited: Delimited,
    version: Version,
    keep: bool,
}

impl Answer {
    /// How `response` goes to who asked `request`; `keep` as far as the request's side allows.
    pub(super) fn new(response: &Response<'_>, request: &RequestHead, keep: bool) -> Self {
        let length = response.body.length();
        let delimited = match (response.head.status, length) {
            // RFC 9110 §15.3.5, §8.6: no body and no length.
            (100..=199 | 204, _) => Delimited::Not(None),
            (304, length) => Delimited::Not(length),
            (_, length) if request.method == Method::Head => Delimited::Not(length),
            (_, Some(length)) => Delimited::Length(length),
            (_, None) if matches!(response.body, Body::Empty(_)) => Delimited::Length(0),
            (_, None) if request.version == Version::Http10 => Delimited::Close,
            (_, None) => Delimited::Chunked,
        };
        Self { delimited, version: request.version, keep: keep && delimited != Delimited::Close }
    }

    /// Whether the connection is kept after it.
    pub(super) fn keeps(&self) -> bool {
        self.keep
    }

    /// The head as bytes.
    pub(super) fn head(&self, response: &Response<'_>, listener: &Listener, exchange: &Exchange<'_>) -> Scratch {
        let mut out = Scratch::new();
        write_fields(&mut out, &response.head, listener, exchange);
        match self.delimited {
            Delimited::Not(Some(length)) | Delimited::Length(length) => h1::write_length(&mut out, length),
            Delimited::Chunked => h1::write_field(&mut out, b"Transfer-Encoding", b"chunked"),
            Delimited::Not(None) | Delimited::Close => {}
        }
        if !self.keep {
            out.extend_from_slice(b"Connection: close\r\n");
        } else if self.version == Version::Http10 {
            h1::write_field(&mut out, b"Connection", b"keep-alive");
        }
        h1::end_head(&mut out);
        out
    }

    /// Sends the head in `out` and then the body. The request's body goes on to the upstream
    /// meanwhile.
    pub(super) async fn send(&self, connection: &mut H1Body, body: &mut Body<'_>, out: Scratch, pace: Pace) -> Sent {
        if connection.stream.plain().is_some() && matches!(self.delimited, Delimited::Length(_)) {
            body.allow_pipe();
        }
        let mut sending = Sending::new(*self, connection, out, pace);
        let result = poll_fn(|cx| {
            if body.is_uploading() {
                body.poll_upload(cx, &mut RequestBody::H1(connection));
            }
            let sent = sending.poll(cx, connection, body);
            if sent.is_pending() {
                if sending.pace.is_waiting() {
                    body.poll_ahead(cx);
                } else if connection.stream.poll_failed(cx).is_ready() {
                    return Poll::Ready(Err(SendFault::Client));
                }
            }
            sent
        })
        .await;
        if result.is_err() && self.delimited == Delimited::Close {
            // An ordinary close would make it look whole.
            connection.stream.reset_on_close();
        }
        Sent { bytes: sending.bytes, fault: result.err() }
    }
}

/// The head before a tunnel (RFC 9110 §7.8).
pub(super) fn tunnel_head(head: &ResponseHead, listener: &Listener, exchange: &Exchange<'_>) -> Scratch {
    let mut out = Scratch::new();
    write_fields(&mut out, head, listener, exchange);
    h1::write_field(&mut out, b"Connection", b"upgrade");
    h1::end_head(&mut out);
    out
}

/// The status line, and every field but those of framing and persistence.
fn write_fields(out: &mut Vec<u8>, head: &ResponseHead, listener: &Listener, exchange: &Exchange<'_>) {
    h1::write_status_line(out, head.status, &head.reason);
    each_field(head, listener, exchange, |field| h1::write_line(out, field));
}

/// An answer that is being sent.
struct Sending {
    delimited: Delimited,
    out: Scratch,
    sent: usize,
    /// Payload at the front of the body's data that goes out behind `out`.
    direct: usize,
    /// Payload inside `out`.
    copied: u64,
    /// Whether the chunk that goes out still needs its end.
    open_chunk: bool,
    over: bool,
    /// What the body met, told when all that came before it has gone out.
    fault: Option<SendFault>,
    bytes: u64,
    /// Waits while the client takes nothing.
    pace: Pace,
}

impl Sending {
    fn new(answer: Answer, connection: &mut H1Body, out: Scratch, pace: Pace) -> Self {
        let (out, sent) = connection.behind_interim(out);
        Self {
            delimited: answer.delimited,
            out,
            sent,
            direct: 0,
            copied: 0,
            open_chunk: false,
            over: matches!(answer.delimited, Delimited::Not(_)),
            fault: None,
            bytes: 0,
            pace,
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        connection: &mut H1Body,
        body: &mut Body<'_>,
    ) -> Poll<Result<(), SendFault>> {
        let turn = self.bytes + TURN;
        loop {
            if self.bytes >= turn {
                end_turn(cx);
                return Poll::Pending;
            }
            // What is at hand goes out together: head, chunk size and payload in one call.
            let gathers = self.direct == 0 && !self.over && self.fault.is_none();
            if gathers && self.out.len() - self.sent < GATHERED {
                match self.poll_next(cx, connection, body) {
                    Poll::Ready(Ok(())) if self.direct == 0 && !self.over => continue,
                    // A client that hears nothing at all may take its request for unread.
                    Poll::Ready(Err(fault)) => self.fault = Some(fault),
                    Poll::Pending if self.sent == self.out.len() => return self.poll_rest(cx, connection),
                    Poll::Ready(Ok(())) | Poll::Pending => {}
                }
            }
            ready!(self.poll_write(cx, connection, body))?;
            if let Some(fault) = self.fault.take() {
                return Poll::Ready(Err(fault));
            }
            if self.over && self.sent == self.out.len() {
                return match connection.stream.poll_flush(cx) {
                    Poll::Ready(result) => Poll::Ready(result.map_err(|_| SendFault::Client)),
                    Poll::Pending => self.poll_patience(cx, connection),
                };
            }
        }
    }

    /// The client has all that there is so far.
    fn poll_rest(&mut self, cx: &mut Context<'_>, connection: &mut H1Body) -> Poll<Result<(), SendFault>> {
        match connection.stream.poll_flush(cx) {
            Poll::Ready(Err(_)) => Poll::Ready(Err(SendFault::Client)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    }

    /// Finds what goes out next.
    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        connection: &mut H1Body,
        body: &mut Body<'_>,
    ) -> Poll<Result<(), SendFault>> {
        if let (Body::File(file), Some(socket)) = (&mut *body, connection.stream.plain())
            && matches!(self.delimited, Delimited::Length(_))
        {
            if self.sent < self.out.len() {
                return Poll::Pending;
            }
            let before = self.bytes;
            let sent = file.poll_send(cx, socket, &mut self.bytes);
            connection.moved.1 += self.bytes - before;
            if self.bytes > before {
                self.pace.moved(coarse_now(), self.bytes - before);
            }
            return match sent {
                Poll::Ready(Ok(true)) => {
                    self.over = true;
                    Poll::Ready(Ok(()))
                }
                Poll::Ready(Ok(false)) => {
                    end_turn(cx);
                    Poll::Pending
                }
                Poll::Ready(Err(error)) => Poll::Ready(Err(file_fault(error))),
                Poll::Pending => self.poll_patience(cx, connection),
            };
        }
        if ready!(body.poll_fill(cx)).map_err(SendFault::Body)? {
            if let Some(pipe) = body.pipe() {
                self.direct = pipe.len();
                return Poll::Ready(Ok(()));
            }
            let data = body.data();
            let is_chunk = self.delimited == Delimited::Chunked;
            if is_chunk {
                h1::write_chunk_size(&mut self.out, data.len());
            }
            if data.len() > COPIED {
                self.direct = data.len();
                self.open_chunk = is_chunk;
            } else {
                // What is small goes out whole and in one piece: an event is one packet, and the
                // kernel takes one slice in fewer steps than two.
                let n = data.len();
                self.out.extend_from_slice(data);
                if is_chunk {
                    self.out.extend_from_slice(h1::CHUNK_END);
                }
                body.consume(n);
                self.copied += n as u64;
            }
        } else {
            self.over = true;
            if self.delimited == Delimited::Chunked {
                h1::write_last_chunk(&mut self.out, &body.trailers());
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        connection: &mut H1Body,
        body: &mut Body<'_>,
    ) -> Poll<Result<(), SendFault>> {
        while self.sent < self.out.len() || self.direct > 0 {
            let rest = self.out.get(self.sent..).unwrap_or_default();
            let head = rest.len();
            if head == 0
                && let (Some(pipe), Some(socket)) = (body.pipe(), connection.stream.plain())
            {
                let written = pipe.poll_drain(cx, socket);
                let n = ready!(self.poll_taken(cx, connection, &written))?;
                self.direct -= n;
                self.bytes += n as u64;
                continue;
            }
            // Reading ahead may have parted what was one piece.
            let data = body.data();
            let payload = data.get(..self.direct).unwrap_or(data);
            // The head of a file that the kernel sends: its first packet is to be filled.
            let alone = self.direct == 0 && !self.over && matches!(body, Body::File(_));
            let written = if alone {
                connection.stream.poll_write_more(cx, rest)
            } else {
                connection.stream.poll_write_two(cx, rest, payload)
            };
            let n = ready!(self.poll_taken(cx, connection, &written))?;
            let head = n.min(head);
            self.sent += head;
            body.consume(n - head);
            self.direct -= n - head;
            self.bytes += (n - head) as u64;
        }
        self.bytes += std::mem::take(&mut self.copied);
        self.out.clear();
        self.sent = 0;
        if self.open_chunk {
            self.open_chunk = false;
            self.out.extend_from_slice(h1::CHUNK_END);
        }
        Poll::Ready(Ok(()))
    }

    /// What the client took of what was written to it: never nothing.
    fn poll_taken(
        &mut self,
        cx: &mut Context<'_>,
        connection: &mut H1Body,
        written: &Poll<io::Result<usize>>,
    ) -> Poll<Result<usize, SendFault>> {
        match written {
            Poll::Ready(Ok(n)) if *n > 0 => {
                self.pace.moved(coarse_now(), *n as u64);
                connection.moved.1 += *n as u64;
                Poll::Ready(Ok(*n))
            }
            Poll::Ready(_) => Poll::Ready(Err(SendFault::Client)),
            Poll::Pending => self.poll_patience(cx, connection).map_ok(|()| 0),
        }
    }

    /// The client takes nothing: its time runs from the first such moment on.
    fn poll_patience(&mut self, cx: &mut Context<'_>, connection: &H1Body) -> Poll<Result<(), SendFault>> {
        if let Some(patience) = self.pace.wait(coarse_now()) {
            connection.send_deadline.set(patience);
        }
        connection.send_deadline.poll(cx).map(|()| Err(SendFault::TimedOut))
    }
}

/// Chunks up to this size are copied behind what is to be sent.
const COPIED: usize = 4096;
/// Payload bytes after which a client that takes everything at once lets others have a turn.
const TURN: u64 = 1024 * 1024;
/// With more than this to send already, nothing is gathered behind it.
const GATHERED: usize = 16 * 1024;

/// Of a file that goes to a socket by the kernel one call tells the faults of both.
fn file_fault(error: io::Error) -> SendFault {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
            SendFault::Client
        }
        _ => SendFault::Body(BodyFault::File(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::handler::static_files::{Bounds, Disk, Files, Request, Root, Spec};
    use crate::head::{Fields, ResponseHead};
    use crate::net::Stream;

    #[tokio::test]
    async fn a_large_file_lets_others_have_their_turn() {
        const LENGTH: u64 = 64 << 20;
        let folder = tempfile::tempdir().unwrap();
        std::fs::File::create(folder.path().join("large")).unwrap().set_len(LENGTH).unwrap();
        let (root, files) =
            (Root::open(Spec::new(folder.path())).unwrap(), Files::new(Bounds::default(), Disk::new(2)));
        let request = Request { method: Method::Get, path: b"/large", query: None, fields: &Fields::default() };
        let found = root.serve(&files, Instant::now(), request).await.unwrap();
        let mut body = Body::File(Box::new(found.body));

        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        // So much room that the socket alone would let a turn go on.
        socket2::SockRef::from(&socket).set_send_buffer_size(4 << 20).unwrap();
        let reading = std::thread::spawn(move || {
            io::copy(&mut listener.accept().unwrap().0.take(LENGTH), &mut io::sink()).unwrap()
        });
        let mut connection = H1Body::new(Stream::Tcp(socket.into()));
        let response = Response { head: Box::new(ResponseHead::new(200)), body: Body::Empty(Some(LENGTH)) };
        let answer = Answer::new(&response, &RequestHead::default(), true);
        let mut sending = Sending::new(answer, &mut connection, Scratch::new(), Pace::new(Duration::from_secs(60), 0));
        let mut most = 0;
        poll_fn(|cx| {
            let before = sending.bytes;
            let sent = sending.poll(cx, &mut connection, &mut body);
            most = most.max(sending.bytes - before);
            sent
        })
        .await
        .unwrap();
        assert_eq!(reading.join().unwrap(), LENGTH);
        assert!(most <= 2 << 20, "{most} bytes in one turn");
    }

    #[tokio::test]
    async fn only_what_the_client_took_is_counted() {
        for (room, took) in [(2, 0), (16, 5)] {
            let (ours, _theirs) = tokio::io::duplex(room);
            let mut connection = H1Body::new(Stream::Memory(ours));
            let mut body = Body::Bytes("small".into());
            let response = Response { head: Box::new(ResponseHead::new(200)), body: Body::Empty(Some(5)) };
            let answer = Answer::new(&response, &RequestHead::default(), true);
            let mut out = Scratch::new();
            out.extend_from_slice(b"head: ");
            let pace = Pace::new(Duration::from_secs(60), 0);
            let mut sending = Sending::new(answer, &mut connection, out, pace);
            poll_fn(|cx| {
                let _ = sending.poll(cx, &mut connection, &mut body);
                Poll::Ready(())
            })
            .await;
            assert_eq!(sending.bytes, took, "room for {room}");
        }
    }
}
