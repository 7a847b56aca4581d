use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};

use super::*;

async fn sockets() -> (Stream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (one, other) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (Stream::Tcp(one.unwrap().into()), other.unwrap().0)
}

fn memory(room: usize) -> (Stream, DuplexStream) {
    let (near, far) = tokio::io::duplex(room);
    (Stream::Memory(near), far)
}

async fn pass(way: &mut Way, from: &mut Stream, to: &mut Stream) -> Result<(), WayFault> {
    poll_fn(|cx| {
        let mut turn = TURN;
        let passed = way.poll(cx, from, to, &mut turn, false);
        if passed.is_pending() && turn == 0 {
            end_turn(cx);
        }
        passed
    })
    .await
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

#[tokio::test]
async fn what_is_little_is_copied_and_what_is_much_is_spliced_and_all_of_it_arrives() {
    let bytes = pattern(5_000_003);
    let ((mut from, mut client), (mut to, mut server)) = (sockets().await, sockets().await);
    let sent = bytes.clone();
    let sending = async move {
        let mut length = 1;
        let mut rest = &sent[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(length.min(rest.len()));
            client.write_all(piece).await.unwrap();
            (rest, length) = (after, length * 3 % 300_007);
        }
        client.shutdown().await.unwrap();
        client
    };
    let passing = async {
        let mut way = Way::default();
        pass(&mut way, &mut from, &mut to).await.unwrap();
        way.bytes
    };
    let receiving = async {
        let mut got = Vec::new();
        server.read_to_end(&mut got).await.unwrap();
        got
    };
    let (_client, moved, got) = tokio::join!(sending, passing, receiving);
    assert_eq!(moved, bytes.len() as u64);
    assert!(got == bytes);
}

#[tokio::test]
async fn a_way_in_which_nothing_moves_holds_nothing() {
    let ((mut from, mut client), (mut to, mut server)) = (sockets().await, sockets().await);
    let mut way = Way::default();
    let mut piece = vec![7; 3 * Buffer::SMALL];
    for length in [10, piece.len()] {
        client.write_all(&piece[..length]).await.unwrap();
        let received = server.read_exact(&mut piece[..length]);
        tokio::select! {
            read = received => assert_eq!(read.unwrap(), length),
            ended = pass(&mut way, &mut from, &mut to) => panic!("{ended:?}"),
        }
        let idle = tokio::time::timeout(std::time::Duration::from_millis(1), pass(&mut way, &mut from, &mut to));
        assert!(idle.await.is_err());
        assert!(way.held.capacity() == 0 && way.pipe.is_none());
    }
}

#[tokio::test]
async fn the_end_comes_behind_what_was_sent_though_the_other_side_is_slow() {
    let ((mut from, mut client), (mut to, mut server)) = (memory(1000), memory(7));
    let bytes = pattern(20_000);
    let sending = async {
        client.write_all(&bytes).await.unwrap();
        client.shutdown().await.unwrap();
    };
    let receiving = async {
        let mut got = Vec::new();
        server.read_to_end(&mut got).await.unwrap();
        got
    };
    let mut way = Way::default();
    let ((), passed, got) = tokio::join!(sending, pass(&mut way, &mut from, &mut to), receiving);
    passed.unwrap();
    assert!(got == bytes);
}

#[tokio::test]
async fn who_broke_it_off_is_told_apart() {
    let ((mut from, client), (mut to, _server)) = (sockets().await, sockets().await);
    socket2::SockRef::from(&client).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(client);
    assert!(matches!(pass(&mut Way::default(), &mut from, &mut to).await, Err(WayFault::From(_))));

    let ((mut from, mut client), (mut to, server)) = (sockets().await, sockets().await);
    socket2::SockRef::from(&server).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(server);
    client.write_all(b"x").await.unwrap();
    let mut way = Way::default();
    let failed = tokio::select! {
        failed = pass(&mut way, &mut from, &mut to) => failed,
        () = async { while client.write_all(b"x").await.is_ok() { tokio::task::yield_now().await } } => Ok(()),
    };
    assert!(matches!(failed, Err(WayFault::To(_))), "{failed:?}");
}
