//! The protocol of PostgreSQL (version 3.0), as far as a login and one query need it.
//!
//! Messages and the arithmetic of logins are those of the crate `postgres-protocol`; here is the
//! conversation, and its bounds: bytes in all, and the rounds that a server may ask a login to compute.

use std::fmt;

use bytes::BytesMut;
use postgres_protocol::authentication::{md5_hash, sasl};
use postgres_protocol::message::backend::{DataRowBody, ErrorResponseBody, Header, Message};
use postgres_protocol::message::frontend;

use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};

/// Who logs in, and what is asked.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The role's name.
    pub user: String,
    /// Its password; may be empty.
    pub password: Vec<u8>,
    /// The database.
    pub database: String,
    /// Whether to begin TLS first.
    pub tls: bool,
    /// One statement of SQL with one row for an answer.
    pub query: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).field("tls", &self.tls).finish_non_exhaustive()
    }
}

/// Why a conversation cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// More bytes than a conversation takes in.
    #[error("the server sent more than {0} bytes")]
    TooMuch(usize),
    /// Not what its place allows.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// TLS is configured and the server has none.
    #[error("the server offers no TLS")]
    NoTls,
    /// A login that is not spoken here.
    #[error("the login `{0}` is not supported")]
    Login(String),
    /// The server asks for the password itself, and there is no TLS.
    #[error("the server asks for the password in clear and there is no TLS")]
    InClear,
    /// The server does not know the password either.
    #[error("the server did not prove that it knows the password")]
    Impostor,
    /// The server says no.
    #[error("error {code}: {message}")]
    Server {
        /// `SQLSTATE`
        code: String,
        /// Its words.
        message: String,
    },
}

/// What the caller has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send these bytes.
    Send(Vec<u8>),
    /// Make the TLS handshake, then call [`Conversation::tls_began`].
    BeginTls,
    /// The row of the answer. The goodbye was sent before; close the connection.
    Answered(Vec<Option<String>>),
}

/// A login, one query, a goodbye.
pub struct Conversation {
    login: Login,
    stage: Stage,
    input: BytesMut,
    /// Bytes that may be taken in, and how many were so far.
    most: usize,
    taken: usize,
    outputs: std::collections::VecDeque<Output>,
}

enum Stage {
    /// Asked whether there is TLS.
    Asked,
    /// Until the caller has begun TLS.
    Tls,
    Login(Option<Box<ScramSha256>>),
    /// The server tells of itself, until it takes queries.
    Welcome,
    Answer(Option<Vec<Option<String>>>),
    Over,
}

impl Conversation {
    /// Rounds of hashing that a server may ask for; its default is 4096.
    pub const MOST_ROUNDS: u32 = 100_000;

    /// A conversation in which we speak first, and the server sends so many bytes at most.
    #[must_use]
    pub fn new(login: Login, most: usize) -> Self {
        let mut talk = Self {
            stage: Stage::Asked,
            input: BytesMut::new(),
            most,
            taken: 0,
            outputs: std::collections::VecDeque::new(),
            login,
        };
        if talk.login.tls {
            talk.send(|out| {
                frontend::ssl_request(out);
                Ok(())
            });
        } else {
            talk.begin();
        }
        talk
    }

    /// The next thing to do; to be drained after every call.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// TLS stands: the login goes through it.
    pub fn tls_began(&mut self) {
        if matches!(self.stage, Stage::Tls) {
            self.begin();
        }
    }

    /// Whether the login is done.
    #[must_use]
    pub fn is_logged_in(&self) -> bool {
        matches!(self.stage, Stage::Welcome | Stage::Answer(_) | Stage::Over)
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
        if let Stage::Asked = self.stage {
            // What comes with the answer was not sent within TLS: somebody else may have put it there.
            return match bytes {
                [] => Ok(()),
                b"S" => {
                    self.stage = Stage::Tls;
                    self.outputs.push_back(Output::BeginTls);
                    Ok(())
                }
                b"N" => Err(Fault::NoTls),
                _ => Err(Fault::Malformed("answer to the question for TLS")),
            };
        }
        self.input.extend_from_slice(bytes);
        // Before the crate makes room for a message, its length is looked at here.
        while let Some(header) = Header::parse(&self.input).map_err(|_| Fault::Malformed("message"))? {
            if usize::try_from(header.len()).unwrap_or(usize::MAX) > self.most {
                return Err(Fault::TooMuch(self.most));
            }
            let Some(message) = Message::parse(&mut self.input).map_err(|_| Fault::Malformed("message"))? else {
                break;
            };
            self.message(&message)?;
        }
        Ok(())
    }

    fn begin(&mut self) {
        self.stage = Stage::Login(None);
        let parameters = [
            ("user", self.login.user.clone()),
            ("database", self.login.database.clone()),
            ("application_name", "haechi".to_owned()),
        ];
        self.send(|out| frontend::startup_message(parameters.iter().map(|(name, value)| (*name, value.as_str())), out));
    }

    /// Sends a message. The crate refuses only texts with a NUL, which the config refuses before.
    fn send(&mut self, write: impl FnOnce(&mut BytesMut) -> std::io::Result<()>) {
        let mut out = BytesMut::new();
        if write(&mut out).is_ok() {
            self.outputs.push_back(Output::Send(out.to_vec()));
        }
    }

    fn message(&mut self, message: &Message) -> Result<(), Fault> {
        if let Message::ErrorResponse(body) = message {
            return Err(said_no(body));
        }
        if matches!(message, Message::NoticeResponse(_) | Message::ParameterStatus(_)) {
            return Ok(());
        }
        self.stage = match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Login(scram) => self.authenticate(message, scram)?,
            Stage::Welcome => match message {
                Message::BackendKeyData(_) => Stage::Welcome,
                Message::ReadyForQuery(_) => {
                    let query = std::mem::take(&mut self.login.query);
                    self.send(|out| frontend::query(&query, out));
                    Stage::Answer(None)
                }
                _ => return Err(Fault::Malformed("welcome")),
            },
            Stage::Answer(row) => match (message, row) {
                (Message::RowDescription(_), None) => Stage::Answer(None),
                (Message::DataRow(body), None) => Stage::Answer(Some(values(body)?)),
                (Message::CommandComplete(_), row) => Stage::Answer(row),
                (Message::ReadyForQuery(_), Some(row)) => {
                    self.send(|out| {
                        frontend::terminate(out);
                        Ok(())
                    });
                    self.outputs.push_back(Output::Answered(row));
                    Stage::Over
                }
                _ => return Err(Fault::Malformed("answer")),
            },
            Stage::Asked | Stage::Tls | Stage::Over => return Err(Fault::Malformed("message: nothing was asked")),
        };
        Ok(())
    }

    fn authenticate(&mut self, message: &Message, scram: Option<Box<ScramSha256>>) -> Result<Stage, Fault> {
        let password = self.login.password.clone();
        match (message, scram) {
            // A server that was to prove itself and did not is none that knows the password.
            (Message::AuthenticationOk, Some(_)) => Err(Fault::Impostor),
            (Message::AuthenticationOk, None) => Ok(Stage::Welcome),
            (Message::AuthenticationCleartextPassword, None) if self.login.tls => {
                self.send(|out| frontend::password_message(&password, out));
                Ok(Stage::Login(None))
            }
            (Message::AuthenticationCleartextPassword, None) => Err(Fault::InClear),
            (Message::AuthenticationMd5Password(body), None) => {
                let hash = md5_hash(self.login.user.as_bytes(), &password, body.salt());
                self.send(|out| frontend::password_message(hash.as_bytes(), out));
                Ok(Stage::Login(None))
            }
            (Message::AuthenticationSasl(body), None) => {
                let mut mechanisms = body.mechanisms();
                let mut offered = false;
                while let Some(mechanism) = fallible(&mut mechanisms)? {
                    offered |= mechanism == sasl::SCRAM_SHA_256;
                }
                if !offered {
                    return Err(Fault::Login("SASL without SCRAM-SHA-256".to_owned()));
                }
                let scram = ScramSha256::new(&password, ChannelBinding::unsupported());
                self.send(|out| frontend::sasl_initial_response(sasl::SCRAM_SHA_256, scram.message(), out));
                Ok(Stage::Login(Some(Box::new(scram))))
            }
            (Message::AuthenticationSaslContinue(body), Some(mut scram)) => {
                if rounds(body.data()).is_none_or(|rounds| rounds > Self::MOST_ROUNDS) {
                    return Err(Fault::Malformed("login: too many rounds"));
                }
                scram.update(body.data()).map_err(|_| Fault::Malformed("login"))?;
                self.send(|out| frontend::sasl_response(scram.message(), out));
                Ok(Stage::Login(Some(scram)))
            }
            (Message::AuthenticationSaslFinal(body), Some(mut scram)) => {
                scram.finish(body.data()).map_err(|_| Fault::Impostor)?;
                Ok(Stage::Login(None))
            }
            (Message::AuthenticationGss | Message::AuthenticationSspi | Message::AuthenticationKerberosV5, None) => {
                Err(Fault::Login("GSSAPI".to_owned()))
            }
            _ => Err(Fault::Malformed("login")),
        }
    }
}

impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversation").field("login", &self.login).finish_non_exhaustive()
    }
}

/// `i=` of a server's first message (RFC 5802 §5.1).
fn rounds(message: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(message).ok()?;
    text.split(',').find_map(|part| part.strip_prefix("i="))?.parse().ok()
}

fn fallible<'a>(
    mechanisms: &mut postgres_protocol::message::backend::SaslMechanisms<'a>,
) -> Result<Option<&'a str>, Fault> {
    use fallible_iterator::FallibleIterator;
    mechanisms.next().map_err(|_| Fault::Malformed("login"))
}

fn values(body: &DataRowBody) -> Result<Vec<Option<String>>, Fault> {
    use fallible_iterator::FallibleIterator;
    let buffer = body.buffer();
    let text =
        |range: std::ops::Range<usize>| String::from_utf8_lossy(buffer.get(range).unwrap_or_default()).into_owned();
    body.ranges().map(|range| Ok(range.map(text))).collect().map_err(|_| Fault::Malformed("row"))
}

/// At most 512 bytes of it, without control characters.
fn said_no(body: &ErrorResponseBody) -> Fault {
    use fallible_iterator::FallibleIterator;
    let (mut code, mut message) = (String::new(), String::new());
    let mut fields = body.fields();
    while let Ok(Some(field)) = fields.next() {
        let bytes = field.value_bytes();
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(512)]);
        let text = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        match field.type_() {
            b'C' => code = text,
            b'M' => message = text,
            _ => {}
        }
    }
    Fault::Server { code, message }
}
