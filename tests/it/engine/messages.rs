//! Messages as a strict peer reads them: heads by httparse, bodies by code of its own, so that a fault
//! of the engine's codec is not shared.

/// A message of either kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The method, or the status.
    pub what: String,
    /// The request-target; empty for a response.
    pub target: String,
    /// Name, in small letters, and value, in order.
    pub fields: Vec<(String, Vec<u8>)>,
    /// The payload.
    pub body: Vec<u8>,
    /// Fields after a chunked body.
    pub trailers: Vec<(String, Vec<u8>)>,
    /// How it ended.
    pub end: End,
}

/// How a message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Where its framing says.
    Whole,
    /// With the bytes, before its framing says.
    Cut,
    /// With the bytes, which is its framing.
    Close,
    /// What follows is another protocol.
    Switched,
}

impl Message {
    /// The values of a field.
    pub fn values(&self, name: &str) -> Vec<String> {
        let same = self.fields.iter().filter(|(other, _)| other == name);
        same.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }

    /// Whether a field names this token.
    fn says(&self, name: &str, token: &str) -> bool {
        self.values(name).iter().any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
    }

    /// The status of a response.
    pub fn status(&self) -> u16 {
        self.what.parse().unwrap_or(0)
    }
}

/// The requests in these bytes; the last may be cut, in its head too, where it is left out.
pub fn requests(bytes: &[u8]) -> Result<Vec<Message>, String> {
    let mut found = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let mut fields = [httparse::EMPTY_HEADER; 128];
        let mut head = httparse::Request::new(&mut fields);
        let length = match head.parse(rest) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => break,
            Err(fault) => return Err(format!("{fault}: {}", shown(rest))),
        };
        strict_head(&rest[..length])?;
        let what = head.method.unwrap_or_default().to_owned();
        let target = head.path.unwrap_or_default().to_owned();
        let mut message = empty(what, target, head.headers);
        if message.values("host").len() != 1 {
            return Err(format!("hosts: {:?}", message.values("host")));
        }
        rest = read_body(&mut message, &rest[length..], Some(0))?;
        let end = message.end;
        found.push(message);
        if end == End::Cut {
            break;
        }
    }
    Ok(found)
}

/// The responses in these bytes to requests of these methods, interim ones included. The last may be
/// cut, in its head too, where it is left out.
pub fn responses(bytes: &[u8], methods: &[String]) -> Result<Vec<Message>, String> {
    let mut found = Vec::new();
    let mut methods = methods.iter();
    let mut method = methods.next().cloned();
    let mut rest = bytes;
    while !rest.is_empty() {
        let mut fields = [httparse::EMPTY_HEADER; 300];
        let mut head = httparse::Response::new(&mut fields);
        let length = match head.parse(rest) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => break,
            Err(fault) => return Err(format!("{fault}: {}", shown(rest))),
        };
        strict_head(&rest[..length])?;
        let status = head.code.unwrap_or_default();
        let mut message = empty(status.to_string(), String::new(), head.headers);
        let Some(asked) = &method else { return Err(format!("an answer to nobody: {}", shown(rest))) };
        rest = &rest[length..];
        let bodiless = asked == "HEAD" || matches!(status, 100..=199 | 204 | 304);
        if status == 101 {
            message.body = rest.to_vec();
            message.end = End::Switched;
            rest = &[];
        } else if matches!(status, 100..=199 | 204)
            && ["content-length", "transfer-encoding"].iter().any(|name| !message.values(name).is_empty())
        {
            return Err(format!("{status} with a length"));
        } else if !bodiless {
            rest = read_body(&mut message, rest, None)?;
        }
        let closes = message.says("connection", "close") || message.end != End::Whole;
        found.push(message);
        if status == 101 || status >= 200 {
            method = methods.next().cloned();
            if closes && !rest.is_empty() {
                return Err(format!("bytes behind the last answer: {}", shown(rest)));
            }
        }
    }
    Ok(found)
}

fn empty(what: String, target: String, fields: &[httparse::Header<'_>]) -> Message {
    let fields = fields.iter().map(|field| (field.name.to_ascii_lowercase(), field.value.to_vec())).collect();
    Message { what, target, fields, body: Vec::new(), trailers: Vec::new(), end: End::Whole }
}

/// httparse takes bare LF and blanks that a strict reader does not.
fn strict_head(head: &[u8]) -> Result<(), String> {
    let lines = head.split(|byte| *byte == b'\n');
    let bare = lines.clone().filter(|line| !line.is_empty()).any(|line| !line.ends_with(b"\r"));
    let odd = lines.flat_map(|line| line.strip_suffix(b"\r").unwrap_or(line)).any(|byte| *byte == b'\r' || *byte == 0);
    if bare || odd { Err(format!("loose line ends: {}", shown(head))) } else { Ok(()) }
}

fn read_body<'b>(message: &mut Message, rest: &'b [u8], otherwise: Option<usize>) -> Result<&'b [u8], String> {
    let (lengths, codings) = (message.values("content-length"), message.values("transfer-encoding"));
    match (&lengths[..], &codings[..]) {
        ([], [coding]) if coding == "chunked" => read_chunks(message, rest),
        ([length], []) => {
            let length: usize = length.parse().map_err(|_| format!("length {length:?}"))?;
            Ok(take(message, rest, length))
        }
        ([], []) => match otherwise {
            Some(length) => Ok(take(message, rest, length)),
            None => {
                message.body = rest.to_vec();
                message.end = End::Close;
                Ok(&[])
            }
        },
        other => Err(format!("framing: {other:?}")),
    }
}

fn take<'b>(message: &mut Message, rest: &'b [u8], length: usize) -> &'b [u8] {
    let (body, rest) = rest.split_at(length.min(rest.len()));
    message.body = body.to_vec();
    message.end = if body.len() == length { End::Whole } else { End::Cut };
    rest
}

fn read_chunks<'b>(message: &mut Message, mut rest: &'b [u8]) -> Result<&'b [u8], String> {
    message.end = End::Cut;
    loop {
        let Some((line, behind)) = line_of(rest) else { return Ok(&[]) };
        let digits = str::from_utf8(line).ok().filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let size = digits.and_then(|digits| usize::from_str_radix(digits, 16).ok());
        let size = size.ok_or_else(|| format!("chunk size {}", shown(line)))?;
        rest = behind;
        if size == 0 {
            break;
        }
        let (data, behind) = rest.split_at(size.min(rest.len()));
        message.body.extend_from_slice(data);
        rest = match behind {
            [b'\r', b'\n', behind @ ..] => behind,
            [] | [b'\r'] => return Ok(&[]),
            _ => return Err(format!("end of chunk {}", shown(behind))),
        };
    }
    loop {
        let Some((line, behind)) = line_of(rest) else { return Ok(&[]) };
        rest = behind;
        if line.is_empty() {
            message.end = End::Whole;
            return Ok(rest);
        }
        let colon = line.iter().position(|byte| *byte == b':').ok_or_else(|| format!("trailer {}", shown(line)))?;
        let name = String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase();
        message.trailers.push((name, line[colon + 1..].trim_ascii().to_vec()));
    }
}

fn line_of(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    Some((&bytes[..end], &bytes[end + 2..]))
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned()
}
