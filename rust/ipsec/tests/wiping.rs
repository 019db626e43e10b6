//! Keys leave the memory of the process when an SA is dropped (SECURITY-GUIDE 2.3).
//!
//! The test reads its own memory, so it runs alone in this file's process.
#![cfg(target_os = "linux")]

mod common;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use common::*;
use ipsec::cipher::Suite;
use ipsec::sa::{InboundSa, OutboundSa};

const MASK: u8 = 0x5a;

/// How often the octets (given masked, so that the needle is not found itself) are in memory.
/// `chunk` is what memory is read through; it is left out of the search.
fn hits(masked: &[u8], chunk: &mut [u8]) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut memory = File::open("/proc/self/mem").unwrap();
    let own = chunk.as_ptr() as u64..chunk.as_ptr() as u64 + chunk.len() as u64;
    let step = chunk.len() - masked.len();
    let mut found = 0;
    for line in maps
        .lines()
        .filter(|line| line.contains(" rw") && !line.contains("[v"))
    {
        let (start, rest) = line.split_once('-').unwrap();
        let mut at = u64::from_str_radix(start, 16).unwrap();
        let end = u64::from_str_radix(rest.split_once(' ').unwrap().0, 16).unwrap();
        while at < end {
            let length = chunk.len().min((end - at) as usize);
            memory.seek(SeekFrom::Start(at)).unwrap();
            if memory.read_exact(&mut chunk[..length]).is_err() {
                break;
            }
            found += (0..(length + 1).saturating_sub(masked.len()))
                .filter(|offset| !own.contains(&(at + *offset as u64)))
                .filter(|offset| (0..masked.len()).all(|i| chunk[offset + i] ^ MASK == masked[i]))
                .count();
            at += step as u64;
        }
    }
    found
}

fn masked_key(seed: u8, length: usize) -> Vec<u8> {
    (0..length)
        .map(|i| (i as u8).wrapping_mul(73).wrapping_add(seed))
        .collect()
}

#[test]
fn no_key_stays_in_memory_after_its_sa_is_dropped() {
    let mut chunk = vec![0; 1 << 20];
    let mut hits = |masked: &[u8]| hits(masked, &mut chunk);
    for (number, suite) in suites().into_iter().enumerate() {
        let make = || {
            let mut p = parameters(suite);
            let key = |seed: usize, length| -> Vec<u8> {
                masked_key(seed as u8, length)
                    .iter()
                    .map(|octet| octet ^ MASK)
                    .collect()
            };
            p.encr_key = key(number, suite.encr_key_length()).into();
            p.integ_key = key(number + 100, suite.integ_key_length()).into();
            p
        };
        let encr = masked_key(number as u8, usize::from(suite.key_bits() / 8));
        let integ = masked_key((number + 100) as u8, suite.integ_key_length());
        let outbound = OutboundSa::new(make(), 0).unwrap();
        let inbound = InboundSa::new(make(), 0).unwrap();
        let (esp, _) = seal(&outbound, &inner(false, 100)).unwrap();
        open(&inbound, &esp, 0).unwrap();
        if suite == Suite::new(20, 256, 0).unwrap() {
            // A key schedule begins with the key, so this search does find keys that live.
            assert!(hits(&encr) >= 2);
        }
        drop((outbound, inbound));
        let left = (hits(&encr), if integ.is_empty() { 0 } else { hits(&integ) });
        assert_eq!(left, (0, 0), "{suite:?}");
    }
}
