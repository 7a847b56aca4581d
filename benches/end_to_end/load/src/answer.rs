//! One HTTP/1.1 answer as it comes in: how long it must be, and how much is still to come.

/// An answer of known length. Every contender sends a `Content-Length` here; one that does not is
/// taken for broken.
#[derive(Default)]
pub struct Answer {
    head: Vec<u8>,
    body: Option<Body>,
    /// The sender closes the connection after it.
    pub is_last: bool,
    pub is_ok: bool,
}

struct Body {
    length: usize,
    left: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    More,
    Done,
    Broken,
}

impl Answer {
    /// Reads on. Bytes after the end break the answer: nothing is pipelined here.
    pub fn read(&mut self, bytes: &[u8]) -> Progress {
        let mut rest = bytes;
        if self.body.is_none() {
            let known = self.head.len();
            let parsed = if known == 0 {
                self.parse(bytes)
            } else {
                let mut head = std::mem::take(&mut self.head);
                head.extend_from_slice(bytes);
                let parsed = self.parse(&head);
                self.head = head;
                parsed
            };
            match parsed {
                Some(0) if known == 0 => self.head.extend_from_slice(bytes),
                Some(0) => {}
                Some(end) => rest = &bytes[end - known..],
                None => return Progress::Broken,
            }
        }
        match &mut self.body {
            None if self.head.len() > 64 << 10 => Progress::Broken,
            None => Progress::More,
            Some(body) if rest.len() > body.left => Progress::Broken,
            Some(body) => {
                body.left -= rest.len();
                if body.left == 0 { Progress::Done } else { Progress::More }
            }
        }
    }

    /// Bytes of the body that are still to come, where the head is known.
    pub fn left(&self) -> usize {
        self.body.as_ref().map_or(0, |body| body.left)
    }

    /// The body came without being looked at.
    pub fn skip(&mut self, count: usize) -> Progress {
        match &mut self.body {
            Some(body) if count <= body.left => {
                body.left -= count;
                if body.left == 0 { Progress::Done } else { Progress::More }
            }
            _ => Progress::Broken,
        }
    }

    /// The length of the body, by its head.
    pub fn length(&self) -> usize {
        self.body.as_ref().map_or(0, |body| body.length)
    }

    /// The length of the head, 0 while it is incomplete, `None` where it makes no sense.
    fn parse(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut fields);
        let end = match response.parse(bytes).ok()? {
            httparse::Status::Complete(end) => end,
            httparse::Status::Partial => return Some(0),
        };
        let mut length = None;
        self.is_last = response.version == Some(0);
        for field in response.headers.iter() {
            if field.name.eq_ignore_ascii_case("content-length") {
                length = Some(str::from_utf8(field.value).ok()?.parse().ok()?);
            } else if field.name.eq_ignore_ascii_case("connection") {
                self.is_last = field.value.eq_ignore_ascii_case(b"close");
            }
        }
        let length = length?;
        self.is_ok = response.code == Some(200);
        self.body = Some(Body { length, left: length });
        Some(end)
    }
}
