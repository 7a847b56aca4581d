//! Stops and starts the origins: `/stop/1`, `/start/1`, and `/` for how they are.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use super::origin::{self, Origin};

/// Serves `listener` for ever. One turn of the switch comes after the other.
pub(super) async fn serve(listener: TcpListener, origins: Vec<Origin>) {
    let origins = Arc::new(Mutex::new(origins));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(origin::BREATH).await;
            continue;
        };
        let origins = origins.clone();
        tokio::spawn(async move {
            let answer = service_fn(move |request| {
                let origins = origins.clone();
                async move { Ok::<_, Infallible>(answer(&request, &mut origins.lock().await).await) }
            });
            let _ = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

async fn answer(request: &Request<Incoming>, origins: &mut [Origin]) -> Response<String> {
    match turn(request.uri().path(), origins).await {
        Ok(()) => Response::new(origins.iter().map(line).collect()),
        Err(refusal) => {
            let mut response = Response::new(format!("{}\n", refusal.text));
            *response.status_mut() = refusal.status;
            response
        }
    }
}

struct Refused {
    status: StatusCode,
    text: String,
}

impl Refused {
    fn taken(fault: &io::Error) -> Self {
        Self { status: StatusCode::CONFLICT, text: fault.to_string() }
    }
}

async fn turn(path: &str, origins: &mut [Origin]) -> Result<(), Refused> {
    let unknown = || Refused { status: StatusCode::NOT_FOUND, text: "try /, /stop/1 or /start/1".into() };
    if path == "/" {
        return Ok(());
    }
    let (verb, number) = path.strip_prefix('/').and_then(|path| path.split_once('/')).ok_or_else(unknown)?;
    let number: u16 = number.parse().map_err(|_| unknown())?;
    let origin = origins.iter_mut().find(|origin| origin.number() == number).ok_or_else(unknown)?;
    match verb {
        "stop" => origin.stop().await,
        "start" => origin.start().await.map_err(|fault| Refused::taken(&fault))?,
        _ => return Err(unknown()),
    }
    Ok(())
}

fn line(origin: &Origin) -> String {
    let state = if origin.is_running() { "running" } else { "stopped" };
    format!("node{} {state}\n", origin.number())
}
