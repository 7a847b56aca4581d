//! What MySQL servers sent, as others have published it: none is packaged here.

use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// The greeting of 8.0.32, to a connection in which all that follows was recorded too.
const GREETING: &str = "0a 38 2e 30 2e 33 32 00 08 00 00 00 1c 46 19 46 59 76 40 4b 00 ff ff ff 02 00 ff df 15
    00 00 00 00 00 00 00 00 00 00 3f 71 34 71 53 45 5e 5d 22 7a 32 3d 00
    63 61 63 68 69 6e 67 5f 73 68 61 32 5f 70 61 73 73 77 6f 72 64 00";

/// Version, plugin, challenge, greeting.
const GREETINGS: [(&str, Plugin, &str, &str); 6] = [
    (
        "5.7.16",
        Plugin::Native,
        "6a 5f 26 1f 4a 52 20 5b 50 4d 51 64 16 3d 50 19 35 1e 48 46",
        "0a 35 2e 37 2e 31 36 00 68 49 72 00 6a 5f 26 1f 4a 52 20 5b 00 ff ff 08 02 00 ff c1 15
        00 00 00 00 00 00 00 00 00 00 50 4d 51 64 16 3d 50 19 35 1e 48 46 00
        6d 79 73 71 6c 5f 6e 61 74 69 76 65 5f 70 61 73 73 77 6f 72 64 00",
    ),
    (
        "5.7.27-log",
        Plugin::Native,
        "57 65 58 66 41 20 68 7d 6d 52 60 29 53 65 1b 78 25 2c 44 7e",
        "0a 35 2e 37 2e 32 37 2d 6c 6f 67 00 04 00 00 00 57 65 58 66 41 20 68 7d 00 ff ff 08 02 00 ff c1 15
        00 00 00 00 00 00 00 00 00 00 6d 52 60 29 53 65 1b 78 25 2c 44 7e 00
        6d 79 73 71 6c 5f 6e 61 74 69 76 65 5f 70 61 73 73 77 6f 72 64 00",
    ),
    ("8.0.32", Plugin::CachingSha2, "1c 46 19 46 59 76 40 4b 3f 71 34 71 53 45 5e 5d 22 7a 32 3d", GREETING),
    (
        "8.0.42",
        Plugin::CachingSha2,
        "5d 2e 75 4d 7f 1e 42 0f 56 6c 16 15 7b 48 18 44 48 2f 4c 05",
        "0a382e302e343200330000005d2e754d7f1e420f00ffffff0200ffdf1500000000000000000000
        566c16157b481844482f4c050063616368696e675f736861325f70617373776f726400",
    ),
    (
        "8.4.4",
        Plugin::CachingSha2,
        "7c 46 37 7d 28 38 66 59 0e 09 07 39 61 58 67 79 72 7f 12 01",
        "0a382e342e34008d7d75037c46377d2838665900ffffff0200ffdf1500000000000000000000
        0e09073961586779727f12010063616368696e675f736861325f70617373776f726400",
    ),
    (
        "8.4.11",
        Plugin::CachingSha2,
        "62 21 5a 76 49 74 04 41 44 1e 1b 51 4b 4e 6e 53 08 4a 5c 27",
        "0a382e342e3131000800000062215a764974044100ffffff0200ffdf1500000000000000000000
        441e1b514b4e6e53084a5c270063616368696e675f736861325f70617373776f726400",
    ),
];

#[test]
fn greetings_of_servers_are_read() {
    for (version, plugin, challenge, greeting) in GREETINGS {
        let read = Greeting::parse(&hex(greeting)).unwrap();
        assert_eq!((&*read.version, read.dialect, read.plugin), (version, Dialect::MySql, Some(plugin)));
        assert_eq!(read.challenge, hex(challenge), "{version}");
    }
}

/// 8.0.32, within TLS: the server had forgotten the password, "test", and asks for it.
#[test]
fn a_login_and_an_answer_are_those_of_a_server_and_its_client() {
    let answer = [
        "02",
        "03 64 65 66 05 6d 79 73 71 6c 04 75 73 65 72 04 75 73 65 72 04 75 73 65 72 04 55 73 65 72
         0c e0 00 80 00 00 00 fe 83 40 00 00 00",
        "03 64 65 66 05 6d 79 73 71 6c 04 75 73 65 72 04 75 73 65 72 06 70 6c 75 67 69 6e 06 70 6c 75 67 69 6e
         0c e0 00 00 01 00 00 fe 81 00 00 00 00",
        "fe 00 00 22 00",
        "06 6b 6c 65 6d 65 6e 15 63 61 63 68 69 6e 67 5f 73 68 61 32 5f 70 61 73 73 77 6f 72 64",
        "fe 00 00 22 00",
    ];
    let turns = vec![
        vec![hex(GREETING)],
        vec![hex("01 04")],
        vec![hex("00 00 00 02 00 00 00")],
        answer.iter().map(|payload| hex(payload)).collect(),
    ];
    let login = Login { user: "root".to_owned(), password: b"test".to_vec(), tls: true };
    let heard = Server { turns, piece: 4096 }.talk(login).unwrap();

    let said = HandshakeResponse::deserialize((), &mut ParseBuf(&heard.payloads[1])).unwrap();
    let recorded = "38 24 94 b7 75 30 09 4f 7a a0 35 1e ee a1 3e b2 e5 fe 45 7f 1b b4 d9 40 72 54 d3 a9 93 da eb 55";
    assert_eq!((said.user(), said.scramble_buf()), (&b"root"[..], &*hex(recorded)));
    assert_eq!(heard.payloads[2], b"test\0");
    let (sets, error) = heard.answer.unwrap();
    assert_eq!((sets.len(), error), (1, None));
    let row = (sets[0].value(0, "user"), sets[0].value(0, "plugin"));
    assert_eq!(row, (Some("klemen"), Some("caching_sha2_password")));
}

/// 8.0.42 was sent the answer of another plugin.
#[test]
fn a_switch_of_plugins_is_answered_with_its_challenge() {
    let (_, plugin, challenge, greeting) = GREETINGS[3];
    let switch = "fe 63616368696e675f736861325f70617373776f726400 5d2e754d7f1e420f566c16157b481844482f4c0500";
    let turns = vec![vec![hex(greeting)], vec![hex(switch)], vec![OK.to_vec()], answer()];
    let heard = Server { turns, piece: 4096 }.talk(login(false)).unwrap();
    assert_eq!(heard.payloads[1], plugin.answer(PASSWORD, &hex(challenge)));
}
