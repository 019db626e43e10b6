//! What the tests of this crate share: suites, keys, packets and a simulated world's entropy.
#![allow(dead_code)] // Each test file uses its part.

use std::net::IpAddr;

use ipsec::cipher::Suite;
use ipsec::entropy::{Entropy, EntropyFailure};
use ipsec::esp::{Opened, Refused, Sealed, HEADROOM, TAILROOM};
use ipsec::lifetime::Limits;
use ipsec::packet::Packet;
use ipsec::sa::{InboundSa, OutboundSa, Path, SaParameters};
use ipsec::selector::{Selectors, TrafficSelector};
use ipsec::tunnel::DfPolicy;

/// A counter run through a mixer: repeatable, and no two fills alike.
pub struct Simulated(pub u64);

impl Entropy for Simulated {
    fn fill(&mut self, octets: &mut [u8]) -> Result<(), EntropyFailure> {
        for octet in octets {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            *octet = (self.0 >> 56) as u8;
        }
        Ok(())
    }
}

/// Every pair of transforms that the plane takes: 68 of them.
pub fn suites() -> Vec<Suite> {
    let mut suites = vec![Suite::new(28, 256, 0).unwrap()];
    let integs = [1, 2, 5, 8, 12, 13, 14];
    suites.extend(integs.map(|integ| Suite::new(3, 0, integ).unwrap()));
    for key_bits in [128, 192, 256] {
        for encr in [14, 15, 16, 18, 19, 20] {
            suites.push(Suite::new(encr, key_bits, 0).unwrap());
        }
        for encr in [12, 13] {
            for integ in integs {
                suites.push(Suite::new(encr, key_bits, integ).unwrap());
            }
        }
    }
    suites
}

pub fn any_selectors() -> Selectors {
    let any = vec![TrafficSelector::any_v4(), TrafficSelector::any_v6()];
    Selectors::new(any.clone(), any).unwrap()
}

pub fn path(v6: bool, encap: bool) -> Path {
    let (local, remote) = if v6 {
        ("[2001:db8::1]:4500", "[2001:db8::2]:4500")
    } else {
        ("192.0.2.1:4500", "192.0.2.2:4500")
    };
    Path {
        local: local.parse().unwrap(),
        remote: remote.parse().unwrap(),
        encap,
        df: DfPolicy::Copy,
    }
}

pub fn parameters(suite: Suite) -> SaParameters {
    let key = |length: usize, seed: u8| {
        (0..length)
            .map(|i| seed.wrapping_add(i as u8))
            .collect::<Vec<u8>>()
    };
    SaParameters {
        spi: 0x1234_5678,
        policy: 1,
        name: "site/net".into(),
        suite,
        encr_key: key(suite.encr_key_length(), 0x40).into(),
        integ_key: key(suite.integ_key_length(), 0x80).into(),
        esn: false,
        replay_window: 1024,
        path: path(false, true),
        selectors: any_selectors(),
        limits: Limits::default(),
        standby: false,
        tag: Vec::new(),
    }
}

pub fn gcm() -> Suite {
    Suite::new(20, 256, 0).unwrap()
}

pub fn pair(change: impl Fn(&mut SaParameters), suite: Suite) -> (OutboundSa, InboundSa) {
    let make = || {
        let mut parameters = parameters(suite);
        change(&mut parameters);
        parameters
    };
    (
        OutboundSa::new(make(), 0).unwrap(),
        InboundSa::new(make(), 0).unwrap(),
    )
}

/// A UDP packet of `length` octets in all, at least 28 or 48.
pub fn inner(v6: bool, length: usize) -> Vec<u8> {
    let mut packet: Vec<u8> = (0..length).map(|i| (i * 7) as u8).collect();
    let header = if v6 { 40 } else { 20 };
    packet[..header].fill(0);
    if v6 {
        packet[0] = 0x60;
        packet[4..6].copy_from_slice(&((length - 40) as u16).to_be_bytes());
        packet[6..8].copy_from_slice(&[17, 64]);
        packet[8] = 0x20;
        packet[24] = 0x20;
        packet[23] = 1;
        packet[39] = 2;
    } else {
        packet[0] = 0x45;
        packet[2..4].copy_from_slice(&(length as u16).to_be_bytes());
        packet[8..10].copy_from_slice(&[64, 17]);
        packet[12..20].copy_from_slice(&[10, 0, 1, 1, 10, 0, 2, 2]);
        let checksum = ipsec::checksum::finish(ipsec::checksum::add(0, &packet[..20]));
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    }
    packet
}

pub fn seal(sa: &OutboundSa, inner: &[u8]) -> Result<(Vec<u8>, Sealed), Refused> {
    let mut buffer = vec![0xee; HEADROOM + inner.len() + TAILROOM];
    let range = HEADROOM..HEADROOM + inner.len();
    buffer[range.clone()].copy_from_slice(inner);
    let packet = Packet::parse(inner).unwrap();
    let sealed = sa.seal(
        &mut buffer,
        range,
        &packet,
        1,
        &mut Simulated(sa.sequence()),
    )?;
    Ok((buffer[sealed.esp.clone()].to_vec(), sealed))
}

pub fn open(sa: &InboundSa, esp: &[u8], tos: u8) -> Result<(Vec<u8>, Opened), Refused> {
    let mut buffer = esp.to_vec();
    let opened = sa.open(&mut buffer, tos, 1)?;
    Ok((buffer[opened.inner.clone()].to_vec(), opened))
}

pub fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
        .collect()
}
