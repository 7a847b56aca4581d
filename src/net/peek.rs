//! Looks at what has come to a socket, and leaves it there.

use std::io;

use rustix::net::RecvFlags;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::Buffer;

/// Shows `look` the first bytes that have come, at most `most` of them, each time that more have, until it
/// gives something. They stay in the socket; who waits for more holds no memory.
///
/// # Errors
/// Those of the socket, and `UnexpectedEof` where the peer ends before `look` has seen enough.
pub async fn peek_until<T>(socket: &TcpStream, most: usize, mut look: impl FnMut(&[u8]) -> Option<T>) -> io::Result<T> {
    let mut seen = 0;
    loop {
        let ready = socket.ready(Interest::READABLE).await?;
        let mut block = Buffer::with_capacity(most);
        let peeked = socket.try_io(Interest::READABLE, || {
            let spare = block.spare();
            let room = spare.len().min(most);
            let (_, n) = rustix::net::recv(socket, &mut spare[..room], RecvFlags::PEEK)?;
            // What was peeked at lies there still: only more of it is worth another look.
            if n > 0 && n == seen { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(n) }
        });
        match peeked {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                seen = n;
                if let Some(found) = look(block.spare().get(..n).unwrap_or_default()) {
                    return Ok(found);
                }
            }
            // It ended inside of what is looked for; nothing will come.
            Err(_) if ready.is_read_closed() => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (one, other) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (one.unwrap(), other.unwrap().0)
    }

    #[tokio::test]
    async fn what_is_looked_at_stays_and_is_read_later() {
        let (mut client, mut server) = pair().await;
        client.write_all(b"one").await.unwrap();
        let mut looks = 0;
        let looking = peek_until(&server, 100, |bytes| {
            looks += 1;
            (bytes.len() >= 6).then(|| bytes.to_vec())
        });
        let sending = async {
            tokio::task::yield_now().await;
            client.write_all(b"two").await.unwrap();
        };
        let (found, ()) = tokio::join!(looking, sending);
        assert_eq!(found.unwrap(), b"onetwo");
        assert!(looks <= 2, "{looks} looks");
        let mut read = [0; 6];
        server.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"onetwo");
    }

    #[tokio::test]
    async fn an_end_ends_the_look() {
        let (mut client, server) = pair().await;
        client.write_all(b"half").await.unwrap();
        drop(client);
        let error = peek_until(&server, 100, |_| None::<()>).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
