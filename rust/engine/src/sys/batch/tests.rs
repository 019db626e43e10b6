//! Both directions over loopback.

use super::send::group_length;
use super::*;
use crate::sys::socket::udp_pair;
use std::os::fd::AsFd;

fn bound(pair: &crate::sys::socket::Pair) -> SocketAddr {
    SocketAddr::try_from(rustix::net::getsockname(&pair.df_set).unwrap()).unwrap()
}

fn exchange(address: &str, segment: bool) {
    let left = udp_pair(format!("{address}:0").parse().unwrap(), 0).unwrap();
    let right = udp_pair(format!("{address}:0").parse().unwrap(), 0).unwrap();
    let to = bound(&right);
    let arena: Vec<u8> = (0..=255).collect();
    let items: Vec<Transmit> = (0..100)
        .map(|i| Transmit {
            start: i,
            end: i + length(i),
            remote: to,
            local: Some(to.ip()),
            traffic_class: 0x2a,
        })
        .collect();
    let sent = Sender::new().send(left.df_set.as_fd(), &arena, &items, segment, |i, e| {
        panic!("{i} refused: {e}")
    });
    assert_eq!(sent, 100);
    let mut receiver = Receiver::new();
    let mut seen = 0_usize;
    while seen < 100 {
        let count = receiver.receive(right.df_set.as_fd()).unwrap();
        for index in 0..count {
            let (buffer, place, facts) = receiver.datagram(index).unwrap();
            let octets = &buffer[place];
            for part in octets.chunks(facts.segment.unwrap_or(octets.len())) {
                assert_eq!(part, &arena[seen..seen + length(seen)]);
                seen += 1;
            }
            assert_eq!(facts.remote, bound(&left));
            assert_eq!(facts.local, Some(to.ip()));
            assert_eq!(facts.traffic_class, 0x2a);
        }
    }
}

/// Runs of one length, with a shorter and a longer one in between.
fn length(index: usize) -> usize {
    match index {
        33 | 34 | 71 => 7,
        50 => 30,
        _ => 10,
    }
}

#[test]
fn a_batch_arrives_in_order_with_address_and_class() {
    for address in ["127.0.0.1", "[::1]"] {
        exchange(address, false);
        exchange(address, true);
    }
}

#[test]
fn groups_are_of_one_way_and_length_with_a_shorter_end() {
    let item = |length: usize, port: u16| Transmit {
        start: 5,
        end: 5 + length,
        remote: SocketAddr::from(([192, 0, 2, 1], port)),
        local: None,
        traffic_class: 0,
    };
    let lengths = |list: &[(usize, u16)]| {
        let items: Vec<_> = list.iter().map(|(l, p)| item(*l, *p)).collect();
        group_length(&items)
    };
    assert_eq!(lengths(&[(9, 1)]), 1);
    assert_eq!(lengths(&[(9, 1), (9, 1), (9, 1)]), 3);
    assert_eq!(lengths(&[(9, 1), (9, 2)]), 1);
    assert_eq!(lengths(&[(9, 1), (10, 1)]), 1);
    assert_eq!(lengths(&[(9, 1), (8, 1), (8, 1)]), 2);
    assert_eq!(lengths(&[(1400, 1); 64]), 46);
}

#[test]
fn items_side_by_side_travel_as_one_run_and_arrive_apart() {
    let left = udp_pair("127.0.0.1:0".parse().unwrap(), 0).unwrap();
    let right = udp_pair("127.0.0.1:0".parse().unwrap(), 0).unwrap();
    let arena: Vec<u8> = (0..=255).collect();
    // Two runs with a gap between them, the last item short.
    let places = [(0, 20), (20, 40), (40, 60), (63, 83), (83, 103), (103, 110)];
    let items = places.map(|(start, end)| Transmit {
        start,
        end,
        remote: bound(&right),
        local: None,
        traffic_class: 0,
    });
    let sent = Sender::new().send(left.df_set.as_fd(), &arena, &items, true, |i, e| {
        panic!("{i} refused: {e}")
    });
    assert_eq!(sent, places.len());
    let mut receiver = Receiver::new();
    let mut expected = places.iter();
    while expected.len() > 0 {
        for index in 0..receiver.receive(right.df_set.as_fd()).unwrap() {
            let (buffer, place, facts) = receiver.datagram(index).unwrap();
            let octets = &buffer[place];
            for part in octets.chunks(facts.segment.unwrap_or(octets.len())) {
                let (start, end) = *expected.next().unwrap();
                assert_eq!(part, &arena[start..end]);
            }
        }
    }
}

#[test]
fn a_refused_datagram_is_reported_and_the_others_go() {
    let pair = udp_pair("127.0.0.1:0".parse().unwrap(), 0).unwrap();
    let to = bound(&pair);
    let arena = vec![0_u8; 70_000];
    let short = Transmit {
        start: 0,
        end: 4,
        remote: to,
        local: None,
        traffic_class: 0,
    };
    let long = Transmit {
        end: 70_000,
        ..short
    };
    let mut refusals = Vec::new();
    let sent = Sender::new().send(
        pair.df_set.as_fd(),
        &arena,
        &[short, long, short],
        false,
        |i, e| refusals.push((i, e)),
    );
    assert_eq!((sent, refusals), (2, vec![(1, libc::EMSGSIZE)]));
}
