//! The request as the server gets it: a new value, written from the parts of the client's.

use std::sync::Arc;

use super::upload::UploadFraming;
use super::{Forward, Proxy};
use crate::codec::h1;
use crate::head::{Fields, Known, Method, Version, are_alike};
use crate::message::hop_by_hop::{ConnectionTokens, TooManyTokens};
use crate::message::upgrade::offered;
use crate::message::{Exchange, HopNames, RequestBody};
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
    /// Writes the head; how the body behind it goes out.
    ///
    /// # Errors
    /// [`TooManyTokens`]
    pub(super) fn write(&self, out: &mut Vec<u8>, body: &RequestBody<'_>) -> Result<Sending, TooManyTokens> {
        let Self { proxy, exchange, request, server } = self;
        let (head, rules) = (request.head, request.rules);
        let tokens = ConnectionTokens::of(&head.fields)?;
        let own_id = request.id_field.filter(|_| exchange.request_id.is_some());
        h1::write_request_line(out, head.method_name(), request.path.as_deref().unwrap_or(&head.target));

        if !rules.is_name_changed("Host") {
            let theirs = head.fields.first(Known::Host);
            let host = proxy.host.as_deref().or(theirs).unwrap_or(server.written.as_bytes());
            h1::write_field(out, b"Host", host);
        }
        let mut cookies = Cookies::new(head.version);
        for field in head.fields.iter() {
            let own = matches!(field.known, Known::Host | Known::ContentLength | Known::Expect)
                || field.known == Known::MaxForwards && request.max_forwards.is_some()
                || own_id.is_some_and(|name| are_alike(field.name, name))
                || proxy.subject_field.as_deref().is_some_and(|name| are_alike(field.name, name));
            if own
                || !tokens.is_forwarded(field)
                || !exchange.peer.is_copied(field)
                || rules.is_changed(field)
                || cookies.holds_back(field.known)
            {
                continue;
            }
            h1::write_field(out, field.name, field.value);
        }
        cookies.write(out, &head.fields, |field| rules.is_changed(field));
        exchange.peer.each_forwarded(&head.fields, request.target, |name, value| {
            if !rules.is_name_changed(name) {
                h1::write_field(out, name.as_bytes(), value);
            }
        });
        if let (Some(name), Some(id)) = (own_id, &exchange.request_id) {
            h1::write_field(out, name, id.as_bytes());
        }
        let subject = exchange.client.tls.as_ref().and_then(|tls| tls.client_subject.as_deref());
        if let (Some(name), Some(subject)) = (&proxy.subject_field, subject) {
            h1::write_field(out, name, subject.as_bytes());
        }
        self.write_hops(out);
        for (name, value) in rules.appended() {
            h1::write_field(out, name, value);
        }

        let framing = self.write_framing(out, body);
        self.write_connection(out);
        h1::end_head(out);
        Ok(Sending { framing, hop: HopNames::from(&tokens) })
    }

    /// Where the request has been and how far it may go (RFC 9110 §7.6.2, §7.6.3).
    fn write_hops(&self, out: &mut Vec<u8>) {
        let Forward { head, rules, via, max_forwards, .. } = self.request;
        if let Some(pseudonym) = via.filter(|_| !rules.is_name_changed("Via")) {
            out.extend_from_slice(b"Via: ");
            out.extend_from_slice(head.version.number().as_bytes());
            out.push(b' ');
            out.extend_from_slice(pseudonym);
            out.extend_from_slice(b"\r\n");
        }
        if let Some(left) = max_forwards.filter(|_| !rules.is_name_changed("Max-Forwards")) {
            h1::write_field(out, b"Max-Forwards", itoa::Buffer::new().format(left).as_bytes());
        }
    }

    fn write_framing(&self, out: &mut Vec<u8>, body: &RequestBody<'_>) -> UploadFraming {
        let head = self.request.head;
        match body.declared_length() {
            // RFC 9110 §8.6: a length of 0 is said where the method expects a body.
            Some(0) if !expects_body(head.method) && head.fields.first(Known::ContentLength).is_none() => {}
            Some(length) => {
                let mut digits = itoa::Buffer::new();
                h1::write_field(out, b"Content-Length", digits.format(length).as_bytes());
            }
            None => {
                h1::write_field(out, b"Transfer-Encoding", b"chunked");
                return UploadFraming::Chunked;
            }
        }
        UploadFraming::Length
    }

    fn write_connection(&self, out: &mut Vec<u8>) {
        if self.request.upgrade {
            h1::write_field(out, b"Connection", b"upgrade");
            for protocol in offered(&self.request.head.fields) {
                h1::write_field(out, b"Upgrade", protocol);
            }
        } else {
            // Tomcat tells its own time limit only to who asks in so many words.
            h1::write_field(out, b"Connection", b"keep-alive");
        }
    }
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

    fn write(&self, out: &mut Vec<u8>, fields: &Fields, changed: impl Fn(crate::head::Field<'_>) -> bool) {
        if !self.found {
            return;
        }
        let mut separator: &[u8] = b"Cookie: ";
        let mut any = false;
        for field in fields.iter().filter(|field| field.known == Known::Cookie && !changed(*field)) {
            out.extend_from_slice(separator);
            out.extend_from_slice(field.value);
            separator = b"; ";
            any = true;
        }
        if any {
            out.extend_from_slice(b"\r\n");
        }
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
    fn crumbs_are_joined_for_http_1() {
        let mut fields = Fields::default();
        fields.push("cookie", "a=1");
        fields.push("cookie", "b=2");
        let mut cookies = Cookies::new(Version::Http2);
        assert!(cookies.holds_back(Known::Cookie));
        let mut out = Vec::new();
        cookies.write(&mut out, &fields, |_| false);
        assert_eq!(out, b"Cookie: a=1; b=2\r\n");
    }
}
