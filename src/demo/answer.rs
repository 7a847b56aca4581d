//! What an origin answers: its name, the visitor's session, and what it received.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::page::Seen;

/// Sessions that one node remembers; a new one then takes the place of any other.
const MOST_SESSIONS: usize = 10_000;

/// The longest wait that `/slow` grants.
const MOST_WAIT: Duration = Duration::from_secs(60);

/// The biggest body of `/big`.
const MOST_BYTES: u64 = 10 << 30;

/// The body of an answer.
pub(super) type Answer = Either<Full<Bytes>, Filler>;

/// A node and the sessions it knows.
#[derive(Debug)]
pub(super) struct Node {
    name: String,
    address: SocketAddr,
    visits: Mutex<HashMap<String, u64>>,
}

impl Node {
    /// A node that knows nobody.
    pub(super) fn new(number: u16, address: SocketAddr) -> Self {
        Self { name: format!("node{number}"), address, visits: Mutex::default() }
    }

    /// Answers by the last part of the path, so that a site may hang the node where it likes.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<Answer> {
        let query = request.uri().query().unwrap_or("");
        match request.uri().path().rsplit('/').next() {
            Some("health") => plain(StatusCode::OK, "up\n"),
            Some("slow") => {
                let wait = Duration::from_millis(number(query, "ms").unwrap_or(1000)).min(MOST_WAIT);
                tokio::time::sleep(wait).await;
                plain(StatusCode::OK, &format!("{} answered after {} ms\n", self.name, wait.as_millis()))
            }
            Some("big") => big(number(query, "bytes").unwrap_or(10 << 20).min(MOST_BYTES)),
            _ => self.show(request).await,
        }
    }

    async fn show(&self, request: Request<Incoming>) -> Response<Answer> {
        let (head, body) = request.into_parts();
        let Some(body_bytes) = count(body).await else {
            return plain(StatusCode::BAD_REQUEST, "the body broke off\n");
        };
        let visit = self.visit(session(&head.headers));
        let seen = Seen {
            node: &self.name,
            address: self.address,
            session: &visit.session,
            is_new: visit.is_new,
            visits: visit.visits,
            request: format!("{} {} {:?}", head.method, head.uri, head.version),
            body_bytes,
            headers: &head.headers,
        };
        let (kind, text) = if wants_html(&head.headers) {
            ("text/html; charset=utf-8", seen.html())
        } else {
            ("application/json", seen.json())
        };
        let mut response = Response::new(Either::Left(Full::from(text)));
        let fields = response.headers_mut();
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        fields.insert(header::VARY, HeaderValue::from_static("Accept"));
        if visit.is_new {
            let cookie = format!("JSESSIONID={}; Path={}; HttpOnly", visit.session, folder(head.uri.path()));
            fields.extend(HeaderValue::try_from(cookie).ok().map(|cookie| (header::SET_COOKIE, cookie)));
        }
        response
    }

    /// Counts a visit to this session; one that is not known here begins anew, under a name of
    /// this node, as Tomcat names them where jvmRoute is set.
    fn visit(&self, session: Option<&str>) -> Visit {
        let mut visits = self.visits.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = session
            && let Some(visits) = visits.get_mut(session)
        {
            *visits += 1;
            return Visit { session: session.into(), is_new: false, visits: *visits };
        }
        if visits.len() >= MOST_SESSIONS {
            let any = visits.keys().next().cloned();
            any.and_then(|any| visits.remove(&any));
        }
        let session = format!("{:032X}.{}", fastrand::u128(..), self.name);
        visits.insert(session.clone(), 1);
        Visit { session, is_new: true, visits: 1 }
    }
}

struct Visit {
    session: String,
    is_new: bool,
    visits: u64,
}

/// So many bytes, made as they are sent.
#[derive(Debug)]
pub(super) struct Filler {
    left: u64,
}

impl Body for Filler {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        static CHUNK: [u8; 64 << 10] = [b'.'; 64 << 10];
        let n = usize::try_from(self.left).unwrap_or(usize::MAX).min(CHUNK.len());
        self.left -= n as u64;
        Poll::Ready((n > 0).then(|| Ok(Frame::data(Bytes::from_static(&CHUNK[..n])))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

fn plain(status: StatusCode, text: &str) -> Response<Answer> {
    let mut response = Response::new(Either::Left(Full::from(text.to_owned())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn big(bytes: u64) -> Response<Answer> {
    let mut response = Response::new(Either::Right(Filler { left: bytes }));
    let kind = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// The length of a body, which is read and thrown away; `None`: it broke off.
async fn count(mut body: Incoming) -> Option<u64> {
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        bytes += frame.ok()?.data_ref().map_or(0, Bytes::len) as u64;
    }
    Some(bytes)
}

fn session(headers: &http::HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|field| field.to_str().ok());
    cookies.flat_map(|field| field.split(';')).find_map(|cookie| cookie.trim().strip_prefix("JSESSIONID="))
}

fn wants_html(headers: &http::HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|field| field.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

/// The first folder of a path, as Tomcat's context path: each has sessions of its own.
fn folder(path: &str) -> &str {
    let end = path.get(1..).and_then(|rest| rest.find('/')).map_or(path.len(), |end| end + 1);
    let folder = &path[..end];
    // Nothing that would end or add an attribute of the cookie.
    if folder.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte)) { folder } else { "/" }
}

fn number(query: &str, name: &str) -> Option<u64> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == name).find_map(|(_, value)| value.parse().ok())
}
