//! Asks a server of an upstream, and gives its answer on.
//!
//! In comes a request head with its body still on the way; out goes the upstream's answer with its
//! body still on the way, or a [`Failure`] that names stage and cause. The client's request is
//! never changed: what is sent is written anew from its parts.

mod attempt;
mod download;
mod failure;
mod outbound;
mod retry;
mod stream;
mod stream_body;
mod upload;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

pub use download::{DownloadFault, UpstreamBody};
pub use failure::Failure;
pub use retry::RetryBudget;
pub use stream_body::StreamBody;

use super::rewrite::Rewrite;
use super::{Local, Response};
use crate::codec::proxy::Addresses;
use crate::head::{Field, RequestHead};
use crate::message::{Exchange, HeaderRules, RequestBody, RequestTarget, Upgrade};
use crate::upstream::balance::HashOn;
use crate::upstream::{Balance, Key, Lease, LeaseFault, Protocol, Server, StreamLease, Upstream};
use attempt::attempt;
use outbound::Outbound;
use retry::{Retry, Tried};

/// A route that asks an upstream.
#[derive(Debug)]
pub struct Proxy {
    /// Whom.
    pub upstream: Arc<Upstream>,
    /// What becomes of the path.
    pub rewrite: Rewrite,
    /// The `Host` that is sent; `None`: the client's.
    pub host: Option<Vec<u8>>,
    /// Bytes of an answer that may be read ahead of a slow client.
    pub read_ahead: usize,
    /// The field that carries the subject of the client's certificate.
    pub subject_field: Option<Vec<u8>>,
}

/// A request to be forwarded.
#[derive(Debug)]
pub struct Forward<'r> {
    /// What the client said.
    pub head: &'r RequestHead,
    /// What it is for.
    pub target: &'r RequestTarget<'r>,
    /// What the route changes in the fields.
    pub rules: &'r HeaderRules,
    /// Whether the client asks for another protocol.
    pub upgrade: Upgrade,
    /// The field that carries the request's id.
    pub id_field: Option<&'r [u8]>,
    /// The Via of ours; `None`: none is added.
    pub via: Option<Field<'r>>,
    /// The Max-Forwards that the server gets in place of the client's.
    pub max_forwards: Option<u32>,
    /// What `rewrite` makes of the target, query included; `None`: as sent.
    pub path: Option<Vec<u8>>,
}

/// A server that an exchange has reached, by what its upstream speaks.
enum Reached<'s> {
    Connection(Lease<'s>),
    Stream(StreamLease<'s>),
}

impl Proxy {
    /// Gets an answer from one of the servers.
    ///
    /// # Errors
    /// [`Failure`], when no server gave one and none may be tried any more.
    pub async fn forward<'s>(
        &'s self,
        local: &'s Local,
        exchange: &mut Exchange<'s>,
        request: &Forward<'_>,
        body: &mut RequestBody<'_>,
    ) -> Result<Response<'s>, Failure> {
        let hashed = self.hashed(request.head);
        let key = Key { client: exchange.address, hashed };
        let mut tried = Tried::default();
        let mut again: Option<&'s Arc<Server>> = None;
        let mut retried = false;
        exchange.upstream = Some(&self.upstream.name);
        local.retries.exchange();
        loop {
            let fresh = again.is_some();
            let Some(server) =
                again.take().or_else(|| self.upstream.pick(local.thread, &key, tried.ids(), local.now.get()))
            else {
                return Err(tried.into_failure());
            };
            exchange.server = Some(&server.name);
            exchange.attempts += 1;
            let resting = if fresh { None } else { self.resting(local, server) };
            let reached = match resting {
                Some(lease) => Ok(Reached::Connection(lease)),
                None => self.reach(local, exchange, server, fresh, body).await,
            };
            let lease = match reached {
                Ok(lease) => lease,
                Err(Failure::Lease(fault)) => {
                    fault.count(server.state.cells(local.thread));
                    if !tried.push(server.state.id, Failure::Lease(fault)) {
                        return Err(tried.into_failure());
                    }
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            let outbound = Outbound { proxy: self, exchange, request, server };
            let answered = match lease {
                Reached::Connection(lease) => attempt(local, exchange.started, outbound, lease, body).await,
                Reached::Stream(lease) => stream::attempt(local, exchange.started, outbound, lease, body).await,
            };
            let failed = match answered {
                Ok((response, first_byte)) => {
                    exchange.first_byte = Some(first_byte);
                    return Ok(response);
                }
                Err(failed) => failed,
            };
            let cells = server.state.cells(local.thread);
            retry::count_failure(cells, &failed.failure);
            match retry::decide(&failed, request.head.method, retried, &local.retries) {
                Retry::No => return Err(failed.failure),
                Retry::Fresh => again = Some(server),
                Retry::Elsewhere => {
                    retried = true;
                    if !tried.push(server.state.id, failed.failure) {
                        return Err(tried.into_failure());
                    }
                    // Where there is no other server, the same one may have come back.
                    if self.upstream.pick(local.thread, &key, tried.ids(), local.now.get()).is_none() {
                        again = Some(server);
                    }
                }
            }
            cells.retries.add(1);
        }
    }

    fn resting<'s>(&'s self, local: &'s Local, server: &'s Arc<Server>) -> Option<Lease<'s>> {
        match self.upstream.protocol {
            Protocol::Http1 => self.upstream.lease_resting(server, &local.pools, local.thread, local.now.get()),
            Protocol::Http2 => None,
        }
    }

    async fn reach<'s>(
        &'s self,
        local: &'s Local,
        exchange: &mut Exchange<'_>,
        server: &'s Arc<Server>,
        fresh: bool,
        body: &mut RequestBody<'_>,
    ) -> Result<Reached<'s>, Failure> {
        let client = Addresses { source: exchange.client_address(), destination: exchange.client.local };
        let mut reaching = pin!(self.connect(local, server, fresh, client));
        let (reached, reused) = poll_fn(|cx| match reaching.as_mut().poll(cx) {
            Poll::Ready(reached) => Poll::Ready(reached.map_err(Failure::Lease)),
            // Who has left waits in no queue.
            Poll::Pending => body.poll_gone(cx).map(|()| Err(Failure::gone())),
        })
        .await?;
        if !reused {
            exchange.connect = Some(exchange.started.elapsed());
        }
        Ok(reached)
    }

    /// A way to the server, and whether it had been made before.
    async fn connect<'s>(
        &'s self,
        local: &'s Local,
        server: &'s Arc<Server>,
        fresh: bool,
        client: Addresses,
    ) -> Result<(Reached<'s>, bool), LeaseFault> {
        match self.upstream.protocol {
            Protocol::Http1 => {
                let now = local.now.get();
                let lease = self.upstream.lease(server, &local.pools, local.thread, now, fresh, Some(client)).await?;
                let reused = lease.connection.reused;
                Ok((Reached::Connection(lease), reused))
            }
            Protocol::Http2 => {
                let lease = self.upstream.lease_stream(server, &local.pools, local.thread).await?;
                let reused = lease.reused;
                Ok((Reached::Stream(lease), reused))
            }
        }
    }

    /// What the upstream's balance hashes of this request.
    fn hashed<'r>(&self, head: &'r RequestHead) -> Option<&'r [u8]> {
        match &self.upstream.balance {
            Balance::Hash(HashOn::Header(name)) => head.fields.first_name(name.as_bytes()),
            Balance::Hash(HashOn::Cookie(name)) => outbound::cookie(&head.fields, name.as_bytes()),
            _ => None,
        }
    }
}
