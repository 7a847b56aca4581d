use super::*;
use std::fs::File;
use std::future::poll_fn;
use std::io::Write;
use std::path::Path;

use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

/// Bytes without a period that divides a page.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n % 251) as u8).collect()
}

fn write(folder: &Path, bytes: &[u8]) -> Arc<OwnedFd> {
    let path = folder.join("file");
    File::create(&path).unwrap().write_all(bytes).unwrap();
    Arc::new(File::open(path).unwrap().into())
}

fn ranges(file: &Arc<OwnedFd>, pieces: Vec<Piece>) -> FileBody {
    FileBody::File(FileRanges::new(Arc::clone(file), pieces, Disk::new(2)))
}

/// Sends the body over a socket; the bytes that came out, how it ended, and the most that one turn
/// sent.
async fn send(mut body: FileBody) -> (Vec<u8>, io::Result<()>, u64) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (socket, accepted) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    let (socket, mut reader) = (Socket::from(socket.unwrap()), accepted.unwrap().0);
    let sending = async move {
        let (length, mut sent, mut most) = (body.length(), 0, 0);
        let ended = loop {
            let turn = poll_fn(|cx| {
                let before = sent;
                let turn = body.poll_send(cx, &socket, &mut sent);
                most = most.max(sent - before);
                turn
            });
            match turn.await {
                Ok(true) => break Ok(()),
                Ok(false) => assert!(sockopt::tcp_cork(&*socket).unwrap(), "odd packets between the steps"),
                Err(error) => break Err(error),
            }
        };
        assert!(ended.is_err() || !sockopt::tcp_cork(&*socket).unwrap(), "the last bytes are held back");
        if ended.is_ok() && !matches!(body, FileBody::Empty { .. }) {
            assert_eq!((sent, body.length()), (length, 0));
        }
        (sent, ended, most)
    };
    let reading = async move {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).await.unwrap();
        bytes
    };
    let ((sent, ended, most), bytes) = tokio::join!(sending, reading);
    assert_eq!(sent, bytes.len() as u64);
    (bytes, ended, most)
}

/// Takes the body as TLS does.
async fn fill(mut body: FileBody) -> (Vec<u8>, io::Result<()>) {
    let mut bytes = Vec::new();
    loop {
        match poll_fn(|cx| body.poll_fill(cx)).await {
            Ok(true) => {
                bytes.extend_from_slice(body.data());
                body.consume(usize::MAX);
            }
            Ok(false) => return (bytes, Ok(())),
            Err(error) => return (bytes, Err(error)),
        }
    }
}

#[tokio::test]
async fn a_large_file_by_sendfile_and_in_turns() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = pattern(9_000_001);
    let file = write(folder.path(), &bytes);
    let (got, ended, most) = send(ranges(&file, vec![Piece::Span(0..9_000_001)])).await;
    ended.unwrap();
    assert!(got == bytes, "other bytes came out");
    assert!((1..TURN + SEND_STEP).contains(&most), "{most} in one turn");
}

#[tokio::test]
async fn pieces_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = pattern(2_000_000);
    let file = write(folder.path(), &bytes);
    let pieces = vec![
        Piece::Text("one".into()),
        Piece::Span(1_999_990..2_000_000),
        Piece::Text("two".into()),
        Piece::Span(7..1_500_000),
        Piece::Text("end".into()),
    ];
    let expected = [b"one", &bytes[1_999_990..], b"two", &bytes[7..1_500_000], b"end"].concat();
    let (got, ended, _) = send(ranges(&file, pieces.clone())).await;
    ended.unwrap();
    assert!(got == expected);
    let (got, ended) = fill(ranges(&file, pieces)).await;
    ended.unwrap();
    assert!(got == expected);
}

#[tokio::test]
async fn both_ways_may_be_mixed() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = pattern(1_000_000);
    let file = write(folder.path(), &bytes);
    let mut body = ranges(&file, vec![Piece::Span(0..1_000_000)]);
    assert!(poll_fn(|cx| body.poll_fill(cx)).await.unwrap());
    body.consume(10);
    let (got, ended, _) = send(body).await;
    ended.unwrap();
    assert!(got == bytes[10..]);
}

#[tokio::test]
async fn memory_and_nothing() {
    let (got, ended, _) = send(FileBody::Memory(Bytes::from_static(b"small"))).await;
    ended.unwrap();
    assert_eq!(got, b"small");
    let empty = FileBody::Empty { length: 7 };
    assert_eq!(empty.length(), 7);
    let (got, ended, _) = send(empty).await;
    ended.unwrap();
    assert!(got.is_empty());
}

#[tokio::test]
async fn a_file_that_is_cut_breaks_the_body() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), &pattern(1_000_000));
    File::options().write(true).open(folder.path().join("file")).unwrap().set_len(600_000).unwrap();
    let body = || ranges(&file, vec![Piece::Span(0..1_000_000), Piece::Text("end".into())]);
    let (got, ended, _) = send(body()).await;
    assert_eq!((got.len(), ended.unwrap_err().kind()), (600_000, io::ErrorKind::UnexpectedEof));
    let (got, ended) = fill(body()).await;
    assert_eq!((got.len(), ended.unwrap_err().kind()), (600_000, io::ErrorKind::UnexpectedEof));
}

/// /proc cannot say whether it would wait, so it is read where waiting is allowed.
#[tokio::test]
async fn what_may_wait_is_read_elsewhere() {
    let file: Arc<OwnedFd> = Arc::new(File::open("/proc/version").unwrap().into());
    assert_eq!(disk::read_cached(&file, 0, &mut [0]).unwrap(), None);
    let bytes = std::fs::read("/proc/version").unwrap();
    let body = || ranges(&file, vec![Piece::Span(0..bytes.len() as u64)]);
    let (got, ended, _) = send(body()).await;
    ended.unwrap();
    assert_eq!(got, bytes);

    // While the one place is held the read cannot begin; it would not ask if it were done here.
    let disk = Disk::new(1);
    let (release, held) = std::sync::mpsc::channel::<()>();
    let holder = disk.run(move || held.recv().is_ok());
    tokio::pin!(holder);
    assert!(poll_fn(|cx| Poll::Ready(holder.as_mut().poll(cx))).await.is_pending());
    let span = Piece::Span(0..bytes.len() as u64);
    let mut body = FileBody::File(FileRanges::new(Arc::clone(&file), [span], disk.clone()));
    let first = poll_fn(|cx| Poll::Ready(body.poll_fill(cx))).await;
    assert!(first.is_pending(), "read on the thread that must not wait");
    release.send(()).unwrap();
    assert!(holder.await.unwrap());
    let (got, ended) = fill(body).await;
    ended.unwrap();
    assert_eq!(got, bytes);
}

#[tokio::test]
async fn slow_reads_wait_for_a_place() {
    let disk = Disk::new(1);
    let (release, held) = std::sync::mpsc::channel::<()>();
    let first = disk.run(move || held.recv().is_ok());
    let second = disk.run(|| ());
    tokio::pin!(first, second);
    // The first is at work and holds the one place, so the second cannot begin.
    assert!(poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx))).await.is_pending());
    assert!(poll_fn(|cx| Poll::Ready(second.as_mut().poll(cx))).await.is_pending());
    release.send(()).unwrap();
    assert!(first.await.unwrap());
    second.await.unwrap();
}

/// Where the system forgets a file on demand, its pages are fetched again in passing.
#[tokio::test]
async fn a_cold_file_comes_out_whole() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = pattern(3_000_000);
    let file = write(folder.path(), &bytes);
    File::open(folder.path().join("file")).unwrap().sync_all().unwrap();
    let forget = || rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    forget();
    let (got, ended, _) = send(ranges(&file, vec![Piece::Span(0..3_000_000)])).await;
    ended.unwrap();
    assert!(got == bytes);
    forget();
    let (got, ended) = fill(ranges(&file, vec![Piece::Span(0..3_000_000)])).await;
    ended.unwrap();
    assert!(got == bytes);
}
