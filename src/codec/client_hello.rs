//! The first message of a TLS client, read without taking part in the handshake: which host it wants.
//!
//! RFC 8446 §5.1 for records, §4.1.2 for the message, RFC 6066 §3 for the name. A message may be spread
//! over several records, and a record over several reads. Of Encrypted Client Hello this is the outer
//! message, whose name is the one that tells the way (draft-ietf-tls-esni). Pure.

#[cfg(test)]
mod tests;

/// Bytes of records that are read for one message; a longer one is refused.
pub const LONGEST: usize = 16 * 1024;

/// The alert that nobody has the name that was asked for: fatal, unrecognized_name (RFC 6066 §3).
pub const UNRECOGNIZED_NAME: [u8; 7] = [ALERT, 3, 3, 0, 2, 2, 112];

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;
const ALPN: u16 = 16;

/// What a client asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The host, in lower case; `None`: it named none.
    pub server_name: Option<Box<str>>,
    /// The protocols that it offers, as they stand in the message.
    pub protocols: Vec<Box<[u8]>>,
}

/// Why this is no ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not a record of a TLS handshake.
    #[error("no TLS handshake")]
    NotTls,
    /// A handshake that begins with another message.
    #[error("the handshake does not begin with a ClientHello")]
    NotHello,
    /// A length that does not fit.
    #[error("malformed ClientHello")]
    Malformed,
    /// Longer than [`LONGEST`].
    #[error("ClientHello too long")]
    Long,
    /// The name is none of a host.
    #[error("malformed server name")]
    Name,
}

/// Reads the message at the beginning of `bytes`; `None`: it goes on.
///
/// # Errors
/// [`Fault`]; no more bytes would make it one.
pub fn parse(bytes: &[u8]) -> Result<Option<ClientHello>, Fault> {
    match parse_records(bytes)? {
        None if bytes.len() >= LONGEST => Err(Fault::Long),
        hello => Ok(hello),
    }
}

fn parse_records(bytes: &[u8]) -> Result<Option<ClientHello>, Fault> {
    let mut message = Vec::new();
    let mut rest = bytes;
    loop {
        let Some((header, after)) = rest.split_first_chunk::<5>() else {
            check_beginning(rest)?;
            return check_message(&message).map(|_| None);
        };
        check_beginning(header)?;
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        if length == 0 {
            // RFC 8446 §5.1: no empty fragments of handshakes.
            return Err(Fault::Malformed);
        }
        if length > LONGEST {
            return Err(Fault::Long);
        }
        let (fragment, next) = after.split_at_checked(length).unwrap_or((after, &[]));
        message.extend_from_slice(fragment);
        if let Some(length) = check_message(&message)?
            && let Some(body) = message.get(4..4 + length)
        {
            return read(body).map(Some);
        }
        if fragment.len() < length {
            return Ok(None);
        }
        rest = next;
    }
}

/// Whether these may be the beginning of a record of a handshake.
fn check_beginning(header: &[u8]) -> Result<(), Fault> {
    let kind = header.first().is_none_or(|kind| *kind == HANDSHAKE);
    let version = header.get(1).is_none_or(|major| *major == 3);
    if kind && version { Ok(()) } else { Err(Fault::NotTls) }
}

/// The length of the message, where so much of it is there.
fn check_message(message: &[u8]) -> Result<Option<usize>, Fault> {
    if message.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
        return Err(Fault::NotHello);
    }
    let Some(&[_, high, middle, low]) = message.first_chunk::<4>() else { return Ok(None) };
    let length = usize::try_from(u32::from_be_bytes([0, high, middle, low])).unwrap_or(usize::MAX);
    if length > LONGEST - 9 { Err(Fault::Long) } else { Ok(Some(length)) }
}

fn read(body: &[u8]) -> Result<ClientHello, Fault> {
    let mut body = Cursor(body);
    // Version and random.
    body.take(34)?;
    let session_id = body.short_vector()?;
    let suites = body.vector()?;
    let compressions = body.short_vector()?;
    if session_id.len() > 32 || suites.is_empty() || suites.len() % 2 != 0 || compressions.is_empty() {
        return Err(Fault::Malformed);
    }
    let mut hello = ClientHello::default();
    // TLS 1.2 has hellos without extensions.
    if body.0.is_empty() {
        return Ok(hello);
    }
    let mut extensions = Cursor(body.vector()?);
    if !body.0.is_empty() {
        return Err(Fault::Malformed);
    }
    let (mut named, mut offered) = (false, false);
    while !extensions.0.is_empty() {
        let kind = extensions.number()?;
        let content = extensions.vector()?;
        match kind {
            // RFC 8446 §4.2: none stands twice.
            SERVER_NAME if named => return Err(Fault::Malformed),
            SERVER_NAME => {
                named = true;
                hello.server_name = server_name(content)?;
            }
            ALPN if offered => return Err(Fault::Malformed),
            ALPN => {
                offered = true;
                hello.protocols = protocols(content)?;
            }
            _ => {}
        }
    }
    Ok(hello)
}

fn server_name(content: &[u8]) -> Result<Option<Box<str>>, Fault> {
    let mut content = Cursor(content);
    let mut list = Cursor(content.vector()?);
    if !content.0.is_empty() || list.0.is_empty() {
        return Err(Fault::Malformed);
    }
    let mut found = None;
    while !list.0.is_empty() {
        let kind = list.byte()?;
        let name = list.vector()?;
        if kind != HOST_NAME {
            continue;
        }
        if found.is_some() {
            return Err(Fault::Malformed);
        }
        found = Some(host(name)?);
    }
    Ok(found)
}

/// A host's name in lower case. It goes into logs and is compared with names of the config.
fn host(name: &[u8]) -> Result<Box<str>, Fault> {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    if name.is_empty() || name.len() > 255 || !name.iter().all(allowed) {
        return Err(Fault::Name);
    }
    let name = std::str::from_utf8(name).map_err(|_| Fault::Name)?;
    Ok(name.trim_end_matches('.').to_ascii_lowercase().into())
}

fn protocols(content: &[u8]) -> Result<Vec<Box<[u8]>>, Fault> {
    let mut content = Cursor(content);
    let mut list = Cursor(content.vector()?);
    if !content.0.is_empty() {
        return Err(Fault::Malformed);
    }
    let mut protocols = Vec::new();
    while !list.0.is_empty() {
        let name = list.short_vector()?;
        if name.is_empty() {
            return Err(Fault::Malformed);
        }
        protocols.push(name.into());
    }
    Ok(protocols)
}

/// What is not read yet.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Fault::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        let (byte, rest) = self.0.split_first().ok_or(Fault::Malformed)?;
        self.0 = rest;
        Ok(*byte)
    }

    fn number(&mut self) -> Result<u16, Fault> {
        let (bytes, rest) = self.0.split_first_chunk::<2>().ok_or(Fault::Malformed)?;
        self.0 = rest;
        Ok(u16::from_be_bytes(*bytes))
    }

    /// Bytes behind their length of one byte.
    fn short_vector(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.byte()?;
        self.take(length.into())
    }

    /// Bytes behind their length of two bytes.
    fn vector(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.number()?;
        self.take(length.into())
    }
}
