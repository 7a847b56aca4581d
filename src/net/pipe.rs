//! Pipes of the kernel: what goes through one, from a socket or a file to a socket, is never copied.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use rustix::io::{Errno, retry_on_intr};
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::Socket;

/// Bytes on their way to a plain socket. It comes from a pool of the thread and goes back when it is
/// dropped; one that still holds something is closed.
#[derive(Debug)]
pub struct Pipe {
    ends: Rc<Ends>,
    held: usize,
}

/// Where the bytes of a pipe come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A plain socket.
    Socket,
    /// A file that is in memory.
    File,
}

impl Source {
    /// Pages that a pipe has room for, in bytes. A network card fills few bytes of a page: there a pipe
    /// holds less. The more pages of a file go into a socket at once, the less each costs.
    const fn room(self) -> usize {
        match self {
            Self::Socket => 256 * 1024,
            Self::File => 1024 * 1024,
        }
    }

    /// Pipes that a thread may have open for it. Who gets none does without: the kernel gives all
    /// processes of an unprivileged user 64 MiB of pipes by default, and each costs two descriptors.
    #[must_use]
    pub const fn most(self) -> usize {
        match self {
            Self::Socket => 64,
            Self::File => 8,
        }
    }
}

/// Both ends of an open pipe; counted.
#[derive(Debug)]
struct Ends {
    source: Source,
    reader: OwnedFd,
    writer: OwnedFd,
}

/// Bytes asked for in one call; more than a pipe takes.
const STEP: u64 = 1024 * 1024;
/// Empty pipes kept for reuse by each thread, of each kind; what is above is closed.
const POOLED: usize = 16;

/// The pipes of a thread, of one kind.
struct Pipes {
    open: Cell<usize>,
    pool: RefCell<Vec<Rc<Ends>>>,
}

impl Pipes {
    const fn none() -> Self {
        Self { open: Cell::new(0), pool: RefCell::new(Vec::new()) }
    }
}

thread_local! {
    static PIPES: [Pipes; 2] = const { [Pipes::none(), Pipes::none()] };
}

impl Pipe {
    /// An empty pipe; `None` where the thread has enough or the system gives none.
    #[must_use]
    pub fn new(source: Source) -> Option<Self> {
        let pooled = PIPES.with(|pipes| pipes[source as usize].pool.borrow_mut().pop());
        let ends = match pooled {
            Some(ends) => ends,
            None => Rc::new(Ends::open(source)?),
        };
        Some(Self { ends, held: 0 })
    }

    /// Bytes held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Moves at most `most` bytes that have come to `socket` into the pipe; 0 is the end of the
    /// stream. To be called when the pipe is empty: a full one looks like a socket without news.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, socket: &TcpStream, most: u64) -> Poll<io::Result<usize>> {
        let most = most.min(STEP) as usize;
        loop {
            ready!(socket.poll_read_ready(cx))?;
            match socket.try_io(Interest::READABLE, || Ok(moved(socket, &self.ends.writer, most)?)) {
                Ok(n) => {
                    self.held += n;
                    return Poll::Ready(Ok(n));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Moves bytes of `file` from `offset` on, at most `most`, into the pipe, which must be empty; 0 is
    /// the end of the file. It waits for a disk where they are not in memory.
    ///
    /// # Errors
    /// Those of the file.
    pub fn fill(&mut self, file: &OwnedFd, offset: u64, most: usize) -> io::Result<usize> {
        let most = most.min(self.ends.source.room());
        let n = retry_on_intr(|| splice(file, Some(&mut { offset }), &self.ends.writer, None, most, FLAGS))?;
        self.held += n;
        Ok(n)
    }

    /// Moves what is held into `socket`, as far as it takes it; how much that was.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_drain(&mut self, cx: &mut Context<'_>, socket: &Socket) -> Poll<io::Result<usize>> {
        socket.before_sending();
        loop {
            ready!(socket.poll_write_ready(cx))?;
            match socket.try_io(Interest::WRITABLE, || Ok(moved(&self.ends.reader, &**socket, self.held)?)) {
                Ok(n) => {
                    self.held -= n.min(self.held);
                    return Poll::Ready(Ok(n));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

fn moved(from: impl std::os::fd::AsFd, to: impl std::os::fd::AsFd, most: usize) -> Result<usize, Errno> {
    retry_on_intr(|| splice(&from, None, &to, None, most, FLAGS))
}

const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

impl Drop for Pipe {
    fn drop(&mut self) {
        if self.held > 0 {
            return;
        }
        // The pool is gone when the thread is ending; the pipe is then simply closed.
        let _ = PIPES.try_with(|pipes| {
            let mut pool = pipes[self.ends.source as usize].pool.borrow_mut();
            if pool.len() < POOLED {
                pool.push(Rc::clone(&self.ends));
            }
        });
    }
}

impl Ends {
    fn open(source: Source) -> Option<Self> {
        PIPES.with(|pipes| {
            let open = &pipes[source as usize].open;
            if open.get() >= source.most() {
                return None;
            }
            let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
            // Beyond its share a user gets pipes of a page or two, which are worth less than a copy.
            fcntl_setpipe_size(&writer, source.room()).ok()?;
            open.set(open.get() + 1);
            Some(Self { source, reader, writer })
        })
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = PIPES.try_with(|pipes| {
            let open = &pipes[self.source as usize].open;
            open.set(open.get().saturating_sub(1));
        });
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Write;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (one, other) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (one.unwrap(), other.unwrap().0)
    }

    /// Of those for sockets.
    fn pooled() -> usize {
        PIPES.with(|pipes| pipes[0].pool.borrow().len())
    }

    fn open() -> usize {
        PIPES.with(|pipes| pipes[0].open.get())
    }

    #[tokio::test]
    async fn bytes_go_through_in_order_and_no_more_than_asked_for() {
        let ((mut source, from), (to, mut sink)) = (pair().await, pair().await);
        let to = Socket::from(to);
        let bytes: Vec<u8> = (0..5_000_003_u32).map(|n| (n % 251) as u8).collect();
        let (most, sent) = (4_000_001, bytes.clone());
        let writing = async move {
            for piece in sent.chunks(77_777) {
                source.write_all(piece).await.unwrap();
            }
            source
        };
        let moving = async {
            let mut pipe = Pipe::new(Source::Socket).unwrap();
            let mut left = most;
            while left > 0 {
                let n = poll_fn(|cx| pipe.poll_fill(cx, &from, left)).await.unwrap();
                assert_eq!((n, pipe.is_empty()), (pipe.len(), false));
                left -= n as u64;
                while !pipe.is_empty() {
                    poll_fn(|cx| pipe.poll_drain(cx, &to)).await.unwrap();
                }
            }
            drop(to);
            // What comes behind is still the socket's.
            let (mut from, mut rest) = (from, Vec::new());
            from.read_to_end(&mut rest).await.unwrap();
            rest
        };
        let reading = async {
            let mut got = Vec::new();
            sink.read_to_end(&mut got).await.unwrap();
            got
        };
        let writing = async { drop(writing.await) };
        let ((), rest, got) = tokio::join!(writing, moving, reading);
        let (front, back) = bytes.split_at(most as usize);
        assert!(got == front && rest == back, "{} and {} bytes", got.len(), rest.len());
        assert_eq!(pooled(), 1);
    }

    #[tokio::test]
    async fn the_end_of_the_stream_is_told() {
        let (source, from) = pair().await;
        drop(source);
        let mut pipe = Pipe::new(Source::Socket).unwrap();
        assert_eq!(poll_fn(|cx| pipe.poll_fill(cx, &from, 10)).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn what_holds_something_goes_to_nobody_else() {
        let (mut source, from) = pair().await;
        source.write_all(b"secret").await.unwrap();
        let mut pipe = Pipe::new(Source::Socket).unwrap();
        assert_eq!(poll_fn(|cx| pipe.poll_fill(cx, &from, 3)).await.unwrap(), 3);
        drop(pipe);
        assert_eq!((pooled(), open()), (0, 0));
    }

    #[tokio::test]
    async fn a_file_goes_through_from_any_place_to_its_end() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 2_000_000]).unwrap();
        let file = OwnedFd::from(file);
        let (to, mut sink) = pair().await;
        let to = Socket::from(to);
        let mut pipe = Pipe::new(Source::File).unwrap();
        assert_eq!(pipe.fill(&file, 1_999_990, 1_000).unwrap(), 10);
        assert_eq!(poll_fn(|cx| pipe.poll_drain(cx, &to)).await.unwrap(), 10);
        let mut got = [0; 10];
        sink.read_exact(&mut got).await.unwrap();
        assert_eq!((got, pipe.is_empty()), ([7; 10], true));
        assert_eq!(pipe.fill(&file, 2_000_000, 1_000).unwrap(), 0);
        assert_eq!(pipe.fill(&file, 0, 2_000_000).unwrap(), Source::File.room());
    }

    #[test]
    fn a_thread_has_so_many_and_no_more() {
        let pipes: Vec<Pipe> = (0..Source::Socket.most()).map(|_| Pipe::new(Source::Socket).unwrap()).collect();
        assert!(Pipe::new(Source::Socket).is_none());
        drop(pipes);
        assert_eq!((pooled(), open()), (POOLED, POOLED));
        assert!(Pipe::new(Source::Socket).is_some());
    }
}
