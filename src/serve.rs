//! The way of one exchange, top to bottom.
//!
//! Drivers call [`answer`] with a request; every step of it is a call into the room of that name.
//! The order of the steps is a security property: it stands here and nowhere else.

mod accepted;
mod load;
mod refusal;
mod worker;

pub use accepted::Accepted;
pub use load::Overload;
pub use refusal::{Fault, Refusal};
pub use worker::{Ended, OpenConnection, Underway, Worker};

use crate::codec::h2::StreamFault;
use crate::handler::proxy::Forward;
use crate::handler::{Handler, Response, fixed, redirect, static_files};
use crate::head::RequestHead;
use crate::message::upgrade::offered;
use crate::message::{Exchange, RequestBody, RequestId, RequestTarget, Upgrade, client_address, hops};
use crate::snapshot::{Listener, Route, Site, Snapshot};

/// What a client asks.
#[derive(Clone, Copy, Debug)]
pub struct Inquiry<'r> {
    /// The head.
    pub head: &'r RequestHead,
    /// Whether it asks for another protocol.
    pub upgrade: Upgrade,
}

/// How far the way to a handler was found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Matched<'s> {
    site: Option<&'s Site>,
    route: Option<&'s Route>,
}

/// The answer to one request; a refusal is an answer too.
pub async fn answer<'s>(
    worker: &'s Worker,
    snapshot: &'s Snapshot,
    listener: &'s Listener,
    exchange: &mut Exchange<'s>,
    inquiry: Inquiry<'_>,
    body: &mut RequestBody<'_>,
) -> Response<'s> {
    identify(listener, exchange, inquiry.head);
    match worker.admit(snapshot) {
        Ok(place) => exchange.in_flight = Some(place),
        Err(overload) => {
            listener.cells(worker.local.thread).shed.count(overload.name());
            return refuse(worker, snapshot, Matched::default(), exchange, &Refusal::Overload(overload));
        }
    }
    let mut matched = Matched::default();
    if let Err(unwelcome) = listener.welcome_request(exchange.started, exchange.address) {
        listener.cells(worker.local.thread).unwelcome.count(unwelcome.name());
        return refuse(worker, snapshot, matched, exchange, &unwelcome.into());
    }
    match route(worker, listener, exchange, inquiry, body, &mut matched).await {
        Ok(response) => response,
        Err(refusal) => refuse(worker, snapshot, matched, exchange, &refusal),
    }
}

/// Who asks, and under which id.
fn identify(listener: &Listener, exchange: &mut Exchange<'_>, head: &RequestHead) {
    exchange.address = client_address(exchange.client.peer.ip(), &head.fields, &listener.trusted_proxies);
    if let Some(name) = &listener.request_id_field {
        let sent = if exchange.peer.is_trusted() { head.fields.first_name(name) } else { None };
        exchange.request_id = Some(RequestId::new(sent, exchange.peer.is_trusted()));
    }
}

async fn route<'s>(
    worker: &'s Worker,
    listener: &'s Listener,
    exchange: &mut Exchange<'s>,
    inquiry: Inquiry<'_>,
    body: &mut RequestBody<'_>,
    matched: &mut Matched<'s>,
) -> Result<Response<'s>, Refusal> {
    let Inquiry { head, upgrade } = inquiry;
    let target = RequestTarget::of(head, exchange.client.tls.is_some())?;
    let hops = hops::max_forwards(head)?;
    if target.is_asterisk() || hops == Some(0) {
        return Ok(fixed::options(worker.local.spare_head()));
    }
    if let Some(port) = listener.redirect_to_https {
        return redirect::respond_https(&target, port, worker.local.spare_head()).ok_or(Refusal::UnknownHost);
    }
    let found = listener.router.find(worker.local.thread, target.host(), target.normal_path());
    let Some(found) = found else { return Err(Refusal::UnknownHost) };
    let Some(site) = listener.sites.get(found.site) else { return Err(Refusal::UnknownHost) };
    exchange.enter(&site.name, site.cells.of(worker.local.thread));
    matched.site = Some(site);
    let Some(route) = found.route.and_then(|route| site.routes.get(route)) else { return Err(Refusal::NoRoute) };
    matched.route = Some(route);
    route.welcome(exchange.address)?;
    route.admit(body)?;

    let mut response = match &route.handler {
        Handler::Proxy(proxy) => {
            let path = listener.rewritten(&proxy.rewrite, &target, &found, worker.local.thread);
            let via = listener.via.as_ref();
            if via.is_some_and(|via| via.unique && hops::has_passed(&head.fields, &via.pseudonym)) {
                return Err(Refusal::Loop);
            }
            let forward = Forward {
                head,
                target: &target,
                rules: &route.request_rules,
                upgrade: if upgrade == Upgrade::Field && offered(&head.fields).next().is_none() {
                    Upgrade::No
                } else {
                    upgrade
                },
                id_field: listener.request_id_field.as_deref(),
                via: via.map(|via| via.field(head.version)),
                max_forwards: hops.map(|hops| hops - 1),
                path,
            };
            proxy.forward(&worker.local, exchange, &forward, body).await?
        }
        // To this client any 2xx would be the beginning of its WebSocket.
        Handler::Files(_) | Handler::Respond(_) if upgrade == Upgrade::WebSocket => {
            return Err(StreamFault::Method.into());
        }
        Handler::Files(root) => {
            let (path, query) = (target.normal_path(), target.query());
            let request = static_files::Request { method: head.method, path, query, fields: &head.fields };
            let found = root.serve(&worker.local.files, worker.local.now.get(), request).await?;
            Response::of_file(found, &worker.local)
        }
        Handler::Redirect(redirect) => redirect.respond(&target, worker.local.spare_head()),
        Handler::Respond(fixed) => fixed.respond(worker.local.spare_head()),
    };
    route.response_rules.apply(&mut response.head.fields);
    Ok(response)
}

/// The answer that tells why there is no normal one. Where the route was found its rules for answers
/// hold for this one too.
pub fn refuse<'s>(
    worker: &'s Worker,
    snapshot: &'s Snapshot,
    matched: Matched<'s>,
    exchange: &mut Exchange<'s>,
    refusal: &Refusal,
) -> Response<'s> {
    exchange.refusal = Some(refusal.name());
    refusal.log(exchange);
    let status = refusal.status();
    let page = matched.site.and_then(|site| site.error_pages.of(status)).or_else(|| snapshot.error_pages.of(status));
    let rules = matched.route.map(|route| &route.response_rules);
    refusal.render(page, rules, worker.local.spare_head())
}
