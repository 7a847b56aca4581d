//! Turns of tasks that could go on.

use std::future::Future;
use std::pin::pin;
use std::task::Context;

/// Ends the turn of the task of `cx`, which goes on when all others had theirs.
///
/// Among the others are those that a look at the sockets will wake. A task that merely wakes itself
/// runs on for dozens of turns before that look.
pub fn end_turn(cx: &mut Context<'_>) {
    // Its first poll hands the waker to the runtime; that is all it does.
    let _ = pin!(tokio::task::yield_now()).poll(cx);
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::io::Write;
    use std::rc::Rc;
    use std::task::Poll;

    use tokio::io::AsyncReadExt;
    use tokio::task::{LocalSet, spawn_local};

    use super::*;

    #[tokio::test]
    async fn who_is_sent_something_comes_next() {
        let work = async {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let mut reader = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let mut writer = listener.accept().unwrap().0;
            let turns = Rc::new(Cell::new(0));
            let counted = Rc::clone(&turns);
            let busy = spawn_local(async move {
                writer.write_all(b"x").unwrap();
                poll_fn(|cx| {
                    counted.set(counted.get() + 1);
                    end_turn(cx);
                    if counted.get() < 1000 { Poll::Pending } else { Poll::Ready(()) }
                })
                .await;
            });
            reader.read_u8().await.unwrap();
            assert!(turns.get() < 5, "{} turns before it", turns.get());
            busy.await.unwrap();
            assert_eq!(turns.get(), 1000);
        };
        LocalSet::new().run_until(work).await;
    }
}
