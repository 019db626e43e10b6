//! Sealing and opening through the public interface.

mod common;

use std::collections::HashSet;
use std::sync::Arc;

use common::*;
use ipsec::cipher::{Suite, SuiteError};
use ipsec::entropy::Entropy;
use ipsec::esp::{HEADROOM, TAILROOM};
use ipsec::lifetime::{LimitNotice, Limits, Unit, Which};
use ipsec::packet::Packet;
use ipsec::replay::Place;
use ipsec::sa::{InboundSa, OutboundSa, SaError, SaUpdate};
use ipsec::selector::{Selectors, TrafficSelector};
use ipsec::stats::Reason;
use ipsec::tunnel::{self, ecn};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_suite_opens_what_it_seals(
        extra in 0usize..9000, v6: bool, outer_v6: bool, encap: bool, esn: bool,
    ) {
        for suite in suites() {
            let (outbound, inbound) = pair(|p| {
                p.esn = esn;
                p.path = path(outer_v6, encap);
            }, suite);
            let packet = inner(v6, 48 + extra);
            let (esp, sealed) = seal(&outbound, &packet).unwrap();
            prop_assert_eq!(esp.len(), suite.sealed_length(packet.len()));
            prop_assert!(suite.inner_max(esp.len()) >= packet.len());
            prop_assert!(suite.inner_max(esp.len() - 1) < packet.len());
            let (opened, how) = open(&inbound, &esp, sealed.tos).unwrap();
            prop_assert_eq!(opened, packet);
            prop_assert_eq!((how.sequence, how.place, how.first), (1, Place::Highest, true));
        }
    }

    #[test]
    fn forged_packets_move_nothing(
        noise in prop::collection::vec(any::<u8>(), 0..300),
        place in any::<prop::sample::Index>(), bit in 0u8..8, esn: bool, low: u32,
    ) {
        for suite in suites() {
            let (outbound, inbound) = pair(|p| p.esn = esn, suite);
            let (esp, _) = seal(&outbound, &inner(false, 100)).unwrap();
            let mut flipped = esp.clone();
            let at = place.index(esp.len());
            flipped[at] ^= 1 << bit;
            let mut forged = esp[..4].to_vec();
            forged.extend(low.to_be_bytes());
            forged.extend(&noise);
            for bad in [&flipped[..], &forged, &noise, &esp[..at]] {
                let mut buffer = bad.to_vec();
                let refused = inbound.open(&mut buffer, 0, 99).unwrap_err();
                if refused.reason == Reason::Icv {
                    prop_assert!(buffer[8..].iter().all(|&octet| octet == 0));
                }
                prop_assert_eq!(inbound.shared().drops.get(refused.reason) > 0, true);
            }
            prop_assert_eq!(inbound.sequence(), 0);
            prop_assert_eq!(inbound.shared().usage.packets(), 0);
            prop_assert_eq!(inbound.shared().last_used_ms(), None);
            prop_assert!(open(&inbound, &esp, 0).is_ok());
        }
    }
}

#[test]
fn a_million_forged_packets_move_nothing() {
    // S-26: every region of the sequence space, against an SA in use.
    let (outbound, inbound) = pair(|p| p.esn = true, gcm());
    let mut real: Vec<_> = (0..100)
        .map(|_| seal(&outbound, &inner(false, 60)).unwrap().0)
        .collect();
    let kept = real.remove(50);
    for esp in &real {
        open(&inbound, esp, 0).unwrap();
    }
    let spi = kept[..4].to_vec();
    let mut noise = Simulated(1);
    let mut buffer = [0; 64];
    for round in 0..1_000_000u32 {
        noise.fill(&mut buffer).unwrap();
        buffer[..4].copy_from_slice(&spi);
        // Half of them spread over all numbers, half in and around the window.
        let low = if round % 2 == 0 {
            round.wrapping_mul(4294)
        } else {
            (round / 2) % 2000
        };
        buffer[4..8].copy_from_slice(&low.to_be_bytes());
        assert!(inbound.open(&mut buffer, 3, 1_000_000).is_err());
    }
    assert_eq!(inbound.sequence(), 100);
    assert_eq!(
        (
            inbound.shared().usage.packets(),
            inbound.shared().usage.octets()
        ),
        (99, 99 * 60)
    );
    assert_eq!(inbound.shared().last_used_ms(), Some(1));
    assert_eq!(
        inbound
            .shared()
            .drops
            .iter()
            .map(|(_, count)| count)
            .sum::<u64>(),
        1_000_000
    );
    assert!(open(&inbound, &kept, 0).is_ok());
}

#[test]
fn the_sealed_length_follows_the_formula_for_all_inner_sizes() {
    // S-10. Header, IV, whole blocks with at least the trailer's two octets, ICV.
    for suite in suites() {
        let around = 8 + suite.iv_length() + suite.icv_length();
        for inner in 0..=65_535 {
            let body = suite.sealed_length(inner) - around;
            assert!(
                body % suite.block() == 0 && body >= inner + 2 && body < inner + 2 + suite.block()
            );
        }
    }
    for suite in [gcm(), Suite::new(12, 128, 14).unwrap()] {
        let (outbound, _) = pair(|_| (), suite);
        for length in (28..65_535).step_by(331).chain(28..128) {
            let (esp, _) = seal(&outbound, &inner(false, length)).unwrap();
            assert_eq!(esp.len(), suite.sealed_length(length));
        }
    }
}

#[test]
fn the_packet_of_rfc_7634_opens() {
    let file = format!(
        "{}/../../tests/vectors/esp/rfc-esp.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let file: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let case = file["tests"]
        .as_array()
        .unwrap()
        .iter()
        .find(|case| case["encr"] == 28)
        .unwrap();
    let text = |name: &str| hex(case[name].as_str().unwrap());
    let mut p = parameters(Suite::new(28, 256, 0).unwrap());
    p.spi = 0x0102_0304;
    p.encr_key = text("ek").into();
    let inbound = InboundSa::new(p, 0).unwrap();
    let (opened, how) = open(&inbound, &text("packet"), 0).unwrap();
    assert_eq!(opened, text("payload"));
    assert_eq!(how.sequence, case["seq"].as_u64().unwrap());
}

#[test]
fn packets_sealed_by_another_implementation_open_and_ours_equal_them() {
    let file: serde_json::Value =
        serde_json::from_str(include_str!("data/scapy-esp.json")).unwrap();
    let cases = file["tests"].as_array().unwrap();
    assert!(cases.len() >= 80);
    for case in cases {
        let number = |name: &str| case[name].as_u64().unwrap();
        let text = |name: &str| hex(case[name].as_str().unwrap());
        let suite = Suite::new(
            number("encr") as u16,
            number("key_bits") as u16,
            number("integ") as u16,
        )
        .unwrap();
        let make = || {
            let mut p = parameters(suite);
            p.spi = number("spi") as u32;
            p.encr_key = text("ek").into();
            p.integ_key = text("ak").into();
            p.esn = case["esn"].as_bool().unwrap();
            p
        };
        let inbound = InboundSa::new(make(), 0).unwrap();
        let (opened, how) =
            open(&inbound, &text("packet"), 0).unwrap_or_else(|e| panic!("{e:?} {case}"));
        assert_eq!(
            (opened, how.sequence),
            (text("payload"), number("seq")),
            "{case}"
        );
        // The IV of CBC is random, so only the others' packets can come out the same.
        if !matches!(suite.encr(), 3 | 12) && number("seq") == 1 {
            let (esp, _) = seal(&OutboundSa::new(make(), 0).unwrap(), &text("payload")).unwrap();
            assert_eq!(esp, text("packet"), "{case}");
        }
    }
}

#[test]
fn no_iv_repeats_over_threads() {
    for suite in [
        gcm(),
        Suite::new(13, 128, 12).unwrap(),
        Suite::new(12, 128, 12).unwrap(),
    ] {
        let (outbound, _) = pair(|_| (), suite);
        let outbound = Arc::new(outbound);
        let workers: Vec<_> = (0..4u64)
            .map(|worker| {
                let sa = Arc::clone(&outbound);
                std::thread::spawn(move || {
                    let packet = inner(false, 28);
                    let view = Packet::parse(&packet).unwrap();
                    let mut entropy = Simulated(worker << 48 | 1);
                    let mut buffer = vec![0; HEADROOM + packet.len() + TAILROOM];
                    let range = HEADROOM..HEADROOM + packet.len();
                    (0..25_000)
                        .map(|_| {
                            buffer[range.clone()].copy_from_slice(&packet);
                            let s = sa
                                .seal(&mut buffer, range.clone(), &view, 0, &mut entropy)
                                .unwrap();
                            let esp = &buffer[s.esp];
                            let mut iv = [0; 16];
                            iv[..suite.iv_length()].copy_from_slice(&esp[8..8 + suite.iv_length()]);
                            (s.sequence, iv)
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        let all: Vec<_> = workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect();
        let numbers: HashSet<_> = all.iter().map(|(number, _)| number).collect();
        let ivs: HashSet<_> = all.iter().map(|(_, iv)| iv).collect();
        assert_eq!((numbers.len(), ivs.len()), (100_000, 100_000));
        assert_eq!(outbound.sequence(), 100_000);
    }
}

#[test]
fn a_packet_is_accepted_once() {
    let (outbound, inbound) = pair(|_| (), gcm());
    let (one, _) = seal(&outbound, &inner(false, 60)).unwrap();
    let (two, _) = seal(&outbound, &inner(true, 60)).unwrap();
    assert_eq!(open(&inbound, &two, 0).unwrap().1.place, Place::Highest);
    let (_, late) = open(&inbound, &one, 0).unwrap();
    assert_eq!((late.place, late.first), (Place::Within, false));
    for again in [&one, &two] {
        assert_eq!(
            open(&inbound, again, 0).unwrap_err().reason,
            Reason::ReplayDuplicate
        );
    }
    assert_eq!(inbound.shared().drops.get(Reason::ReplayDuplicate), 2);
    assert_eq!(inbound.shared().usage.packets(), 2);
    assert_eq!(inbound.shared().last_used_ms(), Some(1));
}

#[test]
fn threads_that_race_with_one_packet_pass_it_once() {
    // A large packet and a slow suite, so that both are between check and commit at once.
    let (outbound, inbound) = pair(|_| (), Suite::new(16, 256, 0).unwrap());
    let packets: Vec<_> = (0..100)
        .map(|_| seal(&outbound, &inner(false, 60_000)).unwrap().0)
        .collect();
    let start = std::sync::Barrier::new(2);
    let race = || -> Vec<bool> {
        let once = |esp: &Vec<u8>| {
            let mut buffer = esp.clone();
            start.wait();
            inbound.open(&mut buffer, 0, 1).is_ok()
        };
        packets.iter().map(once).collect()
    };
    let (one, two) = std::thread::scope(|scope| {
        let other = scope.spawn(race);
        (race(), other.join().unwrap())
    });
    assert!(one.iter().zip(two).all(|(one, two)| *one != two));
    assert_eq!(inbound.shared().usage.packets(), 100);
}

#[test]
fn with_the_window_off_repeats_pass() {
    let (outbound, inbound) = pair(|p| p.replay_window = 0, gcm());
    let (esp, _) = seal(&outbound, &inner(false, 60)).unwrap();
    assert!(open(&inbound, &esp, 0).is_ok());
    assert!(open(&inbound, &esp, 0).is_ok());
}

#[test]
fn a_hard_limit_stops_both_directions_and_is_told_once() {
    let limits = Limits {
        hard_packets: Some(1),
        soft_packets: Some(1),
        ..Limits::default()
    };
    let (outbound, _) = pair(|p| p.limits = limits, gcm());
    let soft = Some(LimitNotice {
        which: Which::Soft,
        unit: Unit::Packets,
    });
    let hard = Some(LimitNotice {
        which: Which::Hard,
        unit: Unit::Packets,
    });
    assert_eq!(seal(&outbound, &inner(false, 60)).unwrap().1.notice, soft);
    let refused = seal(&outbound, &inner(false, 60)).unwrap_err();
    assert_eq!(
        (refused.reason, refused.notice),
        (Reason::LifetimePackets, hard)
    );
    assert_eq!(seal(&outbound, &inner(false, 60)).unwrap_err().notice, None);
    assert_eq!(
        outbound.sequence(),
        1,
        "a refused packet takes no sequence number"
    );

    let (outbound, _) = pair(|_| (), gcm());
    let (_, inbound) = pair(|p| p.limits = limits, gcm());
    let packets: Vec<_> = (0..2)
        .map(|_| seal(&outbound, &inner(false, 60)).unwrap().0)
        .collect();
    assert_eq!(open(&inbound, &packets[0], 0).unwrap().1.notice, soft);
    let refused = open(&inbound, &packets[1], 0).unwrap_err();
    assert_eq!(
        (refused.reason, refused.notice),
        (Reason::LifetimePackets, hard)
    );
}

#[test]
fn packets_outside_the_selectors_are_dropped_both_ways() {
    let net = |last: u8| TrafficSelector {
        start: address(&format!("10.0.{last}.0")),
        end: address(&format!("10.0.{last}.255")),
        ..TrafficSelector::any_v4()
    };
    // Outbound: local 10.0.1.0/24, remote 10.0.2.0/24; the peer sees them the other way round.
    let (outbound, _) = pair(
        |p| p.selectors = Selectors::new(vec![net(1)], vec![net(2)]).unwrap(),
        gcm(),
    );
    let (wide, _) = pair(|_| (), gcm());
    let (_, inbound) = pair(
        |p| p.selectors = Selectors::new(vec![net(2)], vec![net(1)]).unwrap(),
        gcm(),
    );
    let good = inner(false, 60);
    let mut bad = good.clone();
    bad[18] = 3;
    assert_eq!(
        seal(&outbound, &bad).unwrap_err().reason,
        Reason::SelectorOutbound
    );
    let (esp, _) = seal(&outbound, &good).unwrap();
    assert!(open(&inbound, &esp, 0).is_ok());
    seal(&wide, &good).unwrap();
    let (esp, _) = seal(&wide, &bad).unwrap();
    assert_eq!(
        open(&inbound, &esp, 0).unwrap_err().reason,
        Reason::SelectorInbound
    );
    assert_eq!(
        open(&inbound, &esp, 0).unwrap_err().reason,
        Reason::ReplayDuplicate
    );
}

#[test]
fn congestion_marks_cross_the_tunnel() {
    for (inner_ecn, outer_ecn, expected) in [
        (ecn::ECT_0, ecn::CE, Some(ecn::CE)),
        (ecn::ECT_1, ecn::ECT_0, Some(ecn::ECT_1)),
        (ecn::ECT_0, ecn::ECT_1, Some(ecn::ECT_1)),
        (ecn::NOT_ECT, ecn::ECT_0, Some(ecn::NOT_ECT)),
        (ecn::CE, ecn::NOT_ECT, Some(ecn::CE)),
        (ecn::NOT_ECT, ecn::CE, None),
    ] {
        for v6 in [false, true] {
            let (outbound, inbound) = pair(|_| (), gcm());
            let mut packet = inner(v6, 80);
            tunnel::write_tos(&mut packet, 0xb8 | inner_ecn);
            let (esp, sealed) = seal(&outbound, &packet).unwrap();
            assert_eq!(sealed.tos, 0xb8 | inner_ecn);
            match (open(&inbound, &esp, outer_ecn), expected) {
                (Ok((opened, how)), Some(ecn)) => {
                    assert_eq!(how.packet.tos, 0xb8 | ecn);
                    assert_eq!(Packet::parse(&opened).unwrap().tos, 0xb8 | ecn);
                    if !v6 {
                        let sum = ipsec::checksum::add(0, &opened[..20]);
                        assert_eq!(ipsec::checksum::finish(sum), 0);
                    }
                }
                (Err(refused), None) => assert_eq!(refused.reason, Reason::Ecn),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn a_buffer_without_room_is_refused_and_nothing_is_used_up() {
    let (outbound, _) = pair(|_| (), Suite::new(12, 256, 14).unwrap());
    let packet = inner(false, 61);
    let view = Packet::parse(&packet).unwrap();
    for (head, tail) in [(23, 64), (24, 34), (0, 0)] {
        let mut buffer = vec![0; head + packet.len() + tail];
        buffer[head..head + packet.len()].copy_from_slice(&packet);
        let range = head..head + packet.len();
        let refused = outbound
            .seal(&mut buffer, range, &view, 0, &mut Simulated(1))
            .unwrap_err();
        assert_eq!(refused.reason, Reason::NoRoom, "{head} {tail}");
    }
    assert_eq!(
        (outbound.sequence(), outbound.shared().usage.packets()),
        (0, 0)
    );
    let mut buffer = vec![0; 24 + packet.len() + 35];
    buffer[24..24 + packet.len()].copy_from_slice(&packet);
    let range = 24..24 + packet.len();
    assert!(outbound
        .seal(&mut buffer, range, &view, 0, &mut Simulated(1))
        .is_ok());
    let mut buffer = packet.clone();
    let beyond = 0..packet.len() + 100;
    assert!(outbound
        .seal(&mut buffer, beyond, &view, 0, &mut Simulated(1))
        .is_err());
    assert_eq!(
        (outbound.sequence(), outbound.shared().usage.packets()),
        (1, 1)
    );
}

#[test]
fn an_update_shares_sequence_window_and_counters() {
    let (outbound, inbound) = pair(|_| (), gcm());
    let (esp, _) = seal(&outbound, &inner(false, 60)).unwrap();
    let remote = "198.51.100.9:60000".parse().unwrap();
    let update = SaUpdate {
        remote: Some(remote),
        standby: Some(true),
        ..SaUpdate::default()
    };
    let moved = outbound.updated(&update);
    assert_eq!(moved.parameters().path.remote, remote);
    assert!(moved.parameters().standby);
    assert_eq!(seal(&moved, &inner(false, 60)).unwrap().1.sequence, 2);
    assert_eq!(outbound.sequence(), 2);
    assert!(open(&inbound, &esp, 0).is_ok());
    let inbound = inbound.updated(&update);
    assert_eq!(
        open(&inbound, &esp, 0).unwrap_err().reason,
        Reason::ReplayDuplicate
    );
}

#[test]
fn encryption_without_integrity_is_refused() {
    for key_bits in [128, 192, 256] {
        for encr in [12, 13] {
            assert_eq!(Suite::new(encr, key_bits, 0), Err(SuiteError::NoIntegrity));
        }
        assert_eq!(
            Suite::new(20, key_bits, 12),
            Err(SuiteError::IntegrityWithAead)
        );
    }
    for encr in (0..=2)
        .chain(4..=11)
        .chain([17, 21, 22, 23, 24, 25, 26, 27])
        .chain(29..300)
    {
        assert_eq!(
            Suite::new(encr, 128, 12),
            Err(SuiteError::UnknownEncryption(encr))
        );
    }
    assert_eq!(Suite::new(3, 0, 0), Err(SuiteError::NoIntegrity));
    assert_eq!(Suite::new(12, 128, 3), Err(SuiteError::UnknownIntegrity(3)));
    assert_eq!(Suite::new(20, 64, 0), Err(SuiteError::KeyBits(64)));
    assert_eq!(Suite::new(28, 0, 0).map(|s| s.key_bits()), Ok(256));
    assert_eq!(Suite::new(28, 128, 0), Err(SuiteError::KeyBits(128)));
    for key_bits in [0, 192] {
        assert_eq!(Suite::new(3, key_bits, 1).map(|s| s.key_bits()), Ok(192));
    }
    assert_eq!(Suite::new(3, 128, 1), Err(SuiteError::KeyBits(128)));
}

#[test]
fn parameters_that_cannot_work_are_refused() {
    let refused = |change: &dyn Fn(&mut ipsec::sa::SaParameters)| {
        let mut p = parameters(gcm());
        change(&mut p);
        InboundSa::new(p, 0).unwrap_err()
    };
    assert_eq!(refused(&|p| p.spi = 255), SaError::ReservedSpi);
    for window in [1, 63, 4097, u32::MAX] {
        assert_eq!(
            refused(&|p| p.replay_window = window),
            SaError::ReplayWindow
        );
    }
    assert_eq!(
        refused(&|p| p.encr_key = vec![0; 32].into()),
        SaError::Suite(SuiteError::EncryptionKeyLength)
    );
    assert_eq!(
        refused(&|p| p.integ_key = vec![0; 1].into()),
        SaError::Suite(SuiteError::IntegrityKeyLength)
    );
    assert_eq!(
        refused(&|p| p.path.remote = "[::1]:1".parse().unwrap()),
        SaError::MixedVersions
    );
}

#[test]
fn debug_output_shows_no_key() {
    let mut p = parameters(gcm());
    p.encr_key = vec![0xAB; 36].into();
    let shown = format!("{p:?}");
    assert!(
        shown.contains("36 octets")
            && !shown.contains("171")
            && !shown.to_lowercase().contains("abab")
    );
    let sa = OutboundSa::new(p, 0).unwrap();
    assert!(!format!("{sa:?}").contains("171"));
}
