//! RESP2, the protocol of Redis and Valkey, as far as commands with texts for answers need it.

/// Why an answer cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// More bytes than an answer may have.
    #[error("the server sent more than {0} bytes")]
    TooMuch(usize),
    /// Neither a text nor a number nor an error.
    #[error("not an answer of Redis")]
    Malformed,
    /// The server says no.
    #[error("{0}")]
    Server(String),
}

/// Writes a command.
pub fn write_command(out: &mut Vec<u8>, words: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// A text, or the server's no; the connection may go on after either.
    pub said: Result<String, Fault>,
    /// The bytes that it took of the input.
    pub length: usize,
}

/// The answer at the start of `input`, of so many bytes at most; `None`: it is not whole yet.
///
/// # Errors
/// [`Fault`] where it is none; what the server itself says is none of these.
pub fn parse_reply(input: &[u8], most: usize) -> Result<Option<Reply>, Fault> {
    let Some(end) = memchr::memmem::find(&input[..input.len().min(most)], b"\r\n") else {
        return if input.len() < most { Ok(None) } else { Err(Fault::TooMuch(most)) };
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (line, after) = (&input[..end], end + 2);
    match line.split_first() {
        Some((b'+' | b':', rest)) => Ok(Some(Reply { said: Ok(text(rest)), length: after })),
        Some((b'-', rest)) => {
            let words = text(&rest[..rest.len().min(512)]);
            let words = words.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            Ok(Some(Reply { said: Err(Fault::Server(words)), length: after }))
        }
        Some((b'$', rest)) => {
            let length = std::str::from_utf8(rest).ok().and_then(|digits| digits.parse::<usize>().ok());
            let length = length.ok_or(Fault::Malformed)?;
            if length > most {
                return Err(Fault::TooMuch(most));
            }
            let Some(body) = input.get(after..after + length + 2) else { return Ok(None) };
            let body = body.strip_suffix(b"\r\n").ok_or(Fault::Malformed)?;
            Ok(Some(Reply { said: Ok(text(body)), length: after + length + 2 }))
        }
        _ => Err(Fault::Malformed),
    }
}
