//! One conversation with a server.
//!
//! ```text
//! Greeting ─► Tls ─► Auth ─► Ready ─► Answer ─► Over
//!    └──────────────►┘ ▲ │
//!                      └─┘ another plugin, a key, a full login
//! ```

use std::collections::VecDeque;
use std::fmt;

use super::auth::encrypt;
use super::login::{auth_switch, login, ssl_request};
use super::reply::{more_after_eof, more_after_ok};
use super::result_set::MOST_COLUMNS;
use super::{Fault, Greeting, Plugin, ResultSet, ServerError, parse_packet, write_packet};

/// Who logs in.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The account's name.
    pub user: String,
    /// Its password; may be empty.
    pub password: Vec<u8>,
    /// Whether to begin TLS first.
    pub tls: bool,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).field("tls", &self.tls).finish_non_exhaustive()
    }
}

/// A login, one query, a goodbye.
#[derive(Debug)]
pub struct Conversation {
    login: Login,
    stage: Stage,
    input: Vec<u8>,
    /// Bytes that may be taken in, and how many were so far.
    most: usize,
    taken: usize,
    sequence: u8,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
enum Stage {
    Greeting,
    /// Until the caller has begun TLS.
    Tls(Greeting),
    Auth {
        greeting: Greeting,
        plugin: Plugin,
        challenge: Vec<u8>,
        /// The server was asked for its RSA key.
        awaits_key: bool,
    },
    /// Until the caller asks.
    Ready,
    Answer {
        sets: Vec<ResultSet>,
        part: Part,
    },
    Over,
}

/// What of a result set is due.
#[derive(Clone, Copy, Debug)]
enum Part {
    Head,
    Columns(u64),
    EndOfColumns,
    Rows,
}

/// What the caller has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send these bytes.
    Send(Vec<u8>),
    /// Make the TLS handshake, then call [`Conversation::tls_began`].
    BeginTls,
    /// The login is done; [`Conversation::query`] is next.
    Ready(Greeting),
    /// The answer to the query: its result sets, and what ended them early where something did. The
    /// goodbye was sent before; close the connection.
    Answered(Vec<ResultSet>, Option<ServerError>),
}

impl Conversation {
    /// A conversation in which the server speaks first, and sends so many bytes at most.
    #[must_use]
    pub fn new(login: Login, most: usize) -> Self {
        Self { login, stage: Stage::Greeting, input: Vec::new(), most, taken: 0, sequence: 0, outputs: VecDeque::new() }
    }

    /// The next thing to do; to be drained after every call.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Takes in what the server sent.
    ///
    /// # Errors
    /// Why the conversation is over.
    pub fn handle(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.taken = self.taken.saturating_add(bytes.len());
        if self.taken > self.most {
            return Err(Fault::TooMuch(self.most));
        }
        self.input.extend_from_slice(bytes);
        let input = std::mem::take(&mut self.input);
        let mut rest = &input[..];
        while !rest.is_empty() {
            // What comes before the server was asked comes from somebody else.
            if matches!(self.stage, Stage::Tls(_) | Stage::Ready | Stage::Over) {
                return Err(Fault::Malformed("packet: nothing was asked"));
            }
            let Some(packet) = parse_packet(rest, &mut self.sequence, self.most)? else { break };
            self.packet(&packet.payload)?;
            rest = &rest[packet.length..];
        }
        self.input = rest.to_vec();
        Ok(())
    }

    /// TLS stands: the login goes through it.
    pub fn tls_began(&mut self) {
        if let Stage::Tls(greeting) = std::mem::replace(&mut self.stage, Stage::Over) {
            self.begin_login(greeting);
        }
    }

    /// Asks; several statements with `;` between them are one query. Only after [`Output::Ready`].
    pub fn query(&mut self, sql: &str) {
        const COM_QUERY: u8 = 3;
        if matches!(self.stage, Stage::Ready) {
            self.stage = Stage::Answer { sets: Vec::new(), part: Part::Head };
            self.command(&[&[COM_QUERY], sql.as_bytes()].concat());
        }
    }

    fn send(&mut self, payload: &[u8]) {
        let mut out = Vec::with_capacity(payload.len() + 4);
        write_packet(&mut out, &mut self.sequence, payload);
        self.outputs.push_back(Output::Send(out));
    }

    fn command(&mut self, payload: &[u8]) {
        self.sequence = 0;
        self.send(payload);
    }

    fn packet(&mut self, payload: &[u8]) -> Result<(), Fault> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Greeting => self.greeting(payload),
            Stage::Auth { greeting, plugin, challenge, awaits_key } => {
                self.auth(payload, greeting, plugin, challenge, awaits_key)
            }
            Stage::Answer { sets, part } => self.answer(payload, sets, part),
            Stage::Tls(_) | Stage::Ready | Stage::Over => Err(Fault::Malformed("packet: nothing was asked")),
        }
    }

    fn greeting(&mut self, payload: &[u8]) -> Result<(), Fault> {
        if let [0xff, body @ ..] = payload {
            return Err(ServerError::parse(body)?.into());
        }
        let greeting = Greeting::parse(payload)?;
        if !self.login.tls {
            self.begin_login(greeting);
            return Ok(());
        }
        if !greeting.offers_tls() {
            return Err(Fault::NoTls);
        }
        self.send(&ssl_request(&greeting, true));
        self.outputs.push_back(Output::BeginTls);
        self.stage = Stage::Tls(greeting);
        Ok(())
    }

    /// Answers the greeting in the plugin that it names. For one that is not spoken here the answer is
    /// empty, and the server says which one the account has.
    fn begin_login(&mut self, greeting: Greeting) {
        let plugin = greeting.plugin.unwrap_or(Plugin::Native);
        let answer = match greeting.plugin {
            Some(plugin) => plugin.answer(&self.login.password, &greeting.challenge),
            None => Vec::new(),
        };
        let payload = login(&greeting, self.login.tls, &self.login.user, plugin.name(), &answer);
        self.send(&payload);
        let challenge = greeting.challenge.clone();
        self.stage = Stage::Auth { greeting, plugin, challenge, awaits_key: false };
    }

    fn auth(
        &mut self,
        payload: &[u8],
        greeting: Greeting,
        mut plugin: Plugin,
        mut challenge: Vec<u8>,
        mut awaits_key: bool,
    ) -> Result<(), Fault> {
        const FAST_LOGIN: &[u8] = &[3];
        const FULL_LOGIN: &[u8] = &[4];
        const ASK_FOR_KEY: &[u8] = &[2];
        match payload {
            [0x00, ..] => {
                self.outputs.push_back(Output::Ready(greeting));
                self.stage = Stage::Ready;
                return Ok(());
            }
            [0xff, body @ ..] => return Err(ServerError::parse(body)?.into()),
            [0xfe, body @ ..] => {
                let (name, new) = auth_switch(body)?;
                plugin = Plugin::from_name(name)
                    .ok_or_else(|| Fault::Plugin(String::from_utf8_lossy(&name[..name.len().min(64)]).into_owned()))?;
                challenge = new.to_vec();
                let answer = plugin.answer(&self.login.password, &challenge);
                self.send(&answer);
            }
            // `AuthMoreData`
            [0x01, body @ ..] if plugin == Plugin::CachingSha2 => match body {
                FAST_LOGIN => {}
                FULL_LOGIN if self.login.tls => {
                    let clear = [&self.login.password, &[0][..]].concat();
                    self.send(&clear);
                }
                FULL_LOGIN => {
                    awaits_key = true;
                    self.send(ASK_FOR_KEY);
                }
                pem if awaits_key => {
                    awaits_key = false;
                    let sealed = encrypt(&self.login.password, &challenge, pem)?;
                    self.send(&sealed);
                }
                _ => return Err(Fault::Malformed("login")),
            },
            _ => return Err(Fault::Malformed("login")),
        }
        self.stage = Stage::Auth { greeting, plugin, challenge, awaits_key };
        Ok(())
    }

    fn answer(&mut self, payload: &[u8], mut sets: Vec<ResultSet>, part: Part) -> Result<(), Fault> {
        let part = match (part, payload) {
            (_, [0xff, body @ ..]) => {
                let error = ServerError::parse(body)?;
                // Only what is whole is an answer.
                if !matches!(part, Part::Head) {
                    sets.pop();
                }
                self.leave(sets, Some(error));
                return Ok(());
            }
            (Part::Head, [0x00, body @ ..]) => {
                if !more_after_ok(body)? {
                    self.leave(sets, None);
                    return Ok(());
                }
                Part::Head
            }
            (Part::Head, _) => {
                let columns = super::cursor::Cursor::new(payload, "result").number()?;
                if columns > MOST_COLUMNS || sets.len() == MOST_SETS {
                    return Err(Fault::Malformed("result: too many columns"));
                }
                sets.push(ResultSet::default());
                Part::Columns(columns)
            }
            (Part::Columns(left), _) => {
                newest(&mut sets)?.take_column(payload)?;
                if left > 1 { Part::Columns(left - 1) } else { Part::EndOfColumns }
            }
            (Part::EndOfColumns, [0xfe, body @ ..]) => {
                more_after_eof(body)?;
                Part::Rows
            }
            (Part::EndOfColumns, _) => return Err(Fault::Malformed("end of columns")),
            // A row that begins with 0xfe would be one of 16 MiB.
            (Part::Rows, [0xfe, body @ ..]) if body.len() < 8 => {
                if !more_after_eof(body)? {
                    self.leave(sets, None);
                    return Ok(());
                }
                Part::Head
            }
            (Part::Rows, _) => {
                newest(&mut sets)?.take_row(payload)?;
                Part::Rows
            }
        };
        self.stage = Stage::Answer { sets, part };
        Ok(())
    }

    /// Says goodbye, so that the server counts no aborted client.
    fn leave(&mut self, sets: Vec<ResultSet>, error: Option<ServerError>) {
        const COM_QUIT: u8 = 1;
        self.command(&[COM_QUIT]);
        self.outputs.push_back(Output::Answered(sets, error));
    }
}

/// Result sets of one query.
const MOST_SETS: usize = 8;

fn newest(sets: &mut [ResultSet]) -> Result<&mut ResultSet, Fault> {
    sets.last_mut().ok_or(Fault::Malformed("result"))
}
