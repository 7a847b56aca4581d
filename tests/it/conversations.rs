//! What holds for any bytes that a database sends to a check. As in `laws`, each function panics where a
//! law is broken, and the fuzz targets call the same ones.
//!
//! The first byte of an input says whether there is TLS (its lowest bit) and how large the pieces are.

use haechi::codec::gtid::{Dialect, GtidSet};
use haechi::codec::{mysql, postgres, redis};

/// Long enough that it stands in no packet by chance.
const PASSWORD: &[u8] = b"a password that nobody may see";

/// What a server may send.
const MOST: usize = 64 * 1024;

/// Whatever a server of MySQL says, the password goes out in clear within TLS alone, and what is kept of
/// its words is bounded.
pub fn mysql(input: &[u8]) {
    let Some((first, said)) = input.split_first() else { return };
    let tls = first & 1 != 0;
    let mut talk =
        mysql::Conversation::new(mysql::Login { user: "haechi".to_owned(), password: PASSWORD.to_vec(), tls }, MOST);
    let (mut secure, mut taken) = (false, 0);
    for piece in said.chunks(usize::from(first >> 1) + 1) {
        let whole = talk.handle(piece);
        taken += piece.len();
        while let Some(output) = talk.poll_output() {
            match output {
                mysql::Output::Send(bytes) => assert_hidden(&bytes, secure),
                mysql::Output::BeginTls => {
                    assert!(tls);
                    secure = true;
                    talk.tls_began();
                }
                mysql::Output::Ready(greeting) => {
                    assert!(secure || !tls, "a login without the TLS that was asked for");
                    let _numbers = greeting.numbers();
                    talk.query("SELECT 1");
                }
                mysql::Output::Answered(sets, _) => {
                    let rows = sets.iter().flat_map(|set| set.rows.iter().map(|row| (row.len(), set.columns.len())));
                    rows.for_each(|(values, columns)| assert_eq!(values, columns));
                }
            }
        }
        if whole.is_err() {
            return;
        }
        assert!(taken <= MOST);
    }
}

/// The same of PostgreSQL.
pub fn postgres(input: &[u8]) {
    let Some((first, said)) = input.split_first() else { return };
    let tls = first & 1 != 0;
    let mut talk = postgres::Conversation::new(
        postgres::Login {
            user: "haechi".to_owned(),
            password: PASSWORD.to_vec(),
            database: "postgres".to_owned(),
            tls,
            query: "SELECT 1".to_owned(),
        },
        MOST,
    );
    let (mut secure, mut taken) = (false, 0);
    for piece in said.chunks(usize::from(first >> 1) + 1) {
        while let Some(output) = talk.poll_output() {
            match output {
                postgres::Output::Send(bytes) => assert_hidden(&bytes, secure),
                postgres::Output::BeginTls => {
                    assert!(tls);
                    secure = true;
                    talk.tls_began();
                }
                postgres::Output::Answered(_) => assert!(secure || !tls),
            }
        }
        taken += piece.len();
        if talk.handle(piece).is_err() {
            return;
        }
        assert!(taken <= MOST);
    }
}

/// A piece of an answer says nothing else than that more is to come.
pub fn redis(input: &[u8]) {
    let Ok(Some(redis::Reply { said, length })) = redis::parse_reply(input, MOST) else { return };
    assert!(length <= input.len());
    for cut in 0..length.min(200) {
        assert_eq!(redis::parse_reply(&input[..cut], MOST), Ok(None), "cut at {cut}");
    }
    if let Ok(text) = said {
        // What is not UTF-8 is replaced, three bytes for one.
        assert!(text.len() <= 3 * length);
    }
}

/// What is read as a set prints as one that is equal to it.
pub fn gtid(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    for dialect in [Dialect::MySql, Dialect::MariaDb] {
        let Ok(set) = GtidSet::parse(dialect, &text) else { continue };
        assert_eq!(GtidSet::parse(dialect, &set.to_string()).as_ref(), Ok(&set));
        assert!(set.contains(&set) && set.difference(&set).is_empty());
    }
}

fn assert_hidden(bytes: &[u8], secure: bool) {
    let shown = bytes.windows(PASSWORD.len()).any(|window| window == PASSWORD);
    assert!(secure || !shown, "a password in clear");
}
