//! Request heads (RFC 9112 §3, §5, §6).

use super::HeadLimits;
use super::authority::is_authority;
use super::cursor::{Cursor, target_length};
use super::fault::{FieldFault, RequestFault};
use super::framing::{Framing, Lengths, Options, list, refuse_lookalike};
use crate::head::{Known, Method, RequestHead, Version};

/// What a request head says besides its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Bytes of the head in the input, an empty line before it included.
    pub length: usize,
    /// Where the body ends; never [`Framing::UntilClose`].
    pub framing: Framing,
    /// Whether the client lets the connection live on (RFC 9112 §9.3).
    pub persistent: bool,
    /// Whether the client waits for 100 (Continue) before it sends the body (RFC 9110 §10.1.1).
    pub expects_continue: bool,
    /// Whether the client asks for another protocol (RFC 9110 §7.8): HTTP/1.1, `Connection: upgrade`,
    /// an Upgrade field and no body; h2c is not asked for.
    pub upgrade: bool,
}

/// Reads the request heads of one connection.
///
/// The fields of a request are often those of the one before it, byte for byte. They are then left as
/// they are: what was made of them depends on these bytes, the version and the limits alone.
#[derive(Debug, Default)]
pub struct RequestReader {
    head: RequestHead,
    /// What the fields in `head` said, where the next ones may be the same.
    last: Option<Said>,
}

impl RequestReader {
    /// The last head that was read.
    #[must_use]
    pub fn head(&self) -> &RequestHead {
        &self.head
    }

    /// Forgets it.
    pub fn clear(&mut self) {
        self.head.clear();
        self.last = None;
    }

    /// Reads a request head at the front of `input`, as [`parse_request`] does.
    ///
    /// # Errors
    /// What is not a request, or could be read in two ways; see [`RequestFault`].
    pub fn read(&mut self, input: &[u8], limits: &HeadLimits) -> Result<Option<Request>, RequestFault> {
        read(input, limits, &mut self.head, &mut self.last)
    }
}

/// Reads a request head at the front of `input` into `head`. `Ok(None)`: more bytes are needed.
///
/// A target in absolute-form is stored in origin-form, and its authority stands in Host. `head` may
/// hold anything unless the answer is `Ok(Some(_))`.
///
/// # Errors
/// What is not a request, or could be read in two ways; see [`RequestFault`].
pub fn parse_request(
    input: &[u8],
    limits: &HeadLimits,
    head: &mut RequestHead,
) -> Result<Option<Request>, RequestFault> {
    read(input, limits, head, &mut None)
}

/// What the fields of a request said besides themselves.
#[derive(Debug)]
struct Said {
    version: Version,
    lengths: Lengths,
    options: Options,
    /// Whether there was a Host.
    host: bool,
    expects_continue: bool,
    /// Whether another protocol was asked for, and none that may not be.
    upgrade: bool,
}

fn read(
    input: &[u8],
    limits: &HeadLimits,
    head: &mut RequestHead,
    last: &mut Option<Said>,
) -> Result<Option<Request>, RequestFault> {
    // Nothing behind the limit is looked at, so that a fault there cannot hide that it was passed.
    let window = input.get(..limits.head).unwrap_or(input);
    let request = read_window(window, limits, head, last.take());
    let Ok(Some((request, said))) = request else {
        head.fields.clear();
        return match request {
            Ok(_) if input.len() >= limits.head => Err(RequestFault::HeadTooLarge),
            request => request.map(|_| None),
        };
    };
    // Without a Host there may be one in the fields that came with the target.
    *last = Some(said).filter(|said| said.host);
    Ok(Some(request))
}

fn read_window(
    window: &[u8],
    limits: &HeadLimits,
    head: &mut RequestHead,
    last: Option<Said>,
) -> Result<Option<(Request, Said)>, RequestFault> {
    let mut cursor = Cursor::new(window);
    // RFC 9112 §2.2: one empty line before the request line is ignored; no honest client sends two.
    if cursor.peek() == Some(b'\r') && cursor.line_end()?.is_none() {
        return Ok(None);
    }
    let Some(target) = read_request_line(&mut cursor, limits, head)? else { return Ok(None) };
    let is_same = |last: &Said| {
        last.version == head.version
            && head.fields.len() <= limits.fields
            && cursor.rest().starts_with(head.fields.text())
    };
    let said = match last.filter(is_same) {
        Some(said) => {
            cursor.skip(head.fields.text().len());
            said
        }
        None => match read_fields(&mut cursor, limits, head)? {
            Some(said) => said,
            None => return Ok(None),
        },
    };
    settle_authority(&target, head)?;

    let framing = said.lengths.framing(Framing::None);
    let request = Request {
        length: cursor.at(),
        framing,
        persistent: said.options.persistent(head.version),
        // RFC 9110 §10.1.1: 100 may be left out where there is no content to wait for.
        expects_continue: said.expects_continue && !framing.is_empty(),
        // RFC 9110 §7.8: Upgrade in HTTP/1.0 is ignored.
        upgrade: said.upgrade && said.options.upgrade && head.version == Version::Http11 && framing.is_empty(),
    };
    Ok(Some((request, said)))
}

fn read_fields(
    cursor: &mut Cursor<'_>,
    limits: &HeadLimits,
    head: &mut RequestHead,
) -> Result<Option<Said>, RequestFault> {
    let version = head.version;
    let (mut lengths, mut options) = (Lengths::default(), Options::default());
    let (mut host, mut expects_continue, mut upgrade, mut h2c) = (false, false, false, false);
    head.fields.clear();
    let section = cursor.field_section(&mut head.fields, |before, field| {
        if before == limits.fields {
            return Err(RequestFault::TooManyFields);
        }
        let text = field.value;
        match field.known {
            Known::Host if host => return Err(RequestFault::HostRepeated),
            Known::Host if !is_authority(text) => return Err(RequestFault::HostMalformed),
            Known::Host => host = true,
            Known::ContentLength => lengths.content_length(text)?,
            Known::TransferEncoding => lengths.transfer_encoding(version, text)?,
            Known::Connection => options.read(text),
            Known::Upgrade => {
                upgrade = true;
                h2c |= list(text).any(|protocol| protocol.eq_ignore_ascii_case(b"h2c"));
            }
            Known::Expect => expects_continue |= read_expect(version, text)?,
            known => refuse_lookalike(known, field.name)?,
        }
        Ok(())
    })?;
    // RFC 9113 §3.1 gave up the offer of h2c: in a tunnel of HTTP/2 a client would reach every route of
    // the server behind.
    let said = Said { version, lengths, options, host, expects_continue, upgrade: upgrade && !h2c };
    Ok(section.map(|()| said))
}

/// `method SP request-target SP HTTP-version CRLF` (RFC 9112 §3), one SP each: whoever splits at
/// other blanks sees another target.
fn read_request_line<'a>(
    cursor: &mut Cursor<'a>,
    limits: &HeadLimits,
    head: &mut RequestHead,
) -> Result<Option<Target<'a>>, RequestFault> {
    head.clear_first_line();
    let method = cursor.token();
    match cursor.peek() {
        None => return Ok(None),
        Some(b' ') if !method.is_empty() => cursor.skip(1),
        Some(_) => return Err(RequestFault::RequestLine),
    }
    head.method = Method::from_token(method);
    match head.method {
        Method::Connect | Method::Trace => return Err(RequestFault::Method),
        // RFC 9113 §3.4: the first method of HTTP/2's preface, used by nothing else.
        Method::Other if method == b"PRI" => return Err(RequestFault::Http2Preface),
        Method::Other => head.method_text.extend_from_slice(method),
        _ => {}
    }

    let rest = cursor.rest();
    let length = target_length(rest.get(..limits.target.saturating_add(1)).unwrap_or(rest));
    if length > limits.target {
        return Err(RequestFault::TargetTooLong);
    }
    let target = cursor.take(length);
    match cursor.peek() {
        None => return Ok(None),
        Some(b' ') => cursor.skip(1),
        // HTTP/0.9 has no version.
        Some(b'\r' | b'\n') => return Err(RequestFault::RequestLine),
        Some(_) => return Err(RequestFault::Target),
    }
    let target = Target::read(head.method, target).ok_or(RequestFault::Target)?;
    target.write(head);

    let Some(version) = cursor.rest().first_chunk::<8>() else { return Ok(None) };
    head.version = match version {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            // RFC 9110 §2.5: a higher minor version is read as the highest known of its major one.
            if *major != b'1' {
                return Err(RequestFault::Version);
            }
            Version::Http11
        }
        _ => return Err(RequestFault::RequestLine),
    };
    cursor.skip(8);
    match cursor.line_end() {
        Err(FieldFault::LineEnd) if !matches!(cursor.peek(), Some(b'\r' | b'\n')) => Err(RequestFault::RequestLine),
        end => Ok(end?.map(|()| target)),
    }
}

/// A request-target (RFC 9112 §3.2).
enum Target<'a> {
    /// `/path?query`
    Origin(&'a [u8]),
    /// `http://authority/path?query`, as for a forward proxy; every server must take it (§3.2.2).
    Absolute { authority: &'a [u8], path: &'a [u8] },
    /// `*`: the server as a whole (§3.2.4).
    Asterisk,
}

impl<'a> Target<'a> {
    fn read(method: Method, target: &'a [u8]) -> Option<Self> {
        match target {
            [b'/', ..] => Some(Self::Origin(target)),
            b"*" => (method == Method::Options).then_some(Self::Asterisk),
            _ => {
                let behind_scheme = strip_prefix_ignoring_case(target, b"http://")
                    .or_else(|| strip_prefix_ignoring_case(target, b"https://"))?;
                let end =
                    behind_scheme.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(behind_scheme.len());
                let (authority, path) = behind_scheme.split_at(end);
                is_authority(authority).then_some(Self::Absolute { authority, path })
            }
        }
    }

    fn write(&self, head: &mut RequestHead) {
        let path = match self {
            // RFC 9112 §3.2.4: OPTIONS without path and query is sent on as `*`.
            Self::Absolute { path: b"", .. } if head.method == Method::Options => b"*",
            Self::Origin(path) | Self::Absolute { path, .. } => *path,
            Self::Asterisk => b"*",
        };
        // RFC 9112 §3.2.1: an empty path is sent as `/`.
        if let [] | [b'?', ..] = path {
            head.target.push(b'/');
        }
        head.target.extend_from_slice(path);
    }
}

fn strip_prefix_ignoring_case<'a>(bytes: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (front, rest) = bytes.split_at_checked(prefix.len())?;
    front.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// One authority for whoever reads the request: that of Host.
fn settle_authority(target: &Target<'_>, head: &mut RequestHead) -> Result<(), RequestFault> {
    let host = head.fields.first(Known::Host);
    // RFC 9112 §3.2: HTTP/1.1 without Host is answered with 400, whatever the target's form.
    if host.is_none() && head.version != Version::Http10 {
        return Err(RequestFault::HostMissing);
    }
    if let Target::Absolute { authority, .. } = target {
        match host {
            None => head.fields.push_known(Known::Host, b"Host", authority),
            // RFC 9112 §3.2.2 has the target win. A server behind that reads Host would be asked for
            // another site than the one whose rules were applied.
            Some(host) if !host.eq_ignore_ascii_case(authority) => return Err(RequestFault::HostDiffers),
            Some(_) => {}
        }
    }
    Ok(())
}

/// Whether the client expects 100 (Continue); nothing else can be expected (RFC 9110 §10.1.1).
fn read_expect(version: Version, value: &[u8]) -> Result<bool, RequestFault> {
    // The same section: an expectation in HTTP/1.0 is ignored.
    if version == Version::Http10 {
        return Ok(false);
    }
    if list(value).any(|expectation| !expectation.eq_ignore_ascii_case(b"100-continue")) {
        return Err(RequestFault::Expectation);
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
