//! Outer headers, inner MTU, too-big answers, fragmentation and MSS.

mod common;

use common::*;
use ipsec::checksum::{add, finish};
use ipsec::cipher::Suite;
use ipsec::packet::{Packet, Ports, Version};
use ipsec::pmtu::{clamp_mss, fit, inner_mtu, too_big, Fit, Fragmenter, ANSWER_MAX};
use ipsec::stats::Reason;
use ipsec::tunnel::{self, DfPolicy};
use proptest::prelude::*;

#[test]
fn the_inner_mtu_gives_all_rows_of_the_table_of_aws() {
    // PRODUCT-GUIDE j.1: suite, MTU native, MTU with NAT traversal.
    for (encr, integ, native, nat) in [
        (20, 0, 1446, 1438),
        (12, 2, 1438, 1422),
        (12, 12, 1438, 1422),
        (12, 13, 1422, 1422),
        (12, 14, 1422, 1406),
    ] {
        for key_bits in [128, 256] {
            let suite = Suite::new(encr, key_bits, integ).unwrap();
            let row = [false, true].map(|encap| inner_mtu(1500, Version::V4, encap, &suite));
            assert_eq!(row, [native, nat], "{encr} {integ}");
            assert_eq!(row.map(|mtu| mtu - 40), [native - 40, nat - 40]);
        }
    }
}

proptest! {
    #[test]
    fn what_fits_the_inner_mtu_fits_the_path_and_one_octet_more_does_not(
        outer_mtu in 200usize..9200, v6: bool, encap: bool,
    ) {
        for suite in suites() {
            let path = path(v6, encap);
            let mtu = inner_mtu(outer_mtu, Version::of(&path.local.ip()), encap, &suite);
            let outer = |inner: usize| tunnel::outer_length(&path) + suite.sealed_length(inner);
            prop_assert!(outer(mtu) <= outer_mtu && outer(mtu + 1) > outer_mtu);
        }
    }

    #[test]
    fn no_octets_make_the_path_functions_panic(
        octets in prop::collection::vec(any::<u8>(), 20..300), mtu in 0usize..2000, offset in 0x50u8..=0xff,
    ) {
        let mut packet = inner(false, 20 + octets.len());
        packet[20..].copy_from_slice(&octets);
        packet[9] = 6;
        packet[32] = offset;
        packet[33] |= 2;
        let view = Packet::parse(&packet).unwrap();
        clamp_mss(&mut packet, &view, mtu);
        let mut out = [0; 2000];
        too_big(&packet, &view, mtu, address("10.9.9.9"), &mut out);
        if let Some(mut fragments) = Fragmenter::new(&packet, &view, mtu) {
            while fragments.next_into(&mut out).is_some() {}
        }
    }

    #[test]
    fn fragments_fit_and_make_the_packet_again(
        length in 300usize..5000, mtu in 68usize..1500, options in 0usize..=10, more: bool, base in 0u16..100,
    ) {
        let mut packet = inner(false, length);
        let header = 20 + options * 4;
        packet[0] = 0x40 | (5 + options) as u8;
        if options > 0 {
            packet[20..header].fill(0);
            // Router alert is copied to all fragments, record route (7) is not.
            packet[20..24].copy_from_slice(&[0x94, 4, 0, 0]);
            if options > 2 {
                packet[24..27].copy_from_slice(&[7, 7, 4]);
            }
        }
        let field = base | if more { 0x2000 } else { 0 };
        packet[6..8].copy_from_slice(&field.to_be_bytes());
        let view = Packet::parse(&packet).unwrap();
        let Some(mut fragments) = Fragmenter::new(&packet, &view, mtu) else {
            prop_assert!(length <= mtu);
            return Ok(());
        };
        let mut out = [0; 1500];
        let mut data = Vec::new();
        let mut last = false;
        while let Some(size) = fragments.next_into(&mut out) {
            prop_assert!(size <= mtu && !last);
            prop_assert_eq!(finish(add(0, &out[..header])), 0);
            prop_assert_eq!(usize::from(u16::from_be_bytes([out[2], out[3]])), size);
            let field = u16::from_be_bytes([out[6], out[7]]);
            prop_assert_eq!(usize::from(field & 0x1fff) * 8, usize::from(base) * 8 + data.len());
            if options > 2 {
                prop_assert_eq!(out[20], 0x94);
                prop_assert_eq!(out[24], if data.is_empty() { 7 } else { 1 });
            }
            data.extend_from_slice(&out[header..size]);
            last = data.len() == length - header;
            prop_assert_eq!(field & 0x2000 != 0, more || !last);
        }
        prop_assert_eq!(&data[..], &packet[header..]);
    }

    #[test]
    fn a_clamped_segment_has_a_right_checksum(
        mss in 0u16.., mtu in 576usize..1500, nops in 0usize..3, v6: bool, ack: bool,
    ) {
        let (mut packet, header) = syn(v6, nops, mss, if ack { 0x12 } else { 0x02 });
        let view = Packet::parse(&packet).unwrap();
        let most = (mtu - header - 20) as u16;
        let before = packet.clone();
        prop_assert_eq!(clamp_mss(&mut packet, &view, mtu), mss > most);
        let at = header + 20 + nops + 2;
        prop_assert_eq!(u16::from_be_bytes([packet[at], packet[at + 1]]), mss.min(most));
        prop_assert_eq!(tcp_sum(&packet, header), 0);
        if mss <= most {
            prop_assert_eq!(before, packet);
        }
    }
}

/// A TCP segment with an MSS option after some no-operations, with a right checksum.
fn syn(v6: bool, nops: usize, mss: u16, flags: u8) -> (Vec<u8>, usize) {
    let header = if v6 { 40 } else { 20 };
    let mut packet = inner(v6, header + 28);
    packet[if v6 { 6 } else { 9 }] = 6;
    let tcp = &mut packet[header..];
    tcp[12..14].copy_from_slice(&[7 << 4, flags]);
    tcp[16..18].fill(0);
    tcp[20..28].fill(1);
    tcp[20 + nops..24 + nops].copy_from_slice(&[2, 4, (mss >> 8) as u8, mss as u8]);
    let sum = tcp_sum(&packet, header);
    packet[header + 16..header + 18].copy_from_slice(&sum.to_be_bytes());
    (packet, header)
}

/// Zero when the checksum in the segment is right.
fn tcp_sum(packet: &[u8], header: usize) -> u16 {
    let addresses = if header == 40 {
        &packet[8..40]
    } else {
        &packet[12..20]
    };
    let pseudo = 6 + (packet.len() - header) as u32;
    finish(add(add(pseudo, addresses), &packet[header..]))
}

#[test]
fn only_syn_segments_are_clamped() {
    let (mut packet, _) = syn(false, 0, 1460, 0x10);
    let view = Packet::parse(&packet).unwrap();
    assert!(!clamp_mss(&mut packet, &view, 576));
    let (mut packet, _) = syn(false, 0, 1460, 0x02);
    let mut fragment = packet.clone();
    fragment[6] = 0x20;
    let view = Packet::parse(&fragment).unwrap();
    assert!(!clamp_mss(&mut fragment, &view, 576));
    let view = Packet::parse(&packet).unwrap();
    assert!(clamp_mss(&mut packet, &view, 576));
    assert!(
        !clamp_mss(&mut packet, &view, 576),
        "a second time changes nothing"
    );
}

#[test]
fn a_too_big_answer_for_ipv4_says_the_mtu_and_quotes_the_packet() {
    let mut packet = inner(false, 1500);
    packet[6] = 0x40;
    let view = Packet::parse(&packet).unwrap();
    assert_eq!(fit(&view, 1446), Fit::TooBig);
    let mut out = [0; ANSWER_MAX];
    let length = too_big(&packet, &view, 1446, address("10.0.1.254"), &mut out).unwrap();
    let answer = &out[..length];
    assert_eq!(length, 576);
    let seen = Packet::parse(answer).unwrap();
    assert_eq!(
        (seen.source, seen.destination),
        (address("10.0.1.254"), view.source)
    );
    assert_eq!(
        (seen.protocol, seen.ports, seen.length),
        (1, Ports::Kind(0x0304), length)
    );
    assert_eq!(u16::from_be_bytes([answer[26], answer[27]]), 1446);
    assert_eq!(answer[28..], packet[..548]);
    assert_eq!(
        (finish(add(0, &answer[..20])), finish(add(0, &answer[20..]))),
        (0, 0)
    );
}

#[test]
fn a_too_big_answer_for_ipv6_says_the_mtu_and_quotes_the_packet() {
    let packet = inner(true, 1500);
    let view = Packet::parse(&packet).unwrap();
    assert_eq!(fit(&view, 1400), Fit::TooBig);
    let mut out = [0; ANSWER_MAX];
    let length = too_big(&packet, &view, 1400, address("2001:db8::fe"), &mut out).unwrap();
    let answer = &out[..length];
    assert_eq!(length, 1280);
    let seen = Packet::parse(answer).unwrap();
    assert_eq!(
        (seen.source, seen.destination),
        (address("2001:db8::fe"), view.source)
    );
    assert_eq!((seen.ports, seen.length), (Ports::Kind(0x0200), length));
    assert_eq!(answer[44..48], 1400u32.to_be_bytes());
    assert_eq!(answer[48..], packet[..1232]);
    let pseudo = 58 + (length - 40) as u32;
    assert_eq!(finish(add(add(pseudo, &answer[8..40]), &answer[40..])), 0);
    // Never below what IPv6 promises.
    too_big(&packet, &view, 600, address("2001:db8::fe"), &mut out).unwrap();
    assert_eq!(out[44..48], 1280u32.to_be_bytes());
    assert_eq!(
        fit(&Packet::parse(&inner(true, 1280)).unwrap(), 600),
        Fit::Fits
    );
}

#[test]
fn no_answer_goes_where_none_may_go() {
    let mut out = [0; ANSWER_MAX];
    let mut none = |change: &dyn Fn(&mut Vec<u8>), v6: bool, from: &str| {
        let mut packet = inner(v6, 1500);
        change(&mut packet);
        let view = Packet::parse(&packet).unwrap();
        too_big(&packet, &view, 1300, address(from), &mut out).is_none()
    };
    let (r4, r6) = ("10.0.1.254", "2001:db8::fe");
    assert!(!none(&|_| (), false, r4) && !none(&|_| (), true, r6));
    assert!(none(&|_| (), false, r6), "the other version");
    assert!(none(&|p| p[7] = 9, false, r4), "a later fragment");
    let icmp = |kind: u8| move |p: &mut Vec<u8>| (p[9], p[20]) = (1, kind);
    assert!(none(&icmp(3), false, r4) && none(&icmp(11), false, r4) && !none(&icmp(8), false, r4));
    let icmp6 = |kind: u8| move |p: &mut Vec<u8>| (p[6], p[40]) = (58, kind);
    assert!(
        none(&icmp6(1), true, r6) && none(&icmp6(127), true, r6) && !none(&icmp6(128), true, r6)
    );
    assert!(none(&|p| p[12] = 224, false, r4) && none(&|p| p[16] = 239, false, r4));
    assert!(none(&|p| p[12] = 127, false, r4) && none(&|p| p[12..16].fill(0), false, r4));
    assert!(none(&|p| p[8] = 0xff, true, r6) && !none(&|p| p[24] = 0xff, true, r6));
}

#[test]
fn ipv4_without_dont_fragment_is_cut() {
    let packet = inner(false, 1500);
    let view = Packet::parse(&packet).unwrap();
    assert_eq!(
        (fit(&view, 1499), fit(&view, 1500)),
        (Fit::Fragment, Fit::Fits)
    );
    assert!(Fragmenter::new(&packet, &view, 67).is_none());
    assert!(Fragmenter::new(&packet, &view, 1500).is_none());
}

#[test]
fn any_version_goes_into_any_version_and_comes_out_again() {
    for (outer_v6, inner_v6, encap) in [false, true].iter().flat_map(|&a| {
        [
            (a, false, false),
            (a, true, true),
            (a, false, true),
            (a, true, false),
        ]
    }) {
        let (outbound, inbound) = pair(|p| p.path = path(outer_v6, encap), gcm());
        let packet = inner(inner_v6, 100);
        let (esp, sealed) = seal(&outbound, &packet).unwrap();
        let path = outbound.parameters().path;
        let headers = tunnel::outer_length(&path);
        let mut buffer = vec![0xee; headers + 3];
        buffer.extend(&esp);
        let range = headers + 3..buffer.len();
        let start = tunnel::write_outer(&mut buffer, range.clone(), &path, 0xb8, true, 77).unwrap();
        assert_eq!(start, 3);
        let outer = Packet::parse(&buffer[start..]).unwrap();
        assert_eq!(
            (outer.source, outer.destination),
            (path.local.ip(), path.remote.ip())
        );
        assert_eq!(
            (outer.tos, outer.ttl, outer.length),
            (0xb8, 64, headers + esp.len())
        );
        assert_eq!(outer.protocol, if encap { 17 } else { 50 });
        if encap {
            assert_eq!(
                outer.ports,
                Ports::Pair {
                    source: 4500,
                    destination: 4500
                }
            );
        }
        if !outer_v6 {
            assert_eq!(finish(add(0, &buffer[start..start + 20])), 0);
        }
        assert_eq!(
            open(&inbound, &buffer[range], sealed.tos).unwrap().0,
            packet
        );
        let mut small = vec![0; headers - 1 + esp.len()];
        let range = headers - 1..small.len();
        assert_eq!(
            tunnel::write_outer(&mut small, range, &path, 0, true, 0),
            Err(Reason::NoRoom)
        );
    }
}

#[test]
fn dont_fragment_is_copied_set_or_cleared() {
    let mut packet = inner(false, 60);
    let without = Packet::parse(&packet).unwrap();
    packet[6] = 0x40;
    let with = Packet::parse(&packet).unwrap();
    let six = Packet::parse(&inner(true, 60)).unwrap();
    let flags = |df: DfPolicy| [&with, &without, &six].map(|packet| df.outer(packet));
    assert_eq!(flags(DfPolicy::Copy), [true, false, true]);
    assert_eq!(flags(DfPolicy::Set), [true; 3]);
    assert_eq!(flags(DfPolicy::Clear), [false; 3]);
}

#[test]
fn all_sixteen_pairs_of_ecn_follow_rfc_6040() {
    // Rows: inner Not-ECT, ECT(0), ECT(1), CE; columns: outer likewise (RFC 6040 figure 4).
    let order = [0u8, 2, 1, 3];
    let table = [
        [Some(0), Some(0), Some(0), None],
        [Some(2), Some(2), Some(1), Some(3)],
        [Some(1), Some(1), Some(1), Some(3)],
        [Some(3), Some(3), Some(3), Some(3)],
    ];
    for (inner, row) in order.iter().zip(table) {
        for (outer, expected) in order.iter().zip(row) {
            assert_eq!(
                tunnel::decapsulated_ecn(0xb8 | inner, 0x10 | outer),
                expected
            );
        }
    }
}
