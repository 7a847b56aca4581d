//! A site and its routes as they run.

use std::net::IpAddr;
use std::sync::Arc;

use crate::handler::Handler;
use crate::handler::error_page::ErrorPages;
use crate::limits::{Networks, Unwelcome};
use crate::message::{HeaderRules, RequestBody};
use crate::telemetry::{PerThread, SiteCells};

/// A site on one listener.
#[derive(Debug)]
pub struct Site {
    /// Its first host: what logs and metrics call it.
    pub name: Arc<str>,
    /// Its routes, as the router numbers them.
    pub routes: Arc<Vec<Route>>,
    /// Its own error pages.
    pub error_pages: Arc<ErrorPages>,
    /// What is counted.
    pub cells: Arc<PerThread<SiteCells>>,
}

/// One route of a site.
#[derive(Debug)]
pub struct Route {
    /// What it does.
    pub handler: Handler,
    /// Bytes of a request body, where that is narrower than the listener's.
    pub body_limit: u64,
    /// Who is answered.
    pub access: Networks,
    /// What is done to the fields that go to the upstream.
    pub request_rules: HeaderRules,
    /// What is done to the fields that go to the client.
    pub response_rules: HeaderRules,
}

/// The client said at once that its body is longer than the route allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("request body of {length} bytes is larger than {limit} bytes")]
pub struct TooLarge {
    /// What the client said.
    pub length: u64,
    /// What is allowed.
    pub limit: u64,
}

impl Route {
    /// Lets a client of this address have an answer.
    ///
    /// # Errors
    /// [`Unwelcome::Denied`]
    pub fn welcome(&self, address: IpAddr) -> Result<(), Unwelcome> {
        if self.access.let_in(address) { Ok(()) } else { Err(Unwelcome::Denied) }
    }

    /// Lets the body in as far as the route allows.
    ///
    /// # Errors
    /// [`TooLarge`], where it is known already to be too long.
    pub fn admit(&self, body: &mut RequestBody<'_>) -> Result<(), TooLarge> {
        body.narrow(self.body_limit);
        match body.declared_length() {
            Some(length) if length > body.limit() => Err(TooLarge { length, limit: body.limit() }),
            _ => Ok(()),
        }
    }
}
