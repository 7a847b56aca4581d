use proptest::prelude::*;

use super::*;

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn addresses(source: &str, destination: &str) -> Option<Addresses> {
    Some(Addresses { source: at(source), destination: at(destination) })
}

fn read(bytes: &[u8]) -> Result<Header, Fault> {
    parse(bytes).map(|header| header.expect("it goes on"))
}

/// A version 2 header of these parts.
fn binary_of(version_command: u8, family: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[version_command, family], &length, content].concat()
}

const V4: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 2, 0xc0, 0x00, 0x01, 0xbb];

#[test]
fn lines_are_read() {
    let line = b"PROXY TCP4 192.0.2.1 198.51.100.2 49152 443\r\nGET";
    assert_eq!(read(line), Ok(Header { addresses: addresses("192.0.2.1:49152", "198.51.100.2:443"), length: 45 }));
    let line = b"PROXY TCP6 2001:db8::1 ::ffff:1.2.3.4 0 65535\r\n";
    assert_eq!(read(line).unwrap().addresses, addresses("[2001:db8::1]:0", "1.2.3.4:65535"));
    for line in [&b"PROXY UNKNOWN\r\n"[..], b"PROXY UNKNOWN ffff::1 whatever 1 2\r\n"] {
        assert_eq!(read(line), Ok(Header { addresses: None, length: line.len() }));
    }
}

#[test]
fn lines_that_are_not_exact_are_refused() {
    for line in [
        "PROXY TCP4 192.0.2.1 198.51.100.2 49152 443\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 49152 443 \r\n",
        "PROXY TCP4  192.0.2.1 198.51.100.2 49152 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 49152\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 049152 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 +1 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n",
        "PROXY TCP4 2001:db8::1 198.51.100.2 1 443\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.2 1 443\r\n",
        "PROXY UDP4 192.0.2.1 198.51.100.2 1 443\r\n",
        "PROXY unknown\r\n",
        "PROXY \r\n",
    ] {
        assert_eq!(parse(line.as_bytes()), Err(Fault::Line), "{line}");
    }
    assert_eq!(parse(&[b"PROXY UNKNOWN ".as_slice(), &[b'x'; 100]].concat()), Err(Fault::Line));
    for other in [&b"GET / HTTP/1.1\r\n"[..], b"PROXX", b"\r\n\r\nx", b"proxy "] {
        assert_eq!(parse(other), Err(Fault::Missing));
    }
}

#[test]
fn binary_headers_are_read() {
    let header = binary_of(0x21, 0x11, V4);
    let told = addresses("192.0.2.1:49152", "198.51.100.2:443");
    assert_eq!(read(&header), Ok(Header { addresses: told, length: 28 }));
    // With a TLV behind the addresses, and one without a value.
    let tlvs = [V4, &[0x02, 0, 3, b'a', b'b', b'c', 0xe0, 0, 0]].concat();
    assert_eq!(read(&binary_of(0x21, 0x11, &tlvs)).unwrap().addresses, told);
    // LOCAL, no family, Unix sockets.
    assert_eq!(read(&binary_of(0x20, 0x11, V4)).unwrap().addresses, None);
    assert_eq!(read(&binary_of(0x20, 0x00, &[])), Ok(Header { addresses: None, length: 16 }));
    assert_eq!(read(&binary_of(0x21, 0x31, &[0; 216])).unwrap().addresses, None);
}

#[test]
fn binary_headers_that_do_not_fit_are_refused() {
    assert_eq!(parse(&binary_of(0x11, 0x11, V4)), Err(Fault::Version));
    assert_eq!(parse(&binary_of(0x22, 0x11, V4)), Err(Fault::Command));
    assert_eq!(parse(&binary_of(0x21, 0x41, V4)), Err(Fault::Command));
    assert_eq!(parse(&binary_of(0x21, 0x11, &V4[..11])), Err(Fault::Short));
    assert_eq!(parse(&binary_of(0x21, 0x21, V4)), Err(Fault::Short));
    assert_eq!(parse(&binary_of(0x21, 0x31, &[0; 215])), Err(Fault::Short));
    assert_eq!(parse(&binary_of(0x21, 0x11, &[V4, &[1, 0]].concat())), Err(Fault::Tlv));
    assert_eq!(parse(&binary_of(0x21, 0x11, &[V4, &[1, 0, 2, 0]].concat())), Err(Fault::Tlv));
    assert_eq!(parse(&binary_of(0x21, 0x11, &[V4, &[3, 0, 2, 0, 0]].concat())), Err(Fault::Tlv));
    assert_eq!(parse(&binary_of(0x21, 0x11, &[0; LONGEST])), Err(Fault::Long));
}

#[test]
fn a_checksum_counts_where_there_is_one() {
    let mut header = binary_of(0x21, 0x11, &[V4, &[0x04, 0, 1, 0, 0x03, 0, 4, 0, 0, 0, 0, 0x04, 0, 0]].concat());
    let sum = crc32c::of(&[&header]).to_be_bytes();
    let at = header.len() - 7;
    header[at..at + 4].copy_from_slice(&sum);
    assert!(read(&header).is_ok());
    header[20] ^= 1;
    assert_eq!(parse(&header), Err(Fault::Checksum));
}

#[test]
fn our_own_connection_is_told_as_such() {
    assert_eq!(header(Version::V1, None), b"PROXY UNKNOWN\r\n");
    assert_eq!(read(&header(Version::V2, None)), Ok(Header { addresses: None, length: 16 }));
}

fn any_address() -> impl Strategy<Value = SocketAddr> {
    (any::<bool>(), any::<u128>(), any::<u16>()).prop_map(|(v4, bits, port)| match v4 {
        true => SocketAddr::new(Ipv4Addr::from_bits(bits as u32).into(), port),
        false => SocketAddr::new(Ipv6Addr::from_bits(bits).into(), port),
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_and_every_beginning_goes_on(source in any_address(), destination in any_address()) {
        let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        let told = Addresses { source: canonical(source), destination: canonical(destination) };
        for version in [Version::V1, Version::V2] {
            let bytes = header(version, Some(Addresses { source, destination }));
            prop_assert!(version == Version::V2 || bytes.len() <= LONGEST_LINE);
            for cut in 0..bytes.len() {
                prop_assert_eq!(parse(&bytes[..cut]), Ok(None));
            }
            let more = [&bytes, &b"more"[..]].concat();
            prop_assert_eq!(read(&more), Ok(Header { addresses: Some(told), length: bytes.len() }));
        }
    }

    #[test]
    fn any_bytes_are_no_panic(start in 0..3_usize, bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let start: &[u8] = [&b""[..], SIGNATURE, WORD][start];
        let bytes = [start, &bytes].concat();
        if let Ok(Some(header)) = parse(&bytes) {
            prop_assert!(header.length <= bytes.len());
        }
    }
}
