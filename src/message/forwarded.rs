//! Who the client is, and the X-Forwarded-* fields that tell it to the upstream.
//!
//! Tomcat's RemoteIpValve and its like believe these fields, so exactly one of each leaves
//! haechi, and what a client wrote itself counts only when it comes through a trusted proxy.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::RequestTarget;
use crate::codec::h1;
use crate::head::{Field, FieldLine, Fields, Known};
use crate::net::write_address;

/// The other end of a connection as forwarding sees it; made once a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    address: IpAddr,
    /// `X-Forwarded-For` with it.
    line: FieldLine,
    trusted: bool,
    /// What the last request got, where the peer is not trusted.
    last: RefCell<Lines>,
}

/// X-Forwarded-* fields as they are sent, and what they say besides the address.
#[derive(Clone, Debug, Default)]
struct Lines {
    is_tls: bool,
    host: Vec<u8>,
    text: Vec<u8>,
}

impl Peer {
    /// `trusted`: whose X-Forwarded-* fields are believed.
    #[must_use]
    pub fn new(address: IpAddr, trusted: &[IpNet]) -> Self {
        let address = address.to_canonical();
        let mut text = Vec::with_capacity(LONGEST_ADDRESS);
        write_address(&mut text, address);
        let line = FieldLine::new(b"X-Forwarded-For", &text);
        Self { address, line, trusted: is_in(address, trusted), last: RefCell::default() }
    }

    /// Its address; IPv4 mapped into IPv6 is IPv4 here.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Whether it is one of the trusted proxies.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// Whether the client's field of this kind is copied to the upstream's request: not the four
    /// that [`Peer::each_forwarded`] writes anew, and their relatives only from a trusted peer. A
    /// lookalike of a field that haechi knows is never copied: to some servers it is that field.
    #[must_use]
    pub fn is_copied(&self, field: Field<'_>) -> bool {
        match field.known {
            Known::Other => Known::resembled_by(field.name) == Known::Other,
            Known::XForwardedFor | Known::XForwardedProto | Known::XForwardedHost | Known::XForwardedPort => false,
            Known::XForwardedBy | Known::XRealIp | Known::Forwarded => self.trusted,
            _ => true,
        }
    }

    /// Calls `write` with each X-Forwarded-* field to send.
    ///
    /// From a trusted peer the chain of addresses is continued and its -Proto, -Host and -Port
    /// are kept; from anybody else all four say what haechi saw.
    pub fn each_forwarded(&self, fields: &Fields, target: &RequestTarget<'_>, mut write: impl FnMut(Field<'_>)) {
        // The last field is the nearest proxy's own.
        let kept = |known| if self.trusted { fields.all(known).last().filter(|value| !value.is_empty()) } else { None };
        if kept(Known::XForwardedFor).is_some() {
            let mut chain = Vec::new();
            for value in fields.all(Known::XForwardedFor).filter(|value| !value.is_empty()) {
                chain.extend_from_slice(value);
                chain.extend_from_slice(b", ");
            }
            chain.extend_from_slice(self.line.field().value);
            write(Field::new(Known::XForwardedFor, b"X-Forwarded-For", &chain));
        } else {
            write(self.line.field());
        }
        write(match kept(Known::XForwardedProto) {
            Some(scheme) => Field::new(Known::XForwardedProto, b"X-Forwarded-Proto", scheme),
            None if target.is_tls() => HTTPS,
            None => HTTP,
        });
        let host = kept(Known::XForwardedHost).or_else(|| fields.first(Known::Host)).unwrap_or_default();
        if !host.is_empty() {
            write(Field::new(Known::XForwardedHost, b"X-Forwarded-Host", host));
        }
        let mut digits = itoa::Buffer::new();
        let port = kept(Known::XForwardedPort).unwrap_or_else(|| digits.format(target.effective_port()).as_bytes());
        write(Field::new(Known::XForwardedPort, b"X-Forwarded-Port", port));
    }

    /// Writes the lines of the X-Forwarded-* fields to send. A connection's requests are nearly always
    /// for one host.
    pub fn write_forwarded(&self, out: &mut Vec<u8>, fields: &Fields, target: &RequestTarget<'_>) {
        if self.trusted {
            return self.each_forwarded(fields, target, |field| h1::write_line(out, field));
        }
        let host = fields.first(Known::Host).unwrap_or_default();
        let mut last = self.last.borrow_mut();
        let Lines { is_tls, host: last_host, text } = &mut *last;
        if text.is_empty() || *is_tls != target.is_tls() || last_host != host {
            text.clear();
            text.reserve(FIELDS + host.len());
            self.each_forwarded(fields, target, |field| h1::write_line(text, field));
            *is_tls = target.is_tls();
            last_host.clear();
            last_host.extend_from_slice(host);
        }
        out.extend_from_slice(text);
    }
}

/// Characters of an IPv6 address.
const LONGEST_ADDRESS: usize = 39;

/// What the four lines take besides the host.
const FIELDS: usize = 160;

const HTTP: Field<'static> = Field::of_line(Known::XForwardedProto, b"X-Forwarded-Proto: http\r\n", 17);
const HTTPS: Field<'static> = Field::of_line(Known::XForwardedProto, b"X-Forwarded-Proto: https\r\n", 17);

/// The client's address: the right-most entry of X-Forwarded-For that no trusted proxy wrote
/// about another trusted proxy; the peer itself when it is not trusted.
///
/// An entry that is no address ends the walk: what stands left of it is not vouched for. If all
/// entries are trusted proxies, the left-most one is the client.
#[must_use]
pub fn client_address(peer: IpAddr, fields: &Fields, trusted: &[IpNet]) -> IpAddr {
    let peer = peer.to_canonical();
    if !is_in(peer, trusted) {
        return peer;
    }
    // Read from the left, the walk from the right ends at the last untrusted entry, or at the
    // first entry after the last junk.
    let mut client = None;
    let entries = fields.all(Known::XForwardedFor).flat_map(|value| value.split(|byte| *byte == b','));
    for entry in entries.map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty()) {
        client = match parse_address(entry) {
            None => None,
            Some(address) if client.is_some() && is_in(address, trusted) => client,
            Some(address) => Some(address),
        };
    }
    client.unwrap_or(peer)
}

fn is_in(address: IpAddr, networks: &[IpNet]) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

/// An address, bare, in brackets or with a port, as proxies write it.
fn parse_address(entry: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(entry).ok()?;
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests;
