//! How fast the plane is in memory, on one core: view, policy, SA, seal, then open; and its parts:
//! looking up among many policies and SAs, judging a sequence number, sums.
//!
//! `cargo run --release -p isthmus-ipsec --example speed`
//!
//! The clock and the printing are here, outside the crate that promises to have neither.

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use ipsec::checksum;
use ipsec::cipher::Suite;
use ipsec::entropy::{Entropy, EntropyFailure};
use ipsec::esp::{HEADROOM, TAILROOM};
use ipsec::hold::HoldLimits;
use ipsec::lifetime::Limits;
use ipsec::packet::Packet;
use ipsec::replay::Window;
use ipsec::sa::{InboundSa, OutboundSa, Path, SaParameters};
use ipsec::sad::Sad;
use ipsec::selector::{Selectors, TrafficSelector};
use ipsec::spd::{Action, OnNoSa, Policy, Spd, Verdict};
use ipsec::tunnel::DfPolicy;

struct Fast(u64);

impl Entropy for Fast {
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

fn any() -> Selectors {
    let any = vec![TrafficSelector::any_v4()];
    Selectors::new(any.clone(), any).expect("a range that holds everything")
}

fn policy(id: u32, selectors: Selectors) -> Policy {
    Policy {
        id,
        name: "speed".into(),
        interface: 1,
        action: Action::Protect,
        selectors,
        hold: HoldLimits::default(),
        on_no_sa: OnNoSa::Hold,
        clamp_mss: true,
        idle_ms: None,
        map: Default::default(),
    }
}

fn parameters(suite: Suite) -> SaParameters {
    let end = "192.0.2.1:4500".parse().expect("an address");
    SaParameters {
        spi: 4096,
        policy: 1,
        name: "speed".into(),
        suite,
        encr_key: vec![1; suite.encr_key_length()].into(),
        integ_key: vec![2; suite.integ_key_length()].into(),
        esn: true,
        replay_window: 1024,
        path: Path {
            local: end,
            remote: end,
            encap: true,
            df: DfPolicy::Copy,
        },
        selectors: any(),
        limits: Limits::default(),
        standby: false,
        tag: Vec::new(),
    }
}

/// Nanoseconds per packet of sealing and of opening.
fn measure(suite: Suite, length: usize) -> (f64, f64) {
    let spd = Spd::new(vec![policy(1, any())]).expect("one policy");
    let mut sad = Sad::default();
    let refused = "parameters that work";
    sad.install_outbound(OutboundSa::new(parameters(suite), 0).expect(refused))
        .expect(refused);
    sad.install_inbound(InboundSa::new(parameters(suite), 0).expect(refused))
        .expect(refused);
    let mut inner = vec![0u8; length];
    inner[0] = 0x45;
    inner[2..4].copy_from_slice(&(length as u16).to_be_bytes());
    (inner[9], inner[12], inner[16]) = (17, 10, 10);
    let mut buffer = vec![0u8; HEADROOM + length + TAILROOM];
    let range = HEADROOM..HEADROOM + length;
    let (mut sealing, mut opening) = (Duration::ZERO, Duration::ZERO);
    let mut entropy = Fast(1);
    let rounds = 200_000 / (1 + length / 400);
    for _ in 0..rounds {
        buffer[range.clone()].copy_from_slice(&inner);
        let start = Instant::now();
        let packet = Packet::parse(&buffer[range.clone()]).expect("an IPv4 packet");
        let Verdict::Protect(entry) = spd.decide(1, &packet) else {
            unreachable!("one policy")
        };
        let sa = sad.outbound(entry.policy.id, &packet.destination);
        let sa = sa.expect("one SA");
        let sealed = sa
            .seal(&mut buffer, range.clone(), &packet, 0, &mut entropy)
            .expect("a good packet");
        let middle = Instant::now();
        let datagram = &mut buffer[sealed.esp];
        let sa = ipsec::esp::spi(datagram)
            .and_then(|spi| sad.inbound(spi))
            .expect("one SA");
        sa.open(datagram, sealed.tos, 0).expect("our own packet");
        opening += middle.elapsed();
        sealing += middle - start;
    }
    let per_packet = |time: Duration| time.as_nanos() as f64 / rounds as f64;
    (per_packet(sealing), per_packet(opening))
}

/// Nanoseconds of one call, the least of some rounds.
fn time(mut call: impl FnMut(usize)) -> f64 {
    const CALLS: usize = 20_000;
    let round = |_| {
        let start = Instant::now();
        (0..CALLS).for_each(&mut call);
        start.elapsed()
    };
    let least = (0..20).map(round).min().unwrap_or_default();
    least.as_nanos() as f64 / CALLS as f64
}

/// The network that the policy or the SA number `index` is for.
fn network(index: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0000 | (index as u32) << 8)
}

/// Nanoseconds of finding the policy and the outbound SA of a packet, and of finding the SA of an
/// SPI, among `count` of each.
fn lookups(count: usize) -> (f64, f64) {
    let suite = Suite::new(20, 128, 0).expect("a suite of the plane");
    let mut sad = Sad::default();
    let mut policies = Vec::with_capacity(count);
    for index in 0..count {
        let first = network(index);
        let last = Ipv4Addr::from_bits(first.to_bits() | 0xff);
        let mut remote = TrafficSelector::any_v4();
        (remote.start, remote.end) = (first.into(), last.into());
        let selectors = Selectors::new(vec![TrafficSelector::any_v4()], vec![remote]);
        policies.push(policy(index as u32, selectors.expect("a network")));
        let one = |spi| SaParameters {
            spi,
            policy: index as u32,
            ..parameters(suite)
        };
        let spi = 4096 + index as u32;
        let (outbound, inbound) = (one(spi), one(spi));
        sad.install_outbound(OutboundSa::new(outbound, 0).expect("good parameters"))
            .expect("a new SPI");
        sad.install_inbound(InboundSa::new(inbound, 0).expect("good parameters"))
            .expect("a new SPI");
    }
    let spd = Spd::new(policies).expect("policies that differ");
    let mut inner = vec![0u8; 64];
    (inner[0], inner[3], inner[9], inner[12]) = (0x45, 64, 17, 192);
    // Neighbours in time are none in the tables.
    let scattered = |step: usize| step.wrapping_mul(7919) % count;
    let out = time(|step| {
        inner[16..20].copy_from_slice(&network(scattered(step)).octets());
        let packet = Packet::parse(&inner).expect("an IPv4 packet");
        let Verdict::Protect(entry) = spd.decide(1, &packet) else {
            unreachable!("every network has a policy")
        };
        black_box(sad.outbound(entry.policy.id, &packet.destination));
    });
    let inwards = time(|step| {
        black_box(sad.inbound(4096 + scattered(step) as u32));
    });
    (out, inwards)
}

/// The plane's parts, by themselves.
fn parts() {
    println!("\n{:<44} {:>10}", "part", "ns");
    for count in [1, 100, 10_000] {
        let (out, inwards) = lookups(count);
        println!(
            "{:<44} {out:>10.1}",
            format!("view, policy and SA out, of {count}")
        );
        println!("{:<44} {inwards:>10.1}", format!("SA in, of {count}"));
    }
    let window = Window::resumed(1024, 1 << 40).expect("a size of the plane");
    let judged = time(|step| {
        let number = window.infer(step as u32, true);
        black_box(number.and_then(|number| window.check(number))).ok();
    });
    println!("{:<44} {judged:>10.1}", "sequence number: infer and check");
    let octets = vec![7u8; 1386];
    let sum = time(|_| {
        black_box(checksum::add(0, black_box(&octets)));
    });
    println!("{:<44} {sum:>10.1}", "sum of 1386 octets");
}

fn main() {
    println!(
        "{:<28} {:>6} {:>10} {:>10} {:>12}",
        "suite", "octets", "seal ns", "open ns", "Gbit/s both"
    );
    for (name, encr, key_bits, integ) in [
        ("AES-GCM-16 128", 20, 128, 0),
        ("AES-GCM-16 256", 20, 256, 0),
        ("AES-GCM-8 256 (cut tag)", 18, 256, 0),
        ("ChaCha20-Poly1305", 28, 256, 0),
        ("AES-CBC 256 SHA2-256", 12, 256, 12),
        ("AES-CTR 128 SHA1", 13, 128, 2),
        ("AES-CCM-16 256", 16, 256, 0),
    ] {
        let suite = Suite::new(encr, key_bits, integ).expect("a suite of the plane");
        for length in [64, 1400, 8900] {
            let (seal, open) = measure(suite, length);
            let rate = length as f64 * 8.0 / (seal + open);
            println!("{name:<28} {length:>6} {seal:>10.0} {open:>10.0} {rate:>12.2}");
        }
    }
    parts();
}
