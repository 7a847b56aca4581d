//! What holds for any bytes that a reader of haechi is given. Each function panics where a law is
//! broken; the tests here and the fuzz targets call the same ones.

use std::net::IpAddr;
use std::time::Duration;

use haechi::codec::h1::{
    BodyDecoder, BodyFault, CHUNK_END, Framing, HeadLimits, end_head, parse_request, parse_response, write_chunk_size,
    write_last_chunk, write_line, write_request_line, write_status_line,
};
use haechi::config as written;
use haechi::diagnostic::SourceFile;
use haechi::handler::static_files::range::{MAX_RANGES, Selection, select};
use haechi::head::{Fields, Method, RequestHead, ResponseHead, Version};
use haechi::vrrp::authentication::Utc;
use haechi::vrrp::checksum::ChecksumForm;
use haechi::vrrp::interval::{AdvertInterval, Centiseconds, Seconds};
use haechi::vrrp::packet::{self, Kind, LONGEST, Legacy, MOST_ADDRESSES, Outgoing};
use haechi::vrrp::wire::{AddressList, Datagram, Identity, Protocol, Received, Wire};

const LIMITS: HeadLimits = HeadLimits { head: 4096, fields: 64, target: 1024 };

/// A request that is taken is one for httparse too, in the same words; a piece of it says nothing
/// else; and what we would send on is read back as what we understood.
pub fn request(input: &[u8]) {
    let mut head = RequestHead::default();
    let whole = parse_request(input, &LIMITS, &mut head);
    for cut in cuts(input.len()) {
        let piece = parse_request(&input[..cut], &LIMITS, &mut RequestHead::default());
        let complete = matches!(whole, Ok(Some(request)) if request.length <= cut);
        assert!(piece == whole || !complete && piece == Ok(None), "cut at {cut}: {piece:?}, whole: {whole:?}");
    }
    let Ok(Some(found)) = whole else { return };
    assert!(found.length <= input.len().min(LIMITS.head));
    assert_ne!(found.framing, Framing::UntilClose);

    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut other = httparse::Request::new(&mut headers);
    match other.parse(&input[..found.length]) {
        Ok(status) => {
            assert_eq!(status, httparse::Status::Complete(found.length));
            assert_eq!(other.method.map(str::as_bytes), Some(head.method_name()));
            let target = other.path.unwrap_or_default().as_bytes();
            if target.starts_with(b"/") {
                assert_eq!(target, head.target);
                assert_same_fields(other.headers, &head.fields);
            } else {
                assert!(head.target == b"*" || target.ends_with(head.target.strip_prefix(b"/").unwrap()));
            }
        }
        // Of the minor versions it knows 0 and 1.
        Err(fault) => assert_eq!((fault, head.version), (httparse::Error::Version, Version::Http11)),
    }

    if head.version == Version::Http11 {
        let mut sent = Vec::new();
        write_request_line(&mut sent, head.method_name(), &head.target);
        write_fields(&mut sent, &head.fields);
        let mut again = RequestHead::default();
        let roomy = HeadLimits { head: 2 * LIMITS.head, ..LIMITS };
        let read = parse_request(&sent, &roomy, &mut again).unwrap().unwrap();
        assert_eq!(read.length, sent.len());
        assert_eq!((read.framing, read.persistent), (found.framing, found.persistent));
        assert_eq!((read.expects_continue, read.upgrade), (found.expects_continue, found.upgrade));
        assert_eq!((again.method_name(), &again.target), (head.method_name(), &head.target));
        assert!(pairs(&again.fields).eq(pairs(&head.fields)));
        assert_lines(&head.fields);
    }
}

/// The same laws for a response.
pub fn response(input: &[u8]) {
    for method in [Method::Get, Method::Head] {
        response_to(method, input);
    }
}

fn response_to(method: Method, input: &[u8]) {
    let mut head = ResponseHead::default();
    let whole = parse_response(input, &LIMITS, method, &mut head);
    for cut in cuts(input.len()) {
        let piece = parse_response(&input[..cut], &LIMITS, method, &mut ResponseHead::default());
        let complete = matches!(whole, Ok(Some(response)) if response.length <= cut);
        assert!(piece == whole || !complete && piece == Ok(None), "cut at {cut}: {piece:?}, whole: {whole:?}");
    }
    let Ok(Some(found)) = whole else { return };
    assert!(found.length <= input.len().min(LIMITS.head));
    assert!(!found.persistent || found.framing != Framing::UntilClose);

    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut other = httparse::Response::new(&mut headers);
    match other.parse(&input[..found.length]) {
        Ok(status) => {
            assert_eq!(status, httparse::Status::Complete(found.length));
            assert_eq!(other.code, Some(head.status));
            assert_same_fields(other.headers, &head.fields);
        }
        Err(fault) => assert_eq!((fault, head.version), (httparse::Error::Version, Version::Http11)),
    }

    if head.version == Version::Http11 {
        let mut sent = Vec::new();
        write_status_line(&mut sent, head.status, &head.reason);
        write_fields(&mut sent, &head.fields);
        let mut again = ResponseHead::default();
        let roomy = HeadLimits { head: 2 * LIMITS.head, ..LIMITS };
        let read = parse_response(&sent, &roomy, method, &mut again).unwrap().unwrap();
        assert_eq!(read.length, sent.len());
        assert_eq!((read.framing, read.persistent, read.interim), (found.framing, found.persistent, found.interim));
        assert_eq!(again.status, head.status);
        assert!(pairs(&again.fields).eq(pairs(&head.fields)));
        assert_lines(&head.fields);
    }
}

/// A chunked body is the same however it is split, and what we send on is read back as the same
/// payload and trailers.
pub fn chunked(input: &[u8]) {
    let whole = decode(input, input.len().max(1));
    for step in [1, 2, 3, 7] {
        assert_eq!(decode(input, step), whole, "in steps of {step}");
    }
    let Body { payload, end: Ok(length), trailers } = whole else { return };
    assert!(length <= input.len());

    let mut sent = Vec::new();
    for chunk in payload.chunks(10) {
        write_chunk_size(&mut sent, chunk.len());
        sent.extend_from_slice(chunk);
        sent.extend_from_slice(CHUNK_END);
    }
    let mut fields = Fields::default();
    for (name, value) in &trailers {
        fields.push(name, value);
    }
    write_last_chunk(&mut sent, &fields);
    assert_eq!(decode(&sent, sent.len()), Body { payload, end: Ok(sent.len()), trailers });
}

/// Whatever a Range field says, the parts lie within the file, are few, and share no byte. The first
/// eight bytes are the file's length.
pub fn range(input: &[u8]) {
    let Some((length, text)) = input.split_first_chunk() else { return };
    let length = u64::from_le_bytes(*length);
    for value in [text.to_vec(), [b"bytes=", text].concat()] {
        if let Selection::Parts(mut parts) = select(&value, length) {
            assert!(!parts.is_empty() && parts.len() <= MAX_RANGES);
            assert!(parts.iter().all(|part| part.start < part.end && part.end <= length));
            parts.sort_by_key(|part| part.start);
            assert!(parts.is_sorted_by(|one, two| one.end <= two.start));
        }
    }
}

/// Any text is a config, whose defaults can be written out and read again, or has faults that can be
/// printed.
pub fn config(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    match written::parse(vec![SourceFile::new("haechi.toml", text)]) {
        Ok(config) => {
            let text = config.to_toml_with_defaults();
            let again = written::parse(vec![SourceFile::new("haechi.toml", &text)]);
            let again = again.unwrap_or_else(|faults| panic!("{faults}\nin {text}"));
            assert_eq!(again.to_toml_with_defaults(), text);
        }
        Err(faults) => assert!(!faults.to_string().is_empty()),
    }
}

/// A PROXY header that is read is told by its own bytes alone, and what it says is read again where we
/// write it, in both versions.
pub fn proxy(input: &[u8]) {
    use haechi::codec::proxy::{LONGEST, Version, header, parse};
    let whole = parse(input);
    for cut in cuts(input.len()) {
        let piece = parse(&input[..cut]);
        let complete = matches!(whole, Ok(Some(header)) if header.length <= cut);
        assert!(piece == whole || !complete && piece == Ok(None), "cut at {cut}: {piece:?}, whole: {whole:?}");
    }
    let Ok(Some(found)) = whole else { return };
    assert!(found.length <= input.len().min(LONGEST));
    for version in [Version::V1, Version::V2] {
        let written = header(version, found.addresses);
        let again = parse(&written).unwrap().unwrap();
        assert_eq!((again.addresses, again.length), (found.addresses, written.len()));
    }
}

/// A ClientHello that is read is told by its own bytes alone.
pub fn client_hello(input: &[u8]) {
    use haechi::codec::client_hello::parse;
    let whole = parse(input);
    for cut in cuts(input.len()) {
        let piece = parse(&input[..cut]);
        assert!(piece == whole || piece == Ok(None), "cut at {cut}: {piece:?}, whole: {whole:?}");
    }
    let Ok(Some(found)) = whole else { return };
    let name = found.server_name.as_deref().unwrap_or("a");
    assert!(name.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase()), "{name:?}");
}

/// An advert that is read says the same when it is written again, and nothing is believed that cannot be
/// read. The first byte chooses family and version; the rest is tried as it is, and with a checksum that
/// fits.
pub fn advert(input: &[u8]) {
    let Some((choice, message)) = input.split_first() else { return };
    let six = choice & 1 == 1;
    let (source, destination, local, shared) = if six {
        ("fe80::1", "ff02::12", "fe80::2", "fe80::64")
    } else {
        ("192.168.0.11", "224.0.0.18", "192.168.0.12", "192.168.0.100")
    };
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    let (source, destination, local) = (address(source), address(destination), address(local));
    let protocol = if choice & 2 == 2 && !six {
        Protocol::V2 { interval: Seconds::new(1).unwrap(), legacy: Legacy::password(b"1111") }
    } else {
        Protocol::V3 { interval: Centiseconds::new(10).unwrap(), checksum: ChecksumForm::Rfc9568 }
    };
    let addresses = AddressList::new(vec![address(shared)]).unwrap();
    let identity = Identity { vrid: 51, protocol, addresses, peers: Vec::new(), check_ttl: true, keyring: None };
    let mut wire = Wire::new(identity).unwrap();
    for message in [message.to_vec(), with_checksum(message, source, destination)] {
        let read = packet::decode(&message, source, destination);
        let datagram = Datagram { source, destination, local, ttl: 255, message: &message };
        let received = wire.receive(&datagram, Utc(Duration::from_secs(1)));
        assert!(read.is_ok() || matches!(received, Received::Refused { told: None, .. }), "{received:?}");
        let Ok(advert) = read else { continue };
        let addresses: Vec<_> = advert.addresses.iter().collect();
        if addresses.len() > MOST_ADDRESSES {
            continue;
        }
        let kind = match advert.interval {
            AdvertInterval::V2(interval) => Kind::V2 { interval, legacy: advert.legacy.unwrap() },
            AdvertInterval::V3(interval) => Kind::V3 { interval, checksum: advert.checksum.unwrap_or_default() },
        };
        let (vrid, priority) = (advert.vrid, advert.priority);
        let outgoing = Outgoing { vrid, priority, kind, addresses: &addresses, source, destination };
        let mut buffer = [0; LONGEST];
        let length = outgoing.encode(&mut buffer);
        let again = packet::decode(&buffer[..length], source, destination).unwrap();
        assert_eq!(length, advert.message.len());
        assert_eq!((again.vrid, again.priority, again.interval), (vrid, priority, advert.interval));
        assert_eq!((again.legacy, again.checksum), (advert.legacy, advert.checksum));
        assert!(again.addresses.iter().eq(addresses));
    }
}

/// The message with the checksum of the RFC: RFC 1071, once more and on its own.
fn with_checksum(message: &[u8], source: IpAddr, destination: IpAddr) -> Vec<u8> {
    let mut fixed = message.to_vec();
    let [first, _, _, count, _, _, one, two, ..] = fixed.as_mut_slice() else { return fixed };
    (*one, *two) = (0, 0);
    let legacy = if *first >> 4 == 2 { 8 } else { 0 };
    let covered = if source.is_ipv4() { 8 + 4 * usize::from(*count) + legacy } else { fixed.len() };
    let mut summed = fixed[..covered.min(fixed.len())].to_vec();
    summed.resize(summed.len().next_multiple_of(2), 0);
    if let (IpAddr::V6(source), IpAddr::V6(destination)) = (source, destination) {
        summed.extend([source.octets(), destination.octets()].concat());
        summed.extend(u32::try_from(fixed.len()).unwrap().to_be_bytes());
        summed.extend([0, 0, 0, 112]);
    }
    let mut sum: u32 = summed.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    fixed[6..8].copy_from_slice(&(!u16::try_from(sum).unwrap()).to_be_bytes());
    fixed
}

#[derive(Debug, PartialEq)]
struct Body {
    payload: Vec<u8>,
    /// Bytes that the body took on the wire.
    end: Result<usize, BodyFault>,
    trailers: Vec<(Vec<u8>, Vec<u8>)>,
}

fn decode(input: &[u8], step: usize) -> Body {
    let mut decoder = BodyDecoder::new(Framing::Chunked);
    let (mut at, mut shown, mut payload) = (0, 0, Vec::new());
    let end = loop {
        let run = match decoder.advance(&input[at..shown]) {
            Ok(run) => run,
            Err(fault) => break Err(fault),
        };
        let data = at + run.skip..at + run.skip + run.data;
        at = data.end;
        payload.extend_from_slice(&input[data]);
        decoder.consume(run.data);
        if run.done {
            break Ok(at);
        }
        if run.data == 0 {
            assert_eq!(at, shown, "a decoder that wants more leaves nothing");
            if shown == input.len() {
                break decoder.end_of_input().map(|()| at);
            }
            shown = (shown + step).min(input.len());
        }
    };
    let trailers = decoder.trailers().iter().map(|field| (field.name.to_vec(), field.value.to_vec())).collect();
    Body { payload, end, trailers }
}

/// Every place in short inputs, some in long ones.
fn cuts(length: usize) -> impl Iterator<Item = usize> {
    (0..length).step_by(length / 256 + 1)
}

fn write_fields(out: &mut Vec<u8>, fields: &Fields) {
    for field in fields.iter() {
        write_line(out, field);
    }
    end_head(out);
}

/// A line that is copied whole says what its parts say.
fn assert_lines(fields: &Fields) {
    for field in fields.iter().filter(|field| !field.line.is_empty()) {
        assert_eq!(field.line, [field.name, b": ", field.value, b"\r\n"].concat());
    }
}

fn pairs(fields: &Fields) -> impl Iterator<Item = (&[u8], &[u8])> {
    fields.iter().map(|field| (field.name, field.value))
}

fn assert_same_fields(theirs: &[httparse::Header<'_>], ours: &Fields) {
    let theirs: Vec<_> = theirs.iter().map(|field| (field.name.as_bytes(), field.value)).collect();
    let ours: Vec<_> = pairs(ours).collect();
    assert_eq!(theirs, ours);
}
