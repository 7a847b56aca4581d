//! A listener as it runs.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;
use ipnet::IpNet;

use super::{Secure, Site};
use crate::codec::h1::HeadLimits;
pub use crate::config::ListenerTimeouts;
use crate::config::{Mode, Protocols};
use crate::handler::rewrite::Rewrite;
use crate::head::{Field, FieldLine, Version};
use crate::limits::{Networks, SourceLimits, SourceSeat, Sources, Unwelcome};
use crate::message::RequestTarget;
use crate::net::{Pace, Transport};
use crate::router::{Found, Hosts, Router};
use crate::telemetry::{ListenerCells, PerThread, ThreadId};
use crate::upstream::Upstream;

/// The number of a listener: the same for the same name as long as the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId(pub u32);

/// Addresses on which clients are served, and how.
#[derive(Debug)]
pub struct Listener {
    /// Its number.
    pub id: ListenerId,
    /// Its name in the file, in logs and in metrics.
    pub name: Arc<str>,
    /// The addresses.
    pub binds: Vec<SocketAddr>,
    /// What is served there.
    pub serves: Serves,
    /// Who is let in.
    pub access: Networks,
    /// What one source may do.
    pub source_limits: SourceLimits,
    /// What sources have open and have asked: the limits on them are shared by their meaning.
    pub sources: Arc<Sources>,
    /// The protocols that are spoken.
    pub protocols: Protocols,
    /// TLS; `None`: plain.
    pub tls: Option<Secure>,
    /// A PROXY header is required, from trusted proxies.
    pub proxy_protocol: bool,
    /// Peers whose PROXY headers and X-Forwarded-* fields are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How long clients may take.
    pub timeouts: ListenerTimeouts,
    /// How large a request's head may be.
    pub head_limits: HeadLimits,
    /// Bytes of a request body, where the route says nothing narrower.
    pub body_limit: u64,
    /// HTTP/2 streams open at once on one connection.
    pub stream_limit: u32,
    /// HTTP/2 frames that carry nothing of a request, in one second on one connection.
    pub control_frame_limit: u32,
    /// Open connections.
    pub connection_limit: u32,
    /// How many there are, over all threads: the limit is shared by its meaning.
    pub connections: Arc<CachePadded<AtomicU32>>,
    /// Open connections of all listeners.
    pub process_limit: u32,
    /// How many there are.
    pub process_connections: Arc<CachePadded<AtomicU32>>,
    /// Bytes a second that a request body must come at; 0: any rate.
    pub body_rate: u64,
    /// Bytes a second that a client must take; 0: any rate.
    pub send_rate: u64,
    /// TLS handshakes under way at once on a thread.
    pub handshake_limit: usize,
    /// Every request is answered by a redirect to this port of https.
    pub redirect_to_https: Option<u16>,
    /// What becomes of the `Server` field of answers.
    pub server_field: ServerField,
    /// The field that carries a request's id both ways; `None`: there are no ids.
    pub request_id_field: Option<Vec<u8>>,
    /// What haechi calls itself to upstreams; `None`: nothing.
    pub via: Option<Via>,
    /// Finds sites and routes.
    pub router: Router,
    /// What the router's numbers mean.
    pub sites: Vec<Site>,
    /// What is counted.
    pub cells: Arc<PerThread<ListenerCells>>,
}

/// What a listener serves.
#[derive(Debug)]
pub enum Serves {
    /// Exchanges, by the sites of its router.
    Http,
    /// Connections, each passed on to a server.
    Tcp(Tcp),
    /// Datagrams, each flow of them passed on to a server.
    Udp(Udp),
}

impl Serves {
    /// The word of the config.
    #[must_use]
    pub fn mode(&self) -> &'static str {
        match self {
            Self::Http => Mode::Http.as_str(),
            Self::Tcp(_) => Mode::Tcp.as_str(),
            Self::Udp(_) => Mode::Udp.as_str(),
        }
    }
}

/// How connections are passed on.
#[derive(Debug)]
pub struct Tcp {
    /// To whose servers; `None`: to those that `names` tells alone.
    pub upstream: Option<Arc<Upstream>>,
    /// To whose by the host that the client asks for in TLS that passes through; `None`: it is not looked at.
    pub names: Option<Arc<Names>>,
}

/// Upstreams by the host that clients ask for.
#[derive(Debug)]
pub struct Names {
    hosts: Hosts,
    upstreams: Vec<Arc<Upstream>>,
}

impl Names {
    /// Of hosts (exact, `*.example` or `*`) and their upstreams.
    #[must_use]
    pub fn new(all: Vec<(String, Arc<Upstream>)>) -> Self {
        let (hosts, upstreams): (Vec<_>, Vec<_>) = all.into_iter().map(|(host, upstream)| ([host], upstream)).unzip();
        Self { hosts: Hosts::new(hosts.iter().map(|host| &host[..])), upstreams }
    }

    /// The upstream of this host, in lower case; a client that asks for none has the one of `*`.
    #[must_use]
    pub fn find(&self, host: Option<&str>) -> Option<&Arc<Upstream>> {
        self.upstreams.get(self.hosts.find(host.unwrap_or_default().as_bytes())?)
    }
}

/// How datagrams are passed on.
#[derive(Debug)]
pub struct Udp {
    /// To whose servers.
    pub upstream: Arc<Upstream>,
    /// Flows at once, of the whole listener.
    pub flows: usize,
    /// Flows at once by one socket: its part of them.
    pub flows_of_socket: usize,
    /// A flow ends after so long a silence of both sides.
    pub idle: Duration,
}

/// What becomes of the `Server` field of answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerField {
    /// The upstream's passes.
    Pass,
    /// None is sent.
    Remove,
    /// This is sent.
    Text(FieldLine),
}

/// What haechi calls itself in the Via field of requests (RFC 9110 §7.6.3).
#[derive(Clone, Debug)]
pub struct Via {
    /// The name.
    pub pseudonym: Vec<u8>,
    /// Whether nobody else has it: a request that has passed it has come back.
    pub unique: bool,
    /// For each version that a request may have come in.
    lines: [FieldLine; 3],
}

impl Via {
    /// A name, and whether nobody else has it.
    #[must_use]
    pub fn new(pseudonym: &str, unique: bool) -> Self {
        let line = |version: Version| FieldLine::new(b"Via", format!("{} {pseudonym}", version.number()).as_bytes());
        let lines = [Version::Http10, Version::Http11, Version::Http2].map(line);
        Self { pseudonym: pseudonym.as_bytes().to_vec(), unique, lines }
    }

    /// The field for a request of this version.
    #[must_use]
    pub fn field(&self, version: Version) -> Field<'_> {
        let [old, usual, new] = &self.lines;
        let line = match version {
            Version::Http10 => old,
            Version::Http11 => usual,
            Version::Http2 => new,
        };
        line.field()
    }
}

/// A place among the connections of a listener and of the process, given back when dropped.
#[derive(Debug)]
pub struct Place {
    #[expect(dead_code, reason = "counts down when dropped")]
    listener: Counted,
    #[expect(dead_code, reason = "counts down when dropped")]
    process: Counted,
    /// Its part of what its source may have; most listeners have no such limit.
    source: Option<Box<SourceSeat>>,
}

impl Place {
    /// The connection counts for this source too, and for no other any more.
    pub fn seat(&mut self, source: Option<SourceSeat>) {
        self.source = source.map(Box::new);
    }
}

#[derive(Debug)]
struct Counted(Arc<CachePadded<AtomicU32>>);

impl Counted {
    fn within(count: &Arc<CachePadded<AtomicU32>>, limit: u32) -> Option<Self> {
        let counted = Self(Arc::clone(count));
        // Dropping it takes back what was added.
        (count.fetch_add(1, Relaxed) < limit).then_some(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Listener {
    /// The counters of this thread.
    #[must_use]
    pub fn cells(&self, thread: ThreadId) -> &ListenerCells {
        self.cells.of(thread)
    }

    /// What carries its clients' bytes.
    #[must_use]
    pub fn transport(&self) -> Transport {
        match self.serves {
            Serves::Http | Serves::Tcp(_) => Transport::Tcp,
            Serves::Udp(_) => Transport::Udp,
        }
    }

    /// Whether this peer's word about the client is believed.
    #[must_use]
    pub fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.trusted_proxies.iter().any(|network| network.contains(&peer))
    }

    /// A place for one more connection, where there is one.
    #[must_use]
    pub fn admit(&self) -> Option<Place> {
        let listener = Counted::within(&self.connections, self.connection_limit)?;
        let process = Counted::within(&self.process_connections, self.process_limit)?;
        Some(Place { listener, process, source: None })
    }

    /// Lets a connection, or a flow, of this address in: by `access`, and as far as its source may have one
    /// more. The address is the client's own: that of the socket's other end, or where a trusted proxy speaks
    /// for its clients what the proxy says.
    ///
    /// # Errors
    /// [`Unwelcome`]; the client is to be told nothing.
    pub fn welcome(&self, now: Instant, address: IpAddr) -> Result<Option<SourceSeat>, Unwelcome> {
        if self.access.let_in(address) {
            self.sources.enter(now, address, &self.source_limits)
        } else {
            Err(Unwelcome::Denied)
        }
    }

    /// Lets a request of this address have an answer. That its connection was let in is not enough: `access`
    /// may be another one since.
    ///
    /// # Errors
    /// [`Unwelcome`]
    pub fn welcome_request(&self, now: Instant, address: IpAddr) -> Result<(), Unwelcome> {
        if self.access.let_in(address) {
            self.sources.ask(now, address, &self.source_limits)
        } else {
            Err(Unwelcome::Denied)
        }
    }

    /// Whether a peer tells for which client it speaks, so that the client is judged and not the peer: by a PROXY
    /// header, or by X-Forwarded-For in each request.
    #[must_use]
    pub fn is_spoken_for(&self, peer: IpAddr) -> bool {
        self.proxy_protocol || self.is_forwarded_by(peer)
    }

    /// Whether what this peer says of its clients in each request is believed.
    #[must_use]
    pub fn is_forwarded_by(&self, peer: IpAddr) -> bool {
        matches!(self.serves, Serves::Http) && self.trusts(peer)
    }

    /// Whether it is the process that has no place left, and not this listener alone.
    #[must_use]
    pub fn is_process_full(&self) -> bool {
        self.process_connections.load(Relaxed) >= self.process_limit
    }

    /// Waits for request bodies.
    #[must_use]
    pub fn body_pace(&self) -> Pace {
        Pace::new(self.timeouts.body, self.body_rate)
    }

    /// Waits for clients to take their answers.
    #[must_use]
    pub fn send_pace(&self) -> Pace {
        Pace::new(self.timeouts.send, self.send_rate)
    }

    /// The target that the upstream gets where `rewrite` changes it, its query included.
    #[must_use]
    pub fn rewritten(
        &self,
        rewrite: &Rewrite,
        target: &RequestTarget<'_>,
        found: &Found,
        thread: ThreadId,
    ) -> Option<Vec<u8>> {
        if matches!(rewrite, Rewrite::Keep) {
            return None;
        }
        let captures = self.router.captures(thread, found, target.normal_path());
        let mut path = rewrite.path(target, found.matched, captures.as_ref()).into_owned();
        if let Some(query) = target.query() {
            path.push(b'?');
            path.extend_from_slice(query);
        }
        Some(path)
    }
}
