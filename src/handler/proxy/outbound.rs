//! The request as the server gets it: a new value, written from the parts of the client's.

use std::sync::Arc;

use http::uri::Scheme;

use super::upload::UploadFraming;
use super::{Failure, Forward, Proxy};
use crate::codec::h1;
use crate::head::{Field, Fields, Known, Method, Version, are_alike};
use crate::message::hop_by_hop::{ConnectionTokens, TooManyTokens};
use crate::message::upgrade::offered;
use crate::message::{Exchange, HopNames, RequestBody, Upgrade};
use crate::upstream::Server;

/// What goes into the head that a server gets.
pub(super) struct Outbound<'r, 's> {
    pub(super) proxy: &'r Proxy,
    pub(super) exchange: &'r Exchange<'s>,
    pub(super) request: &'r Forward<'r>,
    pub(super) server: &'s Arc<Server>,
}

/// How the body behind a head goes out.
pub(super) struct Sending {
    pub(super) framing: UploadFraming,
    /// What may not stand in its trailer section.
    pub(super) hop: HopNames,
}

impl Outbound<'_, '_> {
    /// Writes the head for HTTP/1.1; how the body behind it goes out.
    ///
    /// # Errors
    /// [`TooManyTokens`]
    pub(super) fn write(&self, out: &mut Vec<u8>, body: &RequestBody<'_>) -> Result<Sending, TooManyTokens> {
        let request = self.request;
        let method = if request.upgrade == Upgrade::WebSocket { b"GET" } else { request.head.method_name() };
        h1::write_request_line(out, method, self.path());
        let hop = self.each_of_client(|field| h1::write_line(out, field))?;
        if request.rules.is_empty() {
            self.exchange.peer.write_forwarded(out, &request.head.fields, request.target);
        } else {
            self.each_forwarded(|field| h1::write_line(out, field));
        }
        self.each_of_ours(|field| h1::write_line(out, field));
        let framing = match self.length(body) {
            Length::Unsaid => UploadFraming::Length,
            Length::Known(length) => {
                h1::write_length(out, length);
                UploadFraming::Length
            }
            Length::Unknown => {
                h1::write_field(out, b"Transfer-Encoding", b"chunked");
                UploadFraming::Chunked
            }
        };
        self.write_connection(out);
        h1::end_head(out);
        Ok(Sending { framing, hop })
    }

    /// The head for HTTP/2 (RFC 9113 §8.3.1).
    ///
    /// # Errors
    /// [`Failure::Client`] for the client's `Connection` field, [`Failure::Unsendable`] for what
    /// HTTP/2 cannot carry.
    pub(super) fn head(&self, body: &RequestBody<'_>) -> Result<http::Request<()>, Failure> {
        let request = self.request;
        let mut fields = http::HeaderMap::with_capacity(request.head.fields.len() + 8);
        let mut authority = None;
        let mut whole = true;
        let mut take = |field: Field<'_>| {
            if field.name.eq_ignore_ascii_case(b"host") {
                authority = http::uri::Authority::try_from(field.value).ok();
                return;
            }
            match (http::HeaderName::from_bytes(field.name), http::HeaderValue::from_bytes(field.value)) {
                (Ok(name), Ok(value)) => {
                    fields.append(name, value);
                }
                _ => whole = false,
            }
        };
        self.each_of_client(&mut take).map_err(|fault| Failure::Client(fault.into()))?;
        self.each_forwarded(&mut take);
        self.each_of_ours(&mut take);
        if let Length::Known(length) = self.length(body) {
            fields.insert(http::header::CONTENT_LENGTH, length.into());
        }
        // RFC 9110 §10.1.4: gRPC servers want to be told.
        let mut codings = request.head.fields.all(Known::Te).flat_map(|value| value.split(|byte| *byte == b','));
        if codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers")) {
            fields.insert(http::header::TE, http::HeaderValue::from_static("trailers"));
        }
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(if self.proxy.upstream.outbound.is_some() { Scheme::HTTPS } else { Scheme::HTTP });
        uri.path_and_query = http::uri::PathAndQuery::try_from(self.path()).ok();
        uri.authority = authority;
        let method = http::Method::from_bytes(request.head.method_name()).ok();
        let uri = http::Uri::from_parts(uri).ok();
        let (Some(method), Some(uri), true) = (method, uri, whole) else { return Err(Failure::Unsendable) };
        let mut head = http::Request::new(());
        (*head.method_mut(), *head.uri_mut(), *head.headers_mut()) = (method, uri, fields);
        Ok(head)
    }

    fn path(&self) -> &[u8] {
        self.request.path.as_deref().unwrap_or(&self.request.head.target)
    }

    /// Calls `write` with what goes on of the client's fields, without those of framing and persistence;
    /// Host comes first, where the route's rules leave it alone.
    fn each_of_client(&self, mut write: impl FnMut(Field<'_>)) -> Result<HopNames, TooManyTokens> {
        let Self { proxy, exchange, request, server } = self;
        let (head, rules) = (request.head, request.rules);
        let tokens = ConnectionTokens::of(&head.fields)?;
        let own_id = request.id_field.filter(|_| exchange.request_id.is_some());
        if !rules.is_name_changed("Host") {
            let theirs = head.fields.first(Known::Host);
            let host = proxy.host.as_deref().or(theirs).unwrap_or(server.written.as_bytes());
            write(Field::new(Known::Host, b"Host", host));
        }
        let mut cookies = Cookies::new(head.version);
        for field in head.fields.iter() {
            let own = matches!(field.known, Known::Host | Known::ContentLength | Known::Expect)
                || field.known == Known::MaxForwards && request.max_forwards.is_some()
                || own_id.is_some_and(|name| are_alike(field.name, name))
                || proxy.subject_field.as_deref().is_some_and(|name| are_alike(field.name, name))
                // RFC 8441 §5: HTTP/2 has no use for it, and ours is another.
                || request.upgrade == Upgrade::WebSocket && field.name.eq_ignore_ascii_case(b"sec-websocket-key");
            if own
                || !tokens.is_forwarded(field)
                || !exchange.peer.is_copied(field)
                || rules.is_changed(field)
                || cookies.holds_back(field.known)
            {
                continue;
            }
            write(field);
        }
        if let Some(joined) = cookies.join(&head.fields, |field| rules.is_changed(field)) {
            write(Field::new(Known::Cookie, b"Cookie", &joined));
        }
        Ok(HopNames::from(&tokens))
    }

    /// Calls `write` with the X-Forwarded-* fields.
    fn each_forwarded(&self, mut write: impl FnMut(Field<'_>)) {
        let request = self.request;
        self.exchange.peer.each_forwarded(&request.head.fields, request.target, |field| {
            if !request.rules.is_changed(field) {
                write(field);
            }
        });
    }

    /// Calls `write` with the other fields that are ours.
    fn each_of_ours(&self, mut write: impl FnMut(Field<'_>)) {
        let Self { proxy, exchange, request, .. } = self;
        let rules = request.rules;
        if let (Some(name), Some(id)) = (request.id_field, &exchange.request_id) {
            write(Field::new(Known::Other, name, id.as_bytes()));
        }
        let subject = exchange.client.tls.as_ref().and_then(|tls| tls.client_subject.as_deref());
        if let (Some(name), Some(subject)) = (&proxy.subject_field, subject) {
            write(Field::new(Known::Other, name, subject.as_bytes()));
        }
        // Where the request has been and how far it may go (RFC 9110 §7.6.2, §7.6.3).
        if let Some(via) = request.via.filter(|_| !rules.is_name_changed("Via")) {
            write(via);
        }
        if let Some(left) = request.max_forwards.filter(|_| !rules.is_name_changed("Max-Forwards")) {
            let mut digits = itoa::Buffer::new();
            write(Field::new(Known::MaxForwards, b"Max-Forwards", digits.format(left).as_bytes()));
        }
        for (name, value) in rules.appended() {
            write(Field::new(Known::Other, name, value));
        }
    }

    fn length(&self, body: &RequestBody<'_>) -> Length {
        let head = self.request.head;
        match body.declared_length() {
            // RFC 9110 §8.6: a length of 0 is said where the method expects a body.
            Some(0) if !expects_body(head.method) && head.fields.first(Known::ContentLength).is_none() => {
                Length::Unsaid
            }
            Some(length) => Length::Known(length),
            None => Length::Unknown,
        }
    }

    fn write_connection(&self, out: &mut Vec<u8>) {
        match self.request.upgrade {
            // Tomcat tells its own time limit only to who asks in so many words.
            Upgrade::No => out.extend_from_slice(b"Connection: keep-alive\r\n"),
            Upgrade::Field => {
                h1::write_field(out, b"Connection", b"upgrade");
                for protocol in offered(&self.request.head.fields) {
                    h1::write_field(out, b"Upgrade", protocol);
                }
            }
            Upgrade::WebSocket => {
                h1::write_field(out, b"Connection", b"upgrade");
                h1::write_field(out, b"Upgrade", b"websocket");
                h1::write_field(out, b"Sec-WebSocket-Key", &websocket_key());
            }
        }
    }
}

/// What is said of a body's length.
enum Length {
    /// Nothing: there is no body, and none is expected.
    Unsaid,
    Known(u64),
    Unknown,
}

/// 16 random bytes in base64 (RFC 6455 §4.1): 21 digits of six bits, one of two, and padding.
fn websocket_key() -> [u8; 24] {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut key = [b'='; 24];
    let mut bits = fastrand::u128(..);
    for digit in &mut key[..22] {
        *digit = DIGITS[(bits % 64) as usize];
        bits >>= 6;
    }
    key[21] = DIGITS[usize::from(fastrand::u8(..4)) << 4];
    key
}

fn expects_body(method: Method) -> bool {
    matches!(method, Method::Post | Method::Put | Method::Patch)
}

/// HTTP/2 clients may send a cookie in crumbs; HTTP/1.1 servers expect one field (RFC 9113 §8.2.3).
struct Cookies {
    joined: bool,
    found: bool,
}

impl Cookies {
    fn new(version: Version) -> Self {
        Self { joined: version == Version::Http2, found: false }
    }

    fn holds_back(&mut self, known: Known) -> bool {
        let held = self.joined && known == Known::Cookie;
        self.found |= held;
        held
    }

    fn join(&self, fields: &Fields, changed: impl Fn(Field<'_>) -> bool) -> Option<Vec<u8>> {
        if !self.found {
            return None;
        }
        let crumbs = fields.iter().filter(|field| field.known == Known::Cookie && !changed(*field));
        let crumbs: Vec<&[u8]> = crumbs.map(|field| field.value).collect();
        (!crumbs.is_empty()).then(|| crumbs.join(&b"; "[..]))
    }
}

/// The value of a cookie (RFC 6265 §4.2.1): the first of its name.
pub(super) fn cookie<'f>(fields: &'f Fields, name: &[u8]) -> Option<&'f [u8]> {
    fields
        .all(Known::Cookie)
        .flat_map(|value| value.split(|byte| *byte == b';'))
        .filter_map(|pair| {
            let pair = pair.trim_ascii();
            let at = memchr::memchr(b'=', pair)?;
            Some((pair.get(..at)?, pair.get(at + 1..)?))
        })
        .find_map(|(key, value)| (key == name).then_some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let mut fields = Fields::default();
        fields.push("Cookie", "XSESSION=1; SESSION=2;SESSION=3");
        fields.push("Cookie", "LAST=a=b");
        assert_eq!(cookie(&fields, b"SESSION"), Some(&b"2"[..]));
        assert_eq!(cookie(&fields, b"LAST"), Some(&b"a=b"[..]));
        assert_eq!(cookie(&fields, b"NONE"), None);
    }

    #[test]
    fn websocket_keys_are_of_sixteen_bytes_and_fresh() {
        let (one, two) = (websocket_key(), websocket_key());
        assert_ne!(one, two);
        assert!(one.ends_with(b"==") && b"AQgw".contains(&one[21]), "{one:?}");
        assert!(one[..22].iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(byte)));
    }

    #[test]
    fn crumbs_are_joined_for_http_1() {
        let mut fields = Fields::default();
        fields.push("cookie", "a=1");
        fields.push("cookie", "b=2");
        let mut cookies = Cookies::new(Version::Http2);
        assert!(cookies.holds_back(Known::Cookie));
        assert_eq!(cookies.join(&fields, |_| false).as_deref(), Some(&b"a=1; b=2"[..]));
        assert_eq!(cookies.join(&fields, |_| true), None);
    }
}
