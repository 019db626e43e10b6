//! One-to-one mapping: every packet after it has the checksums that a fresh computation gives, and
//! mapping back gives the octets that were sent.

mod common;

use std::net::IpAddr;

use common::address;
use ipsec::checksum;
use ipsec::map::{AddressMap, MapError, NetworkPair};
use ipsec::packet::{protocol, Packet, Version};

fn pair(real: &str, mapped: &str, prefix: u8) -> NetworkPair {
    NetworkPair {
        real: address(real),
        mapped: address(mapped),
        prefix,
    }
}

fn map() -> AddressMap {
    AddressMap::new(vec![
        pair("10.0.0.0", "172.16.5.0", 24),
        pair("192.168.7.8", "203.0.113.8", 30),
        pair("fd00:1::", "2001:db8:77::", 48),
    ])
    .unwrap()
}

fn octets(address: &IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// Where the checksum of an upper layer lies.
fn checksum_at(protocol: u8) -> Option<usize> {
    match protocol {
        6 => Some(16),
        17 | 33 | 136 => Some(6),
        1 | 58 => Some(2),
        _ => None,
    }
}

/// A packet whose checksums fit.
fn packet(source: &str, destination: &str, protocol: u8, upper: &[u8]) -> Vec<u8> {
    let (source, destination) = (address(source), address(destination));
    let mut packet = match source {
        IpAddr::V4(_) => {
            let mut header = vec![0x45, 0, 0, 0, 0x12, 0x34, 0x40, 0, 64, protocol, 0, 0];
            header.extend(octets(&source));
            header.extend(octets(&destination));
            header[2..4].copy_from_slice(&((20 + upper.len()) as u16).to_be_bytes());
            let sum = checksum::finish(checksum::add(0, &header));
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            header
        }
        IpAddr::V6(_) => {
            let mut header = vec![0x60, 0, 0, 0, 0, 0, protocol, 64];
            header[4..6].copy_from_slice(&(upper.len() as u16).to_be_bytes());
            header.extend(octets(&source));
            header.extend(octets(&destination));
            header
        }
    };
    let start = packet.len();
    packet.extend(upper);
    if let Some(at) = checksum_at(protocol) {
        packet[start + at..start + at + 2].fill(0);
        let sum = upper_sum(&packet, start, protocol);
        packet[start + at..start + at + 2].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

/// The checksum of the upper layer over what stands there; zero when it is right already.
fn upper_sum(packet: &[u8], start: usize, protocol: u8) -> u16 {
    let upper = &packet[start..];
    let pseudo = match (packet[0] >> 4, protocol) {
        (4, 1) => 0,
        (4, _) => checksum::add(u32::from(protocol) + upper.len() as u32, &packet[12..20]),
        _ => checksum::add(u32::from(protocol) + upper.len() as u32, &packet[8..40]),
    };
    checksum::finish(checksum::add(pseudo, upper))
}

fn assert_sound(packet: &[u8]) {
    let view = Packet::parse(packet).unwrap();
    if view.version() == Version::V4 {
        assert_eq!(
            checksum::finish(checksum::add(0, &packet[..view.upper_offset])),
            0
        );
    }
    if checksum_at(view.protocol).is_some() {
        assert_eq!(upper_sum(packet, view.upper_offset, view.protocol), 0);
    }
}

/// Maps a packet as it leaves, checks it, and says where it now comes from.
fn left(octets: &mut [u8]) -> IpAddr {
    let view = Packet::parse(octets).unwrap();
    let said = map().leave(octets, &view);
    assert_eq!(said, Packet::parse(octets).unwrap());
    said.source
}

fn upper(length: usize, seed: u8) -> Vec<u8> {
    (0..length)
        .map(|i| (i as u8).wrapping_mul(37).wrapping_add(seed))
        .collect()
}

#[test]
fn every_protocol_leaves_with_checksums_that_fit_and_comes_back_as_it_was() {
    for protocol in [1, 6, 17, 33, 47, 50, 132, 136] {
        for seed in 0..=255 {
            let mut body = upper(24 + usize::from(seed) % 5, seed);
            if protocol == 1 {
                body[..2].copy_from_slice(&[8, 0]);
            }
            let sent = packet("10.0.0.77", "172.16.6.9", protocol, &body);
            let mut octets = sent.clone();
            assert_eq!(left(&mut octets), address("172.16.5.77"));
            assert_sound(&octets);
            // What the peer answers comes to where the question came from.
            let mut answer = packet("172.16.6.9", "172.16.5.77", protocol, &body);
            let view = Packet::parse(&answer).unwrap();
            assert_eq!(
                map().arrive(&mut answer, &view).destination,
                address("10.0.0.77")
            );
            assert_eq!(answer, packet("172.16.6.9", "10.0.0.77", protocol, &body));
        }
    }
}

#[test]
fn ipv6_is_mapped_by_its_prefix() {
    for protocol in [6, 17, 58] {
        let mut body = upper(30, 3);
        body[..2].copy_from_slice(&[128, 0]);
        let mut octets = packet("fd00:1:0:5::abcd", "2001:db8:78::1", protocol, &body);
        assert_eq!(left(&mut octets), address("2001:db8:77:5::abcd"));
        assert_sound(&octets);
    }
}

#[test]
fn what_no_pair_holds_stays_as_it_is() {
    for source in ["10.0.1.1", "192.168.7.12", "172.16.5.3"] {
        let sent = packet(source, "172.16.6.9", 17, &upper(20, 1));
        let mut octets = sent.clone();
        left(&mut octets);
        assert_eq!(octets, sent);
    }
    let sent = packet("172.16.6.9", "10.0.0.3", 6, &upper(20, 1));
    let mut octets = sent.clone();
    let view = Packet::parse(&octets).unwrap();
    assert_eq!(map().arrive(&mut octets, &view), view);
    assert_eq!(octets, sent);
    let mut octets = packet("192.168.7.10", "172.16.6.9", 6, &upper(20, 1));
    assert_eq!(left(&mut octets), address("203.0.113.10"));
}

#[test]
fn a_udp_packet_without_checksum_keeps_none_and_none_is_made() {
    let mut octets = packet("10.0.0.1", "172.16.6.9", 17, &upper(20, 1));
    octets[26..28].fill(0);
    left(&mut octets);
    assert_eq!(octets[26..28], [0, 0]);
    // One whose sum becomes zero is written as ones.
    let mut seen = 0;
    for low in 0..=u16::MAX {
        let mut body = upper(10, 1);
        body[8..10].copy_from_slice(&low.to_be_bytes());
        let mut octets = packet("10.0.0.1", "172.16.6.9", 17, &body);
        if octets[26..28] == [0, 0] {
            continue;
        }
        left(&mut octets);
        assert_ne!(octets[26..28], [0, 0]);
        seen += usize::from(octets[26..28] == [0xff, 0xff]);
    }
    assert_eq!(seen, 1);
}

#[test]
fn a_fragment_is_mapped_in_its_header_and_the_first_one_in_its_checksum() {
    let whole = packet("10.0.0.9", "172.16.6.9", 17, &upper(64, 9));
    let mut mapped = whole.clone();
    left(&mut mapped);
    for (range, field) in [(0..32, 0x2000_u16), (32..64, 4)] {
        let cut = |from: &[u8]| {
            let mut header = from[..20].to_vec();
            header[2..4].copy_from_slice(&52_u16.to_be_bytes());
            header[6..8].copy_from_slice(&field.to_be_bytes());
            header[10..12].fill(0);
            let sum = checksum::finish(checksum::add(0, &header));
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            [&header[..], &from[20..][range.clone()]].concat()
        };
        let mut fragment = cut(&whole);
        assert_eq!(left(&mut fragment), address("172.16.5.9"));
        assert_eq!(fragment, cut(&mapped), "as if it had been cut afterwards");
    }
}

/// An ICMP error that quotes `of`.
fn error(source: &str, destination: &str, of: &[u8]) -> Vec<u8> {
    let (kind, protocol) = match address(source) {
        IpAddr::V4(_) => (3, protocol::ICMP),
        IpAddr::V6(_) => (1, protocol::ICMPV6),
    };
    let body = [&[kind, 1, 0, 0, 0, 0, 0, 0], of].concat();
    packet(source, destination, protocol, &body)
}

#[test]
fn an_icmp_error_is_mapped_with_what_it_quotes() {
    for (own, seen, peer, protocol) in [
        ("10.0.0.9", "172.16.5.9", "172.16.6.9", 17),
        ("10.0.0.9", "172.16.5.9", "172.16.6.9", 6),
        ("10.0.0.9", "172.16.5.9", "172.16.6.9", 1),
        ("fd00:1::9", "2001:db8:77::9", "2001:db8:78::9", 17),
        ("fd00:1::9", "2001:db8:77::9", "2001:db8:78::9", 58),
    ] {
        let mut body = upper(40, 5);
        body[..2].copy_from_slice(&[if protocol == 58 { 128 } else { 8 }, 0]);
        for length in [60, 48, 28] {
            // Ours, about what the peer sent: the quote's destination is ours.
            let before = packet(peer, own, protocol, &body);
            let after = packet(peer, seen, protocol, &body);
            let length = length.min(before.len()).max(before.len() - 40 + 8);
            let mut octets = error(own, peer, &before[..length]);
            assert_eq!(left(&mut octets), address(seen));
            assert_eq!(
                octets,
                error(seen, peer, &after[..length]),
                "{own} {protocol}"
            );
            // The peer's, about what we sent: the quote's source is ours.
            let before = packet(seen, peer, protocol, &body);
            let after = packet(own, peer, protocol, &body);
            let mut octets = error(peer, seen, &before[..length]);
            let view = Packet::parse(&octets).unwrap();
            assert_eq!(map().arrive(&mut octets, &view).destination, address(own));
            assert_eq!(
                octets,
                error(peer, own, &after[..length]),
                "{own} {protocol}"
            );
        }
    }
}

#[test]
fn odd_octets_never_panic_and_a_damaged_packet_stays_damaged() {
    let mut state = 7_u64;
    let mut draw = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize
    };
    let good = [
        error(
            "10.0.0.9",
            "172.16.6.9",
            &packet("172.16.6.9", "10.0.0.9", 17, &upper(12, 1)),
        ),
        packet("fd00:1::9", "2001:db8:78::9", 6, &upper(20, 1)),
    ];
    let (mut parsed, mut damaged) = (0, 0);
    for round in 0..50_000 {
        let mut octets = good[round % 2].clone();
        octets.truncate(20 + draw() % octets.len());
        for _ in 0..draw() % 4 {
            let at = draw() % octets.len();
            octets[at] ^= 1 << (draw() % 8);
        }
        let Ok(view) = Packet::parse(&octets) else {
            continue;
        };
        parsed += 1;
        let wrong = checksum::finish(checksum::add(0, &octets[..20.min(octets.len())])) != 0;
        map().leave(&mut octets, &view);
        if wrong && view.version() == Version::V4 && view.upper_offset == 20 {
            damaged += 1;
            assert_ne!(checksum::finish(checksum::add(0, &octets[..20])), 0);
        }
        map().arrive(&mut octets, &view);
    }
    assert!(parsed > 1000 && damaged > 100);
}

#[test]
fn ambiguous_pairs_are_refused() {
    let refused = |pairs: Vec<NetworkPair>| AddressMap::new(pairs).unwrap_err();
    let one = pair("10.0.0.0", "172.16.5.0", 24);
    assert_eq!(
        refused(vec![one, pair("10.0.0.0", "172.16.6.0", 25)]),
        MapError::Overlap
    );
    assert_eq!(
        refused(vec![one, pair("10.0.1.0", "172.16.5.128", 25)]),
        MapError::Overlap
    );
    assert_eq!(
        refused(vec![pair("10.0.0.1", "172.16.5.0", 24)]),
        MapError::Prefix
    );
    assert_eq!(
        refused(vec![pair("10.0.0.0", "172.16.5.0", 33)]),
        MapError::Prefix
    );
    assert_eq!(
        refused(vec![pair("10.0.0.0", "fd00::", 24)]),
        MapError::MixedVersions
    );
    assert_eq!(refused(vec![one; 65]), MapError::TooMany);
    assert!(AddressMap::new(vec![pair("::", "::", 0), one]).is_ok());
}
