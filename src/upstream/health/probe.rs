//! One question to one server, on a connection of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::database::{self, Line};
use super::{Check, HttpQuestion, Phase, Question, Reason};
use crate::codec::proxy;
use crate::upstream::Protocol;
use crate::upstream::role::Answer;

/// A probe that passed.
#[derive(Clone, Debug, PartialEq)]
pub struct Passed {
    /// From the start of the connection to the verdict.
    pub took: Duration,
    /// What a database said of itself, where it was asked.
    pub answer: Option<Answer>,
}

/// Asks the server at `address` once; `written` is its address as written, the default `Host`.
///
/// # Errors
///
/// Why the server did not pass. The whole probe takes at most the timeout of the check.
pub async fn probe(check: &Check, address: SocketAddr, written: &str) -> Result<Passed, Reason> {
    let clock = Clock::start(check.pace.timeout);
    let mut stream = clock.within(Phase::Connect, TcpStream::connect(address)).await?.map_err(Reason::Connect)?;
    if let Some(version) = check.proxy_header {
        let header = proxy::header(version, None);
        clock.within(Phase::Connect, stream.write_all(&header)).await?.map_err(Reason::Connect)?;
    }
    let mut answer = None;
    match (&check.question, &check.tls) {
        (Question::Database(question), _) => {
            answer = database::ask(question, Line::Plain(stream), written, &clock).await?;
        }
        (Question::Http(http), None) => clock.within(Phase::Response, exchange(http, stream, written)).await??,
        (Question::Tcp, None) => {}
        (question, Some(tls)) => {
            let name = tls.server_name(written).map_err(|fault| Reason::Tls(io::Error::other(fault)))?;
            let handshake = TlsConnector::from(Arc::clone(&tls.config)).connect(name, stream);
            let stream = clock.within(Phase::Tls, handshake).await?.map_err(Reason::Tls)?;
            if let Question::Http(http) = question {
                clock.within(Phase::Response, exchange(http, stream, written)).await??;
            }
        }
    }
    Ok(Passed { took: clock.start.elapsed(), answer })
}

async fn exchange<S>(question: &HttpQuestion, stream: S, written: &str) -> Result<(), Reason>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let host = question.host.as_deref().unwrap_or(written);
    let request = http::Request::get(&*question.path).header(http::header::USER_AGENT, "haechi-check");
    let stream = TokioIo::new(stream);
    match question.protocol {
        Protocol::Http1 => {
            let request = request.header(http::header::HOST, host).header(http::header::CONNECTION, "close");
            let request = request.body(Empty::<Bytes>::new()).map_err(Reason::Request)?;
            let (mut sender, connection) = http1::handshake(stream).await.map_err(Reason::Response)?;
            answered(question, sender.send_request(request), connection).await
        }
        Protocol::Http2 => {
            // RFC 9113 §8.3.1: the host stands in `:authority`, which is a part of the target here.
            let request = request.uri(format!("http://{host}{}", question.path));
            let request = request.body(Empty::<Bytes>::new()).map_err(Reason::Request)?;
            let handshake = http2::handshake(TokioExecutor::new(), stream);
            let (mut sender, connection) = handshake.await.map_err(Reason::Response)?;
            answered(question, sender.send_request(request), connection).await
        }
    }
}

async fn answered(
    question: &HttpQuestion,
    response: impl Future<Output = hyper::Result<http::Response<Incoming>>>,
    connection: impl Future,
) -> Result<(), Reason> {
    let answer = async { judge(question, response.await.map_err(Reason::Response)?).await };
    tokio::pin!(answer, connection);
    tokio::select! {
        verdict = &mut answer => verdict,
        // The server closed; what it sent before may still be an answer.
        _ = &mut connection => answer.await,
    }
}

async fn judge(question: &HttpQuestion, response: http::Response<Incoming>) -> Result<(), Reason> {
    let status = response.status().as_u16();
    if !question.expect.contains(status) {
        return Err(Reason::Status { status, expected: question.expect.clone() });
    }
    let Some(wanted) = &question.body else {
        return Ok(());
    };
    if body_has(response.into_body(), wanted.as_bytes()).await? {
        Ok(())
    } else {
        Err(Reason::Body(Arc::clone(wanted)))
    }
}

async fn body_has(mut body: Incoming, wanted: &[u8]) -> Result<bool, Reason> {
    const MOST: usize = 64 * 1024;
    let finder = memchr::memmem::Finder::new(wanted);
    let mut read = Vec::new();
    loop {
        if finder.find(&read).is_some() {
            return Ok(true);
        }
        if read.len() == MOST {
            return Ok(false);
        }
        let Some(frame) = body.frame().await else {
            return Ok(false);
        };
        if let Ok(data) = frame.map_err(Reason::Response)?.into_data() {
            read.extend_from_slice(&data[..data.len().min(MOST - read.len())]);
        }
    }
}

/// The time that a probe has.
pub(super) struct Clock {
    start: Instant,
    timeout: Duration,
}

impl Clock {
    fn start(timeout: Duration) -> Self {
        Self { start: Instant::now(), timeout }
    }

    /// What `work` gives, within what is left of the time.
    pub(super) async fn within<T>(&self, phase: Phase, work: impl Future<Output = T>) -> Result<T, Reason> {
        let late = |_| Reason::TimedOut { after: self.timeout, phase };
        timeout(self.timeout.saturating_sub(self.start.elapsed()), work).await.map_err(late)
    }
}
