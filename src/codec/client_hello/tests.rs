use std::sync::Arc;

use proptest::prelude::*;
use rustls::pki_types::ServerName;

use super::*;

/// What rustls sends to this host.
fn hello_of(name: &'static str, alpn: &[&[u8]]) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let mut client = rustls::ClientConnection::new(Arc::new(config), ServerName::try_from(name).unwrap()).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

/// The same message in records of at most so many bytes.
fn fragmented(bytes: &[u8], most: usize) -> Vec<u8> {
    let records = bytes[5..].chunks(most).map(|piece| {
        let length = u16::try_from(piece.len()).unwrap().to_be_bytes();
        [&[22, 3, 1], &length[..], piece].concat()
    });
    records.collect::<Vec<_>>().concat()
}

/// A message with these extensions.
fn message(extensions: &[u8]) -> Vec<u8> {
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_be_bytes();
    let body = [&[3, 3], &[7; 32][..], &[0], &[0, 2, 0x13, 1], &[1, 0], &length(extensions), extensions].concat();
    let message = [&[1, 0], &length(&body)[..], &body].concat();
    [&[22, 3, 1], &length(&message)[..], &message].concat()
}

fn named(name: &[u8]) -> Vec<u8> {
    let size = u16::try_from(name.len()).unwrap();
    let lengths = [size + 5, size + 3].map(u16::to_be_bytes);
    [&[0, 0], &lengths[0][..], &lengths[1], &[0], &size.to_be_bytes(), name].concat()
}

#[test]
fn a_hello_is_read_whole_and_in_pieces() {
    let bytes = hello_of("DB.shop.example", &[b"h2", b"http/1.1"]);
    let expected = ClientHello {
        server_name: Some("db.shop.example".into()),
        protocols: vec![b"h2"[..].into(), b"http/1.1"[..].into()],
    };
    for most in [1, 7, 100, 16_384] {
        let bytes = fragmented(&bytes, most);
        for cut in 0..bytes.len() {
            assert_eq!(parse(&bytes[..cut]), Ok(None), "{cut} bytes of records of {most}");
        }
        assert_eq!(parse(&bytes), Ok(Some(expected.clone())));
        assert_eq!(parse(&[&bytes[..], b"more"].concat()), Ok(Some(expected.clone())));
    }
}

#[test]
fn a_hello_to_an_address_has_no_name() {
    assert_eq!(parse(&hello_of("192.0.2.1", &[])), Ok(Some(ClientHello::default())));
}

#[test]
fn what_nobody_knows_is_passed_over() {
    // GREASE (RFC 8701), an Encrypted Client Hello, the name behind both.
    let extensions = [&[0x0a, 0x0a, 0, 0][..], &[0xfe, 0x0d, 0, 3, 0, 0, 0], &named(b"outer.example")].concat();
    assert_eq!(parse(&message(&extensions)).unwrap().unwrap().server_name.as_deref(), Some("outer.example"));
    // A hello of TLS 1.2 may have no extensions at all.
    let mut bare = message(&[]);
    bare.truncate(bare.len() - 2);
    (bare[4], bare[8]) = (bare[4] - 2, bare[8] - 2);
    assert_eq!(parse(&bare), Ok(Some(ClientHello::default())));
}

#[test]
fn what_is_no_hello_is_refused() {
    for other in [&b"GET / HTTP/1.1\r\n"[..], b"\x15\x03\x01", b"\x16\x02", b"SSH-2.0"] {
        assert_eq!(parse(other), Err(Fault::NotTls));
    }
    assert_eq!(parse(&[22, 3, 1, 0, 4, 2, 0, 0, 0]), Err(Fault::NotHello));
    assert_eq!(parse(&[22, 3, 1, 0, 0]), Err(Fault::Malformed));
    assert_eq!(parse(&[22, 3, 1, 0x40, 1]), Err(Fault::Long));
    assert_eq!(parse(&[22, 3, 1, 0x3f, 0, 1, 0, 0x40, 0]), Err(Fault::Long));
    assert_eq!(parse(&message(&[named(b"a.example"), named(b"b.example")].concat())), Err(Fault::Malformed));
    assert_eq!(parse(&message(&[0, 0, 0, 9])), Err(Fault::Malformed));
    for name in [&b""[..], b"a b", b"a\0", b"\xff", &[b'a'; 256]] {
        assert_eq!(parse(&message(&named(name))), Err(Fault::Name));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&bytes);
        let _ = parse(&message(&bytes));
        let _ = read(&bytes);
    }

    #[test]
    fn a_changed_hello_is_no_panic(at in 0..500_usize, byte in any::<u8>(), most in 1..600_usize) {
        let mut bytes = hello_of("shop.example", &[b"h2"]);
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = parse(&bytes);
        let _ = parse(&fragmented(&bytes, most));
    }
}
