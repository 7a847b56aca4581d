//! The PROXY protocol, versions 1 and 2: whom a connection comes from, told by the proxy before us.
//!
//! The text that counts is HAProxy's `proxy-protocol.txt` (2.4); sections are its own. Pure: bytes in,
//! addresses out, and the other way round. A header is complete, not yet complete, or refused; what is
//! refused is never repaired.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub use crate::config::ProxyVersion as Version;

mod crc32c;
#[cfg(test)]
mod tests;

/// Bytes of the longest header that is read: version 1 has at most 107 (§2.1), of version 2 this leaves
/// room for a few kilobytes of TLVs.
pub const LONGEST: usize = 4096;

/// What version 2 begins with (§2.2).
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// What version 1 begins with.
const WORD: &[u8; 6] = b"PROXY ";
/// Bytes of the longest version 1 header, its line end included.
const LONGEST_LINE: usize = 107;
/// Bytes of a version 2 header before its addresses.
const FIXED: usize = 16;
/// PP2_TYPE_CRC32C (§2.2.3).
const TLV_CRC32C: u8 = 0x03;

/// Both ends of a client's connection to the first proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The client.
    pub source: SocketAddr,
    /// Where it connected to.
    pub destination: SocketAddr,
}

/// A header that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whom it tells of; `None`: nobody but the one who sent it (`UNKNOWN`, LOCAL, another family than
    /// IP), whose connection it then is.
    pub addresses: Option<Addresses>,
    /// Bytes that it takes.
    pub length: usize,
}

/// Why a header is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It begins like neither version.
    #[error("no PROXY header")]
    Missing,
    /// The line of version 1 is not as §2.1 wants it.
    #[error("malformed PROXY line")]
    Line,
    /// Version 2 says another version.
    #[error("unknown version of the PROXY protocol")]
    Version,
    /// A command, a family or a transport that is not defined.
    #[error("unknown command or family in a PROXY header")]
    Command,
    /// Its addresses do not fit its length.
    #[error("PROXY header too short for its addresses")]
    Short,
    /// It is longer than [`LONGEST`].
    #[error("PROXY header too long")]
    Long,
    /// A TLV ends behind the header.
    #[error("malformed TLV in a PROXY header")]
    Tlv,
    /// Its checksum is another.
    #[error("wrong checksum in a PROXY header")]
    Checksum,
}

impl Fault {
    /// Its name in logs and as a label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Line => "malformed_line",
            Self::Version => "unknown_version",
            Self::Command => "unknown_command",
            Self::Short => "too_short",
            Self::Long => "too_long",
            Self::Tlv => "malformed_tlv",
            Self::Checksum => "wrong_checksum",
        }
    }
}

/// Reads a header at the beginning of `bytes`; `None`: it goes on.
///
/// # Errors
/// [`Fault`]; no more bytes would make it a header.
pub fn parse(bytes: &[u8]) -> Result<Option<Header>, Fault> {
    if begins(bytes, SIGNATURE) {
        if bytes.len() < FIXED { Ok(None) } else { parse_v2(bytes) }
    } else if begins(bytes, WORD) {
        parse_v1(bytes)
    } else {
        Err(Fault::Missing)
    }
}

/// Whether `bytes` begin with `word`, or are the beginning of it.
fn begins(bytes: &[u8], word: &[u8]) -> bool {
    let length = bytes.len().min(word.len());
    bytes.get(..length) == word.get(..length)
}

/// Version 1: one line of text.
fn parse_v1(bytes: &[u8]) -> Result<Option<Header>, Fault> {
    let start = bytes.get(..LONGEST_LINE).unwrap_or(bytes);
    let Some(end) = memchr::memchr(b'\n', start) else {
        return if bytes.len() < LONGEST_LINE { Ok(None) } else { Err(Fault::Line) };
    };
    let line = start.get(WORD.len()..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(Fault::Line)?;
    let line = std::str::from_utf8(line).map_err(|_| Fault::Line)?;
    let addresses = match line.split_once(' ') {
        Some(("TCP4", rest)) => Some(line_addresses::<Ipv4Addr>(rest)?),
        Some(("TCP6", rest)) => Some(line_addresses::<Ipv6Addr>(rest)?),
        // What follows it is ignored (§2.1).
        Some(("UNKNOWN", _)) => None,
        None if line == "UNKNOWN" => None,
        _ => return Err(Fault::Line),
    };
    Ok(Some(Header { addresses, length: end + 1 }))
}

fn line_addresses<A: std::str::FromStr + Into<IpAddr>>(text: &str) -> Result<Addresses, Fault> {
    let mut words = text.split(' ');
    let mut word = || words.next().ok_or(Fault::Line);
    let (source, destination, from, to) = (word()?, word()?, word()?, word()?);
    if words.next().is_some() {
        return Err(Fault::Line);
    }
    let address = |text: &str| text.parse::<A>().map(Into::into).map_err(|_| Fault::Line);
    Ok(Addresses {
        source: end(address(source)?, line_port(from)?),
        destination: end(address(destination)?, line_port(to)?),
    })
}

/// A port without sign, blank or leading zero.
fn line_port(text: &str) -> Result<u16, Fault> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().map_err(|_| Fault::Line) } else { Err(Fault::Line) }
}

/// Version 2: sixteen bytes, addresses, TLVs. `bytes` hold the sixteen.
fn parse_v2(bytes: &[u8]) -> Result<Option<Header>, Fault> {
    let Some(&[version_command, family, high, low]) = bytes.get(12..FIXED) else { return Ok(None) };
    if version_command >> 4 != 2 {
        return Err(Fault::Version);
    }
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > LONGEST {
        return Err(Fault::Long);
    }
    let Some(header) = bytes.get(..length) else { return Ok(None) };
    let after = header.get(FIXED..).unwrap_or_default();
    let (addresses, size) = match family {
        // Unspecified: a proxy that knows of no addresses.
        0x00 => (None, 0),
        // Over TCP or UDP.
        0x11 | 0x12 => (Some(addresses_v4(after).ok_or(Fault::Short)?), 12),
        0x21 | 0x22 => (Some(addresses_v6(after).ok_or(Fault::Short)?), 36),
        // Two Unix sockets, which have no address of IP.
        0x31 | 0x32 => (None, 216),
        _ => return Err(Fault::Command),
    };
    let tlvs = after.get(size..).ok_or(Fault::Short)?;
    check_tlvs(header, tlvs)?;
    let addresses = match version_command & 0x0f {
        // LOCAL: the proxy's own connection, whatever the addresses say (§2.2).
        0 => None,
        1 => addresses,
        _ => return Err(Fault::Command),
    };
    Ok(Some(Header { addresses, length }))
}

fn addresses_v4(bytes: &[u8]) -> Option<Addresses> {
    let (source, rest) = bytes.split_first_chunk::<4>()?;
    let (destination, rest) = rest.split_first_chunk::<4>()?;
    let (from, to) = ports(rest)?;
    Some(Addresses {
        source: end(Ipv4Addr::from(*source).into(), from),
        destination: end(Ipv4Addr::from(*destination).into(), to),
    })
}

fn addresses_v6(bytes: &[u8]) -> Option<Addresses> {
    let (source, rest) = bytes.split_first_chunk::<16>()?;
    let (destination, rest) = rest.split_first_chunk::<16>()?;
    let (from, to) = ports(rest)?;
    Some(Addresses {
        source: end(Ipv6Addr::from(*source).into(), from),
        destination: end(Ipv6Addr::from(*destination).into(), to),
    })
}

fn ports(bytes: &[u8]) -> Option<(u16, u16)> {
    let &[a, b, c, d] = bytes.first_chunk::<4>()?;
    Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
}

/// IPv4 mapped into IPv6 is IPv4 everywhere else too.
fn end(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address.to_canonical(), port)
}

/// Passes over the TLVs (§2.2.3..7) and checks the one that holds a checksum of the whole header.
fn check_tlvs(header: &[u8], mut tlvs: &[u8]) -> Result<(), Fault> {
    while let Some((&[kind, high, low], rest)) = tlvs.split_first_chunk::<3>() {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (value, next) = rest.split_at_checked(length).ok_or(Fault::Tlv)?;
        if kind == TLV_CRC32C {
            let told = value.try_into().map(u32::from_be_bytes).map_err(|_| Fault::Tlv)?;
            // Reckoned with the field itself as zeros.
            let at = header.len() - rest.len();
            let (before, after) = (header.get(..at), header.get(at + length..));
            let sum = crc32c::of(&[before.unwrap_or_default(), &[0; 4], after.unwrap_or_default()]);
            if sum != told {
                return Err(Fault::Checksum);
            }
        }
        tlvs = next;
    }
    if tlvs.is_empty() { Ok(()) } else { Err(Fault::Tlv) }
}

/// The header that a connection to a server begins with; without addresses it is our own connection.
#[must_use]
pub fn header(version: Version, addresses: Option<Addresses>) -> Vec<u8> {
    match version {
        Version::V1 => line(addresses).into_bytes(),
        Version::V2 => binary(addresses),
    }
}

fn line(addresses: Option<Addresses>) -> String {
    let mut line = String::with_capacity(LONGEST_LINE);
    let written = match addresses.map(paired) {
        None => line.write_str("PROXY UNKNOWN\r\n"),
        Some((source, destination)) => {
            let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
            let (from, to) = (source.port(), destination.port());
            write!(line, "PROXY {family} {} {} {from} {to}\r\n", source.ip(), destination.ip())
        }
    };
    debug_assert!(written.is_ok(), "a String takes everything");
    line
}

fn binary(addresses: Option<Addresses>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FIXED + 36);
    bytes.extend_from_slice(SIGNATURE);
    let Some((source, destination)) = addresses.map(paired) else {
        bytes.extend_from_slice(&[0x20, 0, 0, 0]);
        return bytes;
    };
    bytes.extend_from_slice(if source.is_ipv4() { &[0x21, 0x11, 0, 12] } else { &[0x21, 0x21, 0, 36] });
    for address in [source.ip(), destination.ip()] {
        match address {
            IpAddr::V4(address) => bytes.extend_from_slice(&address.octets()),
            IpAddr::V6(address) => bytes.extend_from_slice(&address.octets()),
        }
    }
    bytes.extend_from_slice(&source.port().to_be_bytes());
    bytes.extend_from_slice(&destination.port().to_be_bytes());
    bytes
}

/// Both ends in one family: where only one is IPv4 it is mapped into IPv6.
fn paired(addresses: Addresses) -> (SocketAddr, SocketAddr) {
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let (source, destination) = (canonical(addresses.source), canonical(addresses.destination));
    if source.is_ipv4() == destination.is_ipv4() {
        return (source, destination);
    }
    let mapped = |address: SocketAddr| match address.ip() {
        IpAddr::V4(v4) => SocketAddr::new(v4.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    };
    (mapped(source), mapped(destination))
}
