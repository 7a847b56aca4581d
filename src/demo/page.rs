//! What an origin saw of a request, as a page and as JSON.

use std::fmt::Write;
use std::net::SocketAddr;

/// A request as it arrived at a node.
pub(super) struct Seen<'a> {
    pub(super) node: &'a str,
    pub(super) address: SocketAddr,
    pub(super) session: &'a str,
    pub(super) is_new: bool,
    pub(super) visits: u64,
    pub(super) request: String,
    pub(super) body_bytes: u64,
    pub(super) headers: &'a http::HeaderMap,
}

impl Seen<'_> {
    pub(super) fn json(&self) -> String {
        let seen = Json {
            node: self.node,
            session: self.session,
            new_session: self.is_new,
            visits: self.visits,
            address: self.address,
            request: &self.request,
            headers: self.headers().map(|(name, value)| format!("{name}: {value}")).collect(),
            body_bytes: self.body_bytes,
        };
        serde_json::to_string_pretty(&seen).unwrap_or_default() + "\n"
    }

    pub(super) fn html(&self) -> String {
        let mut rows = String::new();
        for (name, value) in self.headers() {
            // Writing to a String cannot fail.
            let _ = write!(rows, "<tr><th>{}</th><td>{}</td></tr>", escaped(name), escaped(&value));
        }
        let Self { node, address, session, visits, body_bytes, .. } = self;
        let request = escaped(&self.request);
        let since = if self.is_new { "begun now" } else { "known here" };
        format!(
            "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>\
             <title>{node}</title><style>{STYLE}</style>\
             <h1 class={node}>{node}</h1>\
             <p>This node listens on {address} and stands in for a Tomcat.\
             <p class=count>{visits}<p>visits in session <code>{session}</code>, {since}.\
             <h2>Received</h2><p><code>{request}</code>, {body_bytes} bytes of body\
             <table>{rows}</table>\
             <p><a href='?'>Again</a>\n"
        )
    }

    fn headers(&self) -> impl Iterator<Item = (&str, String)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()).into()))
    }
}

/// In the order that somebody at a terminal wants to read.
#[derive(serde::Serialize)]
struct Json<'a> {
    node: &'a str,
    session: &'a str,
    new_session: bool,
    visits: u64,
    address: SocketAddr,
    request: &'a str,
    headers: Vec<String>,
    body_bytes: u64,
}

const STYLE: &str = "\
    body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:3rem auto;padding:0 1rem;color:#1c2430}\
    h1{color:#fff;padding:.5rem 1rem;border-radius:.4rem}\
    .node1{background:#1e6091}.node2{background:#7a4b94}.node3{background:#2f7d4f}\
    .count{font-size:3.5rem;margin:0;line-height:1}\
    table{border-collapse:collapse;width:100%}\
    th,td{text-align:left;vertical-align:top;padding:.2rem .6rem;border-bottom:1px solid #d9dee5}\
    td,code{font-family:ui-monospace,monospace;font-size:.9rem;overflow-wrap:anywhere}";

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(c),
        }
    }
    safe
}
