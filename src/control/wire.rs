//! The socket between guard and worker: packets out, packets in.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::message::{Order, Report};
use super::packet::{Assembly, PACKET_BYTES, PACKET_DESCRIPTORS, Packet, PacketFault, packets};

/// Letters that wait for the other side at most.
const QUEUE: usize = 64;

/// Why guard and worker do not understand each other.
#[derive(Debug, thiserror::Error)]
pub enum LinkFault {
    /// The socket failed.
    #[error("the socket between guard and worker has failed")]
    Socket(#[from] io::Error),
    /// Packets that are none.
    #[error("guard and worker do not understand each other")]
    Packet(#[from] PacketFault),
    /// A letter that says nothing.
    #[error("guard and worker do not understand each other")]
    Letter(#[from] postcard::Error),
    /// Descriptors got lost, most likely because the process may open no more.
    #[error("sockets got lost on their way to the worker; raise LimitNOFILE")]
    Truncated,
    /// The other side is gone, or does not read.
    #[error("the other side does not listen")]
    Deaf,
}

/// The guard's end.
pub type GuardSide = (Outbox<Order>, Inbox<Report>);
/// The worker's end.
pub type WorkerSide = (Outbox<Report>, Inbox<Order>);

/// Two connected sockets: the first becomes the guard's end by [`guard_side`], the second is the one that a worker
/// is started with. Neither outlives an exec, nor blocks.
///
/// # Errors
/// When the system has none.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// The guard's end of a pair. Must be called on a tokio runtime.
///
/// # Errors
/// When the runtime does not take the socket.
pub fn guard_side(socket: OwnedFd) -> io::Result<GuardSide> {
    start(socket)
}

/// The worker's end of a pair. Must be called on a tokio runtime.
///
/// # Errors
/// When the runtime does not take the socket.
pub fn worker_side(socket: OwnedFd) -> io::Result<WorkerSide> {
    start(socket)
}

fn start<S, R>(socket: OwnedFd) -> io::Result<(Outbox<S>, Inbox<R>)> {
    // A stream by its type alone: it is only read and written by `sendmsg` and `recvmsg`.
    let socket = Arc::new(UnixStream::from_std(socket.into())?);
    let (letters, waiting) = mpsc::channel(QUEUE);
    tokio::task::spawn(post(Arc::clone(&socket), waiting));
    let inbox = Inbox {
        socket,
        packet: vec![0; 1 + PACKET_BYTES].into_boxed_slice(),
        assembly: Assembly::default(),
        says: PhantomData,
    };
    Ok((Outbox { letters, says: PhantomData }, inbox))
}

#[derive(Debug)]
struct Letter {
    bytes: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

/// Where letters are posted. Its clones share one queue; the socket closes with the last of them and
/// the inbox.
#[derive(Debug)]
pub struct Outbox<S> {
    letters: mpsc::Sender<Letter>,
    says: PhantomData<fn(S)>,
}

impl<S> Clone for Outbox<S> {
    fn clone(&self) -> Self {
        Self { letters: self.letters.clone(), says: PhantomData }
    }
}

impl<S: Serialize> Outbox<S> {
    /// Posts a letter where there is room for it. Never waits.
    ///
    /// # Errors
    /// [`LinkFault::Deaf`] when the other side is gone or has not read for long.
    pub fn offer(&self, message: &S, descriptors: Vec<OwnedFd>) -> Result<(), LinkFault> {
        let bytes = postcard::to_stdvec(message)?;
        self.letters.try_send(Letter { bytes, descriptors }).map_err(|_| LinkFault::Deaf)
    }

    /// Posts a letter, and waits until there is room for it.
    ///
    /// # Errors
    /// [`LinkFault::Deaf`] when the other side is gone.
    pub async fn send(&self, message: &S) -> Result<(), LinkFault> {
        let bytes = postcard::to_stdvec(message)?;
        self.letters.send(Letter { bytes, descriptors: Vec::new() }).await.map_err(|_| LinkFault::Deaf)
    }
}

/// Where letters come in.
#[derive(Debug)]
pub struct Inbox<R> {
    socket: Arc<UnixStream>,
    packet: Box<[u8]>,
    assembly: Assembly<OwnedFd>,
    says: PhantomData<fn() -> R>,
}

impl<R: DeserializeOwned> Inbox<R> {
    /// Waits for the next letter and the descriptors that came with it; `None`: the other side is gone.
    /// Cancel safe.
    ///
    /// # Errors
    /// [`LinkFault`]; there is no use in asking again.
    pub async fn next(&mut self) -> Result<Option<(R, VecDeque<OwnedFd>)>, LinkFault> {
        loop {
            let packet = &mut self.packet;
            let received = self.socket.async_io(Interest::READABLE, || receive(self.socket.as_fd(), packet)).await;
            let (length, descriptors, truncated) = match received {
                // The other side ended with letters unread.
                Err(fault) if fault.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                received => received?,
            };
            if truncated {
                return Err(LinkFault::Truncated);
            }
            let Some(packet) = self.packet.get(..length).filter(|packet| !packet.is_empty()) else { return Ok(None) };
            if let Some((letter, descriptors)) = self.assembly.add(packet, descriptors)? {
                return Ok(Some((postcard::from_bytes(&letter)?, descriptors.into())));
            }
        }
    }
}

/// Leaves a letter in a socket for whoever reads its other end, be it after an exec.
///
/// # Errors
/// [`LinkFault::Socket`], also where the socket has no room for it.
pub fn leave_letter(socket: &OwnedFd, letter: &[u8], descriptors: &[OwnedFd]) -> Result<(), LinkFault> {
    let mut left = descriptors;
    for packet in packets(letter, descriptors.len()) {
        let (with, later) = left.split_at(packet.descriptors);
        left = later;
        transmit(socket.as_fd(), packet, with)?;
    }
    Ok(())
}

/// Takes a letter that waits in a socket.
///
/// # Errors
/// [`LinkFault`], also where none waits.
pub fn take_letter(socket: &OwnedFd) -> Result<(Vec<u8>, VecDeque<OwnedFd>), LinkFault> {
    let mut assembly = Assembly::default();
    let mut packet = vec![0; 1 + PACKET_BYTES];
    loop {
        let (length, descriptors, truncated) = receive(socket.as_fd(), &mut packet)?;
        if truncated {
            return Err(LinkFault::Truncated);
        }
        if let Some((letter, descriptors)) = assembly.add(packet.get(..length).unwrap_or_default(), descriptors)? {
            return Ok((letter, descriptors.into()));
        }
    }
}

/// Sends letters in their order until nobody posts any more, or nobody is there to read.
async fn post(socket: Arc<UnixStream>, mut letters: mpsc::Receiver<Letter>) {
    while let Some(Letter { bytes, descriptors }) = letters.recv().await {
        let mut descriptors = &descriptors[..];
        for packet in packets(&bytes, descriptors.len()) {
            let (with, later) = descriptors.split_at(packet.descriptors);
            descriptors = later;
            let sent = socket.async_io(Interest::WRITABLE, || transmit(socket.as_fd(), packet, with)).await;
            if let Err(error) = sent {
                tracing::debug!(%error, "a letter between guard and worker could not be sent");
                return;
            }
        }
    }
}

fn transmit(socket: BorrowedFd<'_>, packet: Packet<'_>, descriptors: &[OwnedFd]) -> io::Result<()> {
    let descriptors: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PACKET_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let parts = [IoSlice::new(std::slice::from_ref(&packet.first)), IoSlice::new(packet.bytes)];
    // A packet goes whole or not at all.
    sendmsg(socket, &parts, &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// How long the packet is, what came with it, and whether some of that was lost.
fn receive(socket: BorrowedFd<'_>, packet: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>, bool)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PACKET_DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received =
        recvmsg(socket, &mut [IoSliceMut::new(packet)], &mut ancillary, RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT)?;
    let descriptors = ancillary
        .drain()
        .filter_map(
            |message| if let RecvAncillaryMessage::ScmRights(descriptors) = message { Some(descriptors) } else { None },
        )
        .flatten()
        .collect();
    let truncated = received.flags.intersects(ReturnFlags::CTRUNC | ReturnFlags::TRUNC);
    Ok((received.bytes, descriptors, truncated))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Seek, Write};
    use std::time::Duration;

    use super::*;
    use crate::control::{Load, Seed};
    use crate::reading::Reading;

    fn ends() -> (GuardSide, WorkerSide) {
        let (guard, worker) = pair().unwrap();
        (guard_side(guard).unwrap(), worker_side(worker).unwrap())
    }

    fn file(text: &str) -> OwnedFd {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.rewind().unwrap();
        file.into()
    }

    fn text(descriptor: OwnedFd) -> String {
        let mut text = String::new();
        File::from(descriptor).read_to_string(&mut text).unwrap();
        text
    }

    #[tokio::test]
    async fn orders_and_reports_pass_each_other() {
        let ((orders, mut reports), (outbox, mut inbox)) = ends();
        orders.offer(&Order::Begin(Seed { threads: 3, ..Seed::default() }), vec![]).unwrap();
        orders.offer(&Order::Log, vec![file("log")]).unwrap();
        outbox.send(&Report::Tick { turns: vec![7] }).await.unwrap();
        let (first, none) = inbox.next().await.unwrap().unwrap();
        assert!(matches!(first, Order::Begin(Seed { threads: 3, .. })) && none.is_empty());
        let (second, mut with) = inbox.next().await.unwrap().unwrap();
        assert_eq!((second, text(with.pop_front().unwrap())), (Order::Log, "log".to_owned()));
        assert_eq!(reports.next().await.unwrap().unwrap().0, Report::Tick { turns: vec![7] });
    }

    #[tokio::test]
    async fn a_large_letter_with_many_descriptors_comes_whole_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large");
        std::fs::write(&path, vec![7; 3 << 20]).unwrap();
        let reading = Reading::of_disk();
        reading.file(&path).unwrap();
        let load = Load {
            number: 9,
            config: path.into(),
            files: Arc::clone(reading.record().unwrap().index()),
            sockets: vec![crate::net::Endpoint::tcp("127.0.0.1:80".parse().unwrap())],
            admin: true,
            log: false,
        };
        let ((orders, _reports), (_outbox, mut inbox)) = ends();
        let files = (0..300).map(|number| file(&number.to_string())).collect();
        orders.offer(&Order::Load(load.clone()), files).unwrap();
        let (order, with) = inbox.next().await.unwrap().unwrap();
        assert!(order == Order::Load(load));
        let numbers: Vec<String> = with.into_iter().map(text).collect();
        assert_eq!(numbers, (0..300).map(|number| number.to_string()).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn the_end_of_one_side_is_seen_by_the_other_after_its_last_letter() {
        let (guard, (_outbox, mut inbox)) = ends();
        guard.0.offer(&Order::Stop, vec![]).unwrap();
        tokio::task::yield_now().await;
        drop(guard);
        assert_eq!(inbox.next().await.unwrap().unwrap().0, Order::Stop);
        assert!(inbox.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_side_that_does_not_read_holds_nobody_up() {
        let ((orders, _reports), _worker) = ends();
        let letter = Order::Tell { faults: "x".repeat(4 * PACKET_BYTES) };
        let deaf = async {
            while orders.offer(&letter, vec![]).is_ok() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), deaf).await.unwrap();
    }

    #[test]
    fn a_letter_waits_for_who_comes_later() {
        let (ours, theirs) = pair().unwrap();
        let files: Vec<OwnedFd> = (0..500).map(|number| file(&number.to_string())).collect();
        leave_letter(&ours, b"all", &files).unwrap();
        drop((ours, files));
        let (letter, with) = take_letter(&theirs).unwrap();
        assert_eq!((&letter[..], with.len()), (&b"all"[..], 500));
        assert_eq!(text(with.into_iter().next_back().unwrap()), "499");
        assert!(take_letter(&theirs).is_err(), "there was one");
    }

    #[tokio::test]
    async fn nonsense_is_a_fault() {
        let (guard, worker) = pair().unwrap();
        let (_outbox, mut inbox) = worker_side(worker).unwrap();
        rustix::io::write(&guard, &[1, 0xff, 0xff]).unwrap();
        assert!(matches!(inbox.next().await, Err(LinkFault::Letter(_))));
    }
}
