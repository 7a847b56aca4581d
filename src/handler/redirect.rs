//! Redirects: where the client shall go instead.

use super::template::{Piece, Template, TemplateFault};
use super::{Body, Response};
use crate::head::{Known, ResponseHead};
use crate::message::RequestTarget;

/// A redirect as a route says it.
#[derive(Clone, Debug)]
pub struct Redirect {
    to: Template,
    status: u16,
}

impl Redirect {
    /// A redirect to `to`, which may hold `${path}`, `${query}` and `${host}`.
    ///
    /// # Errors
    /// [`TemplateFault`], also for a status that is no redirect.
    pub fn new(to: &str, status: u16) -> Result<Self, TemplateFault> {
        if !matches!(status, 301 | 302 | 303 | 307 | 308) {
            return Err(TemplateFault::Status(status));
        }
        let allows = |piece: &Piece| matches!(piece, Piece::Path | Piece::Query | Piece::Host);
        Ok(Self { to: Template::parse(to, "`${path}`, `${query}` and `${host}`", allows)?, status })
    }

    /// The status to answer with.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The answer.
    #[must_use]
    pub fn respond<'s>(&self, target: &RequestTarget<'_>, head: Box<ResponseHead>) -> Response<'s> {
        to(&self.location(target), self.status, head)
    }

    /// The value of Location.
    ///
    /// `${path}` is the client's path with slashes merged and dot segments resolved, so that
    /// `//elsewhere.example` stays a path. `${query}` brings its own `?` where none stands before
    /// it, and takes the one before it away where the request has no query. Bytes that a URI may
    /// not hold are percent-encoded: the value is always one line.
    #[must_use]
    pub fn location(&self, target: &RequestTarget<'_>) -> Vec<u8> {
        let mut location = Vec::with_capacity(128);
        for piece in self.to.pieces() {
            match piece {
                Piece::Text(text) => write_uri(&mut location, text.as_bytes()),
                Piece::Path => write_uri(&mut location, &target.resolved_path()),
                Piece::Query => write_query(&mut location, target.query()),
                Piece::Host => write_uri(&mut location, target.host()),
                // `new` allows no others.
                Piece::PathRest | Piece::Capture(_) => {}
            }
        }
        location
    }
}

/// The answer that sends a client to the same target by HTTPS on this port; 308, so that a form is
/// not sent as a GET (RFC 9110 §15.4.9). None where the client named no host.
#[must_use]
pub fn respond_https<'s>(target: &RequestTarget<'_>, port: u16, head: Box<ResponseHead>) -> Option<Response<'s>> {
    Some(to(&to_https(target, port)?, 308, head))
}

fn to<'s>(location: &[u8], status: u16, mut head: Box<ResponseHead>) -> Response<'s> {
    head.status = status;
    head.fields.push_known(Known::Location, b"Location", location);
    Response { head, body: Body::Empty(None) }
}

/// The same target by HTTPS on this port; none where the client named no host, so that there is
/// nowhere to send it.
#[must_use]
pub fn to_https(target: &RequestTarget<'_>, port: u16) -> Option<Vec<u8>> {
    if target.host().is_empty() || target.is_asterisk() {
        return None;
    }
    let mut location = b"https://".to_vec();
    write_uri(&mut location, target.host());
    if port != 443 {
        location.push(b':');
        location.extend_from_slice(itoa::Buffer::new().format(port).as_bytes());
    }
    write_uri(&mut location, target.path());
    write_query(&mut location, target.query());
    Some(location)
}

fn write_query(location: &mut Vec<u8>, query: Option<&[u8]>) {
    let is_open = matches!(location.last(), Some(b'?' | b'&'));
    match query {
        Some(query) => {
            if !is_open {
                location.push(b'?');
            }
            write_uri(location, query);
        }
        None if is_open => {
            location.pop();
        }
        None => {}
    }
}

/// RFC 3986 §2: what is outside its characters is escaped; an escape stays one.
fn write_uri(out: &mut Vec<u8>, text: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in text {
        // Browsers read `\` as `/`, so it must not pass.
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) {
            out.push(byte);
        } else {
            out.extend_from_slice(&[b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::head::RequestHead;

    fn head(target: &[u8], host: &str) -> RequestHead {
        let mut head = RequestHead { target: target.to_vec(), ..RequestHead::default() };
        head.fields.push("Host", host);
        head
    }

    fn location(to: &str, target: &str) -> String {
        let head = head(target.as_bytes(), "Shop.example:8080");
        let target = RequestTarget::of(&head, false).unwrap();
        String::from_utf8(Redirect::new(to, 308).unwrap().location(&target)).unwrap()
    }

    #[test]
    fn locations_are_made_from_the_target() {
        assert_eq!(location("https://a/new/", "/old/x?y"), "https://a/new/");
        assert_eq!(location("https://${host}${path}", "/a%20b;c?y"), "https://shop.example/a%20b;c");
        for to in ["https://a${path}?${query}", "https://a${path}${query}"] {
            assert_eq!(location(to, "/x?y=1"), "https://a/x?y=1");
            assert_eq!(location(to, "/x"), "https://a/x");
        }
        assert_eq!(location("/x?a=1&${query}", "/?y"), "/x?a=1&y");
        assert_eq!(location("/x?a=1&${query}", "/"), "/x?a=1");
    }

    #[test]
    fn a_path_cannot_become_another_host() {
        assert_eq!(location("${path}", "//evil.example/x"), "/evil.example/x");
        assert_eq!(location("${path}", "/\\evil.example/x"), "/%5Cevil.example/x");
        assert_eq!(location("${path}", "/a/..//evil.example"), "/evil.example");
    }

    #[test]
    fn https_is_the_same_target() {
        let https = |target: &str, host: &str, port| {
            let head = head(target.as_bytes(), host);
            let target = RequestTarget::of(&head, false).unwrap();
            to_https(&target, port).map(|location| String::from_utf8(location).unwrap())
        };
        assert_eq!(https("//a/../b?c", "H.example:80", 443).as_deref(), Some("https://h.example//a/../b?c"));
        assert_eq!(https("/", "[::1]", 8443).as_deref(), Some("https://[::1]:8443/"));
        assert_eq!(https("/", "", 443), None);
    }

    #[test]
    fn only_redirects_redirect() {
        assert_eq!(Redirect::new("/", 200).unwrap_err(), TemplateFault::Status(200));
        assert!(Redirect::new("/${path_rest}", 302).is_err());
        assert!(Redirect::new("/${1}", 302).is_err());
    }

    proptest! {
        #[test]
        fn a_location_is_always_one_line(path in prop::collection::vec(any::<u8>(), 0..40)) {
            let head = head(&[b"/", path.as_slice()].concat(), "a");
            if let Ok(target) = RequestTarget::of(&head, true) {
                for location in [Redirect::new("x\r\n${path}?${query}", 302).unwrap().location(&target), to_https(&target, 443).unwrap()] {
                    prop_assert!(location.iter().all(u8::is_ascii_graphic));
                }
            }
        }
    }
}
