//! Addresses and small numbers as text, where `Display` would take longer than the call that sends it.

use std::net::IpAddr;

/// Writes an address; IPv4 mapped into IPv6 is IPv4 here.
pub fn write_address(out: &mut Vec<u8>, address: IpAddr) {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            for octet in [a, b, c] {
                write_small(out, octet);
                out.push(b'.');
            }
            write_small(out, d);
        }
        IpAddr::V6(address) => out.extend_from_slice(address.to_string().as_bytes()),
    }
}

/// Writes a number of at most three digits.
pub fn write_small(out: &mut Vec<u8>, value: u8) {
    let [hundreds, tens, ones] = [value / 100, value / 10 % 10, value % 10].map(|figure| b'0' + figure);
    match value {
        0..10 => out.push(ones),
        10..100 => out.extend_from_slice(&[tens, ones]),
        _ => out.extend_from_slice(&[hundreds, tens, ones]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_small_number_is_written_as_display_does() {
        for value in 0..=u8::MAX {
            let mut out = Vec::new();
            write_small(&mut out, value);
            assert_eq!(out, value.to_string().into_bytes());
        }
    }

    proptest! {
        #[test]
        fn an_address_is_written_as_display_does(address: IpAddr) {
            let mut out = Vec::new();
            write_address(&mut out, address);
            prop_assert_eq!(String::from_utf8(out).unwrap(), address.to_canonical().to_string());
        }
    }
}
