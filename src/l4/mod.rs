//! What is not HTTP. Connections passed on byte by byte: the listeners with `mode = "tcp"`; datagrams are in
//! [`udp`].
//!
//! In comes a client's connection, PROXY header and TLS already taken off; out goes a session on a
//! server of the listener's upstream. Servers are chosen, limited and counted as those of exchanges are.
//!
//! What always holds: a side that ended its sending is told so on the other side, which may go on; a
//! session that breaks is reset on both sides, so that nobody takes what it got for whole; a session in
//! which nothing moves holds no buffer.

pub mod udp;

mod ending;
mod fallen;
mod hello;
mod reach;
mod relay;
mod session;

pub use ending::Ending;

use std::sync::Arc;

use crate::net::Stream;
use crate::serve::Accepted;
use crate::snapshot::{ListenerTimeouts, Serves};
use crate::telemetry::Phase;
use crate::upstream::Upstream;
use hello::Named;
use reach::Reaching;
use session::Session;

/// Passes a connection on to a server until both have ended it, or something else ends it.
pub async fn serve(accepted: Accepted) {
    let Accepted { worker, listener: id, mut stream, client, place: _place } = accepted;
    let begun = {
        let snapshot = worker.snapshot();
        let found = snapshot.listener(id).and_then(|listener| match &listener.serves {
            Serves::Tcp(tcp) => Some((listener, tcp)),
            Serves::Http | Serves::Udp(_) => None,
        });
        let Some((listener, tcp)) = found else { return };
        let session = Session::new(&worker, listener, client);
        (session, tcp.upstream.clone(), tcp.names.clone(), listener.timeouts)
    };
    let (mut session, upstream, names, timeouts) = begun;
    let upstream = match names {
        None => upstream,
        // Boxed, as only the beginning of a session needs it.
        Some(names) => match Box::pin(hello::name(&stream, timeouts.handshake)).await {
            Ok(Named(name)) => {
                session.server_name(name.as_deref());
                names.find(name.as_deref()).cloned().or(upstream)
            }
            Err(ending) => return session.refuse(&stream, ending),
        },
    };
    match upstream {
        Some(upstream) => pass_on(&mut session, &mut stream, upstream, timeouts).await,
        None => {
            hello::refuse_name(&mut stream).await;
            session.end(Ending::UnrecognizedName);
        }
    }
}

/// Finds a server and relays.
async fn pass_on(session: &mut Session, stream: &mut Stream, mut upstream: Arc<Upstream>, timeouts: ListenerTimeouts) {
    let mut reaching = Reaching::default();
    loop {
        let current = upstream;
        let reached = Box::pin(reaching.reach(session, stream, &current)).await;
        let failed = match reached {
            Ok(lease) => {
                let ending = relay::run(session, stream, lease, timeouts).await;
                match ending {
                    Ending::IdleTimeout => session.timed_out(Phase::Idle),
                    Ending::TotalTimeout => session.timed_out(Phase::Total),
                    _ => {}
                }
                return session.end(ending);
            }
            Err(ending) if !ending.may_be_held() => return session.refuse(stream, ending),
            Err(ending) => ending,
        };
        if let Err(ending) = Box::pin(reaching.hold(stream, &current, failed)).await {
            return session.refuse(stream, ending);
        }
        // A reload may have given it other servers meanwhile.
        upstream = session.newest(&current);
    }
}
