//! A change as it is posted to a URL of the operator's.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::tls;

/// Why a change did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// The runtime of the thread did not start.
    #[error("no runtime")]
    Runtime(#[source] io::Error),
    /// No connection.
    #[error("no connection")]
    Connect(#[source] io::Error),
    /// Not the server that the URL names.
    #[error("no TLS")]
    Tls(#[source] io::Error),
    /// The exchange broke off.
    #[error("no answer")]
    Exchange(#[source] hyper::Error),
    /// What is written is no URL.
    #[error("the URL cannot be asked")]
    Url(#[source] http::Error),
    /// It was refused.
    #[error("the answer was {0}")]
    Status(StatusCode),
    /// It did not come in time.
    #[error("no answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
}

/// Posts this JSON, and waits for an answer of 200 to 299.
///
/// # Errors
/// Where none comes within `timeout`.
pub fn post(url: &str, json: &str, timeout: Duration) -> Result<(), PostError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(PostError::Runtime)?;
    let posted = runtime.block_on(async {
        let exchange = exchange(url, json);
        tokio::time::timeout(timeout, exchange).await.unwrap_or(Err(PostError::TimedOut(timeout)))
    });
    // A name may still be looked up, on a thread that nothing ends.
    runtime.shutdown_background();
    posted
}

async fn exchange(url: &str, json: &str) -> Result<(), PostError> {
    let url: Uri = url.parse().map_err(|error: http::uri::InvalidUri| PostError::Url(error.into()))?;
    let is_tls = url.scheme_str() == Some("https");
    let host = url.host().unwrap_or_default();
    // RFC 3986 §3.2.2: an IPv6 address stands in brackets.
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let port = url.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let stream = TcpStream::connect((bare, port)).await.map_err(PostError::Connect)?;
    let status = if is_tls {
        let name = ServerName::try_from(bare.to_owned()).map_err(|fault| PostError::Tls(io::Error::other(fault)))?;
        let config = Arc::new(tls_config().map_err(PostError::Tls)?);
        let stream = TlsConnector::from(config).connect(name, stream).await.map_err(PostError::Tls)?;
        ask(&url, json, stream).await?
    } else {
        ask(&url, json, stream).await?
    };
    if status.is_success() { Ok(()) } else { Err(PostError::Status(status)) }
}

async fn ask<S>(url: &Uri, json: &str, stream: S) -> Result<StatusCode, PostError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let target = url.path_and_query().map_or("/", |path| path.as_str());
    let host = url.host().unwrap_or_default();
    let host = url.port_u16().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let request = Request::post(target)
        .header(header::HOST, host)
        .header(header::USER_AGENT, "haechi-hook")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "close")
        .body(Full::new(Bytes::copy_from_slice(json.as_bytes())))
        .map_err(PostError::Url)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(PostError::Exchange)?;
    let answer = sender.send_request(request);
    tokio::pin!(answer, connection);
    let answer = tokio::select! {
        answer = &mut answer => answer,
        // The server closed; what it sent before may still be an answer.
        _ = &mut connection => answer.await,
    };
    Ok(answer.map_err(PostError::Exchange)?.status())
}

/// The system's authorities are believed, as they are now.
fn tls_config() -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let builder = ClientConfig::builder_with_provider(tls::provider());
    let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_secs(900);

    fn asked(answer: &'static str) -> (Result<(), PostError>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/moved?of=haechi", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut request, mut buffer) = (String::new(), [0; 1024]);
            while !request.ends_with('}') {
                let length = stream.read(&mut buffer).unwrap();
                assert!(length > 0, "{request}");
                request.push_str(str::from_utf8(&buffer[..length]).unwrap());
            }
            stream.write_all(answer.as_bytes()).unwrap();
            request
        });
        let posted = post(&url, "{\"new\":\"active\"}", LONG);
        (posted, server.join().unwrap())
    }

    #[test]
    fn a_change_is_posted_as_json() {
        let (posted, request) = asked("HTTP/1.1 204 No Content\r\n\r\n");
        assert!(posted.is_ok(), "{posted:?}");
        assert!(request.starts_with("POST /moved?of=haechi HTTP/1.1\r\nhost: 127.0.0.1:"), "{request}");
        assert!(request.contains("content-type: application/json\r\n"), "{request}");
        assert!(request.ends_with("\r\n\r\n{\"new\":\"active\"}"), "{request}");
    }

    #[test]
    fn what_is_no_good_answer_is_told() {
        let (posted, _) = asked("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(posted.unwrap_err().to_string(), "the answer was 500 Internal Server Error");
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let posted = post(&format!("http://{closed}/"), "{}", LONG);
        assert!(matches!(posted, Err(PostError::Connect(_))), "{posted:?}");
        // Nobody accepts, and nothing is answered.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", silent.local_addr().unwrap());
        let posted = post(&url, "{}", Duration::from_millis(50));
        assert!(matches!(posted, Err(PostError::TimedOut(_))), "{posted:?}");
    }
}
