//! Views of packets, selectors, the policy database and the association database.

mod common;

use common::*;
use ipsec::hold::HoldLimits;
use ipsec::packet::{Fragment, Packet, Ports};
use ipsec::sa::{InboundSa, OutboundSa, SaUpdate};
use ipsec::sad::{Sad, SadError};
use ipsec::selector::{SelectorError, Selectors, TrafficSelector};
use ipsec::spd::{Action, OnNoSa, Policy, Spd, SpdError, Verdict};
use ipsec::stats::{Counters, Reason};
use proptest::prelude::*;
use std::net::IpAddr;

fn v4(protocol: u8, fragment: u16, upper: &[u8]) -> Vec<u8> {
    let mut packet = inner(false, 28);
    packet.truncate(20);
    packet.extend(upper);
    let length = packet.len() as u16;
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    packet[6..8].copy_from_slice(&fragment.to_be_bytes());
    packet[9] = protocol;
    packet
}

fn v6(first: u8, rest: &[u8]) -> Vec<u8> {
    let mut packet = inner(true, 48);
    packet.truncate(40);
    packet.extend(rest);
    packet[4..6].copy_from_slice(&(rest.len() as u16).to_be_bytes());
    packet[6] = first;
    packet
}

fn parse(packet: &[u8]) -> Packet {
    Packet::parse(packet).unwrap()
}

proptest! {
    #[test]
    fn no_octets_make_the_view_panic(
        first in prop_oneof![Just(0x45u8), Just(0x4f), Just(0x60), any::<u8>()],
        mut rest in prop::collection::vec(any::<u8>(), 0..400),
        next in prop_oneof![Just(0u8), Just(43), Just(44), Just(51), Just(60), any::<u8>()],
    ) {
        let mut octets = vec![first];
        if rest.len() > 6 {
            rest[5] = next;
        }
        octets.extend(rest);
        if let Ok(packet) = Packet::parse(&octets) {
            prop_assert!(packet.length <= octets.len());
            prop_assert!(packet.upper_offset <= packet.length);
        }
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused(length: u16, total in 0usize..200) {
        let mut packet = inner(false, 100);
        packet[2..4].copy_from_slice(&length.to_be_bytes());
        packet.truncate(total);
        let expected = usize::from(length) <= packet.len() && length >= 20 && packet.len() >= 20;
        prop_assert_eq!(Packet::parse(&packet).is_ok(), expected);
    }
}

#[test]
fn ports_and_types_are_read() {
    let pair = Ports::Pair {
        source: 0x0102,
        destination: 0x0304,
    };
    for protocol in [6, 17, 33, 132, 136] {
        assert_eq!(parse(&v4(protocol, 0, &[1, 2, 3, 4])).ports, pair);
        assert_eq!(parse(&v6(protocol, &[1, 2, 3, 4])).ports, pair);
        assert_eq!(parse(&v4(protocol, 0, &[1, 2, 3])).ports, Ports::Opaque);
    }
    assert_eq!(parse(&v4(1, 0, &[8, 1])).ports, Ports::Kind(0x0801));
    assert_eq!(parse(&v6(58, &[128, 0])).ports, Ports::Kind(0x8000));
    assert_eq!(
        parse(&v6(135, &[59, 1, 5, 0, 0, 0, 0, 0])).ports,
        Ports::Kind(0x0500)
    );
    assert_eq!(parse(&v4(47, 0, &[1, 2, 3, 4])).ports, Ports::None);
}

#[test]
fn fragments_that_are_not_first_have_opaque_ports() {
    let first = parse(&v4(17, 0x2000, &[1, 2, 3, 4]));
    assert_eq!(
        (first.fragment, first.ports),
        (
            Fragment::First,
            Ports::Pair {
                source: 0x0102,
                destination: 0x0304
            }
        )
    );
    let later = parse(&v4(17, 0x0001, &[1, 2, 3, 4]));
    assert_eq!(
        (later.fragment, later.ports),
        (Fragment::Later, Ports::Opaque)
    );
    assert_eq!(parse(&v4(1, 0x2001, &[8, 0])).ports, Ports::Opaque);
    let later = parse(&v6(44, &[17, 0, 0, 9, 0, 0, 0, 1, 1, 2, 3, 4]));
    assert_eq!(
        (later.protocol, later.fragment, later.ports),
        (17, Fragment::Later, Ports::Opaque)
    );
    // What follows a later fragment's header is not a header, whatever its number says.
    let later = parse(&v6(44, &[60, 0, 0, 8, 0, 0, 0, 1, 255, 255]));
    assert_eq!((later.protocol, later.upper_offset), (60, 48));
}

#[test]
fn eight_extension_headers_are_walked_and_no_more() {
    let chain = |count: usize| {
        let mut rest = Vec::new();
        for left in (0..count).rev() {
            rest.extend([if left == 0 { 17 } else { 60 }, 0, 1, 4, 0, 0, 0, 0]);
        }
        rest.extend([0, 7, 0, 9]);
        v6(60, &rest)
    };
    let packet = parse(&chain(8));
    assert_eq!((packet.protocol, packet.upper_offset), (17, 40 + 64));
    assert_eq!(
        packet.ports,
        Ports::Pair {
            source: 7,
            destination: 9
        }
    );
    assert_eq!(Packet::parse(&chain(9)), Err(Reason::ExtensionHeaders));
    // A header that claims more than there is.
    assert_eq!(
        Packet::parse(&v6(0, &[17, 9, 0, 0, 0, 0, 0, 0])),
        Err(Reason::InnerMalformed)
    );
}

fn range(start: &str, end: &str, protocol: u8, ports: (u16, u16)) -> TrafficSelector {
    let (port_start, port_end) = ports;
    TrafficSelector {
        start: address(start),
        end: address(end),
        protocol,
        port_start,
        port_end,
    }
}

fn selectors(local: TrafficSelector, remote: TrafficSelector) -> Selectors {
    Selectors::new(vec![local], vec![remote]).unwrap()
}

#[test]
fn a_packet_must_be_in_a_local_and_a_remote_range() {
    let s = selectors(
        range("10.0.1.0", "10.0.1.255", 0, (0, 65535)),
        range("10.0.2.0", "10.0.2.255", 0, (0, 65535)),
    );
    let packet = inner(false, 60);
    assert!(s.match_outbound(&parse(&packet)) && !s.match_inbound(&parse(&packet)));
    let mut back = packet.clone();
    back[12..20].copy_from_slice(&[10, 0, 2, 2, 10, 0, 1, 1]);
    assert!(s.match_inbound(&parse(&back)) && !s.match_outbound(&parse(&back)));
    for (at, value) in [(14, 2), (18, 3), (15, 0), (19, 255)] {
        let mut near = packet.clone();
        near[at] = value;
        assert_eq!(s.match_outbound(&parse(&near)), at % 2 == 1, "{at}");
    }
    assert!(!s.match_outbound(&parse(&inner(true, 60))));
}

#[test]
fn port_ranges_hold_ports_but_not_packets_that_hide_them() {
    let any = (0, 65535);
    let all = |ports, protocol| range("0.0.0.0", "255.255.255.255", protocol, ports);
    let web = selectors(all(any, 6), all((443, 444), 6));
    let to = |port: u16| v4(6, 0, &[[0x80, 1], port.to_be_bytes()].concat());
    assert!(web.match_outbound(&parse(&to(443))) && web.match_outbound(&parse(&to(444))));
    assert!(!web.match_outbound(&parse(&to(442))) && !web.match_outbound(&parse(&to(445))));
    assert!(
        !web.match_outbound(&parse(&v4(17, 0, &[0, 1, 1, 187]))),
        "another protocol"
    );
    let later = parse(&v4(6, 9, &[0; 8]));
    assert!(!web.match_outbound(&later));
    assert!(selectors(all(any, 6), all(any, 6)).match_outbound(&later));
    // OPAQUE is for packets that hide their ports, and only for them.
    let opaque = selectors(all((65535, 0), 6), all((65535, 0), 6));
    assert!(opaque.match_outbound(&later) && !opaque.match_outbound(&parse(&to(443))));
    // A protocol without ports.
    assert!(selectors(all(any, 47), all(any, 0)).match_outbound(&parse(&v4(47, 0, &[0; 8]))));
}

#[test]
fn icmp_type_and_code_belong_to_who_sends_them() {
    // RFC 4301 §4.4.1.1: may send echo requests, may receive echo replies.
    let icmp = |ports| range("0.0.0.0", "255.255.255.255", 1, ports);
    let s = selectors(icmp((0x0800, 0x08ff)), icmp((0x0000, 0x00ff)));
    let (request, reply) = (parse(&v4(1, 0, &[8, 0])), parse(&v4(1, 0, &[0, 0])));
    assert!(s.match_outbound(&request) && !s.match_outbound(&reply));
    assert!(s.match_inbound(&reply) && !s.match_inbound(&request));
    let send_only = selectors(icmp((0x0800, 0x08ff)), icmp((65535, 0)));
    assert!(send_only.match_outbound(&request) && !send_only.match_inbound(&request));
}

#[test]
fn ranges_that_make_no_sense_are_refused() {
    let good = TrafficSelector::any_v4();
    let refused = |bad| Selectors::new(vec![good], vec![good, bad]).unwrap_err();
    assert_eq!(
        Selectors::new(vec![], vec![good]),
        Err(SelectorError::Empty)
    );
    assert_eq!(
        Selectors::new(vec![good; 256], vec![good]),
        Err(SelectorError::TooMany)
    );
    assert_eq!(
        refused(range("10.0.0.0", "::1", 0, (0, 65535))),
        SelectorError::MixedVersions
    );
    assert_eq!(
        refused(range("10.0.0.1", "10.0.0.0", 0, (0, 65535))),
        SelectorError::AddressesReversed
    );
    assert_eq!(
        refused(range("10.0.0.0", "10.0.0.0", 6, (9, 8))),
        SelectorError::PortsReversed
    );
}

fn policy(id: u32, interface: u32, action: Action, selectors: Selectors) -> Policy {
    let hold = HoldLimits::default();
    Policy {
        id,
        name: format!("t/{id}"),
        interface,
        action,
        selectors,
        hold,
        on_no_sa: OnNoSa::Hold,
        clamp_mss: true,
        idle_ms: None,
        map: Default::default(),
    }
}

#[test]
fn the_first_policy_of_the_interface_that_matches_decides() {
    let udp = selectors(
        TrafficSelector::any_v4(),
        TrafficSelector {
            protocol: 17,
            ..TrafficSelector::any_v4()
        },
    );
    let spd = Spd::new(vec![
        policy(1, 7, Action::Discard, udp.clone()),
        policy(2, 7, Action::Protect, any_selectors()),
        policy(3, 8, Action::Bypass, any_selectors()),
    ])
    .unwrap();
    let (udp4, tcp4) = (parse(&inner(false, 60)), parse(&v4(6, 0, &[0; 20])));
    assert!(matches!(spd.decide(7, &udp4), Verdict::Discard(e) if e.policy.id == 1));
    assert!(matches!(spd.decide(7, &tcp4), Verdict::Protect(e) if e.policy.id == 2));
    assert!(matches!(spd.decide(8, &udp4), Verdict::Bypass(e) if e.policy.id == 3));
    assert!(matches!(spd.decide(9, &udp4), Verdict::NoPolicy));
    assert_eq!(spd.get(2).unwrap().matched_packets(), 1);
    // A new list keeps the counters of the policies that stay.
    let next = spd
        .replaced(vec![policy(2, 7, Action::Protect, any_selectors())])
        .unwrap();
    assert_eq!(next.get(2).unwrap().matched_packets(), 1);
    assert!(next.get(1).is_none());
    let twice = vec![
        policy(2, 7, Action::Protect, udp.clone()),
        policy(2, 7, Action::Protect, udp),
    ];
    assert_eq!(Spd::new(twice).unwrap_err(), SpdError::DuplicateId(2));
}

#[test]
fn fragments_of_what_a_policy_for_ports_protects_never_go_in_clear() {
    let any = TrafficSelector::any_v4();
    let web = |protocol| {
        let ports = TrafficSelector {
            protocol,
            port_start: 80,
            port_end: 80,
            ..any
        };
        selectors(TrafficSelector { protocol, ..any }, ports)
    };
    let spd = |rest: &[Action]| {
        let mut policies = vec![policy(1, 7, Action::Protect, web(6))];
        for (place, &action) in rest.iter().enumerate() {
            policies.push(policy(2 + place as u32, 7, action, any_selectors()));
        }
        Spd::new(policies).unwrap()
    };
    let first = parse(&v4(6, 0x2000, &[0, 9, 0, 80, 0, 0, 0, 0]));
    let later = parse(&v4(6, 0x2001, &[0; 8]));
    let of_udp = parse(&v4(17, 0x2001, &[0; 8]));
    // Alone, the policy leaves nothing for the fragment but clear text.
    let alone = spd(&[]);
    assert!(matches!(alone.decide(7, &first), Verdict::Protect(e) if e.policy.id == 1));
    assert!(matches!(alone.decide(7, &later), Verdict::PortsHidden));
    assert!(matches!(alone.decide(7, &of_udp), Verdict::NoPolicy));
    assert!(matches!(alone.decide(8, &later), Verdict::NoPolicy));
    let bypass = spd(&[Action::Bypass]);
    assert!(matches!(bypass.decide(7, &later), Verdict::PortsHidden));
    assert!(matches!(bypass.decide(7, &of_udp), Verdict::Bypass(_)));
    // A policy for all ports takes it.
    let rest = spd(&[Action::Protect, Action::Bypass]);
    assert!(matches!(rest.decide(7, &later), Verdict::Protect(e) if e.policy.id == 2));
    let discard = spd(&[Action::Discard]);
    assert!(matches!(discard.decide(7, &later), Verdict::Discard(_)));
    // A fragment of what is bypassed for sure is not held up by a policy behind it.
    let early = Spd::new(vec![
        policy(1, 7, Action::Bypass, any_selectors()),
        policy(2, 7, Action::Protect, web(6)),
    ]);
    assert!(matches!(
        early.unwrap().decide(7, &later),
        Verdict::Bypass(_)
    ));
    // The same for what comes in; there the fragment's source is the remote side.
    let back = selectors(web(6).remote()[0], web(6).local()[0]);
    let inward = Spd::new(vec![policy(1, 7, Action::Protect, back)]).unwrap();
    assert!(!inward.allows_clear_inbound(7, &later));
    assert!(inward.allows_clear_inbound(7, &of_udp));
}

#[test]
fn icmp_errors_about_protected_packets_do_not_go_in_clear() {
    let any = TrafficSelector::any_v4();
    let tcp = |port_start, port_end| TrafficSelector {
        protocol: 6,
        port_start,
        port_end,
        ..any
    };
    // Host 10.0.2.2 here serves port 80 to all.
    let policies = vec![policy(
        1,
        7,
        Action::Protect,
        selectors(tcp(80, 80), tcp(0, 65535)),
    )];
    let spd = Spd::new(policies).unwrap();
    let error = |kind: u8, quote: &[u8]| {
        let mut message = vec![kind, 0, 0, 0, 0, 0, 0, 0];
        message.extend(quote);
        v4(1, 0, &message)
    };
    let allowed = |octets: &[u8]| {
        let packet = parse(octets);
        assert!(matches!(spd.decide(7, &packet), Verdict::NoPolicy));
        spd.allows_clear_outbound(7, &packet, octets)
    };
    let web = v4(6, 0, &[0x80, 0, 0, 80, 1, 2, 3, 4]);
    let other = v4(6, 0, &[0x80, 0, 0, 81, 1, 2, 3, 4]);
    for kind in [3, 4, 5, 11, 12] {
        assert!(!allowed(&error(kind, &web)));
        assert!(allowed(&error(kind, &other)));
        // Cut short, it may be either.
        assert!(!allowed(&error(kind, &other[..22])));
        assert!(!allowed(&error(kind, &other[..12])));
        assert!(!allowed(&error(kind, &[])));
    }
    // A quote of the first eight octets is enough, though its length says more.
    let mut long = web.clone();
    long[2..4].copy_from_slice(&1500u16.to_be_bytes());
    assert!(!allowed(&error(3, &long)));
    long[23] = 81;
    assert!(allowed(&error(3, &long)));
    // Echoes quote nothing, whatever they hold.
    assert!(allowed(&error(8, &web)));
    assert!(allowed(&other));
}

#[test]
fn icmpv6_errors_are_judged_alike() {
    let tcp = TrafficSelector {
        protocol: 6,
        ..TrafficSelector::any_v6()
    };
    let spd = Spd::new(vec![policy(1, 7, Action::Protect, selectors(tcp, tcp))]).unwrap();
    let quote = v6(6, &[0x80, 0, 0, 80]);
    for (kind, expected) in [(1, false), (2, false), (3, false), (4, false), (128, true)] {
        let mut message = vec![kind, 0, 0, 0, 0, 0, 0, 0];
        message.extend(&quote);
        let octets = v6(58, &message);
        let allowed = spd.allows_clear_outbound(7, &parse(&octets), &octets);
        assert_eq!(allowed, expected, "type {kind}");
    }
}

#[test]
fn an_ipv6_fragment_may_hide_its_protocol_too() {
    let tcp = TrafficSelector {
        protocol: 6,
        ..TrafficSelector::any_v6()
    };
    let spd = Spd::new(vec![policy(1, 7, Action::Protect, selectors(tcp, tcp))]).unwrap();
    // Destination options came next in the first fragment, and TCP may have come after them.
    let hidden = parse(&v6(44, &[60, 0, 0, 8, 0, 0, 0, 1, 0, 0]));
    assert!(hidden.hides_protocol());
    assert!(matches!(spd.decide(7, &hidden), Verdict::PortsHidden));
    let udp = parse(&v6(44, &[17, 0, 0, 8, 0, 0, 0, 1, 0, 0]));
    assert!(matches!(spd.decide(7, &udp), Verdict::NoPolicy));
}

#[test]
fn clear_packets_for_protected_addresses_are_not_allowed_in() {
    let net = |n: u8| {
        range(
            &format!("10.0.{n}.0"),
            &format!("10.0.{n}.255"),
            0,
            (0, 65535),
        )
    };
    let spd = Spd::new(vec![policy(
        1,
        7,
        Action::Protect,
        selectors(net(2), net(1)),
    )])
    .unwrap();
    // The packet goes from 10.0.1.1 (remote) to 10.0.2.2 (local).
    assert!(!spd.allows_clear_inbound(7, &parse(&inner(false, 60))));
    assert!(spd.allows_clear_inbound(7, &parse(&inner(true, 60))));
}

fn outbound(spi: u32, policy: u32, standby: bool) -> OutboundSa {
    let mut p = parameters(gcm());
    (p.spi, p.policy, p.standby) = (spi, policy, standby);
    OutboundSa::new(p, 0).unwrap()
}

#[test]
fn the_newest_sa_that_is_not_standby_is_chosen() {
    let mut sad = Sad::default();
    let anywhere = "203.0.113.9".parse().unwrap();
    let chosen = |sad: &Sad| sad.outbound(1, &anywhere).map(|sa| sa.parameters().spi);
    assert_eq!(chosen(&sad), None);
    assert_eq!(sad.install_outbound(outbound(1001, 1, true)), Ok(true));
    assert_eq!(sad.install_outbound(outbound(1002, 1, true)), Ok(false));
    assert_eq!(chosen(&sad), Some(1002));
    sad.install_outbound(outbound(1003, 1, false)).unwrap();
    sad.install_outbound(outbound(1004, 1, false)).unwrap();
    sad.install_outbound(outbound(1005, 1, true)).unwrap();
    assert_eq!(chosen(&sad), Some(1004));
    let update = SaUpdate {
        standby: Some(false),
        ..SaUpdate::default()
    };
    sad.update_outbound(None, 1005, &update).unwrap();
    assert_eq!(chosen(&sad), Some(1005));
    sad.remove_outbound(None, 1005).unwrap();
    assert_eq!(chosen(&sad), Some(1004));
    assert_eq!(sad.outbound_of(1).len(), 4);
}

#[test]
fn of_peers_that_share_a_policy_the_one_that_has_the_address_is_chosen() {
    let to = |spi: u32, host: u8, standby: bool| {
        let host: IpAddr = [10, 99, 0, host].into();
        let any = |start, end| TrafficSelector {
            start,
            end,
            protocol: 0,
            port_start: 0,
            port_end: 65535,
        };
        let mut p = parameters(gcm());
        (p.spi, p.policy, p.standby) = (spi, 1, standby);
        let local = any([10, 0, 0, 0].into(), [10, 0, 255, 255].into());
        p.selectors = Selectors::new(vec![local], vec![any(host, host)]).unwrap();
        OutboundSa::new(p, 0).unwrap()
    };
    let chosen = |sad: &Sad, host: u8| {
        let remote = [10, 99, 0, host].into();
        sad.outbound(1, &remote).map(|sa| sa.parameters().spi)
    };
    let mut sad = Sad::default();
    for (spi, host, standby) in [
        (1001, 1, false),
        (1002, 2, false),
        (1003, 2, true),
        (1004, 3, true),
        (1005, 1, false),
    ] {
        sad.install_outbound(to(spi, host, standby)).unwrap();
    }
    // Its own newest that is not standby, or standby if there is nothing else.
    assert_eq!(chosen(&sad, 1), Some(1005));
    assert_eq!(chosen(&sad, 2), Some(1002));
    assert_eq!(chosen(&sad, 3), Some(1004));
    // Nobody has it: whichever is asked refuses it.
    assert_eq!(chosen(&sad, 4), Some(1005));
    assert!(sad.remove_outbound(None, 1002).is_ok());
    assert_eq!(chosen(&sad, 2), Some(1003));
}

#[test]
fn spis_of_two_peers_may_be_equal_and_then_the_policy_decides() {
    let mut sad = Sad::default();
    sad.install_outbound(outbound(1001, 1, false)).unwrap();
    sad.install_outbound(outbound(1001, 2, false)).unwrap();
    assert_eq!(
        sad.install_outbound(outbound(1001, 2, false)),
        Err(SadError::Duplicate)
    );
    assert_eq!(
        sad.remove_outbound(None, 1001).unwrap_err(),
        SadError::Ambiguous
    );
    assert_eq!(
        sad.remove_outbound(Some(3), 1001).unwrap_err(),
        SadError::Unknown
    );
    assert_eq!(
        sad.remove_outbound(Some(1), 1001)
            .unwrap()
            .parameters()
            .policy,
        1
    );
    assert_eq!(
        sad.remove_outbound(None, 1001).unwrap().parameters().policy,
        2
    );
    assert_eq!(sad.outbounds().count(), 0);
}

#[test]
fn inbound_sas_are_found_by_spi_and_gone_after_removal() {
    let mut sad = Sad::default();
    let make = || InboundSa::new(parameters(gcm()), 0).unwrap();
    let spi = make().parameters().spi;
    sad.install_inbound(make()).unwrap();
    assert_eq!(sad.install_inbound(make()), Err(SadError::Duplicate));
    let snapshot = sad.clone();
    assert!(sad.remove_inbound(spi).is_ok());
    assert_eq!(sad.remove_inbound(spi).unwrap_err(), SadError::Unknown);
    assert!(sad.inbound(spi).is_none() && snapshot.inbound(spi).is_some());
    sad.flush();
    assert_eq!(sad.inbounds().count(), 0);
}

#[test]
fn every_reason_has_a_counter_with_a_name_of_its_own() {
    let counters = Counters::default();
    for (index, &reason) in Reason::ALL.iter().enumerate() {
        assert!(reason.name().starts_with("drop_"));
        counters.add(reason, index as u64);
    }
    let names: std::collections::HashSet<_> =
        counters.iter().map(|(reason, _)| reason.name()).collect();
    assert_eq!(names.len(), Reason::ALL.len());
    assert!(counters
        .iter()
        .enumerate()
        .all(|(index, (_, count))| count == index as u64));
    assert_eq!(Reason::ReplayDuplicate.name(), "drop_replay_duplicate");
}
