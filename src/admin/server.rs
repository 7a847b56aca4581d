//! The admin listener: a small HTTP/1.1 server, one exchange a connection.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::{select, task, time};

use super::metrics_page::metrics_page;
use super::status::{Phase, Status};
use crate::telemetry::exposition::Page;
use crate::telemetry::{AccessLog, Control, Registry};

/// Where the answers come from.
pub struct Sources {
    /// The control side's metrics.
    pub control: Arc<Control>,
    /// What the data plane counts for listeners and sites.
    pub registry: Arc<Registry>,
    /// The access log, for its counts.
    pub access_log: Arc<AccessLog>,
    /// Where the process is in its life. Asked for each /healthz, so it has to be quick.
    pub phase: Box<dyn Fn() -> Phase + Send + Sync>,
    /// The state of everything.
    pub status: Box<dyn Fn() -> Status + Send + Sync>,
    /// Writes the families of the servers that are in use, by [`super::server_families`].
    pub servers: Box<dyn Fn(&mut Page) + Send + Sync>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").finish_non_exhaustive()
    }
}

/// Answers operators until `stop` is done; exchanges that are under way then are cut.
pub async fn serve(listener: TcpListener, sources: Arc<Sources>, stop: impl Future<Output = ()>) {
    let limits = Limits { connections: 64, head: Duration::from_secs(5), exchange: Duration::from_secs(30) };
    select! {
        () = stop => {}
        () = accept(listener, sources, limits) => {}
    }
}

#[derive(Clone, Copy)]
struct Limits {
    /// Connections at once; further ones wait in the kernel.
    connections: usize,
    /// How long a request's head may take.
    head: Duration,
    /// How long everything may take, so that no slow reader holds a place for long.
    exchange: Duration,
}

async fn accept(listener: TcpListener, sources: Arc<Sources>, limits: Limits) {
    let places = Arc::new(Semaphore::new(limits.connections));
    // Dropped with this future: no connection outlives it.
    let mut connections = JoinSet::new();
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let sources = Arc::clone(&sources);
                connections.spawn(async move {
                    // Late or broken, the client is gone; nobody else is concerned.
                    let _ = time::timeout(limits.exchange, exchange(stream, sources, limits.head)).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "admin connection cannot be accepted");
                time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn exchange(stream: TcpStream, sources: Arc<Sources>, head: Duration) -> hyper::Result<()> {
    let service = service_fn(move |request: Request<_>| {
        let sources = Arc::clone(&sources);
        async move { Ok::<_, Infallible>(answer(&request, sources).await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(16 << 10)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

const TEXT: &str = "text/plain; charset=utf-8";

const INDEX: &str = "haechi\n\n/metrics  for Prometheus\n/status   the state of everything, JSON\n/healthz  200 while clients are served, else 503\n";

async fn answer<B>(request: &Request<B>, sources: Arc<Sources>) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n");
        refused.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match request.uri().path() {
        "/" => response(StatusCode::OK, TEXT, INDEX),
        "/healthz" => match (sources.phase)() {
            Phase::Serving => response(StatusCode::OK, TEXT, "ok\n"),
            Phase::Starting => response(StatusCode::SERVICE_UNAVAILABLE, TEXT, "starting\n"),
            Phase::Draining => response(StatusCode::SERVICE_UNAVAILABLE, TEXT, "draining\n"),
        },
        "/metrics" => written(Page::CONTENT_TYPE, move || Some(metrics_page(&sources))).await,
        "/status" => written("application/json", move || status_page(&sources)).await,
        _ => response(StatusCode::NOT_FOUND, TEXT, "not found\n"),
    }
}

/// Its last line ends, for those who read it on a terminal.
fn status_page(sources: &Sources) -> Option<String> {
    serde_json::to_string_pretty(&(sources.status)()).ok().map(|page| page + "\n")
}

/// A page that takes long to write with thousands of sites: not on the thread of the health checks.
async fn written(kind: &'static str, write: impl FnOnce() -> Option<String> + Send + 'static) -> Response<Full<Bytes>> {
    match task::spawn_blocking(write).await {
        Ok(Some(text)) => response(StatusCode::OK, kind, text),
        Ok(None) | Err(_) => response(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "cannot be written\n"),
    }
}

fn response(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
