use proptest::prelude::*;

use super::*;

const OURS: Mac = Mac([2, 0, 0, 0, 0, 0x0c]);
const VIP: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 100);
const VIP_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x77, 0, 0, 0, 0, 0, 0x100);
const OUR_LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xc);

fn bytes(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn a_gratuitous_arp_is_keepaliveds_byte_by_byte() {
    let expected = bytes(
        "ff ff ff ff ff ff  02 00 00 00 00 0c  08 06
         00 01 08 00 06 04 00 01
         02 00 00 00 00 0c  c0 a8 00 64
         ff ff ff ff ff ff  c0 a8 00 64",
    );
    assert_eq!(gratuitous_arp(OURS, VIP).as_slice(), expected);
}

#[test]
fn a_question_claims_no_address() {
    let frame = arp_probe(OURS, VIP);
    assert_eq!(&frame[28..32], &[0; 4]);
    assert_eq!(&frame[38..], &VIP.octets());
    assert_eq!(arp_owner(&frame, VIP), None);
}

#[test]
fn an_answer_names_its_sender() {
    // As the Linux kernel answers a probe; Ethernet pads it to 60 bytes.
    let mut answer = bytes(
        "02 00 00 00 00 0c  02 00 00 00 00 0b  08 06
         00 01 08 00 06 04 00 02
         02 00 00 00 00 0b  c0 a8 00 64
         02 00 00 00 00 0c  00 00 00 00",
    );
    answer.resize(60, 0);
    let theirs = Mac([2, 0, 0, 0, 0, 0x0b]);
    assert_eq!(arp_owner(&answer, VIP), Some(theirs));
    assert_eq!(arp_owner(&answer, Ipv4Addr::new(192, 168, 0, 101)), None);
    assert_eq!(arp_owner(&gratuitous_arp(theirs, VIP), VIP), Some(theirs));
    answer[21] = 3;
    assert_eq!(arp_owner(&answer, VIP), None, "RARP is no answer");
}

#[test]
fn an_unsolicited_advertisement_is_laid_out_byte_by_byte() {
    let expected = bytes(
        "33 33 00 00 00 01  02 00 00 00 00 0c  86 dd
         60 00 00 00 00 20 3a ff
         fd 00 00 77 00 00 00 00 00 00 00 00 00 00 01 00
         ff 02 00 00 00 00 00 00 00 00 00 00 00 00 00 01
         88 00 57 a4 20 00 00 00
         fd 00 00 77 00 00 00 00 00 00 00 00 00 00 01 00
         02 01 02 00 00 00 00 0c",
    );
    let frame = unsolicited_advertisement(OURS, VIP_V6, false);
    assert_eq!(frame.as_slice(), expected);
    assert_eq!(unsolicited_advertisement(OURS, VIP_V6, true)[58], 0xa0);
}

#[test]
fn a_solicitation_goes_to_the_groups_of_its_target() {
    let target = Ipv6Addr::new(0xfd00, 0x77, 0, 0, 0, 0, 0x12ab, 0xcdef);
    let frame = solicitation(OURS, OUR_LINK_LOCAL, target);
    assert_eq!(frame[..6], [0x33, 0x33, 0xff, 0xab, 0xcd, 0xef]);
    assert_eq!(frame[38..54], Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xffab, 0xcdef).octets());
    assert_eq!((frame[54], frame[78], frame[21]), (135, 1, 255));
    assert_eq!(icmp_checksum(&frame[14..54], &frame[54..]), 0);
}

#[test]
fn an_advertisement_names_its_owner() {
    let mut frame = unsolicited_advertisement(OURS, VIP_V6, false);
    assert_eq!(advertisement_owner(&frame, VIP_V6), Some(OURS));
    assert_eq!(advertisement_owner(&frame, OUR_LINK_LOCAL), None);
    assert_eq!(advertisement_owner(&solicitation(OURS, OUR_LINK_LOCAL, VIP_V6), VIP_V6), None);
    // Without the option, which an answer to a unicast question may leave out, the frame's sender counts.
    let mut short = frame[..78].to_vec();
    short[19] = 24;
    short[56..58].fill(0);
    let checksum = icmp_checksum(&short[14..54], &short[54..]);
    short[56..58].copy_from_slice(&checksum.to_be_bytes());
    assert_eq!(advertisement_owner(&short, VIP_V6), Some(OURS));

    frame[21] = 254;
    assert_eq!(advertisement_owner(&frame, VIP_V6), None, "it came through a router");
    frame[21] = 255;
    frame[60] ^= 1;
    assert_eq!(advertisement_owner(&frame, VIP_V6), None, "its checksum is wrong");
}

#[test]
fn virtual_macs_are_those_of_the_rfc() {
    assert_eq!(Mac::virtual_v4(51).to_string(), "00:00:5e:00:01:33");
    assert_eq!(Mac::virtual_v6(51).to_string(), "00:00:5e:00:02:33");
}

proptest! {
    #[test]
    fn any_bytes_are_no_panic(frame in proptest::collection::vec(any::<u8>(), 0..LONGEST_FRAME)) {
        let _ = arp_owner(&frame, VIP);
        let _ = advertisement_owner(&frame, VIP_V6);
    }

    #[test]
    fn a_broken_frame_is_no_panic(at in 0..86usize, value: u8, length in 0..86usize) {
        let mut frame = unsolicited_advertisement(OURS, VIP_V6, false);
        frame[at] = value;
        let _ = advertisement_owner(&frame[..length], VIP_V6);
        let _ = named_mac(&frame[at..]);
        let mut frame = gratuitous_arp(OURS, VIP);
        frame[at % 42] = value;
        let _ = arp_owner(&frame[..length.min(42)], VIP);
    }
}
