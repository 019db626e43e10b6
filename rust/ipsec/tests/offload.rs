//! Cutting and joining: whatever is joined, cutting it gives the same octets back.

use ipsec::checksum;
use ipsec::offload::{Cut, Header, Joined, Segment, HEADER, SEGMENTS_MAX};
use ipsec::packet::{protocol, Packet};
use ipsec::stats::Reason;
use proptest::prelude::*;

const TCP: u8 = protocol::TCP;
const UDP: u8 = protocol::UDP;

#[derive(Clone, Debug)]
struct Shape {
    v6: bool,
    protocol: u8,
    tos: u8,
    id: u16,
    df: bool,
    port: u16,
    sequence: u32,
    ack: u32,
    flags: u8,
    window: u16,
    options: Vec<u8>,
    payload: Vec<u8>,
}

fn tcp(payload: usize) -> Shape {
    Shape {
        v6: false,
        protocol: TCP,
        tos: 0,
        id: 0xfff0,
        df: true,
        port: 80,
        sequence: 0xffff_f000,
        ack: 5,
        flags: 0x10,
        window: 500,
        options: vec![1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2],
        payload: (0..payload).map(|n| n as u8).collect(),
    }
}

fn build(shape: &Shape) -> Vec<u8> {
    let mut upper = Vec::new();
    upper.extend(4000_u16.to_be_bytes());
    upper.extend(shape.port.to_be_bytes());
    let field = match shape.protocol {
        TCP => {
            upper.extend(shape.sequence.to_be_bytes());
            upper.extend(shape.ack.to_be_bytes());
            let length = (20 + shape.options.len()) / 4;
            upper.extend([(length as u8) << 4, shape.flags]);
            upper.extend(shape.window.to_be_bytes());
            upper.extend([0, 0, 0, 0]);
            upper.extend(&shape.options);
            16
        }
        _ => {
            upper.extend((8 + shape.payload.len() as u16).to_be_bytes());
            upper.extend([0, 0]);
            6
        }
    };
    upper.extend(&shape.payload);
    let mut packet = if shape.v6 {
        let mut header = vec![0x60 | shape.tos >> 4, shape.tos << 4, 0, 7];
        header.extend((upper.len() as u16).to_be_bytes());
        header.extend([shape.protocol, 63]);
        header.extend([0x20, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        header.extend([0x20, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        header
    } else {
        let mut header = vec![0x45, shape.tos];
        header.extend((20 + upper.len() as u16).to_be_bytes());
        header.extend(shape.id.to_be_bytes());
        header.extend([if shape.df { 0x40 } else { 0 }, 0, 63, shape.protocol, 0, 0]);
        header.extend([10, 1, 0, 1, 10, 2, 0, 2]);
        let sum = checksum::finish(checksum::add(0, &header));
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        header
    };
    let addresses = if shape.v6 {
        &packet[8..40]
    } else {
        &packet[12..20]
    };
    let pseudo = checksum::add(u32::from(shape.protocol) + upper.len() as u32, addresses);
    let sum = checksum::finish(checksum::add(pseudo, &upper));
    let sum = if sum == 0 && shape.protocol == UDP {
        0xffff
    } else {
        sum
    };
    upper[field..field + 2].copy_from_slice(&sum.to_be_bytes());
    packet.extend(upper);
    packet
}

/// As an inbound worker does it, for packets of one flow.
fn join(packets: &[Vec<u8>]) -> Vec<(Header, Vec<u8>)> {
    let mut groups: Vec<(Option<Joined>, Vec<u8>, Vec<u8>)> = Vec::new();
    for octets in packets {
        let packet = Packet::parse(octets).unwrap();
        let segment = Segment::of(octets, &packet, true);
        if let (Some(segment), Some((Some(joined), first, rest))) = (segment, groups.last_mut()) {
            if joined.join(first, &segment, octets) {
                rest.extend(&octets[segment.payload()]);
                continue;
            }
        }
        let joined = segment.map(|segment| Joined::new(segment, octets));
        groups.push((joined, octets.clone(), Vec::new()));
    }
    groups
        .into_iter()
        .map(|(joined, mut first, rest)| {
            let header = joined.map_or(Header::default(), |joined| joined.finish(&mut first));
            first.extend(rest);
            (header, first)
        })
        .collect()
}

/// As an outbound worker does it, or a kernel.
fn cut(header: &Header, octets: &[u8]) -> Vec<Vec<u8>> {
    if !header.is_large() {
        let mut whole = octets.to_vec();
        header.complete(&mut whole).unwrap();
        return vec![whole];
    }
    let packet = Packet::parse(octets).unwrap();
    let cut = Cut::new(header, octets, &packet).unwrap();
    let mut out = vec![0; 65_535];
    (0..cut.count())
        .map(|index| {
            let length = cut.write(octets, index, &mut out).unwrap();
            assert_eq!(length, cut.length(index));
            out[..length].to_vec()
        })
        .collect()
}

fn train(first: &Shape, count: usize) -> Vec<Shape> {
    (0..count)
        .map(|index| {
            let mut shape = first.clone();
            shape.id = shape.id.wrapping_add(index as u16);
            let octets = (index * shape.payload.len()) as u32;
            shape.sequence = shape.sequence.wrapping_add(octets);
            shape
                .payload
                .iter_mut()
                .for_each(|octet| *octet ^= index as u8);
            shape
        })
        .collect()
}

#[test]
fn a_train_becomes_one_packet_and_comes_back() {
    for v6 in [false, true] {
        for protocol in [TCP, UDP] {
            let mut shapes = train(
                &Shape {
                    v6,
                    protocol,
                    ..tcp(1300)
                },
                20,
            );
            let last = shapes.last_mut().unwrap();
            last.payload.truncate(7);
            last.flags |= 0x08;
            let packets: Vec<_> = shapes.iter().map(build).collect();
            let joined = join(&packets);
            assert_eq!(joined.len(), 1, "{v6} {protocol}");
            let (header, large) = &joined[0];
            assert!(header.is_large());
            assert_eq!(Header::decode(&header.encode()), *header);
            assert_eq!(cut(header, large), packets);
        }
    }
}

#[test]
fn what_cutting_would_lose_is_not_joined() {
    type Change = fn(&mut Shape);
    let changes: [(&str, Change); 15] = [
        ("a gap", |s| s.sequence += 1),
        ("another acknowledgement", |s| s.ack += 1),
        ("another window", |s| s.window += 1),
        ("another option", |s| s.options[7] += 1),
        ("more options", |s| s.options.extend([1, 1, 1, 1])),
        ("another class", |s| s.tos = 4),
        ("congestion experienced", |s| s.tos = 3),
        ("an identification out of order", |s| s.id += 1),
        ("another DF", |s| s.df = false),
        ("more payload", |s| s.payload.push(0)),
        ("no payload", |s| s.payload.clear()),
        ("FIN", |s| s.flags |= 0x01),
        ("CWR", |s| s.flags |= 0x80),
        ("ECN echo on one only", |s| s.flags |= 0x40),
        ("URG", |s| s.flags |= 0x20),
    ];
    for (what, change) in changes {
        let mut shapes = train(&tcp(100), 3);
        change(&mut shapes[1]);
        let packets: Vec<_> = shapes.iter().map(build).collect();
        let joined = join(&packets);
        assert!(!joined[0].0.is_large(), "{what}");
        let back: Vec<_> = joined.iter().flat_map(|(h, large)| cut(h, large)).collect();
        assert_eq!(back, packets, "{what}");
    }
    for at in [10, 36] {
        // A wrong checksum of IP or TCP stays wrong.
        let mut packets: Vec<_> = train(&tcp(100), 2).iter().map(build).collect();
        packets[1][at] ^= 1;
        let joined = join(&packets);
        assert_eq!(joined.len(), 2);
        assert_eq!(joined[1].1, packets[1]);
    }
    let push = {
        let mut shapes = train(&tcp(100), 4);
        shapes[1].flags |= 0x08;
        shapes.iter().map(build).collect::<Vec<_>>()
    };
    // PSH ends a large packet: the cutting sets it on the last segment alone.
    assert_eq!(join(&push).len(), 2);
}

#[test]
fn a_large_packet_has_bounds() {
    let packets: Vec<_> = train(&tcp(10), SEGMENTS_MAX + 1)
        .iter()
        .map(build)
        .collect();
    assert_eq!(join(&packets).len(), 2);
    let packets: Vec<_> = train(&tcp(9000), 9).iter().map(build).collect();
    let joined = join(&packets);
    assert_eq!(joined.len(), 2);
    assert!(joined[0].1.len() <= 65_535);
}

#[test]
fn headers_that_do_not_fit_their_packet_are_refused() {
    let packets: Vec<_> = train(&tcp(100), 3).iter().map(build).collect();
    let (header, large) = &join(&packets)[0];
    let raw = header.encode();
    let packet = Packet::parse(large).unwrap();
    for (at, value) in [(1, 4), (1, 5), (1, 3), (1, 0x7f), (4, 0)] {
        let mut raw = raw;
        raw[at] = value;
        if at == 4 {
            raw[5] = 0;
        }
        let wrong = Header::decode(&raw);
        assert_eq!(
            Cut::new(&wrong, large, &packet).err(),
            Some(Reason::InnerMalformed)
        );
    }
    let mut whole = packets[0].clone();
    for (start, offset) in [(u16::MAX, 0), (20, 2000), (150, 16)] {
        let mut raw = [0_u8; HEADER];
        raw[0] = 1;
        raw[6..8].copy_from_slice(&start.to_ne_bytes());
        raw[8..].copy_from_slice(&u16::to_ne_bytes(offset));
        let header = Header::decode(&raw);
        assert_eq!(header.complete(&mut whole), Err(Reason::InnerMalformed));
    }
    assert_eq!(whole, packets[0]);
}

#[test]
fn only_the_first_segment_says_that_the_window_was_reduced_and_only_the_last_pushes() {
    let mut shape = tcp(300);
    shape.flags = 0x80 | 0x08 | 0x10 | 0x01;
    let large = build(&shape);
    let packet = Packet::parse(&large).unwrap();
    let mut raw = [0_u8; HEADER];
    (raw[0], raw[1]) = (1, 0x81);
    raw[4..6].copy_from_slice(&100_u16.to_ne_bytes());
    let cut = Cut::new(&Header::decode(&raw), &large, &packet).unwrap();
    let mut out = vec![0; 2000];
    let flags: Vec<u8> = (0..3)
        .map(|index| {
            cut.write(&large, index, &mut out).unwrap();
            out[20 + 13]
        })
        .collect();
    assert_eq!(flags, [0x90, 0x10, 0x19]);
    assert_eq!(cut.write(&large, 3, &mut out), None);
    assert_eq!(cut.write(&large, 0, &mut out[..50]), None);
}

fn shapes() -> impl Strategy<Value = Vec<Shape>> {
    let first = (
        any::<bool>(),
        prop_oneof![Just(TCP), Just(UDP)],
        any::<u16>(),
        any::<u32>(),
        prop::collection::vec(any::<u8>(), 1..80),
        0..3_usize,
    )
        .prop_map(|(v6, protocol, id, sequence, payload, options)| Shape {
            v6,
            protocol,
            id,
            sequence,
            payload,
            options: vec![1; options * 4],
            ..tcp(0)
        });
    let changes = prop::collection::vec((0..14_u8, any::<u8>(), any::<bool>()), 1..12);
    (first, changes).prop_map(|(first, changes)| {
        let mut next = first;
        let mut shapes = Vec::new();
        for (kind, value, changed) in changes {
            let mut shape = next.clone();
            if changed {
                match kind {
                    0 => shape.tos = value,
                    1 => shape.flags = value,
                    2 => shape.window = u16::from(value),
                    3 => shape.id = u16::from(value),
                    4 => shape.sequence = u32::from(value),
                    5 => shape.payload.truncate(usize::from(value)),
                    6 => shape.payload.push(value),
                    7 => shape.options.resize(usize::from(value) % 11 * 4, 1),
                    8 => shape.df = !shape.df,
                    9 => shape.ack = u32::from(value),
                    _ => shape.flags |= 0x08,
                }
            }
            next.id = shape.id.wrapping_add(1);
            next.sequence = shape.sequence.wrapping_add(shape.payload.len() as u32);
            shapes.push(shape);
        }
        shapes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn cutting_gives_back_what_was_joined(shapes in shapes(), damage in any::<u16>(), bit in 0..64_u8) {
        let mut packets: Vec<_> = shapes.iter().map(build).collect();
        if bit < 8 {
            // One bit of some packet behind the addresses and lengths is wrong.
            let index = usize::from(damage) % packets.len();
            let packet = &mut packets[index];
            let from = if packet[0] >> 4 == 4 { 20 } else { 40 };
            let at = from + usize::from(damage) % (packet.len() - from);
            packet[at] ^= 1 << bit;
        }
        let back: Vec<_> = join(&packets).iter().flat_map(|(h, large)| cut(h, large)).collect();
        prop_assert_eq!(back, packets);
    }

    #[test]
    fn no_header_makes_the_cutting_panic(raw in any::<[u8; HEADER]>(), octets in prop::collection::vec(any::<u8>(), 20..200), six in any::<bool>()) {
        let mut octets = octets;
        octets[0] = if six { 0x60 } else { 0x45 };
        let length = octets.len() as u16;
        let (at, value) = if six { (4, length.saturating_sub(40)) } else { (2, length) };
        octets[at..at + 2].copy_from_slice(&value.to_be_bytes());
        let header = Header::decode(&raw);
        let _ = header.complete(&mut octets.clone());
        if let Ok(packet) = Packet::parse(&octets) {
            if let Ok(cut) = Cut::new(&header, &octets, &packet) {
                let mut out = vec![0; 65_535];
                for index in 0..cut.count().min(100) {
                    prop_assert!(cut.write(&octets, index, &mut out).is_some());
                }
            }
        }
    }
}
