//! The subject of a certificate as one line of text (RFC 4514).

use std::fmt::Write;

use x509_parser::{
    asn1_rs::ToDer,
    prelude::{FromDer, X509Certificate},
    x509::{AttributeTypeAndValue, X509Name},
};

const LENGTH_LIMIT: usize = 2048;

/// The subject of a DER certificate, in printable ASCII; none if it cannot be read or is longer
/// than 2 KiB.
pub(super) fn of(certificate: &[u8]) -> Option<Box<str>> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let text = text(certificate.subject())?;
    (text.len() <= LENGTH_LIMIT).then(|| text.into())
}

fn text(name: &X509Name<'_>) -> Option<String> {
    let mut text = String::new();
    // RFC 4514 §2.1: the last relative name comes first.
    let relative_names: Vec<_> = name.iter_rdn().collect();
    for (at, relative_name) in relative_names.iter().rev().enumerate() {
        for (part, attribute) in relative_name.iter().enumerate() {
            match (at, part) {
                (0, 0) => {}
                (_, 0) => text.push(','),
                _ => text.push('+'),
            }
            write_attribute(&mut text, attribute)?;
        }
    }
    Some(text)
}

fn write_attribute(text: &mut String, attribute: &AttributeTypeAndValue<'_>) -> Option<()> {
    let oid = attribute.attr_type().to_id_string();
    match (short_name(&oid), attribute.as_str()) {
        (Some(name), Ok(value)) => {
            text.push_str(name);
            text.push('=');
            write_value(text, value);
        }
        // RFC 4514 §2.4: what has no name or no string form is given as its encoding.
        (name, _) => {
            text.push_str(name.unwrap_or(&oid));
            text.push_str("=#");
            for byte in attribute.attr_value().to_der_vec().ok()? {
                let _ = write!(text, "{byte:02x}");
            }
        }
    }
    Some(())
}

/// Escaped so that a comma in a value cannot pass for the next attribute, nor a line end for the
/// next header field.
fn write_value(text: &mut String, value: &str) {
    let last = value.len().saturating_sub(1);
    for (at, byte) in value.bytes().enumerate() {
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' => {
                text.push('\\');
                text.push(byte.into());
            }
            b'#' | b' ' if at == 0 => {
                text.push('\\');
                text.push(byte.into());
            }
            b' ' if at == last => text.push_str("\\ "),
            b' '..=b'~' => text.push(byte.into()),
            _ => {
                let _ = write!(text, "\\{byte:02X}");
            }
        }
    }
}

/// The attributes of RFC 4514 §3, and the mail address, as OpenSSL and nginx write them.
fn short_name(oid: &str) -> Option<&'static str> {
    Some(match oid {
        "2.5.4.3" => "CN",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "STREET",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        "1.2.840.113549.1.9.1" => "emailAddress",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{DnType, DnValue};

    use super::*;
    use crate::tls::tests::minted::Authority;

    fn subject(attributes: &[(DnType, DnValue)]) -> Option<Box<str>> {
        of(Authority::new("ca").subject(attributes).der())
    }

    #[test]
    fn the_last_part_comes_first() {
        let attributes = [
            (DnType::CountryName, "KR".into()),
            (DnType::OrganizationName, "Haechi, Inc.".into()),
            (DnType::CommonName, "node 1".into()),
        ];
        assert_eq!(subject(&attributes).as_deref(), Some("CN=node 1,O=Haechi\\, Inc.,C=KR"));
    }

    #[test]
    fn values_cannot_leave_their_place() {
        let common_name = |value: &str| subject(&[(DnType::CommonName, value.into())]).unwrap();
        assert_eq!(&*common_name("a,CN=admin"), "CN=a\\,CN=admin");
        assert_eq!(&*common_name("a\r\nX: y"), "CN=a\\0D\\0AX: y");
        assert_eq!(&*common_name("#1 "), "CN=\\#1\\ ");
        assert_eq!(&*common_name(" "), "CN=\\ ");
        assert_eq!(&*common_name("한"), "CN=\\ED\\95\\9C");
        assert_eq!(&*common_name(r#"\"+;<>"#), r#"CN=\\\"\+\;\<\>"#);
    }

    #[test]
    fn unknown_attributes_are_given_as_encoded() {
        let unknown = DnType::CustomDnType(vec![1, 2, 3, 4]);
        assert_eq!(subject(&[(unknown, "a".into())]).as_deref(), Some("1.2.3.4=#0c0161"));
    }

    #[test]
    fn an_endless_subject_is_no_subject() {
        assert_eq!(subject(&[(DnType::CommonName, "x".repeat(3000).into())]), None);
        assert_eq!(of(b"junk"), None);
    }
}
