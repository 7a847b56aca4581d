//! Why an exchange got no normal answer: the rooms' own errors, summed up.

use bytes::Bytes;

use super::Overload;
use crate::codec::h1::RequestFault;
use crate::codec::h2::StreamFault;
use crate::diagnostic::Causes;
use crate::handler::error_page::ErrorPage;
use crate::handler::{Body, Response, proxy, static_files};
use crate::head::{Known, Method, ResponseHead};
use crate::limits::Unwelcome;
use crate::message::{Exchange, HeaderRules, MaxForwardsFault, TargetFault};
use crate::snapshot::TooLarge;
use crate::telemetry::LineBudget;

/// Why there is no normal answer.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// There is too much to do already.
    #[error(transparent)]
    Overload(#[from] Overload),
    /// The request's head cannot be understood.
    #[error(transparent)]
    Head(#[from] RequestFault),
    /// The fields of an HTTP/2 request make no head.
    #[error(transparent)]
    Stream(#[from] StreamFault),
    /// The request's head did not become whole in time.
    #[error("request head did not come in time")]
    HeadTimeout,
    /// What it is for cannot be understood.
    #[error(transparent)]
    Target(#[from] TargetFault),
    /// How far it may go cannot be understood.
    #[error(transparent)]
    Hops(#[from] MaxForwardsFault),
    /// It has been here before (RFC 9110 §7.6.3).
    #[error("request goes round in a loop")]
    Loop,
    /// Whoever asks may not, or not so often.
    #[error(transparent)]
    Unwelcome(#[from] Unwelcome),
    /// No site on this listener has that host.
    #[error("no site has this host")]
    UnknownHost,
    /// The site has no route for that path.
    #[error("no route has this path")]
    NoRoute,
    /// The body is longer than the route allows.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// The upstream gave no answer.
    #[error(transparent)]
    Proxy(#[from] proxy::Failure),
    /// The file cannot be served.
    #[error(transparent)]
    Files(#[from] static_files::Failure),
}

/// Whose doing it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The client's.
    Client,
    /// The upstream's.
    Upstream,
    /// Ours.
    Us,
}

/// Fields that tell what a body is and how long it is good.
const OF_CONTENTS: [&[u8]; 12] = [
    b"age",
    b"allow",
    b"cache-control",
    b"content-disposition",
    b"content-encoding",
    b"content-language",
    b"content-range",
    b"content-type",
    b"etag",
    b"expires",
    b"last-modified",
    b"retry-after",
];

thread_local! {
    static LINES: LineBudget = const { LineBudget::new(100) };
}

impl Refusal {
    /// Its name in logs and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Overload(overload) => overload.name(),
            Self::Head(fault) => fault.name(),
            Self::Stream(fault) => fault.name(),
            Self::HeadTimeout => "head_timeout",
            Self::Target(fault) => fault.name(),
            Self::Hops(_) => "max_forwards",
            Self::Loop => "loop",
            Self::Unwelcome(unwelcome) => unwelcome.name(),
            Self::UnknownHost => "unknown_host",
            Self::NoRoute => "no_route",
            Self::TooLarge(_) => "body_too_large",
            Self::Proxy(failure) => failure.name(),
            Self::Files(failure) => failure.name(),
        }
    }

    /// The status that the client is answered with.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Overload(_) => 503,
            Self::Head(fault) => fault.status(),
            Self::Stream(fault) => fault.status(),
            Self::HeadTimeout => 408,
            Self::Target(_) | Self::Hops(_) => 400,
            Self::UnknownHost | Self::NoRoute => 404,
            // RFC 6585 §4
            Self::Unwelcome(Unwelcome::RequestRate { .. }) => 429,
            Self::Unwelcome(_) => 403,
            Self::TooLarge(_) => 413,
            // RFC 5842 §7.2
            Self::Loop => 508,
            Self::Proxy(failure) => failure.status(),
            Self::Files(failure) => failure.status(),
        }
    }

    /// Whose doing it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Proxy(proxy::Failure::Client(_) | proxy::Failure::Unsendable)
            | Self::Head(_)
            | Self::Stream(_)
            | Self::HeadTimeout
            | Self::Target(_)
            | Self::Hops(_)
            | Self::Loop
            | Self::Unwelcome(_)
            | Self::UnknownHost
            | Self::NoRoute
            | Self::TooLarge(_) => Fault::Client,
            Self::Proxy(_) => Fault::Upstream,
            Self::Files(failure) if failure.status() < 500 => Fault::Client,
            Self::Overload(_) | Self::Files(_) => Fault::Us,
        }
    }

    /// Tells the operator, who sees what clients do only at the level of debugging.
    pub(super) fn log(&self, exchange: &Exchange<'_>) {
        if self.fault() != Fault::Client && !LINES.with(|lines| lines.take(exchange.started)) {
            return;
        }
        let (name, status) = (self.name(), self.status());
        let reason = Causes(self);
        let client = exchange.address;
        let upstream = exchange.upstream.unwrap_or("-");
        let server = exchange.server.unwrap_or("-");
        match self.fault() {
            Fault::Client => tracing::debug!(%client, name, status, %reason, "request refused"),
            Fault::Upstream => {
                tracing::warn!(%client, upstream, server, attempts = exchange.attempts, name, status, %reason, "no answer from upstream");
            }
            Fault::Us => tracing::error!(%client, name, status, %reason, "request failed"),
        }
    }

    /// The answer that the client gets.
    pub(super) fn render<'s>(
        &self,
        page: Option<&ErrorPage>,
        rules: Option<&HeaderRules>,
        mut head: Box<ResponseHead>,
    ) -> Response<'s> {
        head.status = self.status();
        if let Some(rules) = rules {
            rules.apply(&mut head.fields);
            // What a rule says of the route's contents is not true of an error page.
            head.fields.retain(|field| !OF_CONTENTS.iter().any(|name| field.name.eq_ignore_ascii_case(name)));
        }
        if head.status == 503 {
            // RFC 9110 §10.2.3. A server that is down is found up within a few checks.
            head.fields.push_known(Known::RetryAfter, b"Retry-After", b"5");
        }
        if let Self::Unwelcome(Unwelcome::RequestRate { wait }) = self {
            // Whole seconds: no client is to come back too early.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            head.fields.push_known(Known::RetryAfter, b"Retry-After", seconds.to_string().as_bytes());
        }
        if head.status == 405 {
            head.fields.push("Allow", Method::SERVED);
        }
        let body = match page {
            Some(page) => {
                head.fields.push_known(Known::ContentType, b"Content-Type", &page.content_type);
                page.body.clone()
            }
            None => {
                head.fields.push_known(Known::ContentType, b"Content-Type", b"text/plain; charset=utf-8");
                let reason = http::StatusCode::from_u16(head.status).ok().and_then(|status| status.canonical_reason());
                Bytes::from(format!("{} {}\n", head.status, reason.unwrap_or("Error")))
            }
        };
        head.fields.push_known(Known::CacheControl, b"Cache-Control", b"no-store");
        Response { head, body: Body::Bytes(body) }
    }
}
