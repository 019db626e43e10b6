//! How fast the plane is in memory, on one core: view, policy, SA, seal, then open.
//!
//! `cargo run --release -p isthmus-ipsec --example speed`
//!
//! The clock and the printing are here, outside the crate that promises to have neither.

use std::time::{Duration, Instant};

use ipsec::cipher::Suite;
use ipsec::entropy::{Entropy, EntropyFailure};
use ipsec::esp::{HEADROOM, TAILROOM};
use ipsec::hold::HoldLimits;
use ipsec::lifetime::Limits;
use ipsec::packet::Packet;
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
    let policy = Policy {
        id: 1,
        name: "speed".into(),
        interface: 1,
        action: Action::Protect,
        selectors: any(),
        hold: HoldLimits::default(),
        on_no_sa: OnNoSa::Hold,
        clamp_mss: true,
        idle_ms: None,
        map: Default::default(),
    };
    let spd = Spd::new(vec![policy]).expect("one policy");
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
}
