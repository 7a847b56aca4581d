use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeySize, OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use mysql_common::auth::plugins::{AuthProc, ChallengeResponsePlugin, Context};
use mysql_common::constants::{CapabilityFlags, ColumnFlags, ColumnType, StatusFlags};
use mysql_common::io::ParseBuf;
use mysql_common::packets::{AuthPlugin, AuthSwitchRequest, Column, HandshakePacket, HandshakeResponse, SslRequest};
use mysql_common::proto::{MyDeserialize, MySerialize};
use proptest::prelude::*;

use super::auth::encrypt;
use super::*;
use crate::codec::gtid::Dialect;

mod recorded;

const PASSWORD: &[u8] = b"a secret that nobody may see";
const FIRST: [u8; 8] = *b"8 bytes.";
const SECOND: [u8; 13] = *b"and 12 more.\0";
const CHALLENGE: &[u8] = b"8 bytes.and 12 more.";

/// A greeting in the types of `mysql_common`.
fn greeting(version: &str, plugin: &str) -> Vec<u8> {
    let mut all = CapabilityFlags::all();
    all.remove(CapabilityFlags::CLIENT_COMPRESS);
    let packet = HandshakePacket::new(
        10,
        version.as_bytes().to_vec(),
        7,
        FIRST,
        Some(SECOND.to_vec()),
        all,
        45,
        StatusFlags::SERVER_STATUS_AUTOCOMMIT,
        Some(plugin.as_bytes().to_vec()),
    );
    serialized(&packet)
}

fn serialized(packet: &impl MySerialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.serialize(&mut bytes);
    bytes
}

/// The payload of one result set of text, with `more` to follow.
fn result_set(columns: &[&str], rows: &[&[Option<&str>]], more: bool) -> Vec<Vec<u8>> {
    let text = |value: &str| [&[u8::try_from(value.len()).unwrap()], value.as_bytes()].concat();
    let end = [0xfe, 0, 0, if more { 8 } else { 2 }, 0].to_vec();
    let column = |name: &&str| {
        let column = Column::new(ColumnType::MYSQL_TYPE_VAR_STRING).with_name(name.as_bytes());
        serialized(&column.with_flags(ColumnFlags::NOT_NULL_FLAG))
    };
    let row = |row: &&[Option<&str>]| row.iter().flat_map(|value| value.map_or(vec![0xfb], text)).collect();
    let mut payloads = vec![vec![u8::try_from(columns.len()).unwrap()]];
    payloads.extend(columns.iter().map(column));
    payloads.push(end.clone());
    payloads.extend(rows.iter().map(row));
    payloads.push(end);
    payloads
}

/// A server's side: what it says after what. Each step is the payloads of one turn.
struct Server {
    turns: Vec<Vec<Vec<u8>>>,
    /// Bytes at a time.
    piece: usize,
}

#[derive(Debug, Default)]
struct Heard {
    /// Payloads of the client.
    payloads: Vec<Vec<u8>>,
    /// How many of them came before TLS.
    in_clear: usize,
    answer: Option<(Vec<ResultSet>, Option<ServerError>)>,
}

impl Server {
    fn talk(self, login: Login) -> Result<Heard, Fault> {
        let mut talk = Conversation::new(login, MOST);
        let mut heard = Heard::default();
        let (mut sequence, mut tls) = (0, false);
        for turn in self.turns {
            let mut bytes = Vec::new();
            turn.iter().for_each(|payload| write_packet(&mut bytes, &mut sequence, payload));
            for piece in bytes.chunks(self.piece) {
                talk.handle(piece)?;
            }
            while let Some(output) = talk.poll_output() {
                match output {
                    Output::Send(bytes) => {
                        // A command begins a new count.
                        let mut due = if bytes[3] == 0 { 0 } else { sequence };
                        let packet = parse_packet(&bytes, &mut due, 1 << 20)?.unwrap();
                        assert_eq!(packet.length, bytes.len());
                        heard.payloads.push(packet.payload.into_owned());
                        heard.in_clear += usize::from(!tls);
                        sequence = due;
                    }
                    Output::BeginTls => {
                        tls = true;
                        talk.tls_began();
                    }
                    Output::Ready(_) => talk.query("SELECT 1; SHOW REPLICA STATUS"),
                    Output::Answered(sets, error) => heard.answer = Some((sets, error)),
                }
            }
        }
        Ok(heard)
    }
}

/// What a server may send.
const MOST: usize = 1 << 20;

fn login(tls: bool) -> Login {
    Login { user: "haechi_check".to_owned(), password: PASSWORD.to_vec(), tls }
}

const OK: [u8; 7] = [0, 0, 0, 2, 0, 0, 0];

fn answer() -> Vec<Vec<u8>> {
    let mut answer = result_set(&["server_id", "lag"], &[&[Some("7"), None]], true);
    answer.extend(result_set(&["Source_Host"], &[], false));
    answer
}

struct Oracle<'a> {
    password: &'a [u8],
    challenge: &'a [u8],
}

impl Context for &Oracle<'_> {
    fn pass(&self) -> &[u8] {
        self.password
    }

    fn is_ipc_transport(&self) -> bool {
        false
    }

    fn is_tls_transport(&self) -> bool {
        false
    }

    fn scramble(&self) -> &[u8] {
        self.challenge
    }

    fn server_key_pem(&self) -> Option<&[u8]> {
        None
    }
}

fn oracle(plugin: Plugin, password: &[u8], challenge: &[u8]) -> Vec<u8> {
    let mut theirs = AuthProc::init(&AuthPlugin::from_bytes(plugin.name().as_bytes())).unwrap();
    let response = theirs.run(&Oracle { password, challenge }, challenge).unwrap();
    response.data().unwrap_or_default().to_vec()
}

proptest! {
    #[test]
    fn logins_are_those_of_mysql_common(password in prop::collection::vec(any::<u8>(), 0..80), challenge in any::<[u8; 32]>()) {
        for plugin in [Plugin::Native, Plugin::CachingSha2] {
            prop_assert_eq!(plugin.answer(&password, &challenge[..20]), oracle(plugin, &password, &challenge[..20]));
        }
        prop_assert_eq!(Plugin::Ed25519.answer(&password, &challenge), oracle(Plugin::Ed25519, &password, &challenge));
    }

    #[test]
    fn pieces_of_any_size_are_the_same_conversation(piece in 1..300_usize) {
        let turns = vec![vec![greeting("8.4.2", "caching_sha2_password")], vec![vec![1, 3], OK.to_vec()], answer()];
        let heard = Server { turns, piece }.talk(login(false)).unwrap();
        prop_assert!(heard.answer.is_some());
    }
}

#[test]
fn what_we_send_is_read_by_mysql_common() {
    let turns = vec![vec![greeting("9.1.0", "caching_sha2_password")], vec![vec![1, 3], OK.to_vec()], answer()];
    let heard = Server { turns, piece: 4096 }.talk(login(true)).unwrap();
    let ssl = SslRequest::deserialize((), &mut ParseBuf(&heard.payloads[0])).unwrap();
    assert!(ssl.capabilities().contains(CapabilityFlags::CLIENT_SSL | CapabilityFlags::CLIENT_PROTOCOL_41));
    let said = HandshakeResponse::deserialize((), &mut ParseBuf(&heard.payloads[1])).unwrap();
    assert_eq!((said.user(), said.auth_plugin()), (&b"haechi_check"[..], Some(&AuthPlugin::CachingSha2Password)));
    assert_eq!(said.scramble_buf(), oracle(Plugin::CachingSha2, PASSWORD, CHALLENGE));
    assert_eq!((said.capabilities(), said.collation()), (ssl.capabilities(), ssl.character_set()));
    assert_eq!(heard.payloads[2..], [b"\x03SELECT 1; SHOW REPLICA STATUS".to_vec(), vec![1]]);
    let (sets, error) = heard.answer.unwrap();
    assert_eq!((sets.len(), error), (2, None));
    assert_eq!((sets[0].value(0, "SERVER_ID"), sets[0].value(0, "lag")), (Some("7"), None));
}

#[test]
fn greetings_tell_family_and_version() {
    for (written, version, dialect, numbers) in [
        ("5.7.44-log", "5.7.44-log", Dialect::MySql, (5, 7, 44)),
        ("8.0.36-28", "8.0.36-28", Dialect::MySql, (8, 0, 36)),
        ("9.1.0", "9.1.0", Dialect::MySql, (9, 1, 0)),
        ("5.5.5-10.11.6-MariaDB-log", "10.11.6-MariaDB-log", Dialect::MariaDb, (10, 11, 6)),
        ("11.4.7-MariaDB", "11.4.7-MariaDB", Dialect::MariaDb, (11, 4, 7)),
    ] {
        let greeting = Greeting::parse(&greeting(written, "mysql_native_password")).unwrap();
        assert_eq!((&*greeting.version, greeting.dialect, greeting.numbers()), (version, dialect, numbers));
        assert_eq!((&greeting.challenge[..], greeting.plugin), (CHALLENGE, Some(Plugin::Native)));
    }
    assert_eq!(Greeting::parse(b"\x09\0"), Err(Fault::Protocol(9)));
    // Behind the lower half of the capabilities an old server stops; behind the challenge, one without plugins.
    let whole = greeting("8.4.2", "x");
    let cuts = (1..whole.len() - 2).filter(|end| *end != 22);
    cuts.for_each(|end| assert!(Greeting::parse(&whole[..end]).is_err(), "cut at {end}"));
}

/// A full login of `caching_sha2_password`: by the server's key, never in clear.
#[test]
fn without_tls_a_password_goes_by_rsa_alone() {
    let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
    let der: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}-----END PUBLIC KEY-----\n", base64(der.as_ref()));
    let more = [&[1], pem.as_bytes()].concat();
    let turns = vec![
        vec![greeting("8.4.2", "caching_sha2_password")],
        vec![vec![1, 4]],
        vec![more],
        vec![OK.to_vec()],
        answer(),
    ];
    let heard = Server { turns, piece: 4096 }.talk(login(false)).unwrap();
    assert_eq!(heard.payloads[1], [2]);
    let private = OaepPrivateDecryptingKey::new(key).unwrap();
    let mut space = vec![0; private.min_output_size()];
    let clear = private.decrypt(&OAEP_SHA1_MGF1SHA1, &heard.payloads[2], &mut space, None).unwrap();
    let clear: Vec<u8> = clear.iter().zip(CHALLENGE.iter().cycle()).map(|(a, b)| a ^ b).collect();
    assert_eq!(clear, [PASSWORD, &[0]].concat());
    for payload in &heard.payloads {
        assert!(memchr::memmem::find(payload, PASSWORD).is_none(), "the password in clear");
    }
    assert_eq!(encrypt(PASSWORD, CHALLENGE, b"no key"), Err(Fault::PublicKey));
}

#[test]
fn within_tls_a_full_login_shows_the_password_itself() {
    let turns = vec![vec![greeting("8.4.2", "caching_sha2_password")], vec![vec![1, 4]], vec![OK.to_vec()], answer()];
    let heard = Server { turns, piece: 4096 }.talk(login(true)).unwrap();
    assert_eq!((heard.in_clear, &heard.payloads[2][..]), (1, &[PASSWORD, &[0]].concat()[..]));
}

#[test]
fn another_plugin_may_be_asked_for() {
    // An ed25519 challenge may end with a zero of its own; the others have one behind.
    let nonce = [&[9; 31][..], &[0]].concat();
    for (plugin, sent, challenge) in [
        (Plugin::Native, SECOND_CHALLENGE, &SECOND_CHALLENGE[..20]),
        (Plugin::CachingSha2, SECOND_CHALLENGE, &SECOND_CHALLENGE[..20]),
        (Plugin::Ed25519, &nonce, &nonce),
    ] {
        let switch = serialized(&AuthSwitchRequest::new(plugin.name().as_bytes(), sent));
        let turns = vec![vec![greeting("8.4.2", "auth_gssapi_client")], vec![switch], vec![OK.to_vec()], answer()];
        let heard = Server { turns, piece: 4096 }.talk(login(false)).unwrap();
        assert_eq!(heard.payloads[1], oracle(plugin, PASSWORD, challenge), "{plugin:?}");
    }
    for plugin in ["mysql_clear_password", "dialog", "sha256_password"] {
        let switch = serialized(&AuthSwitchRequest::new(plugin.as_bytes(), &b"\0"[..]));
        let turns = vec![vec![greeting("8.4.2", "caching_sha2_password")], vec![switch]];
        let fault = Server { turns, piece: 4096 }.talk(login(true)).unwrap_err();
        assert_eq!(fault, Fault::Plugin(plugin.to_owned()));
    }
}

const SECOND_CHALLENGE: &[u8] = b"another 20 bytes....\0";

#[test]
fn a_no_is_told_in_the_servers_words() {
    let denied = b"\xff\x15\x04#28000Access denied".to_vec();
    let turns = vec![vec![greeting("8.4.2", "caching_sha2_password")], vec![denied.clone()]];
    let fault = Server { turns, piece: 4096 }.talk(login(false)).unwrap_err();
    assert_eq!(fault, Fault::Server(ServerError { code: 1045, message: "Access denied".to_owned() }));
    let turns = vec![vec![b"\xff\x69\x04Host is\nblocked".to_vec()]];
    let fault = Server { turns, piece: 4096 }.talk(login(false)).unwrap_err();
    assert_eq!(fault.to_string(), "error 1129: Host is blocked");

    // The second statement is refused: the first one's rows are whole, and there is a goodbye.
    let mut halves = result_set(&["a"], &[&[Some("1")]], true);
    halves.push(denied);
    let turns = vec![vec![greeting("8.4.2", "caching_sha2_password")], vec![vec![1, 3], OK.to_vec()], halves];
    let heard = Server { turns, piece: 4096 }.talk(login(false)).unwrap();
    assert_eq!(heard.payloads.last().unwrap(), &[1]);
    let (sets, error) = heard.answer.unwrap();
    assert_eq!((sets.len(), error.unwrap().code), (1, 1045));
}

#[test]
fn tls_that_is_not_there_or_late_words_end_it() {
    let mut no_tls = greeting("8.4.2", "caching_sha2_password");
    // CLIENT_SSL is a bit of the lower half of the capabilities, behind the first challenge.
    no_tls[1 + "8.4.2".len() + 1 + 4 + 8 + 1 + 1] &= !0x08;
    let turns = vec![vec![no_tls]];
    assert_eq!(Server { turns, piece: 4096 }.talk(login(true)).unwrap_err(), Fault::NoTls);
    // A packet behind the greeting would be read as if it had come within TLS.
    let turns = vec![vec![greeting("8.4.2", "caching_sha2_password"), OK.to_vec()]];
    assert!(matches!(Server { turns, piece: 4096 }.talk(login(true)), Err(Fault::Malformed(_))));
}

#[test]
fn what_a_server_sends_is_bounded() {
    let many: Vec<&[Option<&str>]> = vec![&[None]; 300];
    for answer in [result_set(&["a"], &many, false), vec![vec![0xfc, 0x2c, 1]], vec![vec![b'x'; MOST]]] {
        let turns = vec![vec![greeting("8.4.2", "caching_sha2_password")], vec![vec![1, 3], OK.to_vec()], answer];
        assert!(Server { turns, piece: 1 << 16 }.talk(login(false)).is_err());
    }
    // A length beyond the bound is refused before any of it is kept.
    assert_eq!(parse_packet(&[1, 0, 16, 0], &mut 0, 1 << 20), Err(Fault::TooMuch(1 << 20)));
    assert_eq!(parse_packet(&[1, 0, 0, 5, 0], &mut 4, 9), Err(Fault::Sequence { expected: 4, found: 5 }));
}

#[test]
fn payloads_of_16_mib_come_in_several_packets() {
    for (length, packets) in [(0, 1), (0xff_fffe, 1), (0xff_ffff, 2), (0x100_0004, 2)] {
        let payload = vec![7; length];
        let (mut wire, mut sequence, mut due) = (Vec::new(), 250, 250);
        write_packet(&mut wire, &mut sequence, &payload);
        assert_eq!((wire.len(), sequence), (length + 4 * packets, 250 + u8::try_from(packets).unwrap()));
        assert_eq!(parse_packet(&wire[..wire.len() - 1], &mut due, usize::MAX), Ok(None));
        let read = parse_packet(&wire, &mut due, usize::MAX).unwrap().unwrap();
        assert!(read.payload == payload && read.length == wire.len() && due == sequence);
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let digit = DIGITS[usize::try_from(word >> (18 - 6 * at) & 63).unwrap()];
            text.push(if at <= chunk.len() { char::from(digit) } else { '=' });
        }
        if text.len() % 65 == 64 {
            text.push('\n');
        }
    }
    text.push('\n');
    text
}
